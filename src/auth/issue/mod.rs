//! Tokens that the server issues itself: who gets them, how they are refreshed, how they end.
//!
//! Nothing here blocks the thread that calls it: the store, the users and the hashes of passwords are asked on threads
//! of their own, through bounded queues, each within a limited time.

mod claims;
mod decoys;
mod hashing;
mod limits;
mod login;
mod open_users;
mod outcome;
mod pen;
pub mod preview;
mod setup;
mod standing;
mod trial;
mod user_states;
mod user_watch;

#[cfg(test)]
mod lost_answer_tests;
#[cfg(test)]
mod tests;

pub use outcome::{Bearer, Issued, Pair, Refusal};
pub use setup::IssueError;

use super::revocations::Revocations;
use super::store::pool::Pool;
use super::store::{
    Backend, EndReason, Exchange, Exchanged, RefreshToken, Session, SessionId, StoreError, Successor,
    TokenHash, TokenId, TokenState,
};
use super::users::{Lookup, User, Users};
use super::{Provider, Reason, Verified, unix_seconds, verify};
use crate::config::{LEEWAY_MAX, Reuse};
use arc_swap::ArcSwap;
use claims::{Names, Presented, carried};
use hashing::Hashing;
use limits::Limits;
use login::{Credentials, Rehash, Unsaid};
use outcome::not_alive;
use serde_json::{Map, Value};
use standing::TypeRule;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use user_watch::UserWatch;

/// Issues tokens in one worker.
#[derive(Debug)]
pub struct Issuer {
    judges: ArcSwap<Judges>,
    /// The provider's name.
    provider: String,
    names: Names,
    rules: Rules,
    store: Arc<Pool<Box<dyn Backend>>>,
    users: Arc<Users>,
    /// Whether those who come with tokens may still come in; `None`: it is not asked.
    watch: Option<Arc<UserWatch>>,
    hashing: Hashing,
    rehash: Rehash,
    limits: Limits,
    revocations: Arc<Revocations>,
}

/// The provider, as it takes tokens of each kind. All have the same keys.
#[derive(Debug)]
struct Judges {
    /// Takes refresh tokens.
    refresh: Provider,
    /// Takes access tokens.
    access: Provider,
    /// Takes both.
    any: Provider,
}

/// What is needed of the configuration.
#[derive(Debug)]
struct Rules {
    access: i64,
    refresh: i64,
    session_max: i64,
    rotates: bool,
    reuse: Reuse,
    grace: Duration,
    revokes_access: bool,
    adopts: bool,
    max_token_bytes: usize,
    types: TypeRule,
}

impl Issuer {
    /// A pair of tokens for a name and a password, sent from this address.
    ///
    /// # Errors
    /// [`Refusal`]; unknown users, wrong passwords and users that may not log in are one, and take equally long.
    pub async fn obtain(
        &self,
        name: String,
        password: String,
        from: Option<IpAddr>,
    ) -> Result<Pair, Refusal> {
        let attempts = self.limits.attempts(&name, from);
        self.limits.check(&self.store, &attempts).await?;
        match self.log_in(Credentials { name, password, from }, &attempts).await? {
            Some(user) => self.begin(&user).await,
            None => {
                self.limits.note_failure(&self.store, attempts).await?;
                Err(Refusal::NoAccount)
            }
        }
    }

    /// A new access token for a refresh token, and a new refresh token where they rotate.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn refresh(&self, token: &str) -> Result<Pair, Refusal> {
        let now = SystemTime::now();
        let presented = self.presented(token, now)?;
        let pen = self.pen(now)?;
        let now = whole_seconds(now);
        let Some(user) = self.user_of(&presented, now).await? else {
            return Err(Refusal::NoAccountForToken);
        };
        let successor = if self.rules.rotates {
            Some(Successor { id: TokenId::random()?, issued: now, expires: now + self.rules.refresh })
        } else {
            None
        };
        let exchange = Exchange {
            token: presented.hash,
            now,
            access_expires: now + self.rules.access,
            leeway: LONGEST_LEEWAY,
            successor,
            grace: self.rules.grace,
            reuse: self.rules.reuse,
            adopt: self.adoption(&presented, &user, now).await?,
        };
        let (session, successor) = match self.exchange(exchange).await? {
            Exchanged::Good(session, successor) => (session, successor),
            Exchanged::Again(session, successor) => (session, Some(successor)),
            Exchanged::Reused(session) => {
                self.say_reused(&session);
                return Err(Refusal::Blacklisted);
            }
            Exchanged::Ended | Exchanged::Unknown => return Err(Refusal::Blacklisted),
        };
        if session.user != presented.user {
            return Err(Refusal::Blacklisted);
        }
        let is_replaced_for_good = successor.is_some() && self.rules.grace.is_zero();
        let unsaid = if is_replaced_for_good { Unsaid::Passes } else { Unsaid::Fails };
        if !self.is_same_password(&session, &user, unsaid).await? {
            self.end(user.id, Some(session.id), EndReason::User, now).await?;
            return Err(Refusal::PasswordChanged);
        }
        let more = carried(presented.more, &user);
        self.pair(&pen, &session, (now, &more), successor)
    }

    /// Where the answer of the store is lost, nobody knows whether it was done: then it is asked for once more, while the
    /// client can still be answered in time.
    async fn exchange(&self, exchange: Exchange) -> Result<Exchanged, StoreError> {
        let (again, begun) = (exchange.clone(), Instant::now());
        let outcome = self.store.run(move |store| store.exchange(&exchange)).await;
        let left = setup::LIMIT.saturating_sub(begun.elapsed());
        if !matches!(outcome, Err(StoreError::Unavailable(_))) || left.is_zero() {
            return outcome;
        }
        let repeated = self.store.run(move |store| store.exchange(&again));
        tokio::time::timeout(left, repeated).await.unwrap_or(Err(StoreError::TooSlow))
    }

    /// Judges a token of either kind.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn verify(&self, token: &str) -> Result<(), Refusal> {
        let now = SystemTime::now();
        let verified = self.judge(token, &self.judges.load().any, now)?;
        self.revocations.judge(&verified.claims).map_err(not_alive)?;
        if verified.claims.get("token_type").and_then(Value::as_str) != Some("refresh") {
            return Ok(());
        }
        // Whom it names is not asked here, so it is not read as one that is presented.
        let sid = verified.claims.contains_key("sid");
        let jti = verified.claims.get("jti").and_then(Value::as_str);
        let jti = jti.ok_or(Refusal::Token(Reason::NoId))?.to_owned();
        let (hash, now) = (TokenHash::of(&jti), whole_seconds(now));
        match self.store.run(move |store| store.look(hash, now)).await? {
            TokenState::Live => Ok(()),
            TokenState::Unknown if !sid && !self.users.is_blacklisted(jti).await? => Ok(()),
            TokenState::Ended | TokenState::Unknown => Err(Refusal::Blacklisted),
        }
    }

    /// Ends the session of a refresh token.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn log_out(&self, token: &str) -> Result<(), Refusal> {
        let now = SystemTime::now();
        let presented = self.presented(token, now)?;
        let now = whole_seconds(now);
        // One that simplejwt has made is kept as ended, so that it never begins a session.
        let adopt = match presented.session {
            None if self.users.is_blacklisted(presented.jti.clone()).await? => {
                return Err(Refusal::Blacklisted);
            }
            None => Some(self.legacy_session(&presented, None, now)?),
            Some(_) => None,
        };
        let (hash, session) = (presented.hash, presented.session);
        match self.store.run(move |store| store.end_by_token(hash, adopt.as_ref(), now)).await? {
            TokenState::Live => {
                self.forget(session, now);
                Ok(())
            }
            TokenState::Ended | TokenState::Unknown => Err(Refusal::Blacklisted),
        }
    }

    /// Who shows this access token.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn bearer(&self, token: &str) -> Result<Bearer, Refusal> {
        let verified = self.judge(token, &self.judges.load().access, SystemTime::now())?;
        self.revocations.judge(&verified.claims).map_err(not_alive)?;
        let session = verified.claims.get("sid").and_then(Value::as_str).and_then(SessionId::parse);
        let user = verified.subject.ok_or(Refusal::Token(Reason::Subject))?;
        Ok(Bearer { user, session })
    }

    /// The session of this refresh token, where it is this user's.
    pub fn session_of(&self, token: &str, user: &str) -> Option<SessionId> {
        let presented = self.presented(token, SystemTime::now()).ok()?;
        presented.session.filter(|_| presented.user == user)
    }

    /// The sessions of a user that have not ended.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn sessions(&self, user: String) -> Result<Vec<Session>, Refusal> {
        let now = whole_seconds(SystemTime::now());
        Ok(self.store.run(move |store| store.sessions(Some(&user), now)).await?)
    }

    /// Ends one session of a user, or all. Returns how many.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn end_sessions(&self, user: String, which: Option<SessionId>) -> Result<usize, Refusal> {
        self.end(user, which, EndReason::Logout, whole_seconds(SystemTime::now())).await
    }

    /// The public keys that prove our tokens (RFC 7517 5).
    pub fn public_jwks(&self) -> Vec<Map<String, Value>> {
        self.judges.load().refresh.public_jwks(unix_seconds(SystemTime::now()))
    }

    async fn begin(&self, user: &User) -> Result<Pair, Refusal> {
        let now = SystemTime::now();
        let pen = self.pen(now)?;
        let now = whole_seconds(now);
        let session = self.new_session(user.id.clone(), Some(user.credential()), now)?;
        let expires = (now + self.rules.refresh).min(session.ends);
        let first = Successor { id: TokenId::random()?, issued: now, expires };
        let kept = (session.clone(), RefreshToken { hash: first.id.hash(), expires: first.expires });
        self.store.run(move |store| store.begin(&kept.0, kept.1)).await?;
        self.pair(&pen, &session, (now, &user.extra), Some(first))
    }

    fn judge(&self, token: &str, provider: &Provider, now: SystemTime) -> Result<Verified, Refusal> {
        verify(token, self.rules.max_token_bytes, &[provider], unix_seconds(now))
            .map_err(|refusal| Refusal::Token(refusal.reason))
    }

    fn presented(&self, token: &str, now: SystemTime) -> Result<Presented, Refusal> {
        let verified = self.judge(token, &self.judges.load().refresh, now)?;
        self.names.read(verified).ok_or(Refusal::Token(Reason::NoId))
    }

    /// The user of a token, if it may still log in; else its session is ended.
    async fn user_of(&self, presented: &Presented, now: i64) -> Result<Option<User>, Refusal> {
        let user = self.users.find(Lookup::Id(presented.user.clone())).await?.filter(|user| user.active);
        if user.is_none() {
            self.end(presented.user.clone(), None, EndReason::User, now).await?;
        }
        Ok(user)
    }

    /// The session that a token of simplejwt begins, if it may begin one.
    async fn adoption(
        &self,
        presented: &Presented,
        user: &User,
        now: i64,
    ) -> Result<Option<(Session, RefreshToken)>, Refusal> {
        if presented.session.is_some() || !self.rules.adopts {
            return Ok(None);
        }
        if self.users.is_blacklisted(presented.jti.clone()).await? {
            return Err(Refusal::Blacklisted);
        }
        Ok(Some(self.legacy_session(presented, Some(user.credential()), now)?))
    }

    fn legacy_session(
        &self,
        presented: &Presented,
        credential: Option<[u8; 16]>,
        now: i64,
    ) -> Result<(Session, RefreshToken), Refusal> {
        let session = self.new_session(presented.user.clone(), credential, now)?;
        Ok((session, RefreshToken { hash: presented.hash, expires: presented.expires }))
    }

    fn new_session(&self, user: String, credential: Option<[u8; 16]>, now: i64) -> Result<Session, Refusal> {
        let ends = now + self.rules.session_max;
        Ok(Session {
            id: SessionId::random()?,
            user,
            created: now,
            used: now,
            ends,
            access_until: (now + self.rules.access).min(ends) + LONGEST_LEEWAY,
            credential,
        })
    }

    async fn end(
        &self,
        user: String,
        which: Option<SessionId>,
        reason: EndReason,
        now: i64,
    ) -> Result<usize, Refusal> {
        let ended = self.store.run(move |store| store.end(&user, which, (reason, now))).await?;
        self.forget(which, now);
        Ok(ended)
    }

    /// Here at once what the other workers hear by the feed.
    fn forget(&self, session: Option<SessionId>, now: i64) {
        if let Some(session) = session {
            self.revocations.add(session.0, now + self.rules.access + LONGEST_LEEWAY);
        }
    }

    fn say_reused(&self, session: &Session) {
        if self.rules.reuse == Reuse::RevokeFamily {
            self.forget(Some(session.id), whole_seconds(SystemTime::now()));
            tracing::warn!(
                user = session.user,
                session = %session.id,
                "a refresh token that had been replaced came again: its session has been ended"
            );
        } else {
            tracing::warn!(user = session.user, session = %session.id, "a refresh token that had been replaced came again");
        }
    }
}

/// Until then after their end access tokens may be taken, whatever the leeway is after the next reload: so long their session can be ended, and
/// its end is known.
#[expect(clippy::cast_possible_wrap, reason = "it is a few minutes")]
const LONGEST_LEEWAY: i64 = LEEWAY_MAX.as_secs() as i64;

fn whole_seconds(time: SystemTime) -> i64 {
    // Seconds since 1970 fit for longer than there are clocks.
    #[expect(clippy::cast_possible_truncation, reason = "see above")]
    let seconds = unix_seconds(time) as i64;
    seconds
}
