//! What holds for any token and any key set: tried on random ones by `fuzz/`, on the kept ones by the tests.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a law that is broken panics: that is how it is told"
)]

use super::jwt::{Audiences, ClaimRules, Jws, encode_base64url, judge, parse_object};
use super::keys::{JwkSetKey, KeySet, PublicKey, VerifyingKey, load_fetched, parse_jwk, parse_jwk_set};
use super::{Algorithm, Family};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// Whole tokens, and the bytes as a header alone: what is taken has one spelling and nothing that must be refused.
pub fn token_header(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        judge_header(text);
    }
    judge_header(&format!("{}.e30.AAAA", encode_base64url(bytes)));
}

/// What is taken as claims is JSON with one reading, and meets the rules by another judgement, too.
pub fn token_payload(bytes: &[u8]) {
    let Ok(claims) = parse_object(bytes) else { return };
    let lenient: Map<String, Value> = serde_json::from_slice(bytes).expect("what was taken is JSON");
    assert_eq!(claims, lenient, "two readings of one text");
    let rules = ClaimRules {
        issuer: Some("me".into()),
        audiences: Audiences::AnyOf(vec!["us".into()]),
        leeway: 0.0,
        max_lifetime: LIFETIME,
        token_type: None,
        subject_claim: Some("sub".into()),
        require: vec!["exp".into()],
    };
    let Ok(judged) = judge(&rules, &claims, NOW) else { return };
    assert!(judged.expires > NOW && judged.expires <= NOW + LIFETIME);
    assert_eq!(claims["iss"], "me");
    let names_us = |value: &Value| value == "us";
    let audience = &claims["aud"];
    assert!(names_us(audience) || audience.as_array().is_some_and(|list| list.iter().any(names_us)));
    for time in ["exp", "nbf", "iat"] {
        assert!(claims.get(time).is_none_or(Value::is_number), "{time} was taken");
    }
    assert!(judged.subject.is_some_and(|subject| !subject.is_empty()));
}

/// A token whose text was changed anywhere is not proven by the key that proved it; nor is any text that nobody signed.
///
/// The first byte chooses the token; then come changes of three bytes each: where (two), and what. What is left after
/// `0xff` twice stands for the whole text.
pub fn token_and_keys(bytes: &[u8]) {
    let Some((&choice, changes)) = bytes.split_first() else { return };
    let Printed { token, keys } = &PRINTED[usize::from(choice) % PRINTED.len()];
    let mut text = token.clone().into_bytes();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]]));
        match change[2] {
            // Longer, and shorter.
            0x80.. => text.insert(at % (text.len() + 1), change[2] & 0x7f),
            0 if !text.is_empty() => drop(text.remove(at % text.len())),
            byte => {
                if let Some(place) = text.get_mut(at) {
                    *place = byte;
                }
            }
        }
    }
    for candidate in [&text[..], changes] {
        let Ok(candidate) = std::str::from_utf8(candidate) else { continue };
        assert_eq!(is_proven(candidate, keys), candidate == token, "{candidate}");
    }
}

/// Of a key set no secret and no private key is used, and each key proves tokens of its own kind alone.
pub fn key_set(bytes: &[u8]) {
    let _ = parse_jwk(bytes);
    let Ok(keys) = parse_jwk_set(bytes) else { return };
    for key in keys {
        if let JwkSetKey::Usable(jwk) = key {
            assert!(jwk.key.signing.is_none(), "a private key was taken from a public set");
            assert!(!matches!(jwk.key.public, PublicKey::Secret(_)), "a secret was taken from a public set");
        }
    }
    let allowed = [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
    let Ok(set) = load_fetched(bytes, MAX_KEYS, &allowed) else { return };
    assert!(set.iter().all(|key| allowed.contains(&key.algorithm) && key.algorithm.family() != Family::Hmac));
    for Printed { token, .. } in PRINTED.iter() {
        let jws = Jws::parse(token, MAX_TOKEN).expect("a token of an RFC");
        let named = |key: &&VerifyingKey| key.algorithm == jws.header.algorithm;
        // The RFC's own keys may stand in the set.
        assert!(jws.verify(&[&set], NOW).is_err() || set.iter().any(|key| named(&key)));
    }
}

fn judge_header(token: &str) {
    let Ok(jws) = Jws::parse(token, MAX_TOKEN) else { return };
    let header = token.split('.').next().expect("a token that was taken has parts");
    assert_eq!(encode_base64url(&jws.header.json), header, "another text stands for the same header");
    let members: Map<String, Value> =
        serde_json::from_slice(&jws.header.json).expect("a header that was taken is JSON");
    assert_eq!(members["alg"], jws.header.algorithm.name());
    for refused in ["crit", "b64", "enc", "zip"] {
        assert!(!members.contains_key(refused), "{refused} was taken");
    }
    assert!(jws.header.kid.as_ref().is_none_or(|kid| (1..=128).contains(&kid.len())));
    if let Ok(payload) = jws.payload() {
        let spelt = token.split('.').nth(1);
        assert_eq!(Some(&*encode_base64url(payload)), spelt, "another text stands for the same payload");
    }
}

fn is_proven(token: &str, keys: &KeySet) -> bool {
    let Ok(jws) = Jws::parse(token, MAX_TOKEN) else { return false };
    jws.payload().is_ok() && jws.verify(&[keys], NOW).is_ok()
}

/// A token as an RFC prints it, and its key.
struct Printed {
    token: String,
    keys: KeySet,
}

/// Those of the algorithms that are taken.
static PRINTED: LazyLock<Vec<Printed>> = LazyLock::new(|| {
    let corpus: Value = serde_json::from_str(include_str!("../../tests/corpus/jose/rfc.json")).expect("JSON");
    let vectors = corpus["vectors"].as_array().expect("an array");
    let printed = |vector: &Value| {
        let token = vector["jws"].as_str()?.to_owned();
        let algorithm = Jws::parse(&token, MAX_TOKEN).ok()?.header.algorithm;
        let jwk = parse_jwk(vector["jwk"].to_string().as_bytes()).ok()?;
        let mut keys = KeySet::default();
        keys.add(VerifyingKey::new(None, algorithm, &jwk.key.public).ok()?);
        Some(Printed { token, keys })
    };
    vectors.iter().filter_map(printed).collect()
});

/// Within the lives of tokens that are made up easily.
const NOW: f64 = 1_800_000_000.0;
const LIFETIME: f64 = 1000.0;
/// As by default.
const MAX_TOKEN: usize = 8192;
const MAX_KEYS: usize = 64;
