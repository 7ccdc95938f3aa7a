//! Many tokens, one a line.

use super::tests::{Program, jwt};
use super::*;
use clap::Parser;
use std::io::Write;
use std::os::fd::AsRawFd;

#[test]
fn lines_of_tokens_are_judged_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    jwt(folder, "keygen --alg ES256 --format jwk --kid k --out @key --jwks-out @set", "").unwrap();
    let good = jwt(folder, "sign --jwk @key --claims {\"exp\":1,\"iat\":1,\"jti\":\"é\"}", "").unwrap();
    let bad = format!("{}A\n", good.trim_end());
    let lines = format!("{good}{bad}\nx.y.z\n{}", good.trim_end());
    for arguments in ["--key @key --alg ES256", "--key @key --alg -", "--key @set --alg -"] {
        let judged = jwt(folder, &format!("verify-jws {arguments}"), &lines).unwrap();
        assert_eq!(judged, "valid\ninvalid\ninvalid\ninvalid\nvalid\n", "{arguments}");
    }
    let token = good.trim_end();
    let lines = format!("{token}\r\n {token}\n{token} \n\r\n{token}\t\r\n{token}\r");
    let judged = jwt(folder, "verify-jws --key @key --alg -", &lines).unwrap();
    assert_eq!(
        judged, "valid\ninvalid\ninvalid\ninvalid\ninvalid\ninvalid\n",
        "a blank is no part of a token"
    );
    let inline = std::fs::read_to_string(folder.join("key")).unwrap().replace(char::is_whitespace, "");
    let judged = jwt(folder, &format!("verify-jws --payload --alg - --key {inline}"), &good).unwrap();
    assert_eq!(judged, "valid {\"exp\":1,\"iat\":1,\"jti\":\"é\"}\n");
    let long = format!("{}\n{}{good}", "x".repeat(3 << 20), "y".repeat(1 << 20));
    let judged = jwt(folder, "verify-jws --key @key --alg -", &long).unwrap();
    assert_eq!(judged, "invalid\ninvalid\n", "one answer for each line, however long");
    let claims = r#"{"exp":1,"iat":1,"jti":"\u0085\u009b\u2028"}"#;
    let odd = jwt(folder, &format!("sign --jwk @key --claims {claims}"), "").unwrap();
    let judged = jwt(folder, "verify-jws --payload --key @key --alg -", &odd).unwrap();
    assert_eq!(judged, "valid \"{\\\"exp\\\":1,\\\"iat\\\":1,\\\"jti\\\":\\\"\\u0085\\u009b\\u2028\\\"}\"\n");
    assert_eq!(jwt(folder, "verify-jws --key @key --alg ES384", &good).unwrap(), "invalid\n");
    assert_eq!(jwt(folder, "verify-jws --key @none --alg -", "").unwrap_err().0, 2);
    assert_eq!(jwt(folder, "verify-jws --key @key --alg none", "").unwrap_err().0, 2);
    let unsigned = "eyJhbGciOiJub25lIn0.e30.";
    assert_eq!(jwt(folder, "verify-jws --key @key --alg -", unsigned).unwrap(), "invalid\n");
    jwt(folder, "keygen --alg HS256 --out @secret", "").unwrap();
    jwt(folder, "keygen --alg EdDSA --out @pem", "").unwrap();
    let good = jwt(folder, "sign --secret-file @secret", "").unwrap();
    assert_eq!(jwt(folder, "verify-jws --key @secret --alg HS256", &good).unwrap(), "valid\n");
    // As the shell's <(…) and /dev/stdin: what has been read there is gone.
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(&std::fs::read(folder.join("secret")).unwrap()).unwrap();
    drop(writer);
    let words = format!("verify-jws --key /proc/self/fd/{} --alg HS256", reader.as_raw_fd());
    assert_eq!(jwt(folder, &words, &good).unwrap(), "valid\n");
    assert_eq!(
        jwt(folder, "verify-jws --key @secret --alg -", &good).unwrap_err().0,
        2,
        "it may be anything"
    );
    assert_eq!(
        jwt(folder, "verify-jws --key @pem --alg HS256", &good).unwrap_err().0,
        2,
        "that is no secret"
    );
}

#[test]
fn by_a_key_that_cannot_be_used_no_line_is_valid_and_the_command_fails() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    jwt(folder, "keygen --alg HS256 --format jwk --kid one --out @one", "").unwrap();
    jwt(folder, "keygen --alg HS256 --format jwk --kid one --out @other", "").unwrap();
    jwt(folder, "keygen --alg ES256 --format jwk --kid two --out @two", "").unwrap();
    let weak = r#"{"kty":"oct","k":"AAAA"}"#;
    let token = jwt(folder, "sign --jwk @one", "").unwrap();
    let [one, other, two] =
        ["one", "other", "two"].map(|name| std::fs::read_to_string(folder.join(name)).unwrap());
    for (key, said) in [
        (one.clone(), ""),
        (one.replace("\"HS256\"", "\"A256GCM\""), "unknown algorithm"),
        (one.replace("\"sig\"", "\"enc\""), "\"use\""),
        (weak.into(), "needs"),
        (r#"{"keys":[]}"#.into(), "no key"),
        (format!(r#"{{"keys":[{weak}]}}"#), "needs"),
        (format!(r#"{{"keys":[{}]}}"#, one.replace("\"sig\"", "\"enc\"")), "\"use\""),
        (format!(r#"{{"keys":[{weak},{one}]}}"#), ""),
        (format!(r#"{{"keys":[{one},{weak}]}}"#), ""),
        ("{}".into(), "kty"),
        (format!(r#"{{"keys":[{one},{one}]}}"#), "two keys"),
        (format!(r#"{{"keys":[{one},{two}]}}"#), "beside public keys"),
        (format!(r#"{{"keys":[{one},{other}]}}"#), "two keys"),
        (format!(r#"{{"keys":[{one},{}]}}"#, other.replace("\"k\": \"", "\"k\": \"!")), "two keys"),
    ] {
        let arguments = ["jwt", "verify-jws", "--alg", "-", "--key", &key];
        let Command::VerifyJws(verify) = Program::try_parse_from(arguments).unwrap().arguments.command else {
            panic!("another command")
        };
        let mut lines = Vec::new();
        let outcome = verify.run(&mut format!("{token}x\n").as_bytes(), &mut lines);
        let judged = String::from_utf8(lines).unwrap();
        match outcome {
            Ok(_) => assert_eq!((judged.as_str(), said), ("valid\ninvalid\n", ""), "{key}"),
            Err(Failure::Usage(text)) => {
                assert_eq!(judged, "invalid\ninvalid\n", "{key}");
                assert!(!said.is_empty() && text.contains(said), "{key}: {text}");
            }
            Err(other) => panic!("{other}"),
        }
    }
}
