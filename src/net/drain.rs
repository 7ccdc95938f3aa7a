//! The moment from which a worker only finishes what it has begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::sync::Notify;

/// Tells every connection that the worker is leaving, and the worker when the last one has gone.
#[derive(Debug, Default)]
pub struct Drain {
    begun: AtomicBool,
    beginning: Notify,
    open: AtomicU32,
    closed: Notify,
}

impl Drain {
    /// From now on connections end with the answer they are at.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.beginning.notify_waiters();
    }

    /// Whether the worker is leaving.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Waits until the worker is leaving.
    pub async fn wait_begun(&self) {
        let mut notified = std::pin::pin!(self.beginning.notified());
        // Registered before the flag is read, so that no beginning is missed.
        notified.as_mut().enable();
        if !self.has_begun() {
            notified.await;
        }
    }

    /// What an app may know of this.
    pub fn watch(self: &Arc<Self>) -> Draining {
        Draining(Arc::clone(self))
    }

    /// Counts a connection until the guard is dropped.
    pub fn enter(self: &Arc<Self>) -> OpenConnection {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(self))
    }

    /// Connections open now.
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Acquire)
    }

    /// Waits until fewer connections than `limit` are open.
    pub async fn wait_below(&self, limit: u32) {
        while self.open() >= limit {
            let mut notified = std::pin::pin!(self.closed.notified());
            notified.as_mut().enable();
            if self.open() >= limit {
                notified.await;
            }
        }
    }
}

/// Tells an app that its worker is leaving, so that streams and upgraded connections can end in order.
///
/// From then on they have `timeouts.graceful`; what is still open after it is cut off.
#[derive(Debug, Clone)]
pub struct Draining(Arc<Drain>);

impl Draining {
    /// Whether the worker is leaving.
    pub fn has_begun(&self) -> bool {
        self.0.has_begun()
    }

    /// Waits until the worker is leaving.
    pub async fn wait(&self) {
        self.0.wait_begun().await;
    }
}

/// A connection that is open.
#[derive(Debug)]
pub struct OpenConnection(Arc<Drain>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.closed.notify_waiters();
    }
}
