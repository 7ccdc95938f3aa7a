//! Keys that change while tokens are judged.

use super::super::tests::{NOW, at, bearer, head, judge, provider, refused_for, site, token};
use super::*;
use crate::auth::keys::SigningKey;
use crate::auth::{Algorithm, Reason};
use crate::config::{AuthKey, KeySource, KeyUse};
use crate::contract::metrics::Metrics;
use crate::middleware::bearer::{Asked, Authenticator};
use crate::protocol::{Attempt, Halt, Scheme};
use http::Method;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A set of public keys.
fn set(keys: &[(&str, &SigningKey, Algorithm)]) -> Vec<u8> {
    let keys: Vec<_> = keys
        .iter()
        .map(|(kid, key, algorithm)| key.public().to_public_jwk(*algorithm, Some(kid)).unwrap())
        .collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

/// A token whose header names a key.
fn named(key: &SigningKey, algorithm: Algorithm, kid: &str) -> String {
    let plain = token(key, algorithm, json!({}));
    let claims = plain.split('.').nth(1).unwrap();
    let header = crate::auth::jwt::encode_base64url(format!(r#"{{"alg":"{algorithm}","kid":"{kid}"}}"#));
    let message = format!("{header}.{claims}");
    bearer(&format!("{message}.{}", key.sign(algorithm, message.as_bytes()).unwrap()))
}

/// An authenticator whose one provider's keys are fetched, the table that they are in, and how often it has asked.
fn fetching(algorithms: &[&str]) -> (Authenticator, KeyTable, SourceIndex, Arc<AtomicUsize>) {
    let mut auth = super::super::tests::config(Vec::new());
    let mut idp = provider("local", Vec::new());
    idp.jwks_url = Some("https://idp.example/jwks".into());
    idp.algorithms = algorithms.iter().map(|name| (*name).to_owned()).collect();
    auth.providers = vec![idp];
    let table = KeyTable::new().unwrap();
    let counted = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&counted);
    let wake = Box::new(move || {
        counting.fetch_add(1, Ordering::SeqCst);
    });
    let authenticator =
        Authenticator::new(&auth).unwrap().fetching(table.clone(), Path::new("/"), wake).unwrap();
    let index = table.sources()[0].0;
    (authenticator, table, index, counted)
}

/// Why a request with that Authorization is refused; `None`: it is not.
fn refused(
    authenticator: &Authenticator,
    authorization: &str,
    attempt: Attempt,
) -> Option<Result<Reason, LookUp>> {
    let head = head(Method::GET, "/", &[("authorization", authorization)]);
    let asked = Asked {
        method: &head.method,
        target: &head.target,
        host: None,
        fields: &head.fields,
        scheme: Scheme::Http,
    };
    match authenticator.authenticate(asked, at(NOW), attempt) {
        Ok(_) => None,
        Err(Halt::Answer(response)) => Some(Ok(*response.extensions().get().unwrap())),
        Err(Halt::Wait(what)) => Some(Err(what)),
    }
}

fn reason(authenticator: &Authenticator, authorization: &str) -> Option<Reason> {
    refused(authenticator, authorization, Attempt::Last).map(|why| why.ok().unwrap())
}

#[test]
fn keys_are_taken_from_files_that_have_changed_and_remembered_tokens_go_with_the_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let keys = [Algorithm::Es256; 2].map(|algorithm| SigningKey::generate(algorithm).unwrap());
    let write = |key: &SigningKey| {
        std::fs::write(folder.path().join("new"), key.public().to_public_pem().unwrap()).unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
    };
    write(&keys[0]);
    let source = KeySource::PemFile(path.clone());
    let (site, _) = site(Algorithm::Hs256, |auth| {
        auth.providers[0].keys = vec![AuthKey {
            kid: None,
            alg: "ES256".into(),
            r#use: KeyUse::Verify,
            source,
            sign_from: None,
            until: None,
        }];
    });
    let [first, second] = [0, 1].map(|number| {
        let token = bearer(&token(&keys[number], Algorithm::Es256, json!({})));
        head(Method::GET, "/", &[("authorization", &token)])
    });
    assert_eq!(site.authenticator.look(), Renewal::Same);
    assert_eq!(refused_for(&site, &first, NOW), None);
    assert_eq!(refused_for(&site, &second, NOW), Some(Reason::Signature));
    write(&keys[1]);
    assert_eq!(site.authenticator.look(), Renewal::Changed("the files of local".into()));
    assert_eq!(refused_for(&site, &first, NOW), Some(Reason::Signature), "it was remembered");
    assert!(judge(&site, &second, NOW).is_ok());
    std::fs::write(&path, "no key").unwrap();
    assert!(matches!(site.authenticator.look(), Renewal::Kept(why) if why.contains("PEM")));
    assert_eq!(site.authenticator.look(), Renewal::Same, "it is said once");
    assert!(matches!(site.authenticator.read_files(), Renewal::Kept(_)), "who asks is told again");
    assert!(judge(&site, &second, NOW).is_ok(), "the old ones stay");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(site.authenticator.look(), Renewal::Same, "as while a file is replaced");
}

#[test]
fn figures_tell_of_remembered_tokens_and_of_keys_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let pem = key.public().to_public_pem().unwrap();
    std::fs::write(&path, &pem).unwrap();
    let source = KeySource::PemFile(path.clone());
    let (mut site, _) = site(Algorithm::Hs256, |auth| {
        let key = AuthKey { alg: "ES256".into(), source, ..auth.providers[0].keys[0].clone() };
        auth.providers[0].keys = vec![key];
    });
    let metrics = Metrics::alone().unwrap();
    site.authenticator = site.authenticator.counting(&metrics);
    let told = |line: &str| {
        let page = metrics.table().page();
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    };
    let good = bearer(&token(&key, Algorithm::Es256, json!({})));
    for (authorization, count) in [(&good, 3), (&format!("{good}x"), 2)] {
        for _ in 0..count {
            let _ = judge(&site, &head(Method::GET, "/", &[("authorization", authorization)]), NOW);
        }
    }
    told("ferricorn_auth_cache_total{outcome=\"hit\"} 2");
    told("ferricorn_auth_cache_total{outcome=\"miss\"} 3");
    told("ferricorn_auth_verification_seconds_count 3");
    told("ferricorn_auth_decisions_total{provider=\"local\",reason=\"verified\"} 3");
    told("ferricorn_auth_keys{provider=\"local\"} 1");
    for (text, outdated) in [("no key", 1), (pem.as_str(), 0), ("no key at all", 1), (pem.as_str(), 0)] {
        std::fs::write(folder.path().join("new"), text).unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        site.authenticator.look();
        told(&format!("ferricorn_auth_keys_outdated {outdated}"));
    }
}

#[test]
fn without_a_set_the_answer_is_not_that_the_token_is_bad() {
    let (authenticator, table, index, _) = fetching(&[]);
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let token = named(&key, Algorithm::Es256, "a");
    assert_eq!(reason(&authenticator, &token), Some(Reason::NoKeys));
    let secret = SigningKey::Secret(b"a secret of more than thirty-two bytes!".to_vec());
    let hmac = named(&secret, Algorithm::Hs256, "a");
    assert_eq!(reason(&authenticator, &hmac), Some(Reason::Algorithm), "no set could prove it");
    table.publish(index, &set(&[("a", &key, Algorithm::Es256)]));
    assert_eq!(authenticator.take_sets(), Renewal::Changed("the sets of local".into()));
    assert_eq!(authenticator.take_sets(), Renewal::Same);
    assert_eq!(reason(&authenticator, &token), None);
    table.publish(index, b"");
    authenticator.take_sets();
    assert_eq!(reason(&authenticator, &token), Some(Reason::NoKeys), "too old a set is none");
}

#[test]
fn a_key_has_been_taken_out_once_there_is_a_set_without_it() {
    let (authenticator, table, index, _) = fetching(&[]);
    let [one, other] = [Algorithm::Es256; 2].map(|algorithm| SigningKey::generate(algorithm).unwrap());
    let both = set(&[("b", &other, Algorithm::Es256), ("a", &one, Algorithm::Es256)]);
    let mut mark = None;
    for (text, expected) in [
        (set(&[("a", &one, Algorithm::Es256)]), false),
        (both, false),
        // It has become too old: nobody knows.
        (Vec::new(), false),
        (set(&[("b", &other, Algorithm::Es256)]), true),
        // Tokens of the old name would not be let in by it.
        (set(&[("c", &one, Algorithm::Es256)]), true),
        (set(&[("a", &one, Algorithm::Es256)]), false),
    ] {
        table.publish(index, &text);
        authenticator.take_sets();
        let ring = authenticator.keys.load();
        let mark = *mark.get_or_insert_with(|| {
            let token = named(&one, Algorithm::Es256, "a");
            let token = token.strip_prefix("Bearer ").unwrap();
            crate::auth::verify(token, 8192, &[&ring.providers[0]], 1_800_000_000.0).unwrap().key
        });
        assert_eq!(ring.providers[0].has_dropped(mark), expected, "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn fetched_secret_proves_nothing() {
    let (authenticator, table, index, _) = fetching(&[]);
    let good = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let public = String::from_utf8(set(&[("a", &good, Algorithm::EdDsa)])).unwrap();
    let secret =
        r#"{"kty":"oct","kid":"s","alg":"HS256","k":"YSBzZWNyZXQgb2YgbW9yZSB0aGFuIHRoaXJ0eS10d28gYnl0ZXMh"}"#;
    table.publish(index, public.replace("{\"keys\":[", &format!("{{\"keys\":[{secret},")).as_bytes());
    authenticator.take_sets();
    let key = SigningKey::Secret(b"a secret of more than thirty-two bytes!".to_vec());
    assert_eq!(reason(&authenticator, &named(&key, Algorithm::Hs256, "s")), Some(Reason::Algorithm));
    assert_eq!(reason(&authenticator, &named(&good, Algorithm::EdDsa, "a")), None, "the others are used");
}

#[tokio::test]
async fn unknown_key_is_asked_for_once_and_the_request_waits_for_the_outcome() {
    let (authenticator, table, index, asked) = fetching(&["ES256"]);
    let [old, new] = [Algorithm::Es256; 2].map(|algorithm| SigningKey::generate(algorithm).unwrap());
    table.publish(index, &set(&[("old", &old, Algorithm::Es256)]));
    table.attempted(index, 0);
    authenticator.take_sets();
    let before = asked.load(Ordering::SeqCst);
    let token = named(&new, Algorithm::Es256, "new");
    let Some(Err(waiting)) = refused(&authenticator, &token, Attempt::First) else {
        panic!("it should wait")
    };
    assert_eq!(asked.load(Ordering::SeqCst), before + 1);
    assert!(table.take_wish(index));
    let waiting = tokio::spawn(waiting);
    table.publish(index, &set(&[("new", &new, Algorithm::Es256), ("old", &old, Algorithm::Es256)]));
    // Somebody asks for another key at once: not before `min_refetch` is over.
    table.attempted(index, u64::MAX);
    authenticator.take_sets();
    waiting.await.unwrap();
    assert_eq!(reason(&authenticator, &token), None);
    let unknown = named(&new, Algorithm::Es256, "nobody's");
    assert!(
        matches!(refused(&authenticator, &unknown, Attempt::First), Some(Ok(Reason::UnknownKey))),
        "at once"
    );
    let forged = named(&new, Algorithm::Es256, "old");
    assert!(matches!(refused(&authenticator, &forged, Attempt::First), Some(Ok(Reason::Signature))));
}

#[tokio::test]
async fn only_so_many_requests_wait() {
    let (authenticator, _, _, _) = fetching(&[]);
    let token = named(&SigningKey::generate(Algorithm::Es256).unwrap(), Algorithm::Es256, "a");
    let mut waiting = Vec::new();
    while let Some(Err(one)) = refused(&authenticator, &token, Attempt::First) {
        waiting.push(one);
    }
    assert_eq!(waiting.len(), 64);
    assert!(matches!(refused(&authenticator, &token, Attempt::First), Some(Ok(Reason::NoKeys))));
    drop(waiting);
    assert!(matches!(refused(&authenticator, &token, Attempt::First), Some(Err(_))), "there is room again");
}
