use super::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// RFC 8037 A.2
const SET: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// Answers each connection with what `answer` makes of the request's target; says how many there were.
pub(in crate::auth::jwks) async fn provider(
    answer: impl Fn(&str, &str) -> String + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let counted = Arc::new(AtomicUsize::new(0));
    let (counting, own) = (Arc::clone(&counted), origin.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            counting.fetch_add(1, Ordering::SeqCst);
            let target = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
            let _sent = stream.write_all(answer(&target, &own).as_bytes()).await;
        }
    });
    (origin, counted)
}

pub(in crate::auth::jwks) fn ok(content: &str, more: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{more}\r\n{content}", content.len())
}

pub(in crate::auth::jwks) fn source(place: Place) -> Source {
    Source {
        place,
        refresh: Duration::from_secs(600),
        min_refetch: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        stale_if_error: Duration::from_secs(3600),
        max_bytes: 4096,
        max_keys: 2,
        ca_file: None,
    }
}

/// What becomes of a fetch of "/set" from somebody who answers like that.
async fn fetched(answer: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> Result<Fetched, String> {
    let (origin, _) = provider(answer).await;
    fetch(&source(Place::Set(format!("{origin}/set")))).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn good_set_is_taken_with_how_long_it_lasts() {
    for (field, fresh) in [
        ("", None),
        ("cache-control: public, Max-Age=300\r\n", Some(Duration::from_secs(300))),
        ("cache-control: no-cache\r\n", Some(Duration::ZERO)),
        ("cache-control: max-age=nonsense\r\n", None),
    ] {
        let set = fetched(move |_, _| ok(SET, field)).await.unwrap();
        assert_eq!((set.text, set.fresh, set.skipped), (Bytes::from(SET), fresh, Vec::new()), "{field}");
    }
    let chunked = fetched(|_, _| {
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{SET}\r\n0\r\n\r\n", SET.len())
    });
    assert_eq!(chunked.await.unwrap().text, SET);
    let to_the_end = fetched(|_, _| format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{SET}"));
    assert_eq!(to_the_end.await.unwrap().text, SET);
}

#[tokio::test]
async fn what_is_no_good_set_is_refused() {
    let secret = r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#;
    let three = format!(r#"{{"keys":[{0},{0},{0}]}}"#, &SET[9..SET.len() - 2]);
    for (answer, part) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(), "404"),
        (ok("<html>", ""), "no JWK set"),
        (ok("{}", ""), "no array"),
        (ok(r#"{"keys":[]}"#, ""), "no key"),
        (ok(secret, ""), "no key"),
        (ok(&SET.replace("\"kty\"", "\"d\":\"AAAA\",\"kty\""), ""), "no key"),
        (ok(&three, ""), "more than 2 keys"),
        (ok(&format!("{SET}{}", " ".repeat(5000)), ""), "longer than 4096"),
        (ok(SET, "content-encoding: gzip\r\n"), "encoded"),
        (format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{SET}"), "longer than 4096"),
        ("nonsense\r\n\r\n".into(), "HTTP"),
        (String::new(), "HTTP"),
    ] {
        let error = fetched(move |_, _| answer.clone()).await.unwrap_err();
        assert!(error.contains(part), "{error}: no {part}");
    }
}

#[tokio::test]
async fn redirects_are_followed_within_the_origin_alone() {
    let to = |target: &str| format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
    let moved = move |first: &'static str| {
        move |target: &str, own: &str| match target {
            "/set" => to(&first.replace("OWN", own)),
            "/there?x=1" => ok(SET, ""),
            _ => to("/set"),
        }
    };
    for (location, part) in [
        ("/there?x=1", ""),
        ("OWN/there?x=1", ""),
        ("http://127.0.0.1:1/there?x=1", "another origin"),
        ("https://idp.example/there?x=1", "another origin"),
        ("//idp.example/there?x=1", "another origin"),
        ("there?x=1", "another origin"),
        ("", "another origin"),
        ("/loop", "too often"),
    ] {
        match fetched(moved(location)).await {
            Ok(set) => assert_eq!((&*set.text, part), (SET.as_bytes(), ""), "{location}"),
            Err(error) => assert!(!part.is_empty() && error.contains(part), "{location}: {error}"),
        }
    }
}

#[tokio::test]
async fn keys_that_have_no_place_in_a_set_cost_themselves_alone() {
    let mixed = format!(r#"{{"keys":[{{"kty":"oct","kid":"s","k":"AAAA"}},{}]}}"#, &SET[9..SET.len() - 2]);
    let set = fetched(move |_, _| ok(&mixed, "")).await.unwrap();
    assert_eq!(set.skipped.len(), 1);
    assert!(set.skipped[0].contains("secret"), "{:?}", set.skipped);
}

#[tokio::test]
async fn weak_keys_are_no_set() {
    let number = |bytes: usize| crate::auth::jwt::encode_base64url(vec![0xd3; bytes]);
    for (n, e) in [(number(64), "AQAB"), (number(128), "AQAB"), (number(256), "AQ"), (number(256), "Ag")] {
        let key = format!(r#"{{"kty":"RSA","kid":"w","n":"{n}","e":"{e}"}}"#);
        let set = format!(r#"{{"keys":[{key}]}}"#);
        let problem = fetched(move |_, _| ok(&set, "")).await.unwrap_err();
        assert!(problem.contains("no key that could prove a token: key \"w\" is left out"), "{problem}");
        let beside = format!(r#"{{"keys":[{key},{}]}}"#, &SET[9..SET.len() - 2]);
        let set = fetched(move |_, _| ok(&beside, "")).await.unwrap();
        assert_eq!((set.keys, set.skipped.len()), (1, 1), "{:?}", set.skipped);
    }
}

#[tokio::test]
async fn discovery_believes_the_issuer_it_was_asked_about_alone() {
    for (wrong, part) in [("", ""), ("x", "another issuer"), ("/", "another issuer")] {
        let (origin, _) = provider(move |target, own| match target {
            "/.well-known/openid-configuration" => {
                ok(&format!(r#"{{"issuer":"{own}{wrong}","jwks_uri":"{own}/set"}}"#), "")
            }
            "/set" => ok(SET, ""),
            _ => ok("", ""),
        })
        .await;
        match fetch(&source(Place::Issuer(origin))).await {
            Ok(set) => assert_eq!((&*set.text, part), (SET.as_bytes(), "")),
            Err(error) => assert!(!part.is_empty() && error.to_string().contains(part), "{wrong}: {error}"),
        }
    }
    let (origin, _) =
        provider(|_, own| ok(&format!(r#"{{"issuer":"{own}","jwks_uri":"http://192.0.2.1/set"}}"#), ""))
            .await;
    let error = fetch(&source(Place::Issuer(origin))).await.unwrap_err().to_string();
    assert!(error.contains("only https"), "{error}");
}

#[tokio::test]
async fn fetch_has_an_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut silent = source(Place::Set(format!("http://{}/set", listener.local_addr().unwrap())));
    silent.timeout = Duration::from_millis(20);
    assert!(matches!(fetch(&silent).await, Err(FetchError::TooSlow(_))));
    let missing = Some(PathBuf::from("/nonexistent/ca.pem"));
    let tls = Source {
        place: Place::Set(format!("https://{}/set", listener.local_addr().unwrap())),
        ca_file: missing,
        ..source(Place::Issuer(String::new()))
    };
    let error = fetch(&tls).await.unwrap_err().to_string();
    assert!(error.contains("ca_file /nonexistent/ca.pem"), "{error}");
    for url in ["http://192.0.2.1/set", "ftp://127.0.0.1/set", "/set", "https:///set"] {
        assert!(matches!(fetch(&source(Place::Set(url.into()))).await, Err(FetchError::Address(_))), "{url}");
    }
}
