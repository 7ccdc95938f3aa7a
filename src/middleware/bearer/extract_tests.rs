use super::*;
use crate::config::Extract;
use crate::protocol::Scheme;
use http::Method;

/// A request; its target may have a query.
struct Sent {
    method: Method,
    target: Target,
    fields: HeaderMap,
    scheme: Scheme,
}

fn sent(method: &str, target: &str, fields: &[(&'static str, &str)]) -> Sent {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    Sent {
        method: method.parse().unwrap(),
        target: Target::parse(target.to_owned().into()).unwrap(),
        fields: map,
        scheme: Scheme::Https,
    }
}

fn extractor(change: impl FnOnce(&mut Extract)) -> Extractor {
    let mut auth = Auth::default();
    auth.extract.cookies = vec!["__Host-access".into()];
    auth.extract.query = vec!["access_token".into()];
    auth.extract.websocket_protocol = true;
    auth.extract.allowed_origins = vec!["https://app.example".into()];
    change(&mut auth.extract);
    Extractor::new(&auth)
}

/// The tokens of a request.
fn found(sent: &Sent, query: Query) -> Result<Vec<String>, Reason> {
    let asked = Asked {
        method: &sent.method,
        target: &sent.target,
        host: Some(b"site.example"),
        fields: &sent.fields,
        scheme: sent.scheme,
    };
    Ok(extractor(|_| {}).tokens(&asked, query)?.iter().map(str::to_owned).collect())
}

#[test]
fn token_is_found_in_each_place_that_is_looked_at() {
    let websocket = [("upgrade", "websocket"), ("sec-websocket-protocol", "chat, bearer.t.o.k")];
    for (sent, query, tokens) in [
        (sent("GET", "/", &[("authorization", "Bearer t.o.k")]), Query::Ignored, &["t.o.k"][..]),
        (sent("GET", "/", &[("cookie", "a=b; __Host-access=t.o.k; c=d")]), Query::Ignored, &["t.o.k"]),
        (sent("GET", "/", &[("cookie", "__Host-access=\"t.o.k\"")]), Query::Ignored, &["t.o.k"]),
        (sent("GET", "/", &[("cookie", "__host-access=t.o.k")]), Query::Ignored, &[]),
        (sent("GET", "/", &[("cookie", "x__Host-access=t.o.k")]), Query::Ignored, &[]),
        (sent("GET", "/?access_token=t.o.k", &[]), Query::Ignored, &[]),
        (sent("GET", "/?a=b&access_token=t.o.k", &[]), Query::Taken, &["t.o.k"]),
        (sent("GET", "/?access%5Ftoken=t.o.k", &[]), Query::Taken, &["t.o.k"]),
        (sent("GET", "/", &websocket), Query::Ignored, &["t.o.k"]),
        (sent("GET", "/", &websocket[1..]), Query::Ignored, &[]),
        (sent("GET", "/?access_token=q", &[("authorization", "Bearer t")]), Query::Taken, &["t", "q"]),
    ] {
        assert_eq!(found(&sent, query).unwrap(), tokens, "{} {:?}", sent.target_text(), sent.fields);
    }
}

impl Sent {
    fn target_text(&self) -> String {
        String::from_utf8_lossy(self.target.raw()).into_owned()
    }
}

#[test]
fn repeated_and_malformed_credentials_are_refused_in_every_place() {
    for (sent, reason) in [
        (sent("GET", "/", &[("cookie", "__Host-access=a; __Host-access=b")]), Reason::CredentialRepeated),
        (
            sent("GET", "/", &[("cookie", "__Host-access=a"), ("cookie", "__Host-access=a")]),
            Reason::CredentialRepeated,
        ),
        (sent("GET", "/", &[("cookie", "__Host-access=; __Host-access=a")]), Reason::CredentialRepeated),
        (sent("GET", "/", &[("cookie", "__Host-access=a b")]), Reason::CredentialMalformed),
        (sent("GET", "/?access_token", &[]), Reason::CredentialMalformed),
        (sent("GET", "/", &[("authorization", "Bearer a b")]), Reason::CredentialMalformed),
    ] {
        assert_eq!(found(&sent, Query::Taken), Err(reason), "{} {:?}", sent.target_text(), sent.fields);
    }
    let emptied = sent("POST", "/", &[("cookie", "__Host-access=\"\"")]);
    assert!(found(&emptied, Query::Taken).unwrap().is_empty(), "as after a logout");
    let both = sent("GET", "/?access_token=a&access_token=b", &[]);
    assert_eq!(
        found(&both, Query::Taken).unwrap().len(),
        2,
        "which of them is meant is for the rule to refuse"
    );
}

#[test]
fn cookie_is_taken_from_pages_of_this_origin_alone() {
    const COOKIE: (&str, &str) = ("cookie", "__Host-access=t");
    for (method, fields, taken) in [
        ("GET", &[][..], true),
        ("HEAD", &[("sec-fetch-site", "cross-site")], true),
        ("POST", &[], false),
        ("POST", &[("sec-fetch-site", "same-origin")], true),
        ("POST", &[("sec-fetch-site", "none")], true),
        ("POST", &[("sec-fetch-site", "same-site")], false),
        ("POST", &[("sec-fetch-site", "cross-site")], false),
        ("POST", &[("sec-fetch-site", "cross-site"), ("origin", "https://site.example")], false),
        ("POST", &[("sec-fetch-site", "cross-site"), ("origin", "https://app.example")], true),
        ("POST", &[("origin", "https://site.example")], true),
        ("POST", &[("origin", "https://SITE.example:443")], true),
        ("POST", &[("origin", "https://site.example:8443")], false),
        ("POST", &[("origin", "http://site.example")], false),
        ("POST", &[("origin", "https://app.example")], true),
        ("POST", &[("origin", "https://app.example.evil")], false),
        ("POST", &[("origin", "null")], false),
        ("POST", &[("origin", "https://site.example"), ("origin", "https://evil.example")], false),
        ("POST", &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
        ("DELETE", &[], false),
        ("get", &[], false),
        ("GET", &[("upgrade", "websocket"), ("origin", "https://evil.example")], false),
        ("GET", &[("upgrade", "websocket"), ("origin", "https://site.example")], true),
    ] {
        let fields = [&[COOKIE], fields].concat();
        let wanted = if taken { Ok(vec!["t".to_owned()]) } else { Err(Reason::CrossSite) };
        assert_eq!(found(&sent(method, "/", &fields), Query::Ignored), wanted, "{method} {fields:?}");
    }
    let header = sent("POST", "/", &[("authorization", "Bearer t"), ("sec-fetch-site", "cross-site")]);
    assert!(found(&header, Query::Ignored).is_ok(), "no browser sends this field by itself");
}

#[test]
fn what_carried_a_token_is_removed_and_nothing_else() {
    let Sent { mut fields, .. } = sent(
        "GET",
        "/",
        &[
            ("authorization", "Bearer t"),
            ("cookie", "a=b; __Host-access=t; c=\"d\""),
            ("cookie", "e=f"),
            ("upgrade", "websocket"),
            ("sec-websocket-protocol", "chat, bearer.t, other"),
        ],
    );
    extractor(|_| {}).remove(&mut fields);
    assert!(!fields.contains_key(AUTHORIZATION));
    assert_eq!(fields[COOKIE], "a=b; c=\"d\"; e=f");
    assert_eq!(fields[SEC_WEBSOCKET_PROTOCOL], "chat, other");
    let mut alone = sent("GET", "/", &[("cookie", "__Host-access=t")]).fields;
    extractor(|_| {}).remove(&mut alone);
    assert!(!alone.contains_key(COOKIE));
}

#[test]
fn places_that_are_not_configured_are_left_alone() {
    let all = sent("POST", "/", &[("cookie", "__Host-access=t"), ("cookie", "sessionid=x")]);
    let asked = Asked {
        method: &all.method,
        target: &all.target,
        host: None,
        fields: &all.fields,
        scheme: all.scheme,
    };
    let none = extractor(|extract| extract.cookies.clear());
    assert!(none.tokens(&asked, Query::Ignored).unwrap().only().unwrap().is_none());
    let mut fields = all.fields.clone();
    none.remove(&mut fields);
    assert_eq!(fields, all.fields);
}

#[test]
fn tokens_in_the_query_are_not_shown() {
    for (target, shown) in [
        ("/a?b=c&access_token=t.o.k&d", Some("/a?b=c&access_token=***&d")),
        ("/a?b;access_token=t.o.k;c=d&", Some("/a?b;access_token=***;c=d&")),
        ("/a?access%5Ftoken=t", Some("/a?access%5Ftoken=***")),
        ("/a?b=access_token", None),
        ("/a", None),
    ] {
        let sent = sent("GET", target, &[]);
        let found = extractor(|_| {}).without_tokens(&sent.target);
        assert_eq!(found.map(|target| String::from_utf8(target.raw().to_vec()).unwrap()).as_deref(), shown);
    }
    for (referer, shown) in [
        ("https://a.example/a?b=c&access_token=t.o.k", Some("https://a.example/a?b=c&access_token=***")),
        ("/?access%5ftoken=t.o.k#x", Some("/?access%5ftoken=***")),
        ("?access_token=\u{e9}?", Some("?access_token=***")),
        ("https://a.example/a?b=access_token", None),
        ("access_token=t", None),
        ("", None),
    ] {
        let found = extractor(|_| {}).referer_without_tokens(referer.as_bytes());
        assert_eq!(found.map(|referer| String::from_utf8(referer).unwrap()).as_deref(), shown, "{referer}");
    }
    let off = extractor(|extract| extract.query.clear());
    assert!(off.referer_without_tokens(b"/?access_token=t").is_none());
    assert!(
        off.without_tokens(&sent("GET", "/a?access_token=t", &[]).target).is_none(),
        "there it is the app's own"
    );
}
