//! What comes of a request for tokens.

use crate::auth::Reason;
use crate::auth::store::{SessionId, StoreError};
use crate::sys::clock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The access token.
    pub access: Issued,
    /// The refresh token; `None`: the one it has stays good.
    pub refresh: Option<Issued>,
}

/// A token that has been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The token.
    pub token: String,
    /// For how many seconds it is good.
    pub seconds: i64,
}

/// Why a client gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its token is not good.
    Token(Reason),
    /// Its token was replaced or revoked, or its session has ended.
    Blacklisted,
    /// No user that may log in has this name and password.
    NoAccount,
    /// The user of the token is gone, or may not log in any more.
    NoAccountForToken,
    /// The user of the token has another password now.
    PasswordChanged,
    /// There were too many failed attempts; how long to wait.
    TooMany(Duration),
    /// It cannot be done now.
    Unavailable,
}

impl Refusal {
    /// Whether the same token will be refused from now on.
    pub fn is_final(self) -> bool {
        match self {
            // The clock or the keys here may be behind: it is good in a moment.
            Self::Token(Reason::NotYetValid | Reason::UnknownKey | Reason::NoKeys | Reason::NoState) => false,
            Self::Token(_) | Self::Blacklisted | Self::NoAccountForToken | Self::PasswordChanged => true,
            Self::NoAccount | Self::TooMany(_) | Self::Unavailable => false,
        }
    }
}

/// Who asks about its sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The user.
    pub user: String,
    /// The session of the token that it has shown.
    pub session: Option<SessionId>,
}

/// Everything that keeps the store from answering is one to a client.
impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        say(&error, clock::monotonic_ns());
        Self::Unavailable
    }
}

/// Tells the operator, now and then: as many clients as like may ask meanwhile.
fn say(error: &StoreError, now_ns: u64) {
    static QUIET_UNTIL_NS: AtomicU64 = AtomicU64::new(0);
    let quiet = QUIET_UNTIL_NS.load(Ordering::Relaxed);
    let next = now_ns.saturating_add(PAUSE_NS);
    // Of several at once one tells.
    let tells = now_ns >= quiet
        && QUIET_UNTIL_NS.compare_exchange(quiet, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    match error {
        _ if !tells => tracing::debug!("no token is issued: {error}"),
        // Nothing is broken: there is more than can be done.
        StoreError::Busy => {
            tracing::warn!("no token is issued, and the client is told to come again: {error}")
        }
        StoreError::Unavailable(_) | StoreError::TooSlow | StoreError::Unusable(_) => {
            tracing::error!("no token is issued, and the client is told to come again: {error}");
        }
    }
}

/// Between two such lines of a worker.
const PAUSE_NS: u64 = 10_000_000_000;

/// Of a token whose session is looked up.
pub(super) fn not_alive(reason: Reason) -> Refusal {
    if reason == Reason::Revoked { Refusal::Blacklisted } else { Refusal::Unavailable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_may_pass_is_not_final() {
        for (refusal, expected) in [
            (Refusal::Token(Reason::NotYetValid), false),
            (Refusal::Token(Reason::UnknownKey), false),
            (Refusal::Token(Reason::NoKeys), false),
            (Refusal::Token(Reason::NoState), false),
            (Refusal::Unavailable, false),
            (Refusal::TooMany(Duration::ZERO), false),
            (Refusal::Token(Reason::Expired), true),
            (Refusal::Token(Reason::Signature), true),
            (Refusal::Blacklisted, true),
            (Refusal::PasswordChanged, true),
        ] {
            assert_eq!(refusal.is_final(), expected, "{refusal:?}");
        }
    }
}
