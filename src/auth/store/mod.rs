//! Sessions: what is remembered of the tokens that the server issues.
//!
//! A *session* begins with a login and has one chain of refresh tokens; its name travels in both tokens as the claim
//! `sid`. No token is kept, only the hash of its `jti`. What ends a session leaves an *event*, which every worker
//! reads within [`feed::INTERVAL`], so that a request with an access token needs no look into the store.
//!
//! Everything here blocks: it is called by the threads of a [`pool::Pool`], which begin after the fork.

pub mod feed;
mod found;
mod ids;
pub mod location;
mod own_users;
pub mod pool;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
pub mod rehash;
pub mod sqlite;
mod version;

#[cfg(test)]
mod contract_tests;
#[cfg(test)]
#[path = "../../../tests/it/support/databases.rs"]
#[expect(dead_code, reason = "the tests of the whole program need more of it")]
pub(in crate::auth) mod databases;
#[cfg(test)]
mod expiry_tests;
#[cfg(test)]
mod operator_tests;

pub use ids::{SessionId, SessionKey, TokenHash, TokenId};
pub(crate) use ids::{sha256, short_hash};
pub use location::StorePlace;
pub use own_users::{UserChange, UserKey, UserRow};

use crate::config::Reuse;
use found::{Found, Judged};
use std::time::Duration;

/// A session as it is kept. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// The user, as tokens name it.
    pub user: String,
    /// When it began.
    pub created: i64,
    /// When it was last refreshed.
    pub used: i64,
    /// When it ends, however often it is refreshed.
    pub ends: i64,
    /// Until when its access tokens may be taken: with the longest leeway, since a reload may bring that.
    pub access_until: i64,
    /// Fingerprint of the password by which it began.
    pub credential: Option<[u8; 16]>,
}

/// A refresh token of a session.
#[derive(Debug, Clone, Copy)]
pub struct RefreshToken {
    /// Its name.
    pub hash: TokenHash,
    /// When it expires.
    pub expires: i64,
}

/// What takes the place of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Successor {
    /// Its `jti`.
    pub id: TokenId,
    /// Its `iat`.
    pub issued: i64,
    /// Its `exp`; never after the session's end.
    pub expires: i64,
}

/// A refresh token is presented.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Which.
    pub token: TokenHash,
    /// Now.
    pub now: i64,
    /// When the access token expires that is issued for it, unless the session ends before.
    pub access_expires: i64,
    /// How long access tokens may be taken after that.
    pub leeway: i64,
    /// What takes its place; `None`: it stays good.
    pub successor: Option<Successor>,
    /// How long a replaced one gets its successor once more.
    pub grace: Duration,
    /// What happens after that.
    pub reuse: Reuse,
    /// The session that begins with a token that is in none; `None`: such a token is unknown.
    pub adopt: Option<(Session, RefreshToken)>,
}

/// What became of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchanged {
    /// The token is good, and has been replaced if that was asked for.
    Good(Session, Option<Successor>),
    /// It was replaced a moment ago, by this one.
    Again(Session, Successor),
    /// It was replaced before: somebody has a copy. By the rule, its session has ended.
    Reused(Session),
    /// It was replaced or revoked, or its session has ended.
    Ended,
    /// It is in no session.
    Unknown,
}

/// What is known of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// It is good.
    Live,
    /// It was replaced or revoked, or its session has ended.
    Ended,
    /// It is in no session.
    Unknown,
}

/// A session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Counts the events.
    pub number: i64,
    /// The session.
    pub session: SessionId,
    /// Until then it matters: access tokens of the session may be taken so long.
    pub until: i64,
}

/// Why a session ended, for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// By its user.
    Logout,
    /// By an operator.
    Operator,
    /// A token that had been replaced came again.
    Reuse,
    /// The user is gone, may not log in any more, or has another password.
    User,
}

/// Failed logins of one account or address.
#[derive(Debug, Clone)]
pub struct Attempts {
    /// Which; a hash.
    pub key: [u8; 16],
    /// Time that one more failure takes up.
    pub step: Duration,
    /// Time that may be taken up before logins are refused.
    pub room: Duration,
}

impl Attempts {
    /// How long to wait, when failures have taken up the time until then.
    pub(crate) fn wait(&self, until_ms: Option<i64>, now_ms: i64) -> Duration {
        let taken = until_ms.unwrap_or(0).saturating_sub(now_ms);
        Duration::from_millis(u64::try_from(taken).unwrap_or(0)).saturating_sub(self.room)
    }

    /// Until when failures have taken up time after one more.
    pub(crate) fn after_failure(&self, until_ms: Option<i64>, now_ms: i64) -> i64 {
        let step = i64::try_from(self.step.as_millis()).unwrap_or(i64::MAX);
        until_ms.unwrap_or(0).max(now_ms).saturating_add(step)
    }
}

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or written at the moment.
    #[error("{0}")]
    Unavailable(String),
    /// Too much is waiting for it.
    #[error("too many requests wait for the store")]
    Busy,
    /// It did not answer in time.
    #[error("the store did not answer in time")]
    TooSlow,
    /// It is none that this program can use.
    #[error("{0}")]
    Unusable(String),
}

/// One connection to a store. A trait, since each engine keeps the same contract (`contract_tests`) in its own way.
pub trait Backend: Send {
    /// What of the store's own settings endangers what is kept in it, for the log.
    fn concerns(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Keeps a session that begins with this refresh token.
    ///
    /// # Errors
    /// [`StoreError`], and nothing has been kept.
    fn begin(&mut self, session: &Session, token: RefreshToken) -> Result<(), StoreError>;

    /// Exchanges a refresh token: of any number at the same time exactly one replaces it.
    ///
    /// # Errors
    /// [`StoreError`]; whether it was replaced is not known. The same exchange, with the same successor, may be asked for once
    /// more: it is done once.
    fn exchange(&mut self, exchange: &Exchange) -> Result<Exchanged, StoreError>;

    /// What is known of a refresh token.
    ///
    /// # Errors
    /// [`StoreError`].
    fn look(&mut self, token: TokenHash, now: i64) -> Result<TokenState, StoreError>;

    /// Ends the session of a refresh token; `adopt` is kept as ended when the token is in none.
    ///
    /// # Errors
    /// [`StoreError`].
    fn end_by_token(
        &mut self,
        token: TokenHash,
        adopt: Option<&(Session, RefreshToken)>,
        now: i64,
    ) -> Result<TokenState, StoreError>;

    /// Ends sessions of a user: the one named, or all. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    fn end(
        &mut self,
        user: &str,
        which: Option<SessionId>,
        reason: (EndReason, i64),
    ) -> Result<usize, StoreError>;

    /// The sessions of a user, or of everybody, that have not ended: a refresh token is good, or access tokens are taken.
    ///
    /// # Errors
    /// [`StoreError`].
    fn sessions(&mut self, user: Option<&str>, now: i64) -> Result<Vec<Session>, StoreError>;

    /// A session that is still kept, whether it goes on or has ended.
    ///
    /// # Errors
    /// [`StoreError`].
    fn session(&mut self, by: SessionKey) -> Result<Option<Session>, StoreError>;

    /// The sessions of a user that began with one fingerprint of a password go on with another: it is the same password.
    ///
    /// # Errors
    /// [`StoreError`].
    fn rehashed(&mut self, user: &str, from: [u8; 16], to: [u8; 16]) -> Result<(), StoreError>;

    /// The events after this one, in their order.
    ///
    /// # Errors
    /// [`StoreError`].
    fn events(&mut self, after: i64, now: i64) -> Result<Vec<Event>, StoreError>;

    /// How long a login has to wait; zero: not at all. Times are Unix milliseconds.
    ///
    /// # Errors
    /// [`StoreError`].
    fn wait(&mut self, attempts: &[Attempts], now_ms: i64) -> Result<Duration, StoreError>;

    /// Notes a failed login.
    ///
    /// # Errors
    /// [`StoreError`].
    fn failed(&mut self, attempts: &[Attempts], now_ms: i64) -> Result<(), StoreError>;

    /// Forgets what has expired, at most [`SWEEP`] of each kind.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Busy`]: there is something to be forgotten, and others write.
    fn sweep(&mut self, now: i64) -> Result<usize, StoreError>;

    /// A user of our own table, by its name or its id.
    ///
    /// # Errors
    /// [`StoreError`].
    fn user(&mut self, by: UserKey<'_>) -> Result<Option<UserRow>, StoreError>;

    /// All users of our own table.
    ///
    /// # Errors
    /// [`StoreError`].
    fn users(&mut self) -> Result<Vec<UserRow>, StoreError>;

    /// Changes a user of our own table; `false`: there is none of that name, or, for a new one, there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    fn change_user(&mut self, name: &str, change: UserChange<'_>, now: i64) -> Result<bool, StoreError>;
}

/// Rows of each kind that one sweep takes away: others wait for the lock meanwhile.
pub const SWEEP: u32 = 500;

impl EndReason {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Operator => "operator",
            Self::Reuse => "reuse",
            Self::User => "user",
        }
    }
}
