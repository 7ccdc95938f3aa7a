//! Requests that are told to end, within the process that has them.
//!
//! A request is told by its name and not by its cell: a cell that has got another request meanwhile keeps it. Who serves a
//! connection hangs up a bell once, for all its requests. To tell one is rare, and rings all bells; to be told costs a
//! request no more than a look.

use crate::contract::inflight::CELLS;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::oneshot;

/// For each cell, which request shall end, and who wants to know that it has ended.
pub(super) struct Cancellations {
    /// The request of the cell that shall end; [`NONE`]: no one.
    wanted: [AtomicU64; CELLS],
    watches: Mutex<Watches>,
}

struct Watches {
    /// Whoever serves a connection, at the place that its bell knows.
    wakers: Vec<Option<Waker>>,
    /// Places that nobody has.
    free: Vec<usize>,
    /// By cell; dropped when its request has ended.
    waiting: Vec<(usize, oneshot::Sender<()>)>,
}

/// What wakes the task that serves a connection, when one of its requests may have been told to end.
#[derive(Default)]
pub struct Bell(OnceLock<Hung>);

struct Hung {
    at: &'static Cancellations,
    place: usize,
    /// Whom it wakes, as long as the connection stays with its task.
    waker: Waker,
    /// Whether it has come to another one since; who it wakes is then looked up.
    has_moved: AtomicBool,
}

impl Cancellations {
    pub(super) fn new() -> Self {
        let watches = Watches { wakers: Vec::new(), free: Vec::new(), waiting: Vec::new() };
        Self { wanted: [const { AtomicU64::new(NONE) }; CELLS], watches: Mutex::new(watches) }
    }

    /// Tells the request of this name in this cell to end. What is given resolves when it has.
    pub(super) fn request(&self, index: usize, id: u64) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut watches = self.lock();
        // Under the lock: whoever hangs up a bell after this sees it.
        self.wanted[index].store(id, Ordering::Release);
        // Who does not wait any more is not in the way of others.
        watches.waiting.retain(|(_, waiting)| !waiting.is_closed());
        watches.waiting.push((index, sender));
        let wakers: Vec<Waker> = watches.wakers.iter().flatten().cloned().collect();
        drop(watches);
        wakers.into_iter().for_each(Waker::wake);
        receiver
    }

    /// Ready once the request of this name shall end; until then the bell is rung.
    pub(super) fn poll(&'static self, index: usize, id: u64, bell: &Bell, cx: &Context<'_>) -> Poll<()> {
        bell.hang(self, cx);
        if self.wanted[index].load(Ordering::Acquire) == id { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The request of this cell has ended.
    pub(super) fn clear(&self, index: usize) {
        // Hardly any request is ever told to end.
        if self.wanted[index].load(Ordering::Acquire) != NONE {
            let mut watches = self.lock();
            self.wanted[index].store(NONE, Ordering::Relaxed);
            watches.waiting.retain(|(of, _)| *of != index);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bell {
    fn hang(&self, at: &'static Cancellations, cx: &Context<'_>) {
        let hung = self.0.get_or_init(|| {
            let waker = cx.waker().clone();
            let mut watches = at.lock();
            let place = watches.free.pop().unwrap_or_else(|| {
                watches.wakers.push(None);
                watches.wakers.len() - 1
            });
            watches.wakers[place] = Some(waker.clone());
            Hung { at, place, waker, has_moved: AtomicBool::new(false) }
        });
        if hung.has_moved.load(Ordering::Relaxed) || !hung.waker.will_wake(cx.waker()) {
            hung.has_moved.store(true, Ordering::Relaxed);
            let before = hung.at.lock().wakers[hung.place].replace(cx.waker().clone());
            drop(before);
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if let Some(Hung { at, place, .. }) = self.0.take() {
            let mut watches = at.lock();
            let waker = watches.wakers[place].take();
            watches.free.push(place);
            // Dropped without the lock: a waker may be the last that holds a whole connection.
            drop(watches);
            drop(waker);
        }
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bell")
    }
}

impl fmt::Debug for Cancellations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellations").finish_non_exhaustive()
    }
}

/// No request has this name but one in 2^64.
const NONE: u64 = 0;
