//! Another hash of the same password, while not everybody knows of it.
//!
//! Users and sessions are kept in different places, and one of the two is written first. A refresh that comes between, in
//! any worker, sees a session of another password than the user's, which ends it. So a new hash is announced here before it
//! is written there: until the announcement expires, a session that has one of the two goes on with the other. It lives as
//! long as a session can: one that has begun by the old hash is not looked at before its access token has expired, and
//! nobody may have told the store of the new hash, since a worker has died or a login has been slower.

use super::{Attempts, Backend, StoreError, short_hash};
use std::collections::BTreeSet;
use std::time::Duration;

/// That a password gets another hash. Hashes are named by their fingerprints.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// The user, as tokens name it.
    pub user: String,
    /// The hash that it has.
    pub from: [u8; 16],
    /// The one that it gets.
    pub to: [u8; 16],
}

impl Announcement {
    /// To be done once the password has proven right, and before the new hash is written. It holds for so long.
    ///
    /// Sessions that have missed the change before this one get the hash that the user still has: with two changes between,
    /// nothing would tell that their password is the same.
    ///
    /// # Errors
    /// [`StoreError`]; then the hash should stay as it is.
    pub fn make(&self, store: &mut dyn Backend, (lasts, now_ms): (Duration, i64)) -> Result<(), StoreError> {
        for behind in self.others(store, now_ms)? {
            is_same_password(store, &self.user, (behind, self.from), now_ms)?;
        }
        store.failed(&[Attempts { step: lasts, ..self.mark() }], now_ms)
    }

    /// The hashes by which the user's sessions have begun, but for the two of this change.
    fn others(&self, store: &mut dyn Backend, now_ms: i64) -> Result<BTreeSet<[u8; 16]>, StoreError> {
        let sessions = store.sessions(Some(&self.user), now_ms / 1000)?;
        let hashes = sessions.into_iter().filter_map(|session| session.credential);
        Ok(hashes.filter(|hash| ![self.from, self.to].contains(hash)).collect())
    }

    fn stands(&self, store: &mut dyn Backend, now_ms: i64) -> Result<bool, StoreError> {
        Ok(!store.wait(&[self.mark()], now_ms)?.is_zero())
    }

    /// Kept as failed logins are: under a hash, until its time is over.
    fn mark(&self) -> Attempts {
        let key = short_hash(&[b"rehash", self.user.as_bytes(), &self.from, &self.to]);
        Attempts { key, step: Duration::ZERO, room: Duration::ZERO }
    }
}

/// Whether a session that began by one hash belongs to a user who has another one now.
///
/// # Errors
/// [`StoreError`].
pub fn is_same_password(
    store: &mut dyn Backend,
    user: &str,
    (of_session, of_user): ([u8; 16], [u8; 16]),
    now_ms: i64,
) -> Result<bool, StoreError> {
    if of_session == of_user {
        return Ok(true);
    }
    let announced = |from, to| Announcement { user: user.to_owned(), from, to };
    if announced(of_session, of_user).stands(store, now_ms)? {
        // Whoever has announced it may be dead.
        store.rehashed(user, of_session, of_user)?;
        return Ok(true);
    }
    // The user was looked up before the hash was written, and the session after it was moved.
    announced(of_user, of_session).stands(store, now_ms)
}

#[cfg(test)]
#[path = "rehash_tests.rs"]
pub(super) mod tests;
