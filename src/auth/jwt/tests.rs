//! Attacks on tokens, and what the crate below would take: each guard has a row that fails without it.

use super::*;
use crate::auth::keys::{KeySet, SigningKey, VerifyingKey};
use crate::auth::{Algorithm, Reason};
use serde_json::{Map, Value, json};

const NOW: f64 = 1_800_000_000.0;
const SECRET: &[u8] = b"a secret of more than thirty-two bytes!";

fn secret() -> SigningKey {
    SigningKey::Secret(SECRET.to_vec())
}

fn keys(signing: &SigningKey, algorithm: Algorithm, kid: Option<&str>) -> KeySet {
    let mut set = KeySet::default();
    set.add(VerifyingKey::new(kid.map(Into::into), algorithm, &signing.public()).unwrap());
    set
}

/// A token with this header and payload, well signed.
fn token(header: &str, payload: impl AsRef<[u8]>, key: &SigningKey, algorithm: Algorithm) -> String {
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
    Jws::parse(token, 8192)?.verify(&set, NOW).map(drop)
}

fn check(token: &str, wanted: Result<(), Reason>) {
    assert_eq!(prove(token), wanted, "{token:.100}");
}

/// Whether the crate's own decoder, with its own validation, takes a token that we refuse.
fn crate_takes(token: &str, secret: &[u8], adjust: impl FnOnce(&mut jsonwebtoken::Validation)) -> bool {
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
    for algorithm in Algorithm::ALL {
        let key = SigningKey::generate(algorithm).unwrap();
        let set = keys(&key, algorithm, None);
        let good = token(&format!(r#"{{"alg":"{algorithm}"}}"#), "{}", &key, algorithm);
        assert!(Jws::parse(&good, 8192).unwrap().verify(&set, NOW).is_ok(), "{algorithm}");
        let (message, signature) = good.rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { "B" } else { "A" };
        for forged in [
            format!("{message}.{other}{}", &signature[1..]),
            format!("{message}.{}", &signature[..signature.len() - 4]),
            format!("{message}.{signature}AAAA"),
            format!("{message}.{}", encode_base64url(vec![0; decode_base64url(signature).unwrap().len()])),
        ] {
            let outcome = Jws::parse(&forged, 8192).and_then(|jws| jws.verify(&set, NOW).map(drop));
            assert!(outcome.is_err(), "{algorithm}: {forged}");
        }
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
    assert_eq!(Jws::parse(&confused, 8192).unwrap().verify(&set, NOW).map(drop), Err(Reason::UnknownKey));
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
        assert_eq!(Jws::parse(&forged, 8192).unwrap().verify(&set, NOW).map(drop), Err(Reason::Signature));
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
        assert_eq!(Jws::parse(&unnamed, 8192).unwrap().verify(&set, NOW).is_ok(), good, "{n}");
        let named = token(&format!(r#"{{"alg":"HS256","kid":"k{n}"}}"#), "{}", &key, Algorithm::Hs256);
        assert!(Jws::parse(&named, 8192).unwrap().verify(&set, NOW).is_ok(), "{n}");
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
    assert!(jws.verify(&set, NOW - 1.0).is_ok());
    assert_eq!(jws.verify(&set, NOW).map(drop), Err(Reason::UnknownKey));
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
        assert_eq!(Jws::parse(&forged, 8192).unwrap().verify(&set, NOW).map(drop), Err(Reason::Signature));
    }
    let der = format!("{message}.{}", encode_base64url([0x30, 6, 2, 1, 1, 2, 1, 1]));
    assert_eq!(Jws::parse(&der, 8192).unwrap().verify(&set, NOW).map(drop), Err(Reason::Signature));
}

fn rules() -> ClaimRules {
    ClaimRules {
        issuer: Some("https://us".into()),
        audiences: Audiences::AnyOf(vec!["api".into(), "web".into()]),
        leeway: 0.0,
        max_lifetime: 3600.0,
        token_type: Some("access".into()),
        subject_claim: Some("user_id".into()),
        require: vec!["exp".into(), "jti".into()],
    }
}

/// Judges good claims with these changed; a change to `"-"` takes the claim away.
fn judged(rules: &ClaimRules, changes: &Value) -> Result<Judged, Reason> {
    let mut claims = json!({
        "iss": "https://us", "aud": "api", "exp": NOW + 60.0, "iat": NOW, "nbf": NOW,
        "jti": "x", "token_type": "access", "user_id": "7",
    });
    for (name, value) in changes.as_object().unwrap() {
        if value == "-" {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    // As from the wire: numbers keep the form they are written in.
    judge(rules, &parse_object(claims.to_string().as_bytes()).unwrap(), NOW)
}

fn claims(changes: Value, wanted: Result<(), Reason>) {
    assert_eq!(judged(&rules(), &changes).map(drop), wanted, "{changes}");
}

#[test]
fn good_claims_are_taken() {
    for changes in [
        json!({}),
        json!({ "exp": 1_800_000_001 }),
        json!({ "exp": 1_800_000_000.5 }),
        json!({ "iat": "-", "nbf": "-" }),
        json!({ "aud": ["other", "web"] }),
        json!({ "user_id": 7 }),
        json!({ "extra": { "deep": [1] } }),
    ] {
        claims(changes, Ok(()));
    }
    assert_eq!(judged(&rules(), &json!({ "user_id": 7 })).unwrap().subject.as_deref(), Some("7"));
}

#[test]
fn times_are_numbers_within_range_even_where_optional() {
    for bad in [
        json!("1800000060"),
        json!(true),
        json!(null),
        json!([1]),
        json!({}),
        json!(-1),
        json!(1e19),
        json!(1e18),
    ] {
        for name in ["exp", "nbf", "iat"] {
            claims(json!({ name: bad }), Err(Reason::ClaimForm));
        }
    }
    claims(json!({ "exp": 253_402_300_800_u64 }), Err(Reason::ClaimForm));
    claims(json!({ "exp": "-" }), Err(Reason::NoExpiry));
}

#[test]
fn time_is_judged_to_the_second_with_the_leeway() {
    claims(json!({ "exp": NOW }), Err(Reason::Expired));
    claims(json!({ "exp": 1 }), Err(Reason::Expired));
    claims(json!({ "nbf": NOW + 1.0 }), Err(Reason::NotYetValid));
    claims(json!({ "iat": NOW + 1.0 }), Err(Reason::NotYetValid));
    claims(json!({ "exp": NOW + 3600.0 }), Ok(()));
    claims(json!({ "exp": NOW + 3601.0 }), Err(Reason::Lifetime));
    let lenient = ClaimRules { leeway: 10.0, ..rules() };
    for (changes, good) in [
        (json!({ "exp": NOW - 9.0 }), true),
        (json!({ "exp": NOW - 10.0 }), false),
        (json!({ "nbf": NOW + 10.0, "iat": NOW + 10.0 }), true),
        (json!({ "nbf": NOW + 11.0 }), false),
        (json!({ "iat": NOW + 11.0 }), false),
    ] {
        assert_eq!(judged(&lenient, &changes).is_ok(), good, "{changes}");
    }
}

#[test]
fn issuer_is_one_string() {
    for bad in [json!("https://US"), json!("https://us/"), json!("-")] {
        claims(json!({ "iss": bad }), Err(Reason::Issuer));
    }
    for bad in [json!(1), json!(["https://us"]), json!(null), json!({})] {
        claims(json!({ "iss": bad }), Err(Reason::ClaimForm));
        let any = ClaimRules { issuer: None, ..rules() };
        assert_eq!(judged(&any, &json!({ "iss": bad })).map(drop), Err(Reason::ClaimForm));
    }
}

#[test]
fn audience_must_name_us_and_only_strings() {
    for bad in [json!("other"), json!(["other"]), json!("-"), json!("ap"), json!("API")] {
        claims(json!({ "aud": bad }), Err(Reason::Audience));
    }
    for bad in [json!([]), json!({}), json!(1), json!(null), json!(["api", 1]), json!([["api"]])] {
        claims(json!({ "aud": bad }), Err(Reason::ClaimForm));
    }
    let unnamed = ClaimRules { audiences: Audiences::Unnamed, ..rules() };
    assert_eq!(judged(&unnamed, &json!({})).map(drop), Err(Reason::Audience));
    assert!(judged(&unnamed, &json!({ "aud": "-" })).is_ok());
    let unchecked = ClaimRules { audiences: Audiences::Unchecked, ..rules() };
    assert!(judged(&unchecked, &json!({ "aud": "anyone" })).is_ok());
    assert!(judged(&unchecked, &json!({ "aud": 1 })).is_err());
}

#[test]
fn type_id_and_subject_must_be_there_and_right() {
    claims(json!({ "token_type": "refresh" }), Err(Reason::TokenType));
    claims(json!({ "token_type": ["access"] }), Err(Reason::TokenType));
    claims(json!({ "token_type": "-" }), Err(Reason::NoTokenType));
    claims(json!({ "jti": "-" }), Err(Reason::NoId));
    claims(json!({ "jti": 1 }), Err(Reason::ClaimForm));
    claims(json!({ "sub": 1 }), Err(Reason::ClaimForm));
    claims(json!({ "cnf": { "jkt": "x" } }), Err(Reason::Bound));
    for bad in [json!("-"), json!(""), json!(null), json!([1]), json!(1.5), json!(true)] {
        claims(json!({ "user_id": bad }), Err(Reason::Subject));
    }
    let more = ClaimRules { require: vec!["tenant".into()], ..rules() };
    assert_eq!(judged(&more, &json!({})).map(drop), Err(Reason::MissingClaim));
    assert_eq!(judged(&more, &json!({ "tenant": null })).map(drop), Err(Reason::MissingClaim));
    assert!(judged(&more, &json!({ "tenant": 0 })).is_ok());
}

#[test]
fn crate_below_takes_claims_that_we_refuse() {
    let us = |validation: &mut jsonwebtoken::Validation| {
        validation.set_issuer(&["https://us"]);
        validation.set_audience(&["api"]);
        validation.validate_aud = true;
        validation.required_spec_claims.clear();
    };
    for (changes, reason) in [
        (json!({ "iss": 1 }), Reason::ClaimForm),
        (json!({ "iss": ["https://us"] }), Reason::ClaimForm),
        (json!({ "iss": "-" }), Reason::Issuer),
        (json!({ "aud": {} }), Reason::ClaimForm),
        (json!({ "aud": "-" }), Reason::Audience),
        (json!({ "nbf": NOW + 999.0 }), Reason::NotYetValid),
        (json!({ "iat": NOW + 999.0 }), Reason::NotYetValid),
    ] {
        assert_eq!(judged(&rules(), &changes).map(drop), Err(reason), "{changes}");
        let mut claims = json!({ "iss": "https://us", "aud": "api", "exp": NOW + 60.0 });
        for (name, value) in changes.as_object().unwrap() {
            if value == "-" {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        let token = token(r#"{"alg":"HS256"}"#, claims.to_string(), &secret(), Algorithm::Hs256);
        assert!(crate_takes(&token, SECRET, us), "the guard is not needed any more: {changes}");
    }
}

#[test]
fn crate_below_takes_an_empty_secret() {
    let unsafe_token = token(r#"{"alg":"HS256"}"#, "{}", &SigningKey::Secret(Vec::new()), Algorithm::Hs256);
    assert!(crate_takes(&unsafe_token, b"", |_| {}), "the guard is not needed any more");
    let empty = SigningKey::Secret(Vec::new()).public();
    assert!(VerifyingKey::new(None, Algorithm::Hs256, &empty).is_err());
}
