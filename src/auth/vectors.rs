//! Public test vectors: the RFCs' own, and Wycheproof's.

use super::Reason;
use super::jwt::{Audiences, ClaimRules, Jws, judge, parse_object};
use super::keys::{JwkSetKey, KeySet, VerifyingKey, parse_jwk, parse_jwk_set};
use serde_json::Value;
use std::path::Path;

/// Whether a token is proven by this JWK, all guards of ours in force.
fn is_proven(jwk: &Value, token: &str) -> bool {
    let Ok(jwk) = parse_jwk(jwk.to_string().as_bytes()) else { return false };
    let Ok(jws) = Jws::parse(token, 8192) else { return false };
    let algorithm = jwk.algorithm.unwrap_or(jws.header.algorithm);
    let mut set = KeySet::default();
    match VerifyingKey::new(jwk.kid.map(Into::into), algorithm, &jwk.key.public) {
        Ok(key) => set.add(key),
        Err(_) => return false,
    };
    jws.payload().is_ok() && jws.verify(&[&set], 0.0).is_ok()
}

fn corpus(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/jose").join(file);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn vectors(file: &str) -> Vec<Value> {
    corpus(file)["vectors"].as_array().unwrap().clone()
}

#[test]
fn tokens_printed_in_the_rfcs_are_proven() {
    for vector in vectors("rfc.json") {
        let (id, token) = (vector["id"].as_str().unwrap(), vector["jws"].as_str().unwrap());
        // A.4 is ES512 and A.5 unsigned: neither is taken.
        let wanted = !["rfc7515/A4", "rfc7515/A5"].contains(&id);
        assert_eq!(is_proven(&vector["jwk"], token), wanted, "{id}");
        if !wanted {
            let refusal = Jws::parse(token, 8192).unwrap_err();
            assert!(matches!(refusal, Reason::Algorithm | Reason::Shape), "{id}: {refusal:?}");
        }
    }
}

#[test]
fn signatures_of_the_cookbook_are_judged_right() {
    let mut proven = Vec::new();
    for vector in vectors("cookbook.json") {
        let (id, token) = (vector["id"].as_str().unwrap(), vector["jws"].as_str().unwrap());
        if is_proven(&vector["jwk"], token) {
            proven.push(id.to_owned());
        }
    }
    assert_eq!(proven, COOKBOOK_PROVEN);
}

#[test]
fn payloads_that_are_not_base64url_are_refused_by_their_header() {
    let refusal = |id: &str| {
        let vector = vectors("cookbook.json").into_iter().find(|vector| vector["id"] == id).unwrap();
        Jws::parse(vector["jws"].as_str().unwrap(), 8192).unwrap_err()
    };
    // RFC 7797 6: beside `crit`. The last one is without it: who does not know `b64` would take `$.02` for what was signed.
    assert_eq!(refusal("rfc7797/hmac-sha2_b64_false"), Reason::Critical);
    assert_eq!(refusal("rfc7797/4.2.hmac-sha2_b64_false/as-compact-base64url"), Reason::Critical);
    assert_eq!(refusal("rfc7797/4.2.hmac-sha2_b64_false/as-compact"), Reason::Shape);
}

#[test]
fn token_printed_in_rfc_7519_is_good_until_its_end() {
    // RFC 7519 3.1 is RFC 7515 A.1.
    let vector = vectors("rfc.json").into_iter().find(|vector| vector["id"] == "rfc7515/A1").unwrap();
    let jws = Jws::parse(vector["jws"].as_str().unwrap(), 8192).unwrap();
    let claims = parse_object(&jws.payload().unwrap()).unwrap();
    let rules = ClaimRules {
        issuer: Some("joe".into()),
        audiences: Audiences::Unnamed,
        leeway: 0.0,
        max_lifetime: f64::MAX,
        token_type: None,
        subject_claim: None,
        require: vec!["http://example.com/is_root".into()],
    };
    assert!(judge(&rules, &claims, 1_300_819_379.0).is_ok());
    assert_eq!(judge(&rules, &claims, 1_300_819_380.0), Err(Reason::Expired));
}

/// Runs all tests of a file of Wycheproof's; returns the ids of those that we judge otherwise than the file does.
fn disagreements(file: &str, judge: fn(&Value, &str) -> bool) -> Vec<u64> {
    let file = corpus(file);
    let mut found = Vec::new();
    let mut count = 0;
    for group in file["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            count += 1;
            let token = test.get("jws").or_else(|| test.get("jwe")).unwrap();
            let valid = test["result"] == "valid";
            if judge(&group["key"], token.as_str().unwrap_or_default()) != valid {
                found.push(test["tcId"].as_u64().unwrap());
            }
        }
    }
    assert_eq!(file["numberOfTests"], count);
    found
}

/// By a JWK or by a set of them.
fn is_proven_by_set(key: &Value, token: &str) -> bool {
    match key["keys"].as_array().map(Vec::as_slice) {
        None => is_proven(key, token),
        Some([one]) => is_proven(one, token),
        // A set that holds secrets is refused whole: a set is public.
        Some(_) => {
            let keys = parse_jwk_set(key.to_string().as_bytes()).unwrap();
            assert!(keys.iter().any(|key| matches!(key, JwkSetKey::Refused(_))));
            false
        }
    }
}

#[test]
fn signature_vectors_of_wycheproof_are_judged_right() {
    assert_eq!(disagreements("wycheproof_signature.json", is_proven), SIGNATURE_DIFFERENCES);
}

#[test]
fn key_vectors_of_wycheproof_are_judged_right() {
    assert_eq!(disagreements("wycheproof_key.json", is_proven_by_set), KEY_DIFFERENCES);
}

#[test]
fn vectors_of_wycheproof_for_both_signing_and_encrypting_are_judged_right() {
    assert_eq!(disagreements("wycheproof_crypto.json", is_proven_by_set), CRYPTO_DIFFERENCES);
}

/// All others are ES512 (4.3, 4.8/2), are not compact, have no payload (4.5) or no protected header (4.7), or are of RFC 7797.
const COOKBOOK_PROVEN: [&str; 8] = [
    "rfc7520/4_1.rsa_v15_signature",
    "rfc7520/4_2.rsa-pss_signature",
    "rfc7520/4_4.hmac-sha2_integrity_protection",
    "rfc7520/4_5.signature_with_detached_content/attached",
    "rfc7520/4_6.protecting_specific_header_fields/as-compact",
    "rfc7520/4_8.multiple_signatures/1/as-compact",
    "rfc7520/4_8.multiple_signatures/3/as-compact",
    "rfc8037/jws",
];

/// Valid there, refused here: 346 and 350, PS384 by a key that says it is for PS256; 347 and 351, ES512; 372 and
/// 373, a character outside the base64url alphabet (RFC 7515 2 allows none). Invalid there, taken here: 367 and
/// 370, which are byte by byte the valid 357.
const SIGNATURE_DIFFERENCES: [u64; 8] = [346, 347, 350, 351, 367, 370, 372, 373];
/// 2: a set that holds a secret.
const KEY_DIFFERENCES: [u64; 1] = [2];
/// 48: likewise. 50 and 67: encrypted tokens, of which none is taken.
const CRYPTO_DIFFERENCES: [u64; 3] = [48, 50, 67];
