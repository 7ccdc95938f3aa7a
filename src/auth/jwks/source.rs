//! Where a key set is fetched from, and by which limits.

use crate::config::{AuthProvider, JwksRules};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One source of keys; all providers and workers of the same description share it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What is fetched.
    pub place: Place,
    /// How often, unless the answer says.
    pub refresh: Duration,
    /// Least time between two fetches because of an unknown key.
    pub min_refetch: Duration,
    /// For one fetch.
    pub timeout: Duration,
    /// How long a set is used after its last successful fetch.
    pub stale_if_error: Duration,
    /// Longest answer.
    pub max_bytes: usize,
    /// Most keys.
    pub max_keys: usize,
    /// Certificate authorities, by an absolute path.
    pub ca_file: Option<PathBuf>,
}

/// What is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// The set.
    Set(String),
    /// The configuration of this issuer, which names the set.
    Issuer(String),
}

impl Source {
    /// The source of a provider; `None` when its keys are at hand. Paths are relative to `directory`.
    pub fn of(provider: &AuthProvider, directory: &Path) -> Option<Self> {
        let place = match (&provider.jwks_url, &provider.issuer) {
            (Some(url), _) => Place::Set(url.clone()),
            (None, Some(issuer)) if provider.discovery => Place::Issuer(issuer.clone()),
            (None, _) => return None,
        };
        let JwksRules { refresh, min_refetch, timeout, stale_if_error, max_bytes, max_keys, ca_file } =
            provider.jwks.clone();
        Some(Self {
            place,
            refresh,
            min_refetch,
            timeout,
            stale_if_error,
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            max_keys: max_keys.into(),
            ca_file: ca_file.map(|file| directory.join(file)),
        })
    }

    /// As bytes: the same for the same source.
    pub fn describe(&self) -> Vec<u8> {
        // Of strings and numbers alone: it cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From [`describe`](Self::describe)'s bytes.
    pub fn read(description: &[u8]) -> Option<Self> {
        serde_json::from_slice(description).ok()
    }

    /// For the log.
    pub fn name(&self) -> &str {
        match &self.place {
            Place::Set(url) => url,
            Place::Issuer(issuer) => issuer,
        }
    }
}
