//! `ferricorn jwt rotate`

use super::keygen::{Format, Present, Written, place_of, put_in_place, written};
use super::source::{algorithm, check_kid};
use super::{Outcome, usage};
use crate::auth::Algorithm;
use crate::auth::keys::{SigningKey, random_id};
use clap::Args;
use std::path::{Path, PathBuf};

/// Put a new key in the place of one, which goes on verifying.
///
/// The configuration names both files: KEY with use = "sign+verify", OLD with use = "verify". Workers see the change within
/// seconds, and tokens that the old key has signed are taken until the next rotation.
#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// HS256, HS384, HS512, RS256, ES256, ES384, EdDSA …
    #[arg(long, value_name = "ALG", value_parser = algorithm)]
    alg: Algorithm,
    /// File of the key that signs
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// File for the key that it has been
    #[arg(long, value_name = "FILE")]
    old: PathBuf,
    /// Form of the key; a JWK carries its name
    #[arg(long, value_enum, default_value_t = Format::Pem)]
    format: Format,
    /// Name of the new key, in a JWK; default: a random one
    #[arg(long, value_name = "KID")]
    kid: Option<String>,
}

impl Rotate {
    pub(super) fn run(&self) -> Outcome {
        if is_one_file(&self.key, &self.old) {
            return Err(usage(format!(
                "--key and --old are one file, {}: the key that has signed would be lost",
                self.key.display()
            )));
        }
        check_kid(self.kid.as_deref())?;
        let make = |kid: &str| {
            let key = SigningKey::generate(self.alg).map_err(usage)?;
            written(&key, self.alg, (self.format, Some(kid)))
        };
        let kid = self.kid.clone().map_or_else(|| random_id().map_err(usage), Ok)?;
        let new = make(&kid)?;
        let before = match std::fs::read_to_string(&self.key) {
            Ok(text) => text,
            // The first time both files come into being, so that the configuration can name both.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.old.exists() => {
                make(&random_id().map_err(usage)?)?
            }
            Err(error) => return Err(usage(format!("cannot read {}: {error}", self.key.display()))),
        };
        // The old one first: at no moment is a key missing that has signed.
        let file = |path, text| Written { path, text, mode: 0o600 };
        put_in_place(&[file(&self.old, before), file(&self.key, new)], Present::Replaced)?;
        let name = if self.format == Format::Jwk { format!(" {kid:?}") } else { String::new() };
        Ok(format!(
            "new key{name} in {}, the one before in {}; a running server takes them within seconds, or at once by `ferricorn ctl \
             reload-keys`\n",
            self.key.display(),
            self.old.display()
        ))
    }
}

/// Whether two names are of one file, or would be.
fn is_one_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        (Err(_), Err(_)) => place_of(one) == place_of(other),
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}
