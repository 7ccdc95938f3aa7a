//! Several tokens, tokens outside the Authorization field, what is known beyond the token, pages of other origins.

use super::tests::{NOW, ask, at, bearer, head, judge, local, provider, refused_for, route, site, token};
use super::*;
use crate::auth::keys::SigningKey;
use crate::auth::{Algorithm, LookUp};
use crate::config::{AuthKey, Hidden, KeySource, KeyUse, Require};
use http::Method;
use serde_json::{Value, json};
use std::sync::Mutex;

const OTHER: &str = "another secret of more than 32 bytes!!";

fn key(secret: &str) -> AuthKey {
    let source = KeySource::Secret(Hidden(secret.into()));
    AuthKey { kid: None, alg: "HS256".into(), r#use: KeyUse::Verify, source, sign_from: None, until: None }
}

#[test]
fn all_of_several_providers_want_one_token_of_each() {
    let (site, first) = site(Algorithm::Hs256, |auth| {
        auth.providers[0].issuer = Some("https://one".into());
        let mut second = provider("device", vec![key(OTHER)]);
        second.issuer = Some("https://two".into());
        auth.providers.push(second);
        auth.extract.cookies = vec!["device".into()];
        auth.extract.query = vec!["token".into()];
        let mut all = route("/all", Require::All(vec!["local".into(), "device".into()]));
        all.allow_query = true;
        auth.routes.insert(0, all);
    });
    let second = SigningKey::Secret(OTHER.into());
    let user = token(&first, Algorithm::Hs256, json!({ "iss": "https://one" }));
    let device = token(&second, Algorithm::Hs256, json!({ "iss": "https://two", "user_id": "box" }));
    let request = |path: &str, header: Option<&str>, cookie: Option<&str>| {
        let (header, cookie) = (header.map(bearer), cookie.map(|token| format!("device={token}")));
        let header = header.iter().map(|value| ("authorization", value.as_str()));
        let cookie = cookie.iter().map(|value| ("cookie", value.as_str()));
        head(Method::GET, path, &header.chain(cookie).collect::<Vec<_>>())
    };
    let identity = judge(&site, &request("/all", Some(&user), Some(&device)), NOW).unwrap().unwrap();
    assert_eq!(identity.subject.as_deref(), Some("1"), "the first that the rule names");
    let identity = judge(&site, &request("/all", Some(&device), Some(&user)), NOW).unwrap().unwrap();
    assert_eq!(identity.subject.as_deref(), Some("1"));
    for (header, cookie, reason) in [
        (Some(&*user), None, Reason::NoCredential),
        (Some(&*user), Some(&*user), Reason::NoCredential),
        (None, None, Reason::NoCredential),
        (Some(&*user), Some("x.y.z"), Reason::Shape),
    ] {
        assert_eq!(refused_for(&site, &request("/all", header, cookie), NOW), Some(reason));
    }
    let three = request(&format!("/all?token={user}"), Some(&user), Some(&device));
    assert_eq!(refused_for(&site, &three, NOW), Some(Reason::CredentialRepeated), "one of each, and no more");
    let two = request("/x", Some(&user), Some(&user));
    assert_eq!(refused_for(&site, &two, NOW), Some(Reason::CredentialRepeated), "elsewhere one is the most");
}

#[test]
fn query_is_read_on_routes_that_say_so() {
    let (site, key) = site(Algorithm::Hs256, |auth| {
        auth.extract.query = vec!["access_token".into()];
        let mut feed = route("/feed", local());
        feed.allow_query = true;
        auth.routes.insert(0, feed);
    });
    let token = token(&key, Algorithm::Hs256, json!({}));
    let ask =
        |path: &str| judge(&site, &head(Method::GET, &format!("{path}?access_token={token}"), &[]), NOW);
    assert!(ask("/feed").unwrap().is_some());
    assert!(ask("/other").is_err());
}

/// Knows what it is told, and whom it was asked about.
#[derive(Debug)]
struct Register(Standing, Mutex<Vec<String>>);

impl Standings for Register {
    fn of(&self, bearer: Bearer<'_>) -> Standing {
        let Bearer { provider, subject, claims } = bearer;
        let line = format!("{provider} {} {}", subject.unwrap_or_default(), claims["jti"]);
        self.1.lock().unwrap().push(line);
        self.0
    }

    fn look_up(&self, _: Bearer<'_>) -> LookUp {
        Box::pin(std::future::ready(()))
    }
}

#[test]
fn what_is_known_beyond_the_token_is_asked_each_time() {
    for (standing, reason, status) in [
        (Standing::Good, None, 200),
        (Standing::Refused(Reason::Revoked), Some(Reason::Revoked), 401),
        (Standing::Refused(Reason::Inactive), Some(Reason::Inactive), 401),
        (Standing::Unavailable, Some(Reason::NoState), 503),
        (Standing::Unknown, Some(Reason::NoState), 503),
    ] {
        let (mut site, key) = site(Algorithm::Es256, |_| {});
        let register = Arc::new(Register(standing, Mutex::default()));
        site.authenticator = site.authenticator.with_standings(Arc::<Register>::clone(&register));
        let token = bearer(&token(&key, Algorithm::Es256, json!({ "jti": "j" })));
        let request = head(Method::GET, "/", &[("authorization", &token)]);
        for _ in 0..2 {
            let answer = judge(&site, &request, NOW);
            assert_eq!(answer.as_ref().err().map_or(200, |response| response.status().as_u16()), status);
            assert_eq!(refused_for(&site, &request, NOW), reason);
        }
        assert_eq!(register.1.lock().unwrap().as_slice(), [r#"local 1 "j""#; 4]);
        assert_eq!(
            refused_for(&site, &head(Method::GET, "/public", &[]), NOW),
            None,
            "a public route asks nobody"
        );
    }
}

#[test]
fn request_waits_once_for_what_is_not_known() {
    let (mut site, key) = site(Algorithm::Hs256, |_| {});
    site.authenticator =
        site.authenticator.with_standings(Arc::new(Register(Standing::Unknown, Mutex::default())));
    let token = bearer(&token(&key, Algorithm::Hs256, json!({})));
    let request = head(Method::GET, "/", &[("authorization", &token)]);
    let asked = Asked {
        method: &request.method,
        target: &request.target,
        host: None,
        fields: &request.fields,
        scheme: crate::protocol::Scheme::Http,
    };
    let halt = site.authenticator.authenticate(asked, at(NOW), Attempt::First).unwrap_err();
    assert!(matches!(halt, Halt::Wait(_)), "{halt:?}");
    let response = judge(&site, &request, NOW).unwrap_err();
    assert_eq!(response.headers()["retry-after"], "5");
    assert!(!response.headers().contains_key("www-authenticate"), "the client is not at fault");
}

#[test]
fn every_refusal_can_be_read_by_pages_of_allowed_origins() {
    let (site, key) =
        site(Algorithm::Hs256, |auth| auth.cors.allowed_origins = vec!["https://app.example".into()]);
    let rightless = bearer(&token(&key, Algorithm::Hs256, json!({})));
    for (path, authorization, status) in
        [("/", "Bearer x.y.z", 401), ("/", "", 401), ("/a//b", "", 400), ("/admin/", &*rightless, 403)]
    {
        let fields = [("origin", "https://app.example"), ("authorization", authorization)];
        let response = judge(&site, &head(Method::GET, path, &fields), NOW).unwrap_err();
        assert_eq!(response.status(), status, "{path}");
        let fields = response.headers();
        assert_eq!(fields["access-control-allow-origin"], "https://app.example");
        assert_eq!(fields["access-control-expose-headers"], "WWW-Authenticate, Retry-After");
        assert_eq!(fields["vary"], "Origin");
    }
    let other =
        judge(&site, &head(Method::GET, "/", &[("origin", "https://evil.example")]), NOW).unwrap_err();
    assert!(!other.headers().contains_key("access-control-allow-origin"));
    assert!(ask(&site, "/public", &[]).is_ok(), "the app answers for itself");
}

#[test]
fn arrays_are_written_as_configured_and_values_are_bounded() {
    let (site, key) = site(Algorithm::Hs256, |auth| {
        auth.forward.arrays = crate::config::ArrayFormat::Json;
        auth.forward.max_bytes = crate::config::ByteSize(40);
    });
    let claims = json!({ "roles": ["a,b", 1, "é\n😀\u{7f}"], "name": "x".repeat(41) });
    let token = bearer(&token(&key, Algorithm::Hs256, claims));
    let mut request = head(Method::GET, "/", &[("authorization", &token)]);
    let identity = judge(&site, &request, NOW).unwrap().unwrap();
    site.authenticator.forward(Some(&identity), &mut request.fields);
    assert!(!request.fields.contains_key("x-auth-name"), "half a value is another value");
    let written = request.fields["x-auth-roles"].to_str().unwrap();
    assert_eq!(written, r#"["a,b",1,"\u00e9\n\ud83d\ude00\u007f"]"#);
    assert_eq!(serde_json::from_str::<Value>(written).unwrap(), identity.claims["roles"]);
}
