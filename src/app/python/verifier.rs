//! `ferricorn.jwt.Verifier`: tokens judged as the server judges them, for processes that no server stands in front of.

use super::identity;
use crate::auth::{Provider, Reason, Words, system_time, unix_seconds, verify};
use crate::config::{Auth, AuthProvider, KeySource, Reloader};
use crate::protocol::Identity;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

pyo3::create_exception!(
    ferricorn,
    InvalidToken,
    PyValueError,
    "A token that is refused: a reason in a word for logs, and what its sender may be told."
);

/// Judges tokens by the providers of a configuration file.
#[pyclass(frozen, name = "Verifier", module = "ferricorn")]
pub(super) struct Verifier {
    providers: Vec<Provider>,
    longest: usize,
    /// Authorization schemes that carry a token.
    #[pyo3(get)]
    schemes: Vec<String>,
    /// Whether senders are told what was wrong.
    #[pyo3(get)]
    detail: bool,
    words: Words,
}

#[pymethods]
impl Verifier {
    /// Reads `[auth]` of a configuration file, and its keys.
    #[new]
    #[pyo3(signature = (config, /))]
    fn new(config: PathBuf) -> PyResult<Self> {
        let wrong = |problem: String| PyValueError::new_err(problem);
        let file = std::path::absolute(config)?;
        if let Err(error) = std::fs::read(&file) {
            return Err(wrong(format!(
                "{}: cannot be read: {error}; FERRICORN_CONFIG, or the setting of your framework, names the file whose [auth] verifies \
                 tokens where the server does not",
                file.display()
            )));
        }
        let directory = file.parent().unwrap_or(Path::new("/")).to_owned();
        let loaded = Reloader::for_file(Some(file.clone()), BTreeMap::new(), directory.clone()).load();
        let loaded = loaded.map_err(|errors| wrong(errors.to_string()))?;
        let auth =
            loaded.config.auth.ok_or_else(|| wrong(format!("{}: there is no [auth]", file.display())))?;
        let mut warnings = Vec::new();
        let mut providers = Vec::with_capacity(auth.providers.len());
        for provider in &auth.providers {
            let provider = &beside(provider.clone(), &directory);
            providers.push(Provider::new(provider, &mut warnings).map_err(|errors| {
                wrong(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            })?);
        }
        let longest = usize::try_from(auth.max_token_bytes).unwrap_or(usize::MAX);
        let (words, detail) = (Words::new(&auth), auth.detail);
        Ok(Self { providers, longest, schemes: auth.extract.authorization, detail, words })
    }

    /// How the server refuses for the reason of this code: status, content as JSON, challenge.
    #[pyo3(signature = (reason, /))]
    fn refusal(&self, reason: &str) -> (u16, String, Option<String>) {
        said(&self.words, reason)
    }

    /// What a good token says, as `environ["ferricorn.jwt"]` has it.
    #[pyo3(signature = (token, /))]
    fn verify<'py>(&self, py: Python<'py>, token: &str) -> PyResult<Bound<'py, PyDict>> {
        let providers: Vec<&Provider> = self.providers.iter().collect();
        let now = unix_seconds(SystemTime::now());
        let verified = py.detach(|| verify(token, self.longest, &providers, now)).map_err(|refusal| {
            InvalidToken::new_err((refusal.reason.code(), refusal.reason.description()))
        })?;
        let identity = Identity {
            claims_json: verified.claims_json,
            claims: verified.claims,
            header_json: verified.header_json,
            provider: Arc::clone(&self.providers[verified.provider].name),
            kid: verified.kid,
            key: verified.key,
            subject: verified.subject,
            remote_user: None,
            expires: system_time(verified.expires),
            stream_end: None,
            beside: Vec::new(),
        };
        identity::token(py, &identity)
    }
}

/// The same where its configuration is not at hand, in the words of simplejwt.
///
/// # Errors
/// A `ValueError` for a realm that cannot be quoted.
#[pyfunction]
#[pyo3(signature = (reason, realm, /))]
pub(super) fn refusal(reason: &str, realm: String) -> PyResult<(u16, String, Option<String>)> {
    let auth = Auth { realm, ..Auth::default() };
    if !auth.has_quotable_realm() {
        return Err(PyValueError::new_err("a realm is printable ASCII without quotes and backslashes"));
    }
    Ok(said(&Words::new(&auth), reason))
}

fn said(words: &Words, reason: &str) -> (u16, String, Option<String>) {
    // What others have thought of is told as what is not told at all.
    let reason = Reason::from_code(reason).unwrap_or(Reason::Signature);
    (words.status(reason).as_u16(), words.body(reason), words.challenge(reason, &[]))
}

/// The provider with its files beside the configuration: unlike a worker, this process may be anywhere.
fn beside(mut provider: AuthProvider, directory: &Path) -> AuthProvider {
    provider.jwks_file = provider.jwks_file.map(|path| directory.join(path));
    for key in &mut provider.keys {
        match &mut key.source {
            KeySource::SecretFile(path)
            | KeySource::SecretBase64File(path)
            | KeySource::PemFile(path)
            | KeySource::JwkFile(path) => *path = directory.join(&*path),
            KeySource::Secret(_)
            | KeySource::Pem(_)
            | KeySource::Jwk(_)
            | KeySource::SecretEnv(_)
            | KeySource::PemEnv(_) => {}
        }
    }
    provider
}
