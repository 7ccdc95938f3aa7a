//! Where `sign` and `verify` take their key from.

use super::{Failure, usage};
use crate::auth::jwt::is_key_id;
use crate::auth::keys::{
    KeyPair, PublicKey, SigningKey, decode_base64, parse_jwk, parse_pem, read_limited, without_line_end,
};
use crate::auth::{Algorithm, Family};
use crate::config::KeySource;
use clap::Args;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Exactly one source of a key.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct KeyArguments {
    /// Environment variable that holds the secret (HS*)
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,
    /// File that holds the secret, less one line end (HS*)
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// File that holds the secret in base64 (HS*)
    #[arg(long, value_name = "FILE")]
    secret_base64_file: Option<PathBuf>,
    /// PEM file, public or private
    #[arg(long, value_name = "FILE")]
    pem: Option<PathBuf>,
    /// File that holds one JWK
    #[arg(long, value_name = "FILE")]
    jwk: Option<PathBuf>,
}

impl KeyArguments {
    /// The source as the configuration would name it; `None` when none is given.
    pub(super) fn source(&self) -> Option<KeySource> {
        let given = [
            self.secret_env.clone().map(KeySource::SecretEnv),
            self.secret_file.clone().map(KeySource::SecretFile),
            self.secret_base64_file.clone().map(KeySource::SecretBase64File),
            self.pem.clone().map(KeySource::PemFile),
            self.jwk.clone().map(KeySource::JwkFile),
        ];
        given.into_iter().flatten().next()
    }
}

/// Whether a server takes a key of this name, and tokens that select it.
pub(super) fn check_kid(kid: Option<&str>) -> Result<(), Failure> {
    if kid.is_none_or(is_key_id) {
        return Ok(());
    }
    Err(usage("the kid has more than 128 bytes, or others than visible ASCII: no server would take it"))
}

/// A key, the name it carries, and the algorithm it is used with.
pub(super) struct Found {
    pub(super) pair: KeyPair,
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
}

/// Reads the key; the algorithm is the one asked for, else the key's own, else the usual one of its kind.
pub(super) fn read(source: &KeySource, asked: Option<Algorithm>) -> Result<Found, Failure> {
    let secret = |bytes: Vec<u8>| {
        let signing = SigningKey::Secret(bytes);
        KeyPair { public: signing.public(), signing: Some(signing) }
    };
    let (pair, kid, own) = match source {
        KeySource::SecretEnv(name) => {
            let value = std::env::var_os(name)
                .ok_or_else(|| usage(format!("environment variable {name} is not set")))?;
            (secret(value.into_vec()), None, None)
        }
        KeySource::SecretFile(path) => {
            (secret(without_line_end(read_limited(path).map_err(usage)?)), None, None)
        }
        KeySource::SecretBase64File(path) => {
            (secret(read_limited(path).and_then(|text| decode_base64(&text)).map_err(usage)?), None, None)
        }
        KeySource::Secret(text) => (secret(text.0.clone().into_bytes()), None, None),
        KeySource::Pem(text) => (parse_pem(text.as_bytes()).map_err(usage)?, None, None),
        KeySource::Jwk(text) => {
            let jwk = parse_jwk(text.as_bytes()).map_err(usage)?;
            (jwk.key, jwk.kid, jwk.algorithm)
        }
        KeySource::PemFile(path) => {
            (read_limited(path).and_then(|text| parse_pem(&text)).map_err(usage)?, None, None)
        }
        KeySource::PemEnv(name) => {
            let value = std::env::var_os(name)
                .ok_or_else(|| usage(format!("environment variable {name} is not set")))?;
            (parse_pem(&value.into_vec()).map_err(usage)?, None, None)
        }
        KeySource::JwkFile(path) => {
            let jwk = read_limited(path).and_then(|text| parse_jwk(&text)).map_err(usage)?;
            (jwk.key, jwk.kid, jwk.algorithm)
        }
    };
    let algorithm = asked.or(own).unwrap_or_else(|| usual(&pair.public));
    if own.is_some_and(|own| own != algorithm) {
        return Err(usage(format!("the JWK's \"alg\" is not {algorithm}")));
    }
    Ok(Found { pair, kid, algorithm })
}

pub(super) fn usual(key: &PublicKey) -> Algorithm {
    match key.family().0 {
        Family::Hmac => Algorithm::Hs256,
        Family::Rsa => Algorithm::Rs256,
        Family::P256 => Algorithm::Es256,
        Family::P384 => Algorithm::Es384,
        Family::Ed25519 => Algorithm::EdDsa,
    }
}

/// An algorithm's exact name, for clap.
pub(super) fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
        format!("known are {}", known.join(", "))
    })
}

/// "90", "30s", "5m", "2h", "7d", for clap.
pub(super) fn seconds(text: &str) -> Result<u32, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("write a number with s, m, h or d, as in 5m".into()),
    };
    let number: u32 = digits.parse().map_err(|_| "write a number with s, m, h or d, as in 5m".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "that is too long".into())
}
