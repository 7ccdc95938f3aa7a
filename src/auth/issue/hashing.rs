//! Password hashes: a tenth of a second of work and more each, on a few threads of their own.

use crate::auth::store::StoreError;
use crate::auth::store::pool::{Bounds, Pool};
use crate::auth::users::password::{HashProblem, PasswordHash};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The threads, and who waits for them.
#[derive(Debug)]
pub(super) struct Hashing {
    threads: Semaphore,
    waiting: AtomicU32,
    queue: u32,
    pool: Pool<()>,
    /// What is computed for users that are not there: as costly as for the one who was here last.
    decoy: RwLock<PasswordHash>,
    /// What each hash has cost.
    #[cfg(test)]
    computed: std::sync::Mutex<Vec<String>>,
}

impl Hashing {
    pub(super) fn new(threads: u16, queue: u32, decoy: PasswordHash) -> io::Result<Self> {
        let threads = usize::from(threads);
        let bounds = Bounds { threads, queue: threads, limit: LIMIT };
        Ok(Self {
            threads: Semaphore::new(threads),
            waiting: AtomicU32::new(0),
            queue,
            pool: Pool::new("ferricorn-hash", bounds, &(Arc::new(|| Ok(())) as _))?,
            decoy: RwLock::new(decoy),
            #[cfg(test)]
            computed: std::sync::Mutex::default(),
        })
    }

    /// Waits for a thread.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when too many wait, [`StoreError::TooSlow`] when it took too long.
    pub(super) async fn enter(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        if let Ok(place) = self.threads.try_acquire() {
            return Ok(place);
        }
        let _waiting = Waiting::enter(&self.waiting, self.queue)?;
        match tokio::time::timeout(LIMIT, self.threads.acquire()).await {
            Ok(place) => place.map_err(|_| StoreError::Busy),
            Err(_) => Err(StoreError::TooSlow),
        }
    }

    /// Whether this is the password of the user that has stored it; without a user as much is computed, in vain.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be computed.
    pub(super) async fn check(
        &self,
        _place: &SemaphorePermit<'_>,
        stored: Option<&str>,
        password: String,
    ) -> Result<bool, StoreError> {
        let (hash, known) = match stored.map(PasswordHash::parse) {
            Some(Ok(hash)) => {
                *self.decoy.write().unwrap_or_else(PoisonError::into_inner) = hash.decoy();
                (hash, true)
            }
            Some(Err(problem)) => {
                if problem != HashProblem::Unusable {
                    tracing::warn!("a user cannot log in: {problem}");
                }
                (self.decoy(), false)
            }
            None => (self.decoy(), false),
        };
        #[cfg(test)]
        self.computed.lock().unwrap_or_else(PoisonError::into_inner).push(hash.cost());
        let verified = self.pool.run(move |()| Ok(hash.verify(password.as_bytes()))).await?;
        Ok(verified && known)
    }

    fn decoy(&self) -> PasswordHash {
        self.decoy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One who waits, counted until it is dropped.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicU32, limit: u32) -> Result<Self, StoreError> {
        if waiting.fetch_add(1, Ordering::Relaxed) >= limit {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(StoreError::Busy);
        }
        Ok(Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// For waiting, and for one hash: clients have mostly gone by then.
const LIMIT: Duration = Duration::from_secs(15);

#[cfg(test)]
#[path = "hashing_tests.rs"]
mod tests;
