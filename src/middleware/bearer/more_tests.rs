//! Remembered tokens, fields that assert identity, several providers.

use super::tests::{NOW, SECRET, ask, at, bearer, config, head, judge, provider, route, site, token};
use super::*;
use crate::auth::Algorithm;
use crate::auth::jwt::encode_base64url;
use crate::auth::keys::SigningKey;
use crate::config::{AuthKey, KeySource, KeyUse, Require};
use http::Method;
use serde_json::json;

#[test]
fn remembered_token_still_expires() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let (site, key) = site(algorithm, |_| {});
        let token = bearer(&token(&key, algorithm, json!({})));
        let request = head(Method::GET, "/", &[("authorization", &token)]);
        assert!(judge(&site, &request, NOW).unwrap().is_some());
        assert_eq!(site.authenticator.keys.load().cache.len(), 1);
        assert!(judge(&site, &request, NOW + 299).unwrap().is_some());
        let late = judge(&site, &request, NOW + 300).unwrap_err();
        assert_eq!(late.extensions().get(), Some(&Reason::Expired));
    }
}

#[test]
fn remembered_token_ends_with_its_key() {
    let (site, key) = site(Algorithm::Es256, |auth| auth.providers[0].keys[0].until = Some(at(NOW + 10)));
    let token = bearer(&token(&key, Algorithm::Es256, json!({})));
    let request = head(Method::GET, "/", &[("authorization", &token)]);
    assert!(judge(&site, &request, NOW + 9).is_ok());
    let late = judge(&site, &request, NOW + 10).unwrap_err();
    assert_eq!(late.extensions().get(), Some(&Reason::UnknownKey));
}

#[test]
fn refused_tokens_are_not_remembered() {
    let (site, key) = site(Algorithm::Es256, |_| {});
    let token = token(&key, Algorithm::Es256, json!({ "token_type": "refresh" }));
    assert!(ask(&site, "/", &[&bearer(&token)]).is_err());
    assert!(site.authenticator.keys.load().cache.is_empty());
}

#[test]
fn asserted_fields_are_removed_in_every_spelling() {
    let (site, _) = site(Algorithm::Hs256, |_| {});
    let mut fields = head(
        Method::GET,
        "/",
        &[
            ("X-Auth-Name", "a"),
            ("x-auth-name", "b"),
            ("x_auth_name", "c"),
            ("x-auth_roles", "d"),
            ("X-EXTRA", "e"),
            ("Remote_User", "f"),
            ("x-extra-more", "kept"),
            ("accept", "kept"),
            ("x_other", "kept"),
        ],
    )
    .fields;
    site.authenticator.strip(&mut fields);
    let mut left: Vec<&str> = fields.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["accept", "x-extra-more", "x_other"]);
    let stripped: Vec<&str> = site.authenticator.stripped().iter().map(HeaderName::as_str).collect();
    assert_eq!(stripped, ["remote-user", "x-auth-name", "x-auth-roles", "x-extra"]);
}

#[test]
fn claims_become_fields_that_nothing_can_break_out_of() {
    let (site, key) = site(Algorithm::Hs256, |_| {});
    let claims = json!({ "name": "Zoë O\r\nX: y 100%", "roles": ["a,b", 1, true] });
    let token = bearer(&token(&key, Algorithm::Hs256, claims));
    let mut request = head(Method::GET, "/", &[("authorization", &token)]);
    let identity = judge(&site, &request, NOW).unwrap().unwrap();
    site.authenticator.forward(Some(&identity), &mut request.fields);
    assert_eq!(request.fields["x-auth-name"], "Zo%C3%AB%20O%0D%0AX:%20y%20100%25");
    assert_eq!(request.fields["x-auth-roles"], "a%2Cb,1,true");
    assert!(!request.fields.contains_key("authorization"));
    for (value, kept) in [("Basic YTpi", true), ("bearer x", false)] {
        let mut anonymous = head(Method::GET, "/public", &[("authorization", value)]).fields;
        site.authenticator.forward(None, &mut anonymous);
        assert_eq!(anonymous.contains_key("authorization"), kept, "another scheme is the app's own: {value}");
    }
}

#[test]
fn remote_user_must_be_visible_ascii() {
    let (site, key) = site(Algorithm::Hs256, |_| {});
    for (user, good) in [
        (json!("ann"), true),
        (json!(7), true),
        (json!("a b"), false),
        (json!("é"), false),
        (json!(""), false),
        (json!("a".repeat(255)), true),
        (json!("a".repeat(256)), false),
        (json!(["ann"]), false),
    ] {
        let answer = ask(&site, "/", &[&bearer(&token(&key, Algorithm::Hs256, json!({ "user_id": user })))]);
        assert_eq!(answer.is_ok(), good);
    }
}

#[test]
fn issuer_chooses_among_providers_and_the_rule_limits_them() {
    let other = SigningKey::Secret(b"another secret of more than 32 bytes!!".to_vec());
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("other");
    std::fs::write(&path, "another secret of more than 32 bytes!!\n").unwrap();
    let (site, key) = site(Algorithm::Hs256, |auth| {
        auth.providers[0].issuer = Some("https://one".into());
        let mut second = provider(
            "second",
            vec![AuthKey {
                kid: None,
                alg: "HS256".into(),
                r#use: KeyUse::Verify,
                source: KeySource::SecretFile(path),
                sign_from: None,
                until: None,
            }],
        );
        second.issuer = Some("https://two".into());
        second.remote_user = Some("email".into());
        auth.providers.push(second);
        auth.routes.insert(0, route("/both", Require::Any(vec!["local".into(), "second".into()])));
    });
    for (issuer, key, claims, user) in [
        ("https://one", &key, json!({ "user_id": 7, "email": "ann@one" }), Some("7")),
        ("https://two", &other, json!({ "user_id": 7, "email": "ann@two" }), Some("ann@two")),
        ("https://two", &other, json!({ "user_id": 7 }), None),
    ] {
        let mut claims = claims;
        claims["iss"] = issuer.into();
        let answer = ask(&site, "/both", &[&bearer(&token(key, Algorithm::Hs256, claims))]);
        match (answer, user) {
            (Ok(Some(identity)), Some(user)) => assert_eq!(identity.remote_user.as_deref(), Some(user)),
            (Err(refused), None) => {
                assert_eq!(refused.extensions().get::<Reason>(), Some(&Reason::Subject));
            }
            (other, _) => panic!("{issuer}: {other:?}"),
        }
    }
    for (path, key, issuer, reason) in [
        ("/both", &key, json!("https://one"), None),
        ("/both", &other, json!("https://two"), None),
        ("/both", &other, json!("https://one"), Some(Reason::Signature)),
        ("/both", &key, json!("https://two"), Some(Reason::Signature)),
        ("/both", &key, json!(["https://one"]), Some(Reason::UnknownIssuer)),
        ("/both", &key, json!("https://three"), Some(Reason::UnknownIssuer)),
        ("/x", &other, json!("https://two"), Some(Reason::Signature)),
    ] {
        let answer = ask(
            &site,
            path,
            &[&bearer(&token(key, Algorithm::Hs256, json!({ "iss": issuer, "email": "e" })))],
        );
        let found = answer.err().and_then(|response| response.extensions().get::<Reason>().copied());
        assert_eq!(found, reason, "{path} {issuer}");
    }
}

#[test]
fn contradictions_are_found_all_at_once() {
    let mut auth = config(Vec::new());
    auth.realm = "a\"b".into();
    auth.routes.pop();
    auth.routes.push(route("no-slash", Require::Any(vec!["nobody".into()])));
    auth.routes.push(route("/a/../b", Require::None));
    auth.forward.headers.insert("Host".into(), "sub".into());
    let errors = Authenticator::new(&auth).unwrap_err();
    let all = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for part in
        ["it has no key", "realm", "must begin with", "written decoded", "must cover everything", "\"Host\""]
    {
        assert!(all.contains(part), "{part} is not in:\n{all}");
    }
}

#[test]
fn token_remembered_on_one_route_does_not_open_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("second");
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    std::fs::write(&path, other.public().to_public_pem().unwrap()).unwrap();
    let (site, _) = site(Algorithm::Es256, |auth| {
        auth.providers[0].issuer = Some("https://one".into());
        let mut second = provider(
            "second",
            vec![AuthKey {
                kid: None,
                alg: "ES256".into(),
                r#use: KeyUse::Verify,
                source: KeySource::PemFile(path),
                sign_from: None,
                until: None,
            }],
        );
        second.issuer = Some("https://two".into());
        auth.providers.push(second);
        auth.routes.insert(0, route("/both", Require::Any(vec!["local".into(), "second".into()])));
    });
    let token = bearer(&token(&other, Algorithm::Es256, json!({ "iss": "https://two" })));
    assert!(ask(&site, "/both", &[&token]).is_ok());
    assert_eq!(site.authenticator.keys.load().cache.len(), 1);
    assert!(ask(&site, "/x", &[&token]).is_err());
    assert!(ask(&site, "/both", &[&token]).is_ok());
}

/// A token of this header, otherwise good.
fn with_header(header: &str) -> String {
    let key = SigningKey::Secret(SECRET.to_vec());
    let good = token(&key, Algorithm::Hs256, json!({}));
    let claims = good.split('.').nth(1).unwrap();
    let message = format!("{}.{claims}", encode_base64url(header));
    let signature = key.sign(Algorithm::Hs256, message.as_bytes()).unwrap();
    bearer(&format!("{message}.{signature}"))
}

#[test]
fn type_in_the_header_is_one_of_those_taken() {
    let (site, _) = site(Algorithm::Hs256, |_| {});
    for (typ, good) in [
        ("\"JWT\"", true),
        ("\"jwt\"", true),
        ("\"at+jwt\"", true),
        ("\"application/at+JWT\"", true),
        ("\"dpop+jwt\"", false),
        ("\"logout+jwt\"", false),
        ("\"application/x/jwt\"", false),
        ("\"\"", false),
        ("1", false),
        ("null", false),
    ] {
        let answer = ask(&site, "/", &[&with_header(&format!(r#"{{"alg":"HS256","typ":{typ}}}"#))]);
        let reason = answer.as_ref().err().and_then(|response| response.extensions().get::<Reason>());
        assert_eq!(reason, (!good).then_some(&Reason::HeaderType), "{typ}");
    }
    assert!(ask(&site, "/", &[&with_header(r#"{"alg":"HS256"}"#)]).is_ok(), "it may be absent");
}

#[test]
fn algorithm_outside_the_list_is_refused_before_any_key_is_tried() {
    let (site, _) = site(Algorithm::Hs256, |_| {});
    for name in ["HS384", "RS256", "EdDSA"] {
        let response = ask(&site, "/", &[&with_header(&format!(r#"{{"alg":"{name}"}}"#))]).unwrap_err();
        assert_eq!(response.extensions().get(), Some(&Reason::Algorithm), "{name}");
    }
}
