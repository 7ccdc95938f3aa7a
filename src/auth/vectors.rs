//! Public test vectors: the RFCs' own, and Wycheproof's where a folder of them is at hand.

use super::Reason;
use super::jwt::Jws;
use super::keys::{JwkSetKey, KeySet, VerifyingKey, parse_jwk, parse_jwk_set};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Whether a token is proven by this JWK, all guards of ours in force.
fn is_proven(jwk: &Value, token: &str) -> bool {
    let Ok(jwk) = parse_jwk(jwk.to_string().as_bytes()) else { return false };
    let Ok(jws) = Jws::parse(token, 8192) else { return false };
    let algorithm = jwk.algorithm.unwrap_or(jws.algorithm);
    let mut set = KeySet::default();
    match VerifyingKey::new(jwk.kid.map(Into::into), algorithm, &jwk.key.public) {
        Ok(key) => set.add(key),
        Err(_) => return false,
    };
    jws.payload().is_ok() && jws.verify(&[&set], 0.0).is_ok()
}

#[test]
fn tokens_printed_in_the_rfcs_are_proven() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/jose/rfc.json");
    let corpus: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for vector in corpus["vectors"].as_array().unwrap() {
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

/// The folder that FERRICORN_VECTORS names, or the usual place beside a checkout.
fn wycheproof(file: &str) -> Option<Value> {
    let folder = std::env::var_os("FERRICORN_VECTORS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors"), PathBuf::from);
    let Ok(text) = std::fs::read(folder.join("jose").join(file)) else {
        println!("SKIPPED: {file} is not in {}; FERRICORN_VECTORS names the folder", folder.display());
        return None;
    };
    Some(serde_json::from_slice(&text).unwrap())
}

/// Runs all tests of a file; returns the ids of those that we judge otherwise than the file does.
fn disagreements(file: &Value, judge: fn(&Value, &str) -> bool) -> Vec<u64> {
    let mut found = Vec::new();
    let mut count = 0;
    for group in file["testGroups"].as_array().unwrap() {
        let key = group.get("public").unwrap_or(&group["private"]);
        for test in group["tests"].as_array().unwrap() {
            count += 1;
            let valid = test["result"] == "valid";
            if judge(key, test["jws"].as_str().unwrap_or_default()) != valid {
                found.push(test["tcId"].as_u64().unwrap());
            }
        }
    }
    assert_eq!(file["numberOfTests"], count);
    found
}

#[test]
fn signature_vectors_of_wycheproof_are_judged_right() {
    let Some(file) = wycheproof("json_web_signature_test.json") else { return };
    let ours = disagreements(&file, is_proven);
    assert_eq!(ours, SIGNATURE_DIFFERENCES);
}

#[test]
fn key_vectors_of_wycheproof_are_judged_right() {
    let Some(file) = wycheproof("json_web_key_test.json") else { return };
    let ours = disagreements(&file, |set, token| match set["keys"].as_array().unwrap().as_slice() {
        [one] => is_proven(one, token),
        // A set that holds secrets is refused whole: a set is public.
        _ => {
            let keys = parse_jwk_set(set.to_string().as_bytes()).unwrap();
            assert!(keys.iter().any(|key| matches!(key, JwkSetKey::Refused(_))));
            false
        }
    });
    assert_eq!(ours, KEY_DIFFERENCES);
}

/// Valid there, refused here: 346 and 350, PS384 by a key that says it is for PS256; 347 and 351, ES512; 372 and
/// 373, a character outside the base64url alphabet (RFC 7515 2 allows none). Invalid there, taken here: 367 and
/// 370, which are byte by byte the valid 357.
const SIGNATURE_DIFFERENCES: [u64; 8] = [346, 347, 350, 351, 367, 370, 372, 373];
/// 2: a set that holds a secret.
const KEY_DIFFERENCES: [u64; 1] = [2];
