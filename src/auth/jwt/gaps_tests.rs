//! What is known of the crate below: what it takes by itself and we do not, or cannot do and we can.
//!
//! Each test fails without our guard; and when a release of the crate closes a gap, it says that the guard is not needed any more.

use super::tests::{NOW, SECRET, crate_takes, secret, token};
use super::*;
use crate::auth::keys::{JwkSetKey, KeySet, SigningKey, VerifyingKey, parse_jwk, parse_jwk_set};
use crate::auth::{Algorithm, Reason, unix_seconds};
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value, json};
use std::time::SystemTime;

fn rules() -> ClaimRules {
    ClaimRules {
        issuer: None,
        audiences: Audiences::Unchecked,
        leeway: 0.0,
        max_lifetime: f64::MAX,
        token_type: None,
        subject_claim: None,
        require: Vec::new(),
    }
}

fn judged(claims: &Value, now: f64) -> Result<f64, Reason> {
    let claims = parse_object(claims.to_string().as_bytes()).unwrap();
    judge(&rules(), &claims, now).map(|judged| judged.expires)
}

/// Whether the crate takes well-signed claims, as it is set up when nothing is said.
fn crate_takes_claims(claims: impl AsRef<[u8]>) -> bool {
    let signed = token(r#"{"alg":"HS256"}"#, claims, &secret(), Algorithm::Hs256);
    crate_takes(&signed, SECRET, |validation| {
        *validation = Validation { validate_aud: false, ..Validation::default() };
    })
}

/// The second that it is now; what is judged within it.
fn within_one_second<T>(judge: impl Fn(f64) -> T) -> T {
    loop {
        let now = unix_seconds(SystemTime::now()).floor();
        let judged = judge(now);
        if unix_seconds(SystemTime::now()).floor() == now {
            return judged;
        }
    }
}

#[test]
fn crate_below_takes_tokens_for_a_minute_after_their_end() {
    let (taken, ours) = within_one_second(|now| {
        let claims = json!({ "exp": now - 50.0 });
        (crate_takes_claims(claims.to_string()), judged(&claims, now))
    });
    assert!(taken, "the guard is not needed any more");
    assert_eq!(ours, Err(Reason::Expired));
}

#[test]
fn crate_below_takes_a_token_at_its_end() {
    let (taken, ours) = within_one_second(|now| {
        let claims = json!({ "exp": now });
        let signed = token(r#"{"alg":"HS256"}"#, claims.to_string(), &secret(), Algorithm::Hs256);
        let taken = crate_takes(&signed, SECRET, |validation| {
            validation.leeway = 0;
            validation.validate_exp = true;
        });
        (taken, judged(&claims, now))
    });
    assert!(taken, "the guard is not needed any more");
    assert_eq!(ours, Err(Reason::Expired));
}

#[test]
fn crate_below_takes_times_beyond_any_calendar() {
    for exp in ["1e19", "18446744073709551615"] {
        let claims = format!(r#"{{"exp":{exp}}}"#);
        assert!(crate_takes_claims(&claims), "the guard is not needed any more: {exp}");
        assert_eq!(judged(&serde_json::from_str(&claims).unwrap(), NOW), Err(Reason::ClaimForm), "{exp}");
    }
}

#[test]
fn crate_below_does_not_look_at_when_a_token_begins() {
    let late = unix_seconds(SystemTime::now()).floor() + 3600.0;
    for begins in ["nbf", "iat"] {
        let claims = json!({ "exp": late + 60.0, begins: late });
        assert!(crate_takes_claims(claims.to_string()), "the guard is not needed any more: {begins}");
        assert_eq!(judged(&claims, late - 1.0), Err(Reason::NotYetValid), "{begins}");
    }
}

#[test]
fn crate_below_takes_claims_twice() {
    let late = unix_seconds(SystemTime::now()).floor() + 3600.0;
    let claims = format!(r#"{{"exp":{late},"user_id":"1","user_id":"2"}}"#);
    assert!(crate_takes_claims(&claims), "the guard is not needed any more");
    assert!(parse_object(claims.as_bytes()).is_err());
}

#[test]
fn crate_below_does_not_look_at_the_type_of_a_token() {
    let header = r#"{"alg":"HS256","typ":"dpop+jwt"}"#;
    let signed = token(header, "{}", &secret(), Algorithm::Hs256);
    assert!(crate_takes(&signed, SECRET, |_| {}), "the guard is not needed any more");
    // Which types are taken is the provider's: `type_in_the_header_is_one_of_those_taken`.
    assert_eq!(Jws::parse(&signed, 8192).unwrap().header.typ.as_deref(), Some("dpop+jwt"));
}

#[test]
fn crate_below_makes_a_key_of_what_is_for_something_else() {
    let signing = SigningKey::generate(Algorithm::Es256).unwrap();
    let good = signing.public().to_public_jwk(Algorithm::Es256, None).unwrap();
    let takes = |jwk: &Map<String, Value>| {
        let jwk = serde_json::from_value(Value::Object(jwk.clone()));
        jwk.is_ok_and(|jwk| DecodingKey::from_jwk(&jwk).is_ok())
    };
    for (name, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["encrypt"])),
        ("crv", json!("P-384")),
        ("alg", json!("RS256")),
    ] {
        let mut jwk = good.clone();
        jwk.insert(name.into(), value);
        assert!(takes(&jwk), "the guard is not needed any more: {name}");
        assert!(parse_jwk(Value::Object(jwk).to_string().as_bytes()).is_err(), "{name}");
    }
    let secret = json!({ "kty": "oct", "k": "AAAA" });
    assert!(takes(secret.as_object().unwrap()), "the guard is not needed any more: oct");
    let set = parse_jwk_set(json!({ "keys": [secret] }).to_string().as_bytes()).unwrap();
    assert!(matches!(set[..], [JwkSetKey::Refused(_)]));
}

#[test]
fn crate_below_takes_no_list_of_algorithms_of_several_kinds() {
    let signed = token(r#"{"alg":"HS256"}"#, "{}", &secret(), Algorithm::Hs256);
    let several = |validation: &mut Validation| {
        validation.algorithms = vec![jsonwebtoken::Algorithm::HS256, jsonwebtoken::Algorithm::ES256];
    };
    assert!(!crate_takes(&signed, SECRET, several), "keys of several kinds can be left to the crate");
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    let mut set = KeySet::default();
    for (key, algorithm) in [(&other, Algorithm::Es256), (&secret(), Algorithm::Hs256)] {
        set.add(VerifyingKey::new(None, algorithm, &key.public()).unwrap());
    }
    assert!(Jws::parse(&signed, 8192).unwrap().verify(&[&set], NOW).is_ok());
    let signed = token(r#"{"alg":"ES256"}"#, "{}", &other, Algorithm::Es256);
    assert!(Jws::parse(&signed, 8192).unwrap().verify(&[&set], NOW).is_ok());
}
