//! What stands in the place of the token checks in a build without the feature `jwt`.

use super::stream_end::End;
use crate::config::Auth;
use crate::contract::key_table::KeyTable;
use crate::contract::metrics::Metrics;
use crate::protocol::{Attempt, Halt, Identity, Response, Target};
use http::header::HeaderMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use super::asked::Asked;

/// Nobody: it cannot be made.
#[derive(Debug)]
pub enum Authenticator {}

/// Tokens are asked for, and this build cannot check any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("[auth] needs the feature \"jwt\", which this program was built without")]
pub struct WithoutJwt;

/// What came of a look for other keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// There are none.
    Same,
    /// They are in use; what has changed.
    Changed(String),
    /// They cannot be used, for this reason; the old ones are still in use.
    Kept(String),
}

/// Never called.
pub fn say(_: Renewal) {}

/// Between two looks that nobody takes.
pub const LOOK: Duration = Duration::from_secs(3600);

impl Authenticator {
    /// Refuses: what asks for tokens must not be served without their check.
    ///
    /// # Errors
    /// Always.
    pub fn new(_: &Auth) -> Result<Self, Vec<WithoutJwt>> {
        Err(vec![WithoutJwt])
    }

    /// Never called.
    pub fn warnings(&self) -> &[String] {
        match *self {}
    }

    /// Never called.
    pub fn strip(&self, _: &mut HeaderMap) {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn authenticate(
        &self,
        _: Asked<'_>,
        _: SystemTime,
        _: Attempt,
    ) -> Result<Option<Arc<Identity>>, Halt> {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn fetching(self, _: KeyTable, _: &Path, _: Box<dyn Fn() + Send + Sync>) -> Result<Self, WithoutJwt> {
        match self {}
    }

    /// Never called.
    #[must_use]
    pub fn counting(self, _: &Metrics) -> Self {
        match self {}
    }

    /// Never called.
    pub fn needs_sets(&self) -> bool {
        match *self {}
    }

    /// Never called.
    pub fn look(&self) -> Renewal {
        match *self {}
    }

    /// Never called.
    pub fn take_sets(&self) -> Renewal {
        match *self {}
    }

    /// Never called.
    pub fn read_files(&self) -> Renewal {
        match *self {}
    }

    /// Never called.
    pub fn permit(&self, _: &HeaderMap) -> Option<Permit> {
        match *self {}
    }

    /// Never called.
    pub fn without_tokens(&self, _: &Target) -> Option<Target> {
        match *self {}
    }

    /// Never called.
    pub fn referer_without_tokens(&self, _: &[u8]) -> Option<Vec<u8>> {
        match *self {}
    }

    /// Never called.
    pub fn stream_end(&self, _: &Arc<Identity>) -> Option<End> {
        match *self {}
    }

    /// Never called.
    pub fn forward(&self, _: Option<&Identity>, _: &mut HeaderMap) {
        match *self {}
    }
}

/// How a page may read an answer: nobody asks.
#[derive(Debug)]
pub enum Permit {}

impl Permit {
    /// Never called.
    pub fn add_to(&self, _: &mut HeaderMap) {
        match *self {}
    }
}

/// Why a response refuses a token: none does.
pub fn reason(_: &Response) -> Option<&'static str> {
    None
}
