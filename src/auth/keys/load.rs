//! From configuration to a provider's keys.

use super::jwk::{Jwk, JwkSetKey, parse_jwk, parse_jwk_set, parse_jwk_set_within};
use super::material::{KeyPair, decode_base64, read_limited};
use super::pem::{parse_pem, with_private};
use super::signing::self_test;
use super::{KeyProblem, KeySet, SigningKey, VerifyingKey};
use crate::auth::{Algorithm, Family, unix_seconds};
use crate::config::{AuthKey, AuthProvider, KeySource, KeyUse};
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// The keys of one provider, and what an operator should know about them.
#[derive(Debug, Default)]
pub struct LoadedKeys {
    /// The keys that can be used.
    pub set: KeySet,
    /// Keys that cannot, each with its place in the configuration.
    pub problems: Vec<(String, KeyProblem)>,
    /// What works but should not be so.
    pub warnings: Vec<String>,
}

/// Reads, checks and tries all keys of a provider.
pub fn load(provider: &AuthProvider, allowed: &[Algorithm]) -> LoadedKeys {
    let mut loaded = LoadedKeys::default();
    for (index, key) in provider.keys.iter().enumerate() {
        let mut place = format!("key {}", index + 1);
        if let Some(kid) = &key.kid {
            let _ = write!(place, " ({kid:?})");
        }
        if let Err(problem) = load_key(key, &place, &mut loaded) {
            loaded.problems.push((place, problem));
        }
    }
    if let Some(path) = &provider.jwks_file {
        let place = format!("jwks_file {}", path.display());
        if let Err(problem) = load_set(path, &place, allowed, &mut loaded) {
            loaded.problems.push((place, problem));
        }
    }
    loaded
}

fn load_key(key: &AuthKey, place: &str, loaded: &mut LoadedKeys) -> Result<(), KeyProblem> {
    let algorithm =
        Algorithm::from_name(&key.alg).ok_or_else(|| KeyProblem::UnknownAlgorithm(key.alg.clone()))?;
    let (pair, kid) = match &key.source {
        KeySource::SecretEnv(name) => (secret(variable(name)?), None),
        KeySource::SecretFile(path) => (secret(without_line_end(read_limited(path)?)), None),
        KeySource::SecretBase64File(path) => (secret(decode_base64(&read_limited(path)?)?), None),
        KeySource::Secret(text) => {
            loaded.warnings.push(format!("{place}: the secret stands in the configuration; secret_file keeps it from whoever may read that"));
            (secret(text.0.clone().into_bytes()), None)
        }
        KeySource::Pem(text) => (parse_pem(text.as_bytes())?, None),
        KeySource::PemFile(path) => (parse_pem(&read_limited(path)?)?, None),
        KeySource::PemEnv(name) => (parse_pem(&variable(name)?)?, None),
        KeySource::Jwk(text) => one_jwk(text.as_bytes(), algorithm)?,
        KeySource::JwkFile(path) => one_jwk(&read_limited(path)?, algorithm)?,
    };
    if matches!(key.source, KeySource::Pem(_) | KeySource::Jwk(_)) && pair.signing.is_some() {
        return Err(KeyProblem::InlinePrivate);
    }
    if key.r#use == KeyUse::SignAndVerify && pair.signing.is_none() {
        return Err(KeyProblem::NoPrivateHalf);
    }
    if pair.signing.is_some() {
        warn_of_readers(&key.source, place, &mut loaded.warnings);
    }
    let kid = key.kid.clone().or(kid);
    let mut verifying = VerifyingKey::new(kid.map(Arc::from), algorithm, &pair.public)?;
    verifying.until = key.until.map(unix_seconds);
    verifying.sign_from = key.sign_from.map(unix_seconds);
    self_test(&verifying, pair.signing.as_ref())?;
    let signing = pair.signing.filter(|_| key.r#use == KeyUse::SignAndVerify);
    verifying.pair = Some(KeyPair { public: pair.public, signing });
    add(verifying, place, loaded);
    Ok(())
}

fn one_jwk(text: &[u8], algorithm: Algorithm) -> Result<(KeyPair, Option<String>), KeyProblem> {
    let jwk = parse_jwk(text)?;
    if jwk.algorithm.is_some_and(|own| own != algorithm) {
        return Err(KeyProblem::Jwk(format!("its \"alg\" is not {algorithm}")));
    }
    Ok((jwk.key, jwk.kid))
}

fn load_set(
    path: &Path,
    place: &str,
    allowed: &[Algorithm],
    loaded: &mut LoadedKeys,
) -> Result<(), KeyProblem> {
    let before = loaded.set.iter().count();
    for key in parse_jwk_set(&read_limited(path)?)? {
        match key {
            JwkSetKey::Usable(jwk) => add_from_set(&jwk, place, allowed, loaded)?,
            JwkSetKey::Skipped(why) => loaded.warnings.push(format!("{place}: {why}")),
            JwkSetKey::Refused(problem) => return Err(problem),
        }
    }
    if loaded.set.iter().count() == before {
        return Err(KeyProblem::Jwk("it holds no key that an allowed algorithm could use".into()));
    }
    Ok(())
}

/// The keys of a set that has been fetched: public ones alone, and of each kind what `allowed` names.
///
/// A key that has no place there, such as a secret, costs itself and not the set: else an identity provider's slip
/// would lock everybody out.
///
/// # Errors
/// When the whole is no set, or a key takes forged signatures.
pub fn load_fetched(text: &[u8], max_keys: usize, allowed: &[Algorithm]) -> Result<KeySet, KeyProblem> {
    let mut loaded = LoadedKeys::default();
    for key in parse_jwk_set_within(text, max_keys)? {
        if let JwkSetKey::Usable(jwk) = key {
            add_from_set(&jwk, "the fetched set", allowed, &mut loaded)?;
        }
    }
    Ok(loaded.set)
}

/// A key without `alg` serves each allowed algorithm of its kind; without a list, an RSA key serves RS256,
/// which is what providers mean (OpenID Connect Core 15.1).
fn add_from_set(
    jwk: &Jwk,
    place: &str,
    allowed: &[Algorithm],
    loaded: &mut LoadedKeys,
) -> Result<(), KeyProblem> {
    let (family, _) = jwk.key.public.family();
    let algorithms: Vec<Algorithm> = match jwk.algorithm {
        Some(own) => vec![own],
        None if allowed.is_empty() && family == Family::Rsa => vec![Algorithm::Rs256],
        None => Algorithm::ALL.into_iter().filter(|one| one.family() == family).collect(),
    };
    for algorithm in algorithms {
        if !allowed.is_empty() && !allowed.contains(&algorithm) {
            continue;
        }
        match VerifyingKey::new(jwk.kid.as_deref().map(Arc::from), algorithm, &jwk.key.public) {
            Ok(verifying) => {
                self_test(&verifying, None)?;
                add(verifying, place, loaded);
            }
            Err(problem) => loaded.warnings.push(format!("{place}: a key is left out: {problem}")),
        }
    }
    Ok(())
}

fn add(key: VerifyingKey, place: &str, loaded: &mut LoadedKeys) {
    let (kid, algorithm) = (key.kid.clone(), key.algorithm);
    if !loaded.set.add(key) {
        let kid = kid.unwrap_or_default();
        loaded.warnings.push(format!(
            "{place}: another key with kid {kid:?} and {algorithm} came first; this one is unused"
        ));
    }
}

fn secret(bytes: Vec<u8>) -> KeyPair {
    with_private(SigningKey::Secret(bytes))
}

fn variable(name: &str) -> Result<Vec<u8>, KeyProblem> {
    use std::os::unix::ffi::OsStringExt;
    std::env::var_os(name).map(OsStringExt::into_vec).ok_or_else(|| KeyProblem::NoVariable(name.to_owned()))
}

/// Editors and `echo` end files with a line end that nobody means.
pub fn without_line_end(mut content: Vec<u8>) -> Vec<u8> {
    if content.last() == Some(&b'\n') {
        content.pop();
        if content.last() == Some(&b'\r') {
            content.pop();
        }
    }
    content
}

fn warn_of_readers(source: &KeySource, place: &str, warnings: &mut Vec<String>) {
    let (KeySource::SecretFile(path)
    | KeySource::SecretBase64File(path)
    | KeySource::PemFile(path)
    | KeySource::JwkFile(path)) = source
    else {
        return;
    };
    if path.metadata().is_ok_and(|metadata| metadata.mode() & 0o007 != 0) {
        let path = path.display();
        warnings
            .push(format!("{place}: every user of this machine may read or change {path}; chmod 0600 it"));
    }
}
