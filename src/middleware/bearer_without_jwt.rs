//! What stands in the place of the token checks in a build without the feature `jwt`.

use crate::config::Auth;
use crate::protocol::{Attempt, Halt, Identity, Response, Scheme, Target};
use http::Method;
use http::header::HeaderMap;
use std::sync::Arc;
use std::time::SystemTime;

/// Nobody: it cannot be made.
#[derive(Debug)]
pub enum Authenticator {}

/// Tokens are asked for, and this build cannot check any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("[auth] needs the feature \"jwt\", which this program was built without")]
pub struct WithoutJwt;

/// What of a request would decide who may pass.
#[derive(Debug, Clone, Copy)]
#[expect(dead_code, reason = "nobody reads it in this build")]
pub struct Asked<'r> {
    /// The method.
    pub method: &'r Method,
    /// The target, as the app gets it.
    pub target: &'r Target,
    /// The fields.
    pub fields: &'r HeaderMap,
    /// The scheme that the client used.
    pub scheme: Scheme,
}

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
    pub fn forward(&self, _: Option<&Identity>, _: &mut HeaderMap) {
        match *self {}
    }
}

/// Why a response refuses a token: none does.
pub fn reason(_: &Response) -> Option<&'static str> {
    None
}
