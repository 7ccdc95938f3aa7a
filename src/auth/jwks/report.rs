//! What is known of the key sets that are fetched, for whoever looks after the server.

use super::client::FetchError;
use std::time::Duration;

/// How it stands with one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its address, or the issuer that names it.
    pub source: String,
    /// Keys of the set in use that can prove tokens; 0: there is none in use.
    pub keys: usize,
    /// Time since that set was fetched, by whichever process; `None`: there was none.
    pub age: Option<Duration>,
    /// Fetches that brought a good set.
    pub fetched: u64,
    /// Fetches that did not.
    pub failed: u64,
    /// Why the last fetch failed; `None` when it did not.
    pub error: Option<String>,
}

/// The same as it is noted down.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    keys: usize,
    fetched_ms: Option<u64>,
    fetched: u64,
    failed: u64,
    error: Option<String>,
}

impl Notes {
    /// Of a set that a process before this one has fetched.
    pub(super) fn resumed(keys: usize, fetched_ms: u64) -> Self {
        Self { keys, fetched_ms: Some(fetched_ms), ..Self::default() }
    }

    pub(super) fn succeeded(&mut self, now: u64, keys: usize) {
        (self.keys, self.fetched_ms, self.error) = (keys, Some(now), None);
        self.fetched += 1;
    }

    pub(super) fn failed(&mut self, error: &FetchError) {
        self.failed += 1;
        self.error = Some(error.to_string());
    }

    /// The set is not used any more.
    pub(super) fn put_away(&mut self) {
        self.keys = 0;
    }

    pub(super) fn report(&self, source: &str, now: u64) -> Report {
        let Self { keys, fetched, failed, error, .. } = self.clone();
        let age = self.fetched_ms.map(|fetched| Duration::from_millis(now.saturating_sub(fetched)));
        Report { source: source.to_owned(), keys, age, fetched, failed, error }
    }
}
