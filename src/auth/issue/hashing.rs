//! Password hashes: a tenth of a second of work and more each, on a few threads of their own.

use super::decoys::Decoys;
use crate::auth::store::StoreError;
use crate::auth::store::pool::{Bounds, Pool};
use crate::auth::users::password::{HashMemory, HashProblem, Norm, PasswordHash};
use crate::sys::long_turns;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The threads, and who waits for them.
#[derive(Debug)]
pub(super) struct Hashing {
    threads: Semaphore,
    waiting: AtomicU32,
    queue: u32,
    pool: Arc<Pool<()>>,
    spare: Arc<Spare>,
    /// What is computed for users that are not there.
    decoys: Arc<Decoys>,
    /// What each hash has cost.
    #[cfg(test)]
    pub(super) computed: Mutex<Vec<String>>,
}

impl Hashing {
    pub(super) fn new(threads: u16, queue: u32, decoys: Decoys) -> io::Result<Self> {
        let threads = usize::from(threads);
        let bounds = Bounds { threads, queue: threads, limit: LIMIT };
        Ok(Self {
            threads: Semaphore::new(threads),
            waiting: AtomicU32::new(0),
            queue,
            pool: Arc::new(Pool::new("ferricorn-hash", bounds, &(Arc::new(begin) as _))?),
            spare: Arc::default(),
            decoys: Arc::new(decoys),
            #[cfg(test)]
            computed: Mutex::default(),
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

    /// Whether this is the password of the user that has stored it; without a user of this name as much is computed, in
    /// vain.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be computed.
    pub(super) async fn check(
        &self,
        _place: &SemaphorePermit<'_>,
        stored: Option<&str>,
        (name, password): (&str, String),
    ) -> Result<bool, StoreError> {
        let (hash, known) = match stored.map(PasswordHash::parse) {
            Some(Ok(hash)) => {
                self.decoys.saw(&hash);
                (hash, true)
            }
            Some(Err(problem)) => {
                if problem != HashProblem::Unusable {
                    tracing::warn!("a user cannot log in: {problem}");
                }
                (self.decoys.of(name), false)
            }
            None => (self.decoys.of(name), false),
        };
        #[cfg(test)]
        self.computed.lock().unwrap_or_else(PoisonError::into_inner).push(hash.cost());
        let verified = self.compute(move |memory| hash.verify(password.as_bytes(), memory)).await?;
        Ok(verified && known)
    }

    /// The password hashed anew, where its hash costs less than the norm.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be computed.
    pub(super) async fn strengthen(
        &self,
        _place: &SemaphorePermit<'_>,
        stored: &str,
        (norm, password): (Norm, String),
    ) -> Result<Option<String>, StoreError> {
        let Ok(hash) = PasswordHash::parse(stored) else { return Ok(None) };
        self.compute(move |memory| hash.strengthened(norm, password.as_bytes(), memory)).await
    }

    /// On a thread, in memory that the last one has left.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.spare.begin_watch() {
            tokio::spawn(Spare::let_go(Arc::clone(&self.spare), Arc::clone(&self.pool)));
        }
        let spare = Arc::clone(&self.spare);
        let in_spare = move |(): &mut ()| {
            let mut memory = spare.take();
            let outcome = work(&mut memory);
            spare.put(memory);
            Ok(outcome)
        };
        self.pool.run(in_spare).await
    }

    pub(super) fn decoys(&self) -> &Arc<Decoys> {
        &self.decoys
    }
}

/// What each thread does first.
#[expect(clippy::unnecessary_wraps, reason = "a pool's threads may fail to begin")]
fn begin() -> Result<(), StoreError> {
    // Where the kernel knows no such thing, others wait a little longer for their turn.
    let _ = long_turns::take();
    Ok(())
}

/// Memory of hashes that are done, for those that come soon.
#[derive(Debug, Default)]
struct Spare(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    memories: Vec<HashMemory>,
    /// Since somebody looked.
    used: bool,
    /// Whether somebody looks.
    watched: bool,
}

impl Spare {
    fn take(&self) -> HashMemory {
        let mut held = self.held();
        held.used = true;
        held.memories.pop().unwrap_or_default()
    }

    /// Keeps it, unless the hash has taken so long that nobody looks any more.
    fn put(&self, memory: HashMemory) {
        let mut held = self.held();
        if held.watched {
            held.used = true;
            held.memories.push(memory);
        }
    }

    /// Whether somebody has to look when it is needed no more.
    fn begin_watch(&self) -> bool {
        !std::mem::replace(&mut self.held().watched, true)
    }

    /// All there is, when nothing was needed since the last look.
    fn end_watch(&self) -> Option<Vec<HashMemory>> {
        let mut held = self.held();
        held.watched = std::mem::take(&mut held.used);
        (!held.watched).then(|| std::mem::take(&mut held.memories))
    }

    /// Gives it back once no hash has been computed for a while. A thread of the pool does it: it may be much.
    async fn let_go(self: Arc<Self>, pool: Arc<Pool<()>>) {
        let memories = loop {
            tokio::time::sleep(IDLE).await;
            if let Some(memories) = self.end_watch() {
                break memories;
            }
        };
        let drop_all = move |(): &mut ()| {
            drop(memories);
            Ok(())
        };
        let _dropped_anyway = pool.run(drop_all).await;
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Without a hash for so long, their memory is given back.
const IDLE: Duration = Duration::from_secs(1);

/// For waiting, and for one hash: clients have mostly gone by then.
const LIMIT: Duration = Duration::from_secs(15);

#[cfg(test)]
#[path = "hashing_tests.rs"]
mod tests;
