//! What a token itself cannot say: whether its session was revoked, whether its user may still come in.

use super::{Provider, Reason};
use serde_json::{Map, Value};
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// A token whose signature and claims are good.
#[derive(Debug, Clone, Copy)]
pub struct Bearer<'t> {
    /// The provider's name.
    pub provider: &'t str,
    /// The value of the provider's subject claim.
    pub subject: Option<&'t str>,
    /// All claims.
    pub claims: &'t Map<String, Value>,
}

/// What is known of a bearer beyond the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing against it.
    Good,
    /// The token is no longer good: [`Reason::Revoked`], [`Reason::Inactive`], [`Reason::NoUser`] or
    /// [`Reason::PasswordChanged`]; or it is of another kind: [`Reason::TokenType`].
    Refused(Reason),
    /// It is not known here, and can be looked up.
    Unknown,
    /// It cannot be found out: 503.
    Unavailable,
}

/// Sessions and users, as the store of this server has them.
///
/// [`of`](Self::of) is asked at each request, also for tokens that were verified before: it answers from memory.
pub trait Standings: Send + Sync + fmt::Debug {
    /// What is known of this bearer now.
    fn of(&self, bearer: Bearer<'_>) -> Standing;

    /// Looks up one of whom nothing is known. The request waits for it, off the threads that serve connections, and
    /// asks once more; the answer to [`Standing::Unknown`] is then 503.
    fn look_up(&self, bearer: Bearer<'_>) -> LookUp;

    /// Keys have changed: these are the providers from now on.
    fn renewed(&self, _: &[Provider]) {}
}

/// Ends when there is something to know, or when it has taken too long.
pub type LookUp = Pin<Box<dyn Future<Output = ()> + Send>>;
