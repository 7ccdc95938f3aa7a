//! `ferricorn jwt jwks`

use super::source::algorithm;
use super::{Failure, Outcome, usage};
use crate::auth::jwt::encode_base64url;
use crate::auth::keys::{PublicKey, parse_jwk, parse_pem, read_limited};
use crate::auth::{Algorithm, Family};
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Print the public halves of keys as a JWK set.
#[derive(Debug, Args)]
pub(super) struct Jwks {
    /// Key files, PEM or JWK, private or public
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Algorithm of keys that do not name theirs; default: the usual one of their kind
    #[arg(long, value_name = "ALG", value_parser = algorithm)]
    alg: Option<Algorithm>,
    /// Name of the key, where there is one file; default: its own, or its thumbprint (RFC 7638)
    #[arg(long, value_name = "KID")]
    kid: Option<String>,
}

impl Jwks {
    pub(super) fn run(&self) -> Outcome {
        if self.kid.is_some() && self.files.len() > 1 {
            return Err(usage("--kid names one key, and there are several files"));
        }
        let keys = self.files.iter().map(|file| self.public(file)).collect::<Result<Vec<_>, _>>()?;
        let set = serde_json::to_string_pretty(&json!({ "keys": keys })).map_err(usage)?;
        Ok(format!("{set}\n"))
    }

    fn public(&self, file: &Path) -> Result<Map<String, Value>, Failure> {
        let of_file = |problem: &dyn std::fmt::Display| usage(format!("{}: {problem}", file.display()));
        let content = read_limited(file).map_err(usage)?;
        let (key, own_kid, own) = if content.trim_ascii_start().starts_with(b"{") {
            let jwk = parse_jwk(&content).map_err(|problem| of_file(&problem))?;
            (jwk.key.public, jwk.kid, jwk.algorithm)
        } else {
            (parse_pem(&content).map_err(|problem| of_file(&problem))?.public, None, None)
        };
        let algorithm = own.or(self.alg).unwrap_or_else(|| super::source::usual(&key));
        crate::auth::keys::check_fit(algorithm, &key).map_err(|problem| of_file(&problem))?;
        let kid = self.kid.clone().or(own_kid).map_or_else(|| thumbprint(&key), Ok)?;
        key.to_public_jwk(algorithm, Some(&kid)).map_err(|problem| of_file(&problem))
    }
}

/// RFC 7638 3: SHA-256 over the members that make the key, in their order.
fn thumbprint(key: &PublicKey) -> Result<String, Failure> {
    let algorithm = super::source::usual(key);
    if algorithm.family() == Family::Hmac {
        return Err(usage("a secret has no public half"));
    }
    let jwk = key.to_public_jwk(algorithm, None).map_err(usage)?;
    let members: Map<String, Value> =
        jwk.into_iter().filter(|(name, _)| !["alg", "use"].contains(&name.as_str())).collect();
    let text = Value::Object(members).to_string();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    Ok(encode_base64url(digest))
}
