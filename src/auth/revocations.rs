//! Sessions that have ended, as every worker knows them: a request needs no look into the store.

use crate::auth::Reason;
use crate::sys::clock;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// The ended sessions of which access tokens may be alive.
#[derive(Debug)]
pub struct Revocations {
    /// By session, until when its access tokens are taken.
    ended: RwLock<HashMap<[u8; 16], i64>>,
    /// When the store was last heard, in nanoseconds of the monotonic clock; 0: never.
    heard_ns: AtomicU64,
    silence: Silence,
}

/// What holds while nothing is heard of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// After so long no token is taken any more.
    ClosesAfter(Duration),
    /// What was known last.
    ChangesNothing,
}

impl Revocations {
    /// Nothing is known yet.
    pub fn new(silence: Silence) -> Self {
        Self { ended: RwLock::new(HashMap::new()), heard_ns: AtomicU64::new(0), silence }
    }

    /// Judges a token that has been verified, by the claim `sid`.
    ///
    /// # Errors
    /// [`Reason::Revoked`], or [`Reason::NoState`] when that cannot be known.
    pub fn judge(&self, claims: &Map<String, Value>) -> Result<(), Reason> {
        // Tokens of no session cannot be revoked.
        let Some(session) = claims.get("sid").and_then(Value::as_str).and_then(parse_hex) else {
            return Ok(());
        };
        if !self.is_heard() {
            return Err(Reason::NoState);
        }
        // A panic while the lock was held cannot take an entry away.
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        if ended.contains_key(&session) { Err(Reason::Revoked) } else { Ok(()) }
    }

    /// A session has ended, of which access tokens are taken until then, in Unix seconds.
    pub fn add(&self, session: [u8; 16], until: i64) {
        let mut ended = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        let known = ended.entry(session).or_insert(until);
        *known = until.max(*known);
    }

    /// The store has been heard, and everything it said has been added. What matters until `over` is forgotten.
    pub fn heard(&self, over: i64) {
        let mut ended = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, until| *until > over);
        drop(ended);
        self.heard_ns.store(clock::monotonic_ns().max(1), Ordering::Relaxed);
    }

    fn is_heard(&self) -> bool {
        let heard_ns = self.heard_ns.load(Ordering::Relaxed);
        match self.silence {
            Silence::ChangesNothing => true,
            Silence::ClosesAfter(limit) => {
                let silent = Duration::from_nanos(clock::monotonic_ns().saturating_sub(heard_ns));
                heard_ns != 0 && silent <= limit
            }
        }
    }
}

/// 32 hexadecimal digits in lower case; `None` for anything else.
pub(crate) fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let text: &[u8; 32] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(sid: &str) -> Map<String, Value> {
        Map::from_iter([("sid".to_owned(), sid.into())])
    }

    #[test]
    fn an_ended_session_is_refused_until_its_last_token_has_expired() {
        let revocations = Revocations::new(Silence::ClosesAfter(Duration::from_secs(60)));
        let sid = "0123456789abcdef0123456789abcdef";
        assert_eq!(revocations.judge(&claims(sid)), Err(Reason::NoState), "nothing was heard yet");
        assert_eq!(revocations.judge(&Map::new()), Ok(()), "it is in no session");
        assert_eq!(revocations.judge(&claims("x")), Ok(()), "that names no session");
        revocations.heard(100);
        assert_eq!(revocations.judge(&claims(sid)), Ok(()));
        revocations.add(parse_hex(sid).unwrap(), 200);
        revocations.add(parse_hex(sid).unwrap(), 150);
        revocations.heard(199);
        assert_eq!(revocations.judge(&claims(sid)), Err(Reason::Revoked));
        revocations.heard(200);
        assert_eq!(revocations.judge(&claims(sid)), Ok(()));
    }

    #[test]
    fn silence_closes_or_changes_nothing() {
        let sid = claims("0123456789abcdef0123456789abcdef");
        let closed = Revocations::new(Silence::ClosesAfter(Duration::ZERO));
        closed.heard(1);
        // The clock has gone on by a nanosecond at the least.
        while clock::monotonic_ns() == closed.heard_ns.load(Ordering::Relaxed) {}
        assert_eq!(closed.judge(&sid), Err(Reason::NoState));
        assert_eq!(Revocations::new(Silence::ChangesNothing).judge(&sid), Ok(()));
    }
}
