//! What tokens have opened, and when it ends.

use super::super::Renewal;
use super::super::tests::{bearer, head, judge, local, provider, route, site, token};
use super::*;
use crate::auth::keys::SigningKey;
use crate::auth::{Algorithm, Bearer, LookUp, Reason, Standing, Standings};
use crate::config::{AuthKey, Hidden, KeySource, KeyUse, Require};
use http::Method;
use serde_json::json;
use std::sync::Mutex;

/// Says what it is told of one provider, once somebody has looked it up where nothing is known yet.
#[derive(Debug)]
struct Register {
    provider: &'static str,
    before: Standing,
    after: Standing,
    looked_up: Mutex<bool>,
}

impl Standings for Register {
    fn of(&self, bearer: Bearer<'_>) -> Standing {
        match bearer.provider == self.provider {
            true if *self.looked_up.lock().unwrap() => self.after,
            true => self.before,
            false => Standing::Good,
        }
    }

    fn look_up(&self, _: Bearer<'_>) -> LookUp {
        *self.looked_up.lock().unwrap() = true;
        Box::pin(std::future::ready(()))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// Whether what this identity has opened is over soon.
async fn ends(authenticator: Authenticator, identity: &Arc<Identity>) -> bool {
    let end = Arc::new(authenticator).stream_end(identity).unwrap();
    tokio::time::timeout(Duration::from_secs(60), end).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_token_would_be_refused() {
    let revoked = Standing::Refused(Reason::Revoked);
    for (before, after, expected) in [
        (Standing::Good, Standing::Good, false),
        (revoked, revoked, true),
        (Standing::Unknown, Standing::Refused(Reason::Inactive), true),
        (Standing::Unknown, Standing::Good, false),
        (Standing::Unknown, Standing::Unknown, false),
        (Standing::Unavailable, Standing::Good, false),
    ] {
        let (site, key) = site(Algorithm::Hs256, |_| {});
        let token = bearer(&token(&key, Algorithm::Hs256, json!({ "exp": now() + 3600, "iat": now() })));
        let request = head(Method::GET, "/", &[("authorization", &token)]);
        let identity = judge(&site, &request, now()).unwrap().unwrap();
        let register = Register { provider: "local", before, after, looked_up: Mutex::default() };
        let authenticator = site.authenticator.with_standings(Arc::new(register));
        assert_eq!(ends(authenticator, &identity).await, expected, "{before:?} {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_the_key_of_its_token_and_not_with_the_rotation_of_keys() {
    let folder = tempfile::tempdir().unwrap();
    let [sign, verify] = ["sign", "verify"].map(|name| folder.path().join(name));
    let secrets = ["first", "second", "third"]
        .map(|which| format!("the {which} secret, of more than thirty-two bytes"));
    let write = |signing: &str, before: &str| {
        std::fs::write(&sign, signing).unwrap();
        std::fs::write(&verify, before).unwrap();
    };
    write(&secrets[0], &secrets[0]);
    let (site, _) = site(Algorithm::Hs256, |auth| {
        let key = auth.providers[0].keys[0].clone();
        let of =
            |path: &std::path::Path| AuthKey { source: KeySource::SecretFile(path.into()), ..key.clone() };
        auth.providers[0].keys = vec![of(&sign), of(&verify)];
    });
    let key = SigningKey::Secret(secrets[0].clone().into_bytes());
    let token = bearer(&token(&key, Algorithm::Hs256, json!({ "exp": now() + 3600, "iat": now() })));
    let request = head(Method::GET, "/", &[("authorization", &token)]);
    let identity = judge(&site, &request, now()).unwrap().unwrap();
    let authenticator = Arc::new(site.authenticator);
    let mut end = authenticator.stream_end(&identity).unwrap();
    let a_minute = Duration::from_secs(60);
    for (signing, before, expected) in [(1, 0, false), (1, 1, true)] {
        write(&secrets[signing], &secrets[before]);
        assert!(matches!(authenticator.read_files(), Renewal::Changed(_)));
        let began = tokio::time::Instant::now();
        let ended = tokio::time::timeout(a_minute, &mut end).await.is_ok();
        assert_eq!(ended, expected, "{signing} {before}");
        assert!(!ended || began.elapsed() < Duration::from_secs(1), "it is told of new keys");
    }
    // One that begins only now ends at once.
    let late = authenticator.stream_end(&identity).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(1), late).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_the_key_of_its_token_retires() {
    for (until, expected) in [(30, true), (7200, false)] {
        let (site, key) = site(Algorithm::Hs256, |auth| {
            auth.providers[0].keys[0].until = Some(SystemTime::now() + Duration::from_secs(until));
        });
        let token = bearer(&token(&key, Algorithm::Hs256, json!({ "exp": now() + 3600, "iat": now() })));
        let request = head(Method::GET, "/", &[("authorization", &token)]);
        let identity = judge(&site, &request, now()).unwrap().unwrap();
        let at = identity.stream_end.unwrap().at.duration_since(SystemTime::now()).unwrap();
        assert_eq!(at < Duration::from_secs(60), expected, "{until}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_several_tokens_have_opened_ends_with_any_of_them() {
    let revoked = Standing::Refused(Reason::Revoked);
    for (standing, lives, expected) in
        [(Standing::Good, 3600, false), (revoked, 3600, true), (Standing::Good, 0, true)]
    {
        const SECRET: &str = "a secret of the devices, of 32 bytes";
        let (site, key) = site(Algorithm::Hs256, |auth| {
            auth.providers[0].issuer = Some("us".into());
            auth.extract.cookies = vec!["device".into()];
            let key = AuthKey {
                kid: None,
                alg: "HS256".into(),
                r#use: KeyUse::Verify,
                source: KeySource::Secret(Hidden(SECRET.into())),
                sign_from: None,
                until: None,
            };
            let mut device = provider("device", vec![key]);
            device.issuer = Some("devices".into());
            auth.providers.push(device);
            auth.routes =
                vec![route("/all", Require::All(vec!["local".into(), "device".into()])), route("/", local())];
        });
        let made = |key, issuer, lives: u64| {
            token(key, Algorithm::Hs256, json!({ "iss": issuer, "iat": now() - 9, "exp": now() + lives }))
        };
        let user = bearer(&made(&key, "us", 3600));
        let devices = SigningKey::Secret(SECRET.into());
        // It is good when the request comes, and has ended by now.
        let device = format!("device={}", made(&devices, "devices", lives));
        let request = head(Method::GET, "/all", &[("authorization", &user), ("cookie", &device)]);
        let identity = judge(&site, &request, now() - 5).unwrap().unwrap();
        assert_eq!(&*identity.provider, "local");
        assert_eq!(identity.beside.len(), 1);
        let register =
            Register { provider: "device", before: standing, after: standing, looked_up: Mutex::default() };
        let authenticator = site.authenticator.with_standings(Arc::new(register));
        assert_eq!(ends(authenticator, &identity).await, expected, "{standing:?} {lives}");
    }
}
