use super::*;
use crate::auth::keys::SigningKey;
use crate::auth::{Algorithm, jwt::encode_base64url};
use crate::config::{AuthKey, AuthProvider, ClaimRule, KeySource, KeyUse, Preset, Require};
use crate::protocol::{RequestHead, ResponseBody, Scheme, Target};
use http::{HeaderValue, Method, StatusCode, Version};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

pub(in crate::middleware) use crate::middleware::policy_laws::route;

pub(in crate::middleware) const SECRET: &[u8] = b"a secret of more than thirty-two bytes!";
pub(in crate::middleware) const NOW: u64 = 1_800_000_000;

pub(in crate::middleware) struct Site {
    pub(in crate::middleware) authenticator: Authenticator,
    _files: tempfile::TempDir,
}

pub(in crate::middleware) fn provider(name: &str, keys: Vec<AuthKey>) -> AuthProvider {
    AuthProvider { name: name.into(), keys, ..AuthProvider::default() }
}

pub(in crate::middleware) fn local() -> Require {
    Require::Any(vec!["local".into()])
}

pub(in crate::middleware) fn config(keys: Vec<AuthKey>) -> Auth {
    let mut admin = route("/admin/", local());
    admin.scopes_all = vec!["admin".into()];
    let mut staff = route("/staff", local());
    staff.claims = BTreeMap::from([("realm.roles".to_owned(), ClaimRule::Contains(json!("ops")))]);
    let mut auth = Auth { cache_entries: 100, strip: vec!["X-Extra".into()], ..Auth::default() };
    auth.forward.remote_user = Some("user_id".into());
    auth.forward.keep_authorization = false;
    auth.forward.headers =
        BTreeMap::from([("X-Auth-Name".into(), "name".into()), ("X-Auth-Roles".into(), "roles".into())]);
    Auth {
        providers: vec![provider("local", keys)],
        routes: vec![
            route("/public", Require::None),
            route("/optional", Require::Optional),
            route("/try", Require::Try),
            admin,
            staff,
            route("/", local()),
        ],
        ..auth
    }
}

/// A site with a key of that algorithm, and the key.
pub(in crate::middleware) fn site(
    algorithm: Algorithm,
    change: impl FnOnce(&mut Auth),
) -> (Site, SigningKey) {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("key");
    let (key, text) = if algorithm == Algorithm::Hs256 {
        (SigningKey::Secret(SECRET.to_vec()), String::from_utf8(SECRET.to_vec()).unwrap())
    } else {
        let key = SigningKey::generate(algorithm).unwrap();
        let text = key.to_private_text().unwrap();
        (key, text)
    };
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    let source =
        if algorithm == Algorithm::Hs256 { KeySource::SecretFile(path) } else { KeySource::PemFile(path) };
    let mut auth = config(vec![AuthKey {
        kid: None,
        alg: algorithm.name().into(),
        r#use: KeyUse::Verify,
        source,
        sign_from: None,
        until: None,
    }]);
    change(&mut auth);
    (Site { authenticator: Authenticator::new(&auth).unwrap(), _files: files }, key)
}

/// The access token of simplejwt 5.5, with these claims changed.
#[expect(clippy::needless_pass_by_value, reason = "rows are written with json!")]
pub(in crate::middleware) fn token(key: &SigningKey, algorithm: Algorithm, changes: Value) -> String {
    let mut claims = json!({
        "token_type": "access", "exp": NOW + 300, "iat": NOW, "jti": "0123456789abcdef0123456789abcdef", "user_id": "1",
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
    let message = format!("{}.{}", encode_base64url(header), encode_base64url(claims.to_string()));
    let signature = key.sign(algorithm, message.as_bytes()).unwrap();
    format!("{message}.{signature}")
}

pub(in crate::middleware) fn head(method: Method, path: &str, fields: &[(&str, &str)]) -> RequestHead {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    RequestHead {
        method,
        target: Target::parse(path.to_owned().into()).unwrap(),
        version: Version::HTTP_11,
        fields: map,
        raw: bytes::Bytes::new(),
    }
}

pub(in crate::middleware) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(in crate::middleware) type Answer = Result<Option<Arc<Identity>>, Box<Response>>;

pub(in crate::middleware) fn ask(site: &Site, path: &str, authorization: &[&str]) -> Answer {
    let fields: Vec<(&str, &str)> = authorization.iter().map(|value| ("authorization", *value)).collect();
    judge(site, &head(Method::GET, path, &fields), NOW)
}

/// What becomes of a request at that time.
pub(in crate::middleware) fn judge(site: &Site, head: &RequestHead, now: u64) -> Answer {
    let RequestHead { method, target, fields, .. } = head;
    let asked = Asked { method, target, host: head.host(), fields, scheme: Scheme::Http };
    site.authenticator.authenticate(asked, at(now), Attempt::Last).map_err(|halt| match halt {
        Halt::Answer(response) => response,
        Halt::Wait(_) => panic!("nobody waits twice"),
    })
}

/// Why a request is refused at that time.
pub(in crate::middleware) fn refused_for(site: &Site, head: &RequestHead, now: u64) -> Option<Reason> {
    judge(site, head, now).err().map(|response| *response.extensions().get().unwrap())
}

pub(in crate::middleware) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Status, challenge and body of a refusal.
pub(in crate::middleware) fn refusal(answer: Answer) -> (StatusCode, String, Value) {
    let response = answer.unwrap_err();
    assert_eq!(response.headers()[http::header::CACHE_CONTROL], "no-store");
    assert!(response.extensions().get::<Reason>().is_some());
    let ResponseBody::Full(body) = response.body() else { panic!("no body") };
    let challenge = response.headers()[http::header::WWW_AUTHENTICATE].to_str().unwrap().to_owned();
    (response.status(), challenge, serde_json::from_slice(body).unwrap())
}

#[test]
fn access_token_of_simplejwt_is_taken() {
    let (site, key) = site(Algorithm::Hs256, |_| {});
    let identity =
        ask(&site, "/api", &[&bearer(&token(&key, Algorithm::Hs256, json!({})))]).unwrap().unwrap();
    assert_eq!(identity.subject.as_deref(), Some("1"));
    assert_eq!(identity.remote_user.as_deref(), Some("1"));
    assert_eq!(&*identity.provider, "local");
    assert_eq!(identity.expires, at(NOW + 300));
    assert_eq!(&identity.header_json[..], br#"{"alg":"HS256","typ":"JWT"}"#);
    assert!(identity.claims_json.starts_with(b"{\"exp\":1800000300"));
    assert_eq!(identity.claims["token_type"], "access");
}

#[test]
fn scheme_has_no_case_and_blanks_may_be_many() {
    let (site, key) = site(Algorithm::Hs256, |_| {});
    let token = token(&key, Algorithm::Hs256, json!({}));
    for value in [format!("bearer {token}"), format!("BEARER   {token}"), format!("Bearer\t{token} ")] {
        assert!(ask(&site, "/api", &[&value]).unwrap().is_some(), "{value}");
    }
}

#[test]
fn without_credential_the_challenge_names_no_error() {
    let (site, _) = site(Algorithm::Hs256, |_| {});
    for fields in [&[][..], &["Basic YTpi"], &[""], &["Bearerx y"]] {
        let (status, challenge, body) = refusal(ask(&site, "/api", fields));
        assert_eq!(status, 401);
        assert_eq!(challenge, r#"Bearer realm="api""#);
        assert_eq!(body, json!({ "detail": "Authentication credentials were not provided." }));
    }
}

#[test]
fn challenge_asks_for_the_scheme_that_is_taken() {
    let (site, key) =
        site(Algorithm::Hs256, |auth| auth.extract.authorization = vec!["JWT".into(), "Token".into()]);
    let (_, challenge, _) =
        refusal(ask(&site, "/api", &[&bearer(&token(&key, Algorithm::Hs256, json!({})))]));
    assert_eq!(challenge, r#"JWT realm="api""#);
    let (_, challenge, _) = refusal(ask(&site, "/api", &["jwt x"]));
    assert!(challenge.starts_with(r#"JWT realm="api", error="invalid_token""#), "{challenge}");
}

#[test]
fn bad_token_is_answered_in_the_words_of_simplejwt() {
    let (site, key) = site(Algorithm::Hs256, |_| {});
    let rows = [
        (json!({ "exp": NOW }), "Token is expired"),
        (json!({ "token_type": "refresh" }), "Token has wrong type"),
        (json!({ "token_type": null }), "Token has wrong type"),
        (json!({ "jti": null }), "Token is invalid"),
        (json!({ "iss": 1 }), "Token is invalid"),
    ];
    for (changes, message) in rows {
        let (status, challenge, body) =
            refusal(ask(&site, "/api", &[&bearer(&token(&key, Algorithm::Hs256, changes))]));
        assert_eq!(status, 401);
        assert!(
            challenge.starts_with(r#"Bearer realm="api", error="invalid_token", error_description=""#),
            "{challenge}"
        );
        assert_eq!(body["code"], "token_not_valid");
        assert_eq!(body["detail"], "Given token not valid for any token type");
        assert_eq!(body["messages"][0]["message"], message);
    }
}

#[test]
fn before_the_signature_is_proven_nothing_is_told() {
    let (site, key) = site(Algorithm::Hs256, |_| {});
    let expired = token(&key, Algorithm::Hs256, json!({ "exp": 1 }));
    let forged = format!("{}AAAA", &expired[..expired.len() - 4]);
    for token in [&forged, "garbage", "a.b.c", &"x".repeat(9000)] {
        let (status, challenge, body) = refusal(ask(&site, "/api", &[&bearer(token)]));
        assert_eq!(status, 401);
        assert!(
            challenge.ends_with(r#"error="invalid_token", error_description="Token is invalid""#),
            "{challenge}"
        );
        assert_eq!(body["messages"][0]["message"], "Token is invalid");
    }
}

#[test]
fn malformed_and_repeated_credentials_are_refused_per_preset() {
    for (preset, malformed) in [(Preset::SimpleJwt, 401), (Preset::Strict, 400)] {
        let (site, key) = site(Algorithm::Hs256, |auth| auth.preset = preset);
        let good = bearer(&token(&key, Algorithm::Hs256, json!({})));
        for (fields, wanted) in [
            (vec!["Bearer"], malformed),
            (vec!["Bearer a b"], malformed),
            (vec!["Bearer a,b"], malformed),
            (vec![good.as_str(), good.as_str()], 400),
            (vec!["Basic YTpi", good.as_str()], 400),
        ] {
            let (status, challenge, _) = refusal(ask(&site, "/api", &fields));
            assert_eq!(status, wanted, "{preset:?} {fields:?}");
            assert!(challenge.contains(r#"error="invalid_request""#), "{challenge}");
        }
    }
}

#[test]
fn strict_preset_answers_with_problem_details() {
    let (site, _) = site(Algorithm::Hs256, |auth| auth.preset = Preset::Strict);
    let answer = ask(&site, "/api", &["Bearer x"]);
    assert_eq!(answer.as_ref().unwrap_err().headers()["content-type"], "application/problem+json");
    let (_, _, body) = refusal(answer);
    assert_eq!(
        body,
        json!({ "type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "Token is invalid" })
    );
}

#[test]
fn missing_rights_are_answered_with_403() {
    let (site, key) = site(Algorithm::Hs256, |_| {});
    let (status, challenge, _) =
        refusal(ask(&site, "/admin/x", &[&bearer(&token(&key, Algorithm::Hs256, json!({})))]));
    assert_eq!(status, 403);
    assert!(
        challenge.contains(r#"error="insufficient_scope""#) && challenge.ends_with(r#"scope="admin""#),
        "{challenge}"
    );
    for scopes in
        [json!({ "scope": "read admin" }), json!({ "scp": ["admin"] }), json!({ "scopes": ["admin"] })]
    {
        assert!(ask(&site, "/admin/x", &[&bearer(&token(&key, Algorithm::Hs256, scopes))]).is_ok());
    }
    for (claims, good) in [
        (json!({ "realm": { "roles": ["ops"] } }), true),
        (json!({ "realm.roles": ["ops"] }), true),
        (json!({ "realm": { "roles": ["dev"] } }), false),
        (json!({ "realm": { "roles": "ops" } }), false),
        (json!({ "realm": "ops" }), false),
    ] {
        assert_eq!(ask(&site, "/staff", &[&bearer(&token(&key, Algorithm::Hs256, claims))]).is_ok(), good);
    }
}

#[test]
fn optional_and_try_differ_in_bad_tokens() {
    let (site, key) = site(Algorithm::Hs256, |_| {});
    let good = bearer(&token(&key, Algorithm::Hs256, json!({})));
    for (path, without, bad) in [("/public", true, true), ("/optional", true, false), ("/try", true, true)] {
        assert_eq!(ask(&site, path, &[]).is_ok(), without, "{path}");
        assert_eq!(ask(&site, path, &["Bearer x.y.z"]).is_ok(), bad, "{path}");
        assert!(ask(&site, path, &["Bearer x.y.z"]).ok().flatten().is_none());
        assert_eq!(ask(&site, path, &[&good]).unwrap().is_some(), path != "/public");
    }
}

#[test]
fn preflight_passes_only_where_configured_and_complete() {
    let full = [("origin", "https://a"), ("access-control-request-method", "POST")];
    for (preflight, fields, passes) in
        [(true, &full[..], true), (true, &full[..1], false), (false, &full[..], false)]
    {
        let (site, _) = site(Algorithm::Hs256, |auth| auth.preflight = preflight);
        let answer = judge(&site, &head(Method::OPTIONS, "/api", fields), NOW);
        assert_eq!(answer.is_ok(), passes);
    }
}
