//! Requests that are told to end, within the process that has them.
//!
//! A request is told by its name and not by its cell: a cell that has got another request meanwhile keeps it.

use crate::contract::cell_bits::CellBits;
use crate::contract::inflight::CELLS;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::oneshot;

/// For each cell, who is to be told that its request shall end, and who wants to know that it has ended.
pub(super) struct Cancellations {
    watches: [Mutex<Watch>; CELLS],
    /// A bit for each cell whose watch holds anything.
    used: CellBits,
}

struct Watch {
    /// The request that shall end.
    wanted: Option<u64>,
    /// Whoever serves the request of this cell.
    waker: Option<Waker>,
    /// Dropped when the request has ended.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Cancellations {
    pub(super) fn new() -> Self {
        Self { watches: [const { Mutex::new(Watch::new()) }; CELLS], used: CellBits::default() }
    }

    /// Tells the request of this name in this cell to end. What is given resolves when it has.
    pub(super) fn request(&self, index: usize, id: u64) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut watch = self.lock(index);
        watch.wanted = Some(id);
        // Who does not wait any more is not in the way of others.
        watch.waiting.retain(|waiting| !waiting.is_closed());
        watch.waiting.push(sender);
        let waker = watch.waker.take();
        self.used.set(index);
        drop(watch);
        if let Some(waker) = waker {
            waker.wake();
        }
        receiver
    }

    /// Ready once the request of this name shall end; until then the waker is kept.
    pub(super) fn poll(&self, index: usize, id: u64, cx: &Context<'_>) -> Poll<()> {
        let mut watch = self.lock(index);
        if watch.wanted == Some(id) {
            return Poll::Ready(());
        }
        if !watch.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            watch.waker = Some(cx.waker().clone());
            self.used.set(index);
        }
        Poll::Pending
    }

    /// The request of this cell has ended.
    pub(super) fn clear(&self, index: usize) {
        // Most requests have never been waited for, and need no lock.
        if self.used.has(index) {
            let mut watch = self.lock(index);
            self.used.free(index);
            // Dropped without the lock: a waker may be the last that holds a whole connection.
            let ended = std::mem::replace(&mut *watch, Watch::new());
            drop(watch);
            drop(ended);
        }
    }

    fn lock(&self, index: usize) -> MutexGuard<'_, Watch> {
        self.watches[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    const fn new() -> Self {
        Self { wanted: None, waker: None, waiting: Vec::new() }
    }
}

impl fmt::Debug for Cancellations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellations").finish_non_exhaustive()
    }
}
