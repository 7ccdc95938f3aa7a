//! Attacks on the shape, header and signature of tokens, and what the crate below would take: each guard has a row that fails without it.

use super::*;
use crate::auth::keys::{KeySet, SigningKey, VerifyingKey};
use crate::auth::{Algorithm, Family, Reason};
use serde_json::{Map, Value, json};

pub(super) const NOW: f64 = 1_800_000_000.0;
pub(super) const SECRET: &[u8] = b"a secret of more than thirty-two bytes!";

pub(super) fn secret() -> SigningKey {
    SigningKey::Secret(SECRET.to_vec())
}

fn keys(signing: &SigningKey, algorithm: Algorithm, kid: Option<&str>) -> KeySet {
    let mut set = KeySet::default();
    set.add(VerifyingKey::new(kid.map(Into::into), algorithm, &signing.public()).unwrap());
    set
}

/// A token with this header and payload, well signed.
pub(super) fn token(
    header: &str,
    payload: impl AsRef<[u8]>,
    key: &SigningKey,
    algorithm: Algorithm,
) -> String {
    let message = format!("{}.{}", encode_base64url(header), encode_base64url(payload));
    let signature = key.sign(algorithm, message.as_bytes()).unwrap();
    format!("{message}.{signature}")
}

fn hs256(header: &str) -> String {
    token(header, "{}", &secret(), Algorithm::Hs256)
}

/// Parses and proves by the HS256 key "k1".
fn prove(token: &str) -> Result<(), Reason> {
    let set = keys(&secret(), Algorithm::Hs256, Some("k1"));
    Jws::parse(token, 8192)?.verify(&[&set], NOW).map(drop)
}

fn check(token: &str, wanted: Result<(), Reason>) {
    assert_eq!(prove(token), wanted, "{token:.100}");
}

/// Whether the crate's own decoder, with its own validation, takes a token that we refuse.
pub(super) fn crate_takes(
    token: &str,
    secret: &[u8],
    adjust: impl FnOnce(&mut jsonwebtoken::Validation),
) -> bool {
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    adjust(&mut validation);
    let key = jsonwebtoken::DecodingKey::from_secret(secret);
    jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation).is_ok()
}

#[test]
fn well_signed_tokens_are_proven() {
    check(&hs256(r#"{"alg":"HS256","typ":"JWT"}"#), Ok(()));
    check(&hs256(r#"{"alg":"HS256","kid":"k1"}"#), Ok(()));
    check(&hs256(r#" { "kid" : "k1", "alg" : "HS256", "x" : [1] } "#), Ok(()));
}

#[test]
fn every_algorithm_proves_its_own_tokens_and_no_others() {
    let rsa = SigningKey::generate(Algorithm::Rs256).unwrap();
    for algorithm in Algorithm::ALL {
        let made = SigningKey::generate(if algorithm.family() == Family::Rsa {
            Algorithm::Hs256
        } else {
            algorithm
        });
        let key = if algorithm.family() == Family::Rsa { &rsa } else { &made.unwrap() };
        let set = keys(key, algorithm, None);
        let good = token(&format!(r#"{{"alg":"{algorithm}"}}"#), "{}", key, algorithm);
        assert!(Jws::parse(&good, 8192).unwrap().verify(&[&set], NOW).is_ok(), "{algorithm}");
        let (message, signature) = good.rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { "B" } else { "A" };
        for forged in [
            format!("{message}.{other}{}", &signature[1..]),
            format!("{message}.{}", &signature[..signature.len() - 4]),
            format!("{message}.{signature}AAAA"),
            format!("{message}.{}", encode_base64url(vec![0; decode_base64url(signature).unwrap().len()])),
        ] {
            let outcome = Jws::parse(&forged, 8192).and_then(|jws| jws.verify(&[&set], NOW).map(drop));
            assert!(outcome.is_err(), "{algorithm}: {forged}");
        }
    }
}

#[test]
fn ed25519_is_another_name_of_eddsa_and_of_nothing_else() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let set = keys(&key, Algorithm::EdDsa, None);
    let judged = |name: &str| {
        let token = token(&format!(r#"{{"alg":"{name}"}}"#), "{}", &key, Algorithm::EdDsa);
        Jws::parse(&token, 8192)?.verify(&[&set], NOW).map(drop)
    };
    assert_eq!(judged("Ed25519"), Ok(()));
    for other in ["ed25519", "Ed448", "ED25519"] {
        assert_eq!(judged(other), Err(Reason::Algorithm), "{other}");
    }
}

#[test]
fn token_without_signature_is_refused_in_every_spelling() {
    for name in ["none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "HS257"] {
        let header = format!(r#"{{"alg":"{name}"}}"#);
        check(&hs256(&header), Err(Reason::Algorithm));
        let unsigned = format!("{}.{}.", encode_base64url(&header), encode_base64url("{}"));
        check(&unsigned, Err(Reason::Shape));
    }
    for header in [r#"{}"#, r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#, r#"{"alg":1}"#, r#"{"Alg":"HS256"}"#] {
        check(&hs256(header), Err(Reason::Algorithm));
    }
    let good = hs256(r#"{"alg":"HS256"}"#);
    check(&format!("{}.", good.rsplit_once('.').unwrap().0), Err(Reason::Shape));
}

#[test]
fn public_key_does_not_serve_as_secret() {
    let rsa = SigningKey::generate(Algorithm::Rs256).unwrap();
    let pem = SigningKey::Secret(rsa.public().to_public_pem().unwrap().into_bytes());
    let confused = token(r#"{"alg":"HS256"}"#, "{}", &pem, Algorithm::Hs256);
    let set = keys(&rsa, Algorithm::Rs256, None);
    assert_eq!(Jws::parse(&confused, 8192).unwrap().verify(&[&set], NOW).map(drop), Err(Reason::UnknownKey));
}

#[test]
fn key_in_the_header_is_not_used() {
    let own = SigningKey::generate(Algorithm::Es256).unwrap();
    let jwk = Value::Object(own.public().to_public_jwk(Algorithm::Es256, None).unwrap());
    let forged_by = SigningKey::generate(Algorithm::Es256).unwrap();
    for member in [json!({ "jwk": jwk }), json!({ "jku": "https://evil" }), json!({ "x5u": "https://evil" })]
    {
        let mut header = member;
        header["alg"] = "ES256".into();
        let forged = token(&header.to_string(), "{}", &own, Algorithm::Es256);
        let set = keys(&forged_by, Algorithm::Es256, None);
        assert_eq!(Jws::parse(&forged, 8192).unwrap().verify(&[&set], NOW).map(drop), Err(Reason::Signature));
    }
}

#[test]
fn kid_selects_and_nothing_else() {
    check(&hs256(r#"{"alg":"HS256","kid":"k2"}"#), Err(Reason::UnknownKey));
    for kid in ["../../dev/null", "k1' OR '1'='1", "|id", "K1", "k1 "] {
        check(&hs256(&json!({ "alg": "HS256", "kid": kid }).to_string()), Err(Reason::UnknownKey));
    }
    let long = "k".repeat(129);
    for kid in [
        json!(""),
        json!(1),
        json!(null),
        json!(["k1"]),
        json!("k1\0"),
        json!("k1\n"),
        json!("é"),
        json!(long),
    ] {
        check(&hs256(&json!({ "alg": "HS256", "kid": kid }).to_string()), Err(Reason::KeyId));
    }
}

#[test]
fn extensions_that_we_do_not_implement_are_refused_and_the_crate_takes_them() {
    for (header, reason) in [
        (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, Reason::Critical),
        (r#"{"alg":"HS256","crit":["x"],"x":1}"#, Reason::Critical),
        (r#"{"alg":"HS256","crit":[]}"#, Reason::Critical),
        (r#"{"alg":"HS256","b64":true}"#, Reason::Critical),
        (r#"{"alg":"HS256","zip":"DEF"}"#, Reason::Encrypted),
        (r#"{"alg":"HS256","enc":"A128GCM"}"#, Reason::Encrypted),
        (r#"{"alg":"HS256","p2c":2147483647}"#, Reason::Encrypted),
    ] {
        let token = hs256(header);
        check(&token, Err(reason));
        if !header.contains("enc") {
            assert!(crate_takes(&token, SECRET, |_| {}), "the guard is not needed any more: {header}");
        }
    }
}

#[test]
fn encrypted_and_odd_shapes_are_refused() {
    let good = hs256(r#"{"alg":"HS256"}"#);
    check(&format!("{good}.a.b"), Err(Reason::Encrypted));
    // Signed like any other, with members that mean something in encrypted ones alone.
    for member in [r#""enc":"A256GCM""#, r#""zip":"DEF""#, r#""p2c":1"#, r#""p2s":"""#, r#""epk":{}"#] {
        check(&hs256(&format!(r#"{{"alg":"HS256",{member}}}"#)), Err(Reason::Encrypted));
    }
    let two = good.rsplit_once('.').unwrap().0;
    for shape in
        ["", ".", "..", "a", "a.b", &format!("{good}.a"), &format!("{good}."), &format!(".{good}"), two]
    {
        assert!(prove(shape).is_err(), "{shape}");
    }
    check(r#"{"payload":"","signatures":[]}"#, Err(Reason::Shape));
}

#[test]
fn one_token_has_one_spelling() {
    let good = hs256(r#"{"alg":"HS256"}"#);
    let (message, signature) = good.rsplit_once('.').unwrap();
    // 32 bytes end in a character whose last two bits stand for nothing.
    let last = signature.chars().last().unwrap();
    let twin = char::from(u8::try_from(last).unwrap() + 1);
    let twin = format!("{message}.{}{twin}", &signature[..signature.len() - 1]);
    assert!(prove(&twin).is_err());
    for changed in [
        format!("{good}="),
        format!("{good}=="),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\n"),
        good.replacen('.', "=.", 1),
        good.replacen('.', "\n.", 1),
        good.replacen('.', "é.", 1),
    ] {
        check(&changed, Err(Reason::Shape));
    }
}

#[test]
fn header_has_one_reading_and_a_limit() {
    for header in [
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","x":{"y":1,"y":2}}"#,
        r#"{"alg":"HS256"}x"#,
        r#"["alg"]"#,
        "",
    ] {
        check(&hs256(header), Err(Reason::Header));
    }
    let twice = hs256(r#"{"alg":"HS256","x":1,"x":2}"#);
    check(&twice, Err(Reason::Header));
    assert!(crate_takes(&twice, SECRET, |_| {}), "the guard is not needed any more");
    let wide = json!({ "alg": "HS256", "x": "y".repeat(2100) }).to_string();
    check(&hs256(&wide), Err(Reason::Shape));
    let heavy = token(r#"{"alg":"HS256"}"#, " ".repeat(7000), &secret(), Algorithm::Hs256);
    check(&heavy, Err(Reason::TooLarge));
}

#[test]
fn without_kid_at_most_four_keys_are_tried() {
    let mut set = KeySet::default();
    for n in 0..5 {
        let other = SigningKey::Secret(format!("secret number {n} of more than 32 bytes").into_bytes());
        set.add(VerifyingKey::new(Some(format!("k{n}").into()), Algorithm::Hs256, &other.public()).unwrap());
    }
    for (n, good) in [(0, true), (3, true), (4, false)] {
        let key = SigningKey::Secret(format!("secret number {n} of more than 32 bytes").into_bytes());
        let unnamed = token(r#"{"alg":"HS256"}"#, "{}", &key, Algorithm::Hs256);
        assert_eq!(Jws::parse(&unnamed, 8192).unwrap().verify(&[&set], NOW).is_ok(), good, "{n}");
        let named = token(&format!(r#"{{"alg":"HS256","kid":"k{n}"}}"#), "{}", &key, Algorithm::Hs256);
        assert!(Jws::parse(&named, 8192).unwrap().verify(&[&set], NOW).is_ok(), "{n}");
    }
}

#[test]
fn key_ends_with_its_time() {
    let mut key = VerifyingKey::new(None, Algorithm::Hs256, &secret().public()).unwrap();
    key.until = Some(NOW);
    let mut set = KeySet::default();
    set.add(key);
    let good = hs256(r#"{"alg":"HS256"}"#);
    let jws = Jws::parse(&good, 8192).unwrap();
    assert!(jws.verify(&[&set], NOW - 1.0).is_ok());
    assert_eq!(jws.verify(&[&set], NOW).map(drop), Err(Reason::UnknownKey));
}

#[test]
fn each_token_has_its_own_header_whatever_was_read_before() {
    let of = |kid: &str| hs256(&format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"{kid}"}}"#));
    let refused =
        [hs256(r#"{"alg":"none"}"#), hs256(r#"{"alg":"HS256","crit":["exp"]}"#), "!.e30.AAAA".to_owned()];
    for n in 0..20_usize {
        // Now the same once more, now another one, now one after a refused one.
        let kid = format!("k{}", n % 3 / 2);
        let token = of(&kid);
        let header = Jws::parse(&token, 8192).unwrap().header;
        assert_eq!((header.kid.as_deref(), header.typ.as_deref()), (Some(&*kid), Some(&*kid)), "{n}");
        assert_eq!(encode_base64url(&header.json), token.split('.').next().unwrap());
        if let Some(token) = refused.get(n % 5) {
            assert!(Jws::parse(token, 8192).is_err(), "{token}");
            assert!(Jws::parse(token, 8192).is_err(), "{token}");
        }
    }
}

#[test]
fn signatures_without_a_key_behind_them_are_refused() {
    // CVE-2022-21449: r = s = 0, and its neighbours; then the DER form, which JWS does not use.
    let order = decode_base64url("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE").unwrap();
    let (zero, mut one) = (vec![0; 32], vec![0; 32]);
    one[31] = 1;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let set = keys(&key, Algorithm::Es256, None);
    let message = token(r#"{"alg":"ES256"}"#, "{}", &key, Algorithm::Es256);
    let message = message.rsplit_once('.').unwrap().0;
    for (r, s) in
        [(&zero, &zero), (&zero, &one), (&one, &zero), (&order, &one), (&one, &order), (&order, &order)]
    {
        let forged = format!("{message}.{}", encode_base64url([&r[..], s].concat()));
        assert_eq!(Jws::parse(&forged, 8192).unwrap().verify(&[&set], NOW).map(drop), Err(Reason::Signature));
    }
    let der = format!("{message}.{}", encode_base64url([0x30, 6, 2, 1, 1, 2, 1, 1]));
    assert_eq!(Jws::parse(&der, 8192).unwrap().verify(&[&set], NOW).map(drop), Err(Reason::Signature));
}

#[test]
fn crate_below_takes_an_empty_secret() {
    let unsafe_token = token(r#"{"alg":"HS256"}"#, "{}", &SigningKey::Secret(Vec::new()), Algorithm::Hs256);
    assert!(crate_takes(&unsafe_token, b"", |_| {}), "the guard is not needed any more");
    let empty = SigningKey::Secret(Vec::new()).public();
    assert!(VerifyingKey::new(None, Algorithm::Hs256, &empty).is_err());
}

#[test]
fn every_single_changed_byte_is_refused() {
    let good = hs256(r#"{"alg":"HS256","typ":"JWT"}"#);
    for position in 0..good.len() {
        for byte in 0..128_u8 {
            let mut changed = good.clone().into_bytes();
            if changed[position] == byte {
                continue;
            }
            changed[position] = byte;
            let changed = String::from_utf8(changed).unwrap();
            assert!(prove(&changed).is_err(), "{position}: {changed:?}");
        }
    }
}
