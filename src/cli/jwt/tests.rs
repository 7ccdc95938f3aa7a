//! The commands as they are typed.

use super::*;
use clap::Parser;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[derive(Debug, Parser)]
pub(super) struct Program {
    #[command(flatten)]
    pub(super) arguments: Arguments,
}

/// Runs `ferricorn jwt` with these words, of which `@name` is a file in the folder.
pub(super) fn jwt(folder: &Path, words: &str, input: &str) -> Result<String, (u8, String)> {
    let words = words.split_whitespace().map(|word| match word.split_once('@') {
        Some(("", name)) => folder.join(name).into_os_string().into_string().unwrap(),
        Some(_) | None => word.to_owned(),
    });
    let program = Program::try_parse_from(["jwt".to_owned()].into_iter().chain(words)).unwrap();
    let outcome = match program.arguments.command {
        Command::Keygen(keygen) => keygen.run(Output::Piped),
        Command::Sign(sign) => sign.run(&mut input.as_bytes()),
        Command::Decode(decode) => decode.run(&mut input.as_bytes()),
        Command::Verify(verify) => verify.run(&mut input.as_bytes()),
        Command::VerifyJws(verify) => {
            let mut lines = Vec::new();
            let outcome = verify.run(&mut input.as_bytes(), &mut lines);
            outcome.map(|_| String::from_utf8(lines).unwrap())
        }
        Command::Jwks(jwks) => jwks.run(),
        Command::Rotate(rotate) => rotate.run(),
        #[cfg(feature = "issue")]
        Command::Revoke(revoke) => revoke.run(),
    };
    outcome.map_err(|failure| match failure {
        Failure::Usage(text) => (2, text),
        Failure::Negative(text) => (1, text),
        Failure::Json(value) => (1, value.to_string()),
    })
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn made_key_signs_what_its_public_half_verifies() {
    for (alg, public) in [
        ("HS256", "--secret-file @key"),
        ("HS384", "--secret-file @key --alg HS384"),
        ("HS512", "--secret-file @key --alg HS512"),
        ("RS256", "--pem @pub"),
        ("PS256", "--pem @pub --alg PS256"),
        ("ES256", "--pem @pub"),
        ("ES384", "--jwks @set --alg ES384"),
        ("EdDSA", "--jwks @set"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let hmac = alg.starts_with("HS");
        let halves = if hmac { "" } else { "--public-out @pub --jwks-out @set" };
        assert_eq!(jwt(folder, &format!("keygen --alg {alg} --out @key {halves}"), "").unwrap(), "");
        assert_eq!(mode(&folder.join("key")), 0o600);
        let private = if hmac { "--secret-file @key" } else { "--pem @key" };
        let token =
            jwt(folder, &format!("sign {private} --alg {alg} --claim user_id=1 --claim n=[1]"), "").unwrap();
        let good = jwt(folder, &format!("verify {public}"), &token).unwrap();
        assert!(good.starts_with(&format!("good ({alg})\n")) && good.contains(r#""user_id": 1"#), "{good}");
        let forged = format!("{}AAAA", &token.trim()[..token.len() - 5]);
        let (code, text) = jwt(folder, &format!("verify {public} {forged}"), "").unwrap_err();
        assert_eq!(code, 1);
        assert!(text.starts_with("refused at the signature (signature): "), "{text}");
    }
}

#[test]
fn jwk_keeps_its_name_and_algorithm() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for alg in ["HS512", "RS256", "PS384", "ES384", "EdDSA"] {
        jwt(folder, &format!("keygen --alg {alg} --format jwk --kid k1 --out @key --force"), "").unwrap();
        let token = jwt(folder, "sign --jwk @key", "").unwrap();
        let good = jwt(folder, "verify --jwk @key", &token).unwrap();
        assert!(good.starts_with(&format!("good ({alg}, key \"k1\")")), "{good}");
    }
}

#[test]
fn nothing_is_replaced_unless_asked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    jwt(folder, "keygen --alg HS256 --out @key", "").unwrap();
    let first = std::fs::read(folder.join("key")).unwrap();
    let (code, text) = jwt(folder, "keygen --alg HS256 --out @key", "").unwrap_err();
    assert!(code == 2 && text.contains("--force"), "{text}");
    assert_eq!(std::fs::read(folder.join("key")).unwrap(), first);
    std::fs::set_permissions(folder.join("key"), PermissionsExt::from_mode(0o644)).unwrap();
    jwt(folder, "keygen --alg HS256 --out @key --force", "").unwrap();
    assert_ne!(std::fs::read(folder.join("key")).unwrap(), first);
    assert_eq!(mode(&folder.join("key")), 0o600);
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "nothing is left beside it");
    for words in [
        "keygen --alg ES256 --out @pair --public-out @pair",
        "keygen --alg ES256 --out @pair --public-out @key",
        "keygen --alg ES256 --out @pair --public-out @../HERE/pair --force",
        "keygen --alg ES256 --out @pair --jwks-out @none/set",
        "keygen --alg ES256 --out @pair --jwks-out @none/set --force",
        "keygen --alg ES256 --out @pair --jwks-out @. --force",
        "keygen --alg ES256 --out @pair --kid é",
        "rotate --alg HS256 --key @pair --old @../HERE/pair",
        "rotate --alg HS256 --key @key --old @pair --kid é",
        "rotate --alg HS256 --key @key --old @none/old",
        "rotate --alg HS256 --key @key --old @key",
        "rotate --alg HS256 --key @key --old @./key",
    ] {
        let words = &words.replace("HERE", folder.file_name().unwrap().to_str().unwrap());
        let before = std::fs::read(folder.join("key")).unwrap();
        assert_eq!(jwt(folder, words, "").unwrap_err().0, 2, "{words}");
        assert_eq!(std::fs::read(folder.join("key")).unwrap(), before, "{words}");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "half a pair is left: {words}");
    }
}

#[test]
fn key_is_shown_at_a_terminal_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    for words in ["keygen --alg EdDSA --out -", "keygen --alg EdDSA"] {
        let printed = jwt(folder.path(), words, "").unwrap();
        assert!(printed.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{words}");
    }
    let Command::Keygen(keygen) =
        Program::try_parse_from(["jwt", "keygen", "--alg", "EdDSA"]).unwrap().arguments.command
    else {
        panic!("another command")
    };
    assert!(keygen.run(Output::Terminal).is_err_and(|refused| refused.to_string().contains("--out -")));
    assert!(Program::try_parse_from(["jwt", "keygen", "--alg", "none", "--out", "-"]).is_err());
}

#[test]
fn decode_shows_and_never_vouches() {
    let folder = tempfile::tempdir().unwrap();
    let token = "eyJhbGciOiJub25lIn0.eyJhIjoiXHUwMDFiWzMxbSDCmyJ9.";
    let shown = jwt(folder.path(), &format!("decode {token}"), "").unwrap();
    assert!(shown.contains("header (not verified)") && shown.contains("payload (not verified)"), "{shown}");
    assert!(!shown.contains("good") && shown.contains(r#""alg": "none""#), "{shown}");
    assert!(!shown.chars().any(|character| character.is_control() && character != '\n'), "{shown:?}");
    assert_eq!(jwt(folder.path(), "decode", &format!(" {token}\n")).unwrap(), shown);
    for bad in ["", "a.b", "a.b.c", "!.!.!"] {
        assert_eq!(jwt(folder.path(), "decode", bad).unwrap_err().0, 1, "{bad}");
    }
}

#[test]
fn verify_asks_what_the_server_asks() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    jwt(folder, "keygen --alg HS256 --out @key", "").unwrap();
    for (claims, options, reason) in [
        ("--claim iss=us", "--issuer us", None),
        ("--claim iss=us", "--issuer them", Some("issuer")),
        ("--claim aud=us", "", Some("audience")),
        ("--claim aud=us", "--audience us", None),
        ("--claim token_type=refresh", "--token-type access", Some("token_type")),
        ("--claim exp=1", "", Some("expired")),
        ("--claim exp=\"1\"", "", Some("claim_form")),
        ("--claim cnf={}", "", Some("bound")),
        ("--kid k", "", None),
        ("--kid k", "--kid l", Some("unknown_key")),
        ("--kid k", "--kid k", None),
    ] {
        let token = jwt(folder, &format!("sign --secret-file @key {claims}"), "").unwrap();
        let outcome = jwt(folder, &format!("verify --secret-file @key {options}"), &token);
        match (outcome, reason) {
            (Ok(_), None) => {}
            (Err((1, text)), Some(reason)) => {
                assert!(text.starts_with("refused at ") && text.contains(&format!("({reason}): ")), "{text}")
            }
            (other, _) => panic!("{claims} {options}: {other:?}"),
        }
    }
}

#[test]
fn verify_by_configuration_holds_the_providers_rules() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    jwt(folder, "keygen --alg HS256 --out @key", "").unwrap();
    let key = folder.join("key");
    let config = format!(
        "[[auth.provider]]\nname = \"local\"\nissuer = \"us\"\n[[auth.provider.key]]\nalg = \"HS256\"\n\
         secret_file = {key:?}\n[[auth.route]]\nprefix = \"/\"\nrequire = \"local\"\n"
    );
    std::fs::write(folder.join("ferricorn.toml"), config).unwrap();
    for (claims, good) in [
        ("--claim iss=us --claim token_type=access --claim user_id=1", true),
        ("--claim iss=us --claim token_type=refresh --claim user_id=1", false),
        ("--claim iss=them --claim token_type=access --claim user_id=1", false),
    ] {
        let token = jwt(folder, &format!("sign --secret-file @key {claims}"), "").unwrap();
        for options in ["--config @ferricorn.toml", "-c @ferricorn.toml --provider local"] {
            let outcome = jwt(folder, &format!("verify {options}"), &token);
            assert_eq!(outcome.as_ref().map_err(|(code, _)| *code).is_ok(), good, "{claims}: {outcome:?}");
            assert!(good || outcome.unwrap_err().0 == 1);
        }
    }
    for words in
        ["verify -c @ferricorn.toml --provider x a.b.c", "verify -c @ferricorn.toml --issuer us a.b.c"]
    {
        assert_eq!(jwt(folder, words, "").unwrap_err().0, 2, "{words}");
    }
}

#[test]
fn unfit_keys_are_usage_errors() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("short"), "short").unwrap();
    jwt(folder, "keygen --alg ES256 --out @key --public-out @pub", "").unwrap();
    std::fs::write(folder.join("windows"), "a secret of more than thirty-two bytes!\r\n").unwrap();
    let token = jwt(folder, "sign --secret-file @windows", "").unwrap();
    assert!(jwt(folder, "verify --secret-file @windows", &token).is_ok(), "the same secret for both");
    for words in [
        "sign --secret-file @short",
        "sign --secret-file @pub",
        "sign --pem @pub",
        "sign --pem @key --kid é",
        "sign --pem @key --alg RS256",
        "sign --pem @missing",
        "sign",
        "verify --secret-file @short x.y.z",
        "verify x.y.z",
        "keygen --alg HS256 --out @x --public-out @y",
    ] {
        assert_eq!(jwt(folder, words, "").unwrap_err().0, 2, "{words}");
    }
}

#[test]
fn sets_are_made_of_private_keys_and_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    jwt(folder, "keygen --alg ES256 --format jwk --kid one --out @one", "").unwrap();
    jwt(folder, "keygen --alg EdDSA --out @two", "").unwrap();
    jwt(folder, "keygen --alg RS256 --format jwk --out @three", "").unwrap();
    jwt(folder, "keygen --alg HS256 --out @secret", "").unwrap();
    let set = jwt(folder, "jwks @one @two @three", "").unwrap();
    std::fs::write(folder.join("set"), &set).unwrap();
    assert!(set.contains("\"one\""), "{set}");
    for private in ["\"d\"", "\"p\"", "\"q\"", "\"dp\"", "\"dq\"", "\"qi\""] {
        assert!(!set.contains(private), "{private}: {set}");
    }
    for key in ["--jwk @one", "--pem @two", "--jwk @three"] {
        let token = jwt(folder, &format!("sign {key}"), "").unwrap();
        assert!(jwt(folder, "verify --jwks @set", &token).is_ok(), "{key}");
    }
    assert_eq!(jwt(folder, "jwks @secret", "").unwrap_err().0, 2);
    // RFC 8037 A.3
    let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    std::fs::write(folder.join("rfc"), key).unwrap();
    assert!(jwt(folder, "jwks @rfc", "").unwrap().contains("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
}

#[test]
fn rotated_key_goes_on_verifying_under_the_other_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (alg, form, private, public) in [
        ("HS256", "pem", "--secret-file @key", "--secret-file @old"),
        ("RS256", "pem", "--pem @key", "--pem @old"),
        ("RS256", "jwk", "--jwk @key", "--jwk @old"),
        ("ES256", "jwk", "--jwk @key", "--jwk @old"),
    ] {
        let rotate = format!("rotate --alg {alg} --format {form} --key @key --old @old");
        assert!(jwt(folder, &rotate, "").unwrap().contains("reload-keys"));
        assert_ne!(std::fs::read(folder.join("key")).unwrap(), std::fs::read(folder.join("old")).unwrap());
        let token = jwt(folder, &format!("sign {private}"), "").unwrap();
        jwt(folder, &rotate, "").unwrap();
        assert!(jwt(folder, &format!("verify {public}"), &token).is_ok(), "{alg}");
        assert_eq!(mode(&folder.join("key")), 0o600);
        assert_eq!(mode(&folder.join("old")), 0o600);
        std::fs::remove_file(folder.join("key")).unwrap();
        assert_eq!(jwt(folder, &rotate, "").unwrap_err().0, 2, "what is missing is not replaced");
        std::fs::remove_file(folder.join("old")).unwrap();
    }
}

#[test]
fn outcomes_are_told_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    jwt(folder, "keygen --alg HS256 --out @key", "").unwrap();
    let token = jwt(folder, "sign --secret-file @key --claim sub=ann", "").unwrap();
    let good = jwt(folder, "verify --json --secret-file @key", &token).unwrap();
    let good: serde_json::Value = serde_json::from_str(&good).unwrap();
    assert_eq!((&good["good"], &good["claims"]["sub"]), (&true.into(), &"ann".into()));
    let (code, bad) = jwt(folder, "verify --json --secret-file @key --issuer x", &token).unwrap_err();
    let bad: serde_json::Value = serde_json::from_str(&bad).unwrap();
    assert_eq!((code, &bad["step"], &bad["reason"]), (1, &"the claims".into(), &"issuer".into()));
    let shown = jwt(folder, "decode --json", &token).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap()["payload"]["sub"], "ann");
}

#[test]
fn keys_and_claims_go_through_standard_output_and_input() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("key"), jwt(folder, "keygen --alg HS256", "").unwrap()).unwrap();
    let token = jwt(folder, "sign --secret-file @key --claims -", "{\"sub\":\"7\"}\n").unwrap();
    assert!(jwt(folder, "verify --secret-file @key", &token).unwrap().contains("\"sub\": \"7\""));
    let (code, told) = jwt(folder, "sign --secret-file @key --claims -", "sub=7").unwrap_err();
    assert!(code == 2 && told.starts_with("--claims: "), "{told}");
}
