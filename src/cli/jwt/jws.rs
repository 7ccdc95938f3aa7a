//! `ferricorn jwt verify-jws`: many tokens, signatures alone.

use super::{Failure, Outcome, source, usage};
use crate::auth::jwt::{Jws, parse_object};
use crate::auth::keys::{
    KeyProblem, KeySet, PublicKey, VerifyingKey, parse_jwk, parse_pem, read_limited, without_line_end,
};
use crate::auth::{Algorithm, Family};
use clap::Args;
use serde_json::Value;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// Verify one compact JWS a line: prints valid or invalid for each. Claims are not judged.
#[derive(Debug, Args)]
pub(super) struct VerifyJws {
    /// The key: a JWK or a JWK set as JSON text, or a file that holds one, or a PEM file, or for HS the file of a secret
    #[arg(long, value_name = "JWK|FILE")]
    key: String,
    /// The one algorithm; "-": that of the key or, if it names none, any of its kind
    #[arg(long, value_name = "ALG")]
    alg: String,
    /// Print the payload behind "valid": as it is, or as JSON text if it holds control characters
    #[arg(long)]
    payload: bool,
}

impl VerifyJws {
    pub(super) fn run(&self, input: &mut dyn Read, output: &mut dyn Write) -> Outcome {
        let asked = match self.alg.as_str() {
            "-" => None,
            name => Some(source::algorithm(name).map_err(usage)?),
        };
        // By a key that cannot be used nothing is proven; why, is said when all lines have their answer.
        let (keys, problem) = match keys(content(&self.key)?, asked) {
            Ok(keys) => (keys, None),
            Err(problem) => (KeySet::default(), Some(problem)),
        };
        let mut lines = std::io::BufReader::new(input);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line).map_err(usage)?;
            if read == 0 {
                return problem.map_or_else(|| Ok(String::new()), |problem| Err(usage(problem)));
            }
            let is_whole = line.last() == Some(&b'\n') || (read as u64) < MAX_LINE;
            // Whoever reads the answers counts them: one for each line, whatever it is.
            let verdict = if is_whole {
                self.judge(without_end(&line), &keys)
            } else {
                lines.skip_until(b'\n').map_err(usage)?;
                "invalid".into()
            };
            match writeln!(output, "{verdict}") {
                Ok(()) => {}
                // Whoever reads has seen enough, as `head` does.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(String::new()),
                Err(error) => return Err(usage(error)),
            }
        }
    }

    fn judge(&self, token: &[u8], keys: &KeySet) -> String {
        let payload = std::str::from_utf8(token).ok().and_then(|token| {
            let jws = Jws::parse(token, usize::MAX).ok()?;
            let payload = jws.payload().ok()?;
            jws.verify(&[keys], 0.0).ok().map(|_| payload)
        });
        match payload {
            None => "invalid".into(),
            Some(payload) if self.payload => format!("valid {}", shown(&payload)),
            Some(_) => "valid".into(),
        }
    }
}

/// A line without what ends it. Blanks around a token are no part of any (RFC 7515 7.1).
fn without_end(line: &[u8]) -> &[u8] {
    let Some(text) = line.strip_suffix(b"\n") else { return line };
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// On one line, whatever it is.
fn shown(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    let divides = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
    if !text.chars().any(divides) {
        return text.into_owned();
    }
    // JSON escapes the controls below U+0020 alone.
    let mut escaped = String::new();
    for letter in Value::from(text.as_ref()).to_string().chars() {
        if divides(letter) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

/// What the text that names the key holds: itself, or the content of the file of that name.
fn content(text: &str) -> Result<Vec<u8>, Failure> {
    if text.trim_start().starts_with('{') {
        return Ok(text.as_bytes().to_vec());
    }
    read_limited(Path::new(text)).map_err(usage)
}

/// The keys in it: each is bound to its algorithm, as in the server.
fn keys(content: Vec<u8>, asked: Option<Algorithm>) -> Result<KeySet, KeyProblem> {
    let mut set = KeySet::default();
    if !content.trim_ascii_start().starts_with(b"{") {
        let secret = asked.filter(|asked| asked.family() == Family::Hmac);
        let key = match secret {
            // What is no secret, such as a public key, is refused as one below.
            Some(_) => PublicKey::Secret(without_line_end(content)),
            None => parse_pem(&content)?.public,
        };
        add(&mut set, None, (None, asked), &key)?;
        return Ok(set);
    }
    let members =
        parse_object(&content).map_err(|error| KeyProblem::Jwk(format!("the key is no JWK: {error}")))?;
    let Some(many) = members.get("keys").and_then(Value::as_array) else {
        let jwk = parse_jwk(&content)?;
        add(&mut set, jwk.kid, (jwk.algorithm, asked), &jwk.key.public)?;
        return Ok(set);
    };
    check_set(many)?;
    let mut problem = Some(KeyProblem::Jwk("the set holds no key".into()));
    for (at, key) in many.iter().enumerate() {
        let added = parse_jwk(key.to_string().as_bytes())
            .and_then(|jwk| add(&mut set, jwk.kid, (jwk.algorithm, asked), &jwk.key.public));
        match added {
            Ok(()) => problem = None,
            // Sets commonly hold keys for something else, but not only such.
            Err(why) if at == 0 => problem = Some(why),
            Err(_) => {}
        }
    }
    problem.map_or(Ok(set), Err)
}

/// A set must not leave open which key is meant.
fn check_set(keys: &[Value]) -> Result<(), KeyProblem> {
    let secrets = keys.iter().filter(|key| key.get("kty").is_some_and(|kind| kind == "oct")).count();
    if secrets != 0 && secrets != keys.len() {
        return Err(KeyProblem::Jwk("the set holds secrets beside public keys".into()));
    }
    let named = |key: &Value| ["kid", "kty", "alg", "use"].map(|name| key.get(name).cloned());
    for (at, key) in keys.iter().enumerate() {
        if let Some(kid) = key.get("kid")
            && keys[..at].iter().any(|other| named(other) == named(key))
        {
            return Err(KeyProblem::Jwk(format!("two keys of the set have the kid {kid}")));
        }
    }
    Ok(())
}

fn add(
    set: &mut KeySet,
    kid: Option<String>,
    (own, asked): (Option<Algorithm>, Option<Algorithm>),
    key: &PublicKey,
) -> Result<(), KeyProblem> {
    let kid: Option<Arc<str>> = kid.map(Arc::from);
    let (family, _) = key.family();
    let fitting = |algorithm: &Algorithm| match (own, asked) {
        (Some(own), Some(asked)) => own == asked && asked == *algorithm,
        (Some(one), None) | (None, Some(one)) => one == *algorithm,
        (None, None) => algorithm.family() == family,
    };
    let mut problem = None;
    let before = set.iter().count();
    for algorithm in Algorithm::ALL.into_iter().filter(fitting) {
        match VerifyingKey::new(kid.clone(), algorithm, key) {
            Ok(key) => drop(set.add(key)),
            Err(why) => problem = Some(why),
        }
    }
    match problem {
        // A secret may be long enough for some of its algorithms.
        Some(why) if set.iter().count() == before => Err(why),
        Some(_) | None => Ok(()),
    }
}

const MAX_LINE: u64 = 1 << 20;
