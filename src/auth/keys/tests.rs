//! What is taken as key, and what is not: each guard has a row, and its nearest valid neighbour.

use super::*;
use crate::auth::Algorithm;
use crate::config::{AuthKey, AuthProvider, KeySource, KeyUse};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const LONG: &str = "a secret of more than sixty-four bytes, so that every HMAC can use it!";

fn provider(keys: Vec<AuthKey>, jwks_file: Option<PathBuf>) -> AuthProvider {
    AuthProvider { name: "p".into(), subject_claim: "sub".into(), keys, jwks_file, ..AuthProvider::default() }
}

fn key(alg: &str, source: KeySource) -> AuthKey {
    AuthKey {
        kid: Some("k".into()),
        alg: alg.into(),
        r#use: KeyUse::Verify,
        source,
        sign_from: None,
        until: None,
    }
}

/// A file of mode 0600 with this content.
fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    path
}

/// Loads one key of this content, from the kind of source that `make` names.
fn load_one(
    alg: &str,
    content: impl AsRef<[u8]>,
    make: fn(PathBuf) -> KeySource,
) -> Result<LoadedKeys, KeyProblem> {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "key", content);
    let mut loaded = load(&provider(vec![key(alg, make(path))], None), &[]);
    match loaded.problems.pop() {
        Some((_, problem)) => Err(problem),
        None => Ok(loaded),
    }
}

fn check_secret(alg: &str, content: impl AsRef<[u8]>, wanted: fn(&KeyProblem) -> bool) {
    let problem = load_one(alg, content, KeySource::SecretFile).unwrap_err();
    assert!(wanted(&problem), "{problem}");
}

#[test]
fn secret_is_as_long_as_the_hash() {
    for (alg, least) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        assert!(load_one(alg, &LONG[..least], KeySource::SecretFile).is_ok());
        check_secret(alg, &LONG[..least - 1], |problem| matches!(problem, KeyProblem::ShortSecret { .. }));
        // One line end is not part of it.
        assert!(load_one(alg, format!("{}\r\n", &LONG[..least]), KeySource::SecretFile).is_ok());
        check_secret(alg, format!("{}\n", &LONG[..least - 1]), |problem| {
            matches!(problem, KeyProblem::ShortSecret { .. })
        });
        check_secret(alg, "", |problem| *problem == KeyProblem::EmptySecret);
        check_secret(alg, "\n", |problem| *problem == KeyProblem::EmptySecret);
    }
}

#[test]
fn public_key_is_no_secret_in_any_form() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
        let public = SigningKey::generate(algorithm).unwrap().public();
        let pem = public.to_public_pem().unwrap();
        let bare: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = decode_base64(bare.as_bytes()).unwrap();
        let jwk = Value::Object(public.to_public_jwk(algorithm, None).unwrap());
        let set = json!({ "keys": [jwk] });
        for secret in
            [pem.into_bytes(), bare.into_bytes(), der, jwk.to_string().into(), set.to_string().into()]
        {
            check_secret("HS256", secret, |problem| matches!(problem, KeyProblem::SecretIsKey(_)));
        }
    }
    // Neighbours: a passphrase that begins like DER, JSON that is no key, base64 of anything else.
    for secret in [format!("00{}", &LONG[..48]), format!(r#"{{"a":"{LONG}"}}"#), "QUFB".repeat(12)] {
        assert!(load_one("HS256", secret, KeySource::SecretFile).is_ok());
    }
}

#[test]
fn secret_in_base64_is_decoded_whole() {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode([7; 40]);
    assert!(
        load_one("HS256", format!("{}\n{}\n", &text[..20], &text[20..]), KeySource::SecretBase64File).is_ok()
    );
    for bad in [&text[1..], "!!!!", &text.replace('=', "")] {
        assert_eq!(load_one("HS256", bad, KeySource::SecretBase64File).unwrap_err(), KeyProblem::NotBase64);
    }
}

#[test]
fn pem_keys_of_both_halves_are_read_back() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
        let signing = SigningKey::generate(algorithm).unwrap();
        for pem in [signing.to_private_text().unwrap(), signing.public().to_public_pem().unwrap()] {
            assert_eq!(parse_pem(pem.as_bytes()).unwrap().public, signing.public());
            assert!(load_one(algorithm.name(), &pem, KeySource::PemFile).is_ok(), "{algorithm}");
        }
        let read = parse_pem(signing.to_private_text().unwrap().as_bytes()).unwrap().signing.unwrap();
        let derived = signing.derive("a").unwrap();
        assert!(derived == read.derive("a").unwrap() && derived != read.derive("b").unwrap(), "{algorithm}");
        assert_ne!(derived, SigningKey::generate(algorithm).unwrap().derive("a").unwrap(), "{algorithm}");
    }
}

#[test]
fn pem_of_something_else_is_named() {
    let p256 = SigningKey::generate(Algorithm::Es256).unwrap().public().to_public_pem().unwrap();
    for (text, part) in [
        ("hello", "no PEM block"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA", "not closed"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PRIVATE KEY-----", "not closed"),
        ("-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----", "no base64"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "no public key"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "openssl x509"),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----", "encrypted"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----", "no key that signs"),
        (&format!("{p256}{p256}"), "more than one"),
    ] {
        let problem = parse_pem(text.as_bytes()).unwrap_err().to_string();
        assert!(problem.contains(part), "{text}: {problem}");
    }
}

#[test]
fn key_and_algorithm_are_of_one_kind() {
    for (made_for, used_as, good) in [
        (Algorithm::Es256, "ES384", false),
        (Algorithm::Es384, "ES256", false),
        (Algorithm::Rs256, "ES256", false),
        (Algorithm::EdDsa, "RS256", false),
        (Algorithm::Es256, "HS256", false),
        (Algorithm::Rs256, "PS512", true),
    ] {
        let pem = SigningKey::generate(made_for).unwrap().public().to_public_pem().unwrap();
        assert_eq!(load_one(used_as, pem, KeySource::PemFile).is_ok(), good, "{made_for} as {used_as}");
    }
    let unknown = load_one("none", LONG, KeySource::SecretFile).unwrap_err();
    assert_eq!(unknown, KeyProblem::UnknownAlgorithm("none".into()));
}

#[test]
fn rsa_numbers_are_within_bounds() {
    let modulus = |bits: usize| {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] = u8::MAX >> (n.len() * 8 - bits);
        n
    };
    let e = |value: u64| value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    let mut even = modulus(2048);
    even[255] = 0xfe;
    for (n, e, good) in [
        (modulus(2048), e(65_537), true),
        (modulus(2048), e(3), true),
        (modulus(8192), e(65_537), true),
        (modulus(2047), e(65_537), false),
        (modulus(1024), e(65_537), false),
        (modulus(8193), e(65_537), false),
        (modulus(2048), e(1), false),
        (modulus(2048), e(0), false),
        (modulus(2048), e(65_536), false),
        (modulus(2048), e((1 << 32) + 1), false),
        (modulus(2048), vec![1; 9], false),
        (even, e(65_537), false),
        (Vec::new(), e(3), false),
    ] {
        let bits = n.len() * 8;
        let key = PublicKey::Rsa { n, e: e.clone() };
        assert_eq!(check_fit(Algorithm::Rs256, &key).is_ok(), good, "about {bits} bits, e {e:?}");
    }
}

#[test]
fn jwk_is_for_what_it_says() {
    let signing = SigningKey::generate(Algorithm::Es256).unwrap();
    let good = signing.public().to_public_jwk(Algorithm::Es256, Some("k")).unwrap();
    let other = SigningKey::generate(Algorithm::Es256).unwrap().public();
    let other_x = other.to_public_jwk(Algorithm::Es256, None).unwrap()["x"].clone();
    for (name, value, taken) in [
        ("use", json!("sig"), true),
        ("use", json!("enc"), false),
        ("use", json!(1), false),
        ("key_ops", json!(["verify"]), true),
        ("key_ops", json!(["encrypt"]), false),
        ("key_ops", json!(["sign"]), false),
        ("key_ops", json!("verify"), false),
        ("alg", json!("ES384"), false),
        ("alg", json!("HS256"), false),
        ("alg", json!("none"), false),
        ("crv", json!("P-384"), false),
        ("crv", json!("P-521"), false),
        ("kty", json!("RSA"), false),
        ("kty", json!("oct"), false),
        ("x", other_x, false),
        ("x", json!("AAAA"), false),
        ("x", json!(null), false),
        ("extra", json!("ignored"), true),
    ] {
        let mut jwk = good.clone();
        jwk.insert(name.into(), value.clone());
        assert_eq!(parse_jwk(Value::Object(jwk).to_string().as_bytes()).is_ok(), taken, "{name} {value}");
    }
    let twice = Value::Object(good).to_string().replacen('{', r#"{"crv":"P-256","#, 1);
    assert!(parse_jwk(twice.as_bytes()).is_err(), "a member twice");
}

#[test]
fn private_jwk_is_read_back_and_its_halves_belong_together() {
    for algorithm in
        [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa]
    {
        let signing = SigningKey::generate(algorithm).unwrap();
        let jwk = signing.to_private_jwk(algorithm, Some("k")).unwrap();
        let read = parse_jwk(Value::Object(jwk.clone()).to_string().as_bytes()).unwrap();
        assert_eq!(read.key.public, signing.public());
        assert_eq!(read.kid.as_deref(), Some("k"));
        assert!(read.key.signing.is_some());
        let text = Value::Object(jwk.clone()).to_string();
        assert!(load_one(algorithm.name(), text, KeySource::JwkFile).is_ok(), "{algorithm}");
        if algorithm != Algorithm::Hs256 {
            let mut mixed = jwk;
            let other = SigningKey::generate(algorithm).unwrap().to_private_jwk(algorithm, None).unwrap();
            mixed.insert("d".into(), other["d"].clone());
            assert!(parse_jwk(Value::Object(mixed).to_string().as_bytes()).is_err(), "{algorithm}");
        }
    }
}

fn load_set(set: &Value) -> LoadedKeys {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "jwks.json", set.to_string());
    load(&provider(Vec::new(), Some(path)), &[])
}

#[test]
fn jwk_set_holds_public_keys_only() {
    let ec = SigningKey::generate(Algorithm::Es256).unwrap();
    let ed = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let public = Value::Object(ec.public().to_public_jwk(Algorithm::Es256, Some("a")).unwrap());
    let again = Value::Object(ed.public().to_public_jwk(Algorithm::EdDsa, Some("b")).unwrap());
    let good = load_set(&json!({ "keys": [public, again, { "kty": "future" }], "more": 1 }));
    assert_eq!((good.set.iter().count(), good.warnings.len(), good.problems.len()), (2, 1, 0));
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    let twin = Value::Object(other.public().to_public_jwk(Algorithm::Es256, Some("a")).unwrap());
    let first = load_set(&json!({ "keys": [public, twin] }));
    assert_eq!((first.set.iter().count(), first.warnings.len()), (1, 1), "of one name the first is used");
    let secret =
        SigningKey::generate(Algorithm::Hs256).unwrap().to_private_jwk(Algorithm::Hs256, None).unwrap();
    let private = ec.to_private_jwk(Algorithm::Es256, None).unwrap();
    for bad in [
        json!({ "keys": [public, Value::Object(secret)] }),
        json!({ "keys": [public, Value::Object(private)] }),
        json!({ "keys": [] }),
        json!({ "keys": [{ "kty": "future" }] }),
        json!({ "keys": {} }),
        json!({ "keys": vec![public.clone(); 65] }),
        public.clone(),
    ] {
        assert_eq!(load_set(&bad).problems.len(), 1, "{bad:.60}");
    }
}

#[test]
fn first_of_two_keys_of_one_name_wins() {
    let first = SigningKey::generate(Algorithm::Es256).unwrap();
    let second = SigningKey::generate(Algorithm::Es256).unwrap();
    let jwk =
        |key: &SigningKey| Value::Object(key.public().to_public_jwk(Algorithm::Es256, Some("k")).unwrap());
    let loaded = load_set(&json!({ "keys": [jwk(&first), jwk(&second)] }));
    assert_eq!(loaded.warnings.len(), 1);
    let found: Vec<_> = loaded.set.candidates(Some("k"), Algorithm::Es256, 0.0).collect();
    assert_eq!(found.len(), 1);
    let signature = |key: &SigningKey| {
        crate::auth::jwt::decode_base64url(&key.sign(Algorithm::Es256, b"m").unwrap()).unwrap()
    };
    assert!(found[0].verify(b"m", &signature(&first)) && !found[0].verify(b"m", &signature(&second)));
}

#[test]
fn rsa_key_without_algorithm_serves_what_is_allowed() {
    let mut jwk = SigningKey::generate(Algorithm::Rs256)
        .unwrap()
        .public()
        .to_public_jwk(Algorithm::Rs256, None)
        .unwrap();
    jwk.remove("alg");
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "jwks.json", json!({ "keys": [jwk] }).to_string());
    let provider = provider(Vec::new(), Some(path));
    for (allowed, names) in [
        (&[][..], vec!["RS256"]),
        (&[Algorithm::Ps256, Algorithm::Rs512, Algorithm::Es256], vec!["RS512", "PS256"]),
    ] {
        let loaded = load(&provider, allowed);
        assert_eq!(loaded.set.iter().map(|key| key.algorithm.name()).collect::<Vec<_>>(), names);
    }
}

#[test]
fn key_that_cannot_be_read_is_named_with_what_to_do() {
    let missing =
        load(&provider(vec![key("HS256", KeySource::SecretFile("/nowhere/key".into()))], None), &[]);
    let text = missing.problems[0].1.to_string();
    assert!(text.contains("/nowhere/key") && text.contains("check that it exists"), "{text}");
    let unset =
        load(&provider(vec![key("HS256", KeySource::SecretEnv("FERRICORN_TEST_NOT_SET".into()))], None), &[]);
    assert!(unset.problems[0].1.to_string().contains("FERRICORN_TEST_NOT_SET"));
    let large = load_one("HS256", vec![b'x'; (256 << 10) + 1], KeySource::SecretFile).unwrap_err();
    assert!(matches!(large, KeyProblem::FileTooLarge(_)));
}

#[test]
fn secret_that_everybody_can_read_is_warned_of_and_a_public_key_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let public = SigningKey::generate(Algorithm::EdDsa).unwrap().public().to_public_pem().unwrap();
    let secret = file(folder.path(), "secret", LONG);
    let public = file(folder.path(), "public", public);
    for (alg, path, mode, warnings) in [
        ("HS256", &secret, 0o600, 0),
        ("HS256", &secret, 0o640, 0),
        ("HS256", &secret, 0o644, 1),
        ("EdDSA", &public, 0o644, 0),
    ] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        let source = if alg == "HS256" {
            KeySource::SecretFile(path.clone())
        } else {
            KeySource::PemFile(path.clone())
        };
        let loaded = load(&provider(vec![key(alg, source)], None), &[]);
        assert_eq!(loaded.warnings.len(), warnings, "{alg} {mode:o}");
    }
}

#[test]
fn of_several_keys_the_one_signs_whose_time_has_come_last() {
    let folder = tempfile::tempdir().unwrap();
    let day = |number: u64| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(number * 86_400));
    let mut keys = Vec::new();
    for (kid, sign_from, until) in
        [("a", None, None), ("b", day(10), day(30)), ("c", day(20), day(30)), ("d", None, None)]
    {
        let source = KeySource::SecretFile(file(folder.path(), kid, kid.repeat(32)));
        keys.push(AuthKey {
            kid: Some(kid.into()),
            r#use: KeyUse::SignAndVerify,
            sign_from,
            until,
            ..key("HS256", source)
        });
    }
    let loaded = load(&provider(keys, None), &[]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    for (day, kid) in [(0.0, "a"), (9.9, "a"), (10.0, "b"), (19.9, "b"), (20.0, "c"), (30.0, "a")] {
        let token = loaded.set.sign(b"{}", day * 86_400.0).unwrap();
        let jws = crate::auth::jwt::Jws::parse(&token, 8192).unwrap();
        assert_eq!(jws.header.kid.as_deref(), Some(kid), "day {day}");
    }
}

#[test]
fn signing_needs_the_private_half() {
    let folder = tempfile::tempdir().unwrap();
    let pair = SigningKey::generate(Algorithm::Es256).unwrap();
    for (text, good) in
        [(pair.to_private_text().unwrap(), true), (pair.public().to_public_pem().unwrap(), false)]
    {
        let path = file(folder.path(), "key", text);
        let wanted = AuthKey { r#use: KeyUse::SignAndVerify, ..key("ES256", KeySource::PemFile(path)) };
        assert_eq!(load(&provider(vec![wanted], None), &[]).problems.is_empty(), good);
    }
}

#[test]
fn key_material_is_not_in_debug_output() {
    let signing = SigningKey::Secret(LONG.as_bytes().to_vec());
    let verifying = VerifyingKey::new(None, Algorithm::Hs256, &signing.public()).unwrap();
    let text = format!("{signing:?} {verifying:?} {:?}", signing.public());
    assert!(!text.contains("sixty-four") && !text.contains("97, 32"), "{text}");
}
