//! `ferricorn jwt keygen`

use super::source::{algorithm, check_kid};
use super::{Failure, Outcome, usage};
use crate::auth::keys::SigningKey;
use crate::auth::{Algorithm, Family};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Make a key.
#[derive(Debug, Args)]
pub(super) struct Keygen {
    /// HS256, HS384, HS512, RS256, ES256, ES384, EdDSA …
    #[arg(long, value_name = "ALG", value_parser = algorithm)]
    alg: Algorithm,
    /// File for the private key or secret, made with mode 0600; "-" prints it, as does leaving this out where the
    /// output is no terminal
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// File for the public key in PEM
    #[arg(long, value_name = "FILE")]
    public_out: Option<PathBuf>,
    /// File for a JWK set that holds the public key, for jwks_file
    #[arg(long, value_name = "FILE")]
    jwks_out: Option<PathBuf>,
    /// Form of the private key
    #[arg(long, value_enum, default_value_t = Format::Pem)]
    format: Format,
    /// Name that tokens select the key by
    #[arg(long, value_name = "KID")]
    kid: Option<String>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// Form of the private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// PEM (PKCS #8); a secret as plain text.
    Pem,
    /// JWK.
    Jwk,
}

/// Where standard output leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// To whoever looks over one's shoulder, too.
    Terminal,
    /// Into a file or another program.
    Piped,
}

impl Keygen {
    pub(super) fn run(&self, output: Output) -> Outcome {
        let out = match (&self.out, output) {
            (Some(out), _) => out.as_path(),
            (None, Output::Piped) => Path::new("-"),
            (None, Output::Terminal) => {
                return Err(usage(
                    "a key is not shown unasked: name a file by --out, or --out - to have it printed",
                ));
            }
        };
        let public_wanted = self.public_out.is_some() || self.jwks_out.is_some();
        if self.alg.family() == Family::Hmac && public_wanted {
            return Err(usage(
                "a secret has no public half: --public-out and --jwks-out need RS, PS, ES or EdDSA",
            ));
        }
        check_kid(self.kid.as_deref())?;
        self.check_places(out)?;
        let key = SigningKey::generate(self.alg).map_err(usage)?;
        let kid = self.kid.as_deref();
        let private = written(&key, self.alg, (self.format, kid))?;
        let mut printed = String::new();
        let mut files = Vec::new();
        if out == Path::new("-") {
            printed = private;
        } else {
            files.push(Written { path: out, text: private, mode: 0o600 });
        }
        if let Some(path) = &self.public_out {
            let text = key.public().to_public_pem().map_err(usage)?;
            files.push(Written { path, text, mode: 0o644 });
        }
        if let Some(path) = &self.jwks_out {
            let jwk = key.public().to_public_jwk(self.alg, kid).map_err(usage)?;
            let set = serde_json::to_string_pretty(&json!({ "keys": [jwk] })).map_err(usage)?;
            files.push(Written { path, text: format!("{set}\n"), mode: 0o644 });
        }
        put_in_place(&files, if self.force { Present::Replaced } else { Present::Kept })?;
        Ok(printed)
    }

    /// All at once, before anything is written: half a pair of keys would be in the way of the next attempt.
    fn check_places(&self, out: &Path) -> Result<(), Failure> {
        let private = Some(out).filter(|out| *out != Path::new("-"));
        let mut seen: Vec<PathBuf> = Vec::new();
        for path in [private, self.public_out.as_deref(), self.jwks_out.as_deref()].into_iter().flatten() {
            let place = place_of(path);
            if seen.contains(&place) {
                return Err(usage(format!(
                    "{} is named twice; each key needs a file of its own",
                    path.display()
                )));
            }
            if !self.force && path.symlink_metadata().is_ok() {
                return Err(usage(format!("{} is there already; --force replaces it", path.display())));
            }
            if path.is_dir() {
                return Err(usage(format!("{} is a directory; name a file in it", path.display())));
            }
            seen.push(place);
        }
        Ok(())
    }
}

/// A private key as it is kept.
pub(super) fn written(
    key: &SigningKey,
    algorithm: Algorithm,
    (format, kid): (Format, Option<&str>),
) -> Result<String, Failure> {
    let text = match format {
        Format::Pem => key.to_private_text().map_err(usage)?,
        Format::Jwk => {
            let jwk = key.to_private_jwk(algorithm, kid).map_err(usage)?;
            serde_json::to_string_pretty(&jwk).map_err(usage)?
        }
    };
    Ok(format!("{}\n", text.trim_end()))
}

/// Whichever way a file is named: its directory as it is, and its name there.
pub(super) fn place_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (parent.canonicalize(), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        (Ok(_) | Err(_), _) => path.to_owned(),
    }
}

/// A file that is to be.
pub(super) struct Written<'a> {
    pub(super) path: &'a Path,
    pub(super) text: String,
    pub(super) mode: u32,
}

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Present {
    Kept,
    Replaced,
}

/// Each file appears complete and with its mode, in this order; where one cannot be written, none does.
pub(super) fn put_in_place(files: &[Written<'_>], present: Present) -> Result<(), Failure> {
    let ready = files.iter().map(Beside::write).collect::<Result<Vec<_>, _>>()?;
    for (number, file) in ready.iter().enumerate() {
        // link(2) fails where a file is, rename(2) would replace one that came meanwhile.
        let placed = match present {
            Present::Replaced => std::fs::rename(&file.temporary, file.path),
            Present::Kept => std::fs::hard_link(&file.temporary, file.path),
        };
        if let Err(error) = placed {
            if present == Present::Kept {
                // They were not there a moment ago.
                ready[..number].iter().for_each(|placed| drop(std::fs::remove_file(placed.path)));
            }
            return Err(cannot_write(file.path, &error));
        }
    }
    Ok(())
}

/// A file that is complete, under a name of its own beside that which it is to have.
struct Beside<'a> {
    path: &'a Path,
    temporary: PathBuf,
}

impl<'a> Beside<'a> {
    fn write(file: &Written<'a>) -> Result<Self, Failure> {
        let mut temporary = file.path.as_os_str().to_owned();
        temporary.push(format!(".{}.new", std::process::id()));
        let beside = Self { path: file.path, temporary: temporary.into() };
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(file.mode)
            .open(&beside.temporary)
            .and_then(|mut opened| opened.write_all(file.text.as_bytes()).and_then(|()| opened.sync_all()))
            .map_err(|error| cannot_write(file.path, &error))?;
        Ok(beside)
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        // After a rename it is gone, and that is as well.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    usage(format!("cannot write {}: {error}", path.display()))
}
