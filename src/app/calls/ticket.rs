//! One call, from its connection to its thread and back.

use super::{CallQueue, Driver};
use crate::app::AppError;
use crate::protocol::Response;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

pub(super) type Outcome = Result<Response, AppError>;

/// One call, as its connection and its thread both know it.
pub(super) struct Ticket {
    pub(super) limit: Duration,
    inner: Mutex<TicketState>,
}

struct TicketState {
    started: Option<Instant>,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
    settled: bool,
}

impl Ticket {
    pub(super) fn new(limit: Duration) -> Self {
        let state = TicketState { started: None, outcome: None, waker: None, settled: false };
        Self { limit, inner: Mutex::new(state) }
    }

    /// The call has begun.
    pub(super) fn start(&self) {
        self.lock().started = Some(Instant::now());
    }

    /// The outcome, once it is there; until then the waker is kept.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Outcome> {
        let mut state = self.lock();
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, TicketState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn settle(&self, outcome: Outcome) {
        let mut state = self.lock();
        if !state.settled {
            state.settled = true;
            state.outcome = Some(outcome);
            if let Some(waker) = state.waker.take() {
                drop(state);
                waker.wake();
            }
        }
    }

    pub(super) fn overdue_at(&self) -> Option<Instant> {
        let state = self.lock();
        if state.settled || self.limit.is_zero() { None } else { Some(state.started? + self.limit) }
    }
}

/// The way back for an answer.
pub struct Answering {
    pub(super) queue: Arc<CallQueue>,
    pub(super) ticket: Arc<Ticket>,
    pub(super) on: On,
}

/// Which of the app threads makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// The one that drives the runtime between calls.
    MainThread,
    /// One that never does.
    FurtherThread,
}

impl Answering {
    /// Gives the answer of a call that is over.
    pub fn finish(&self, outcome: Result<Response, AppError>) {
        let mut state = self.queue.lock();
        if self.on == On::MainThread && state.driver == Driver::Main {
            // Delivered from within the runtime when this thread is back there, which saves a wake-up.
            state.answered.push((Arc::clone(&self.ticket), outcome));
        } else {
            drop(state);
            self.ticket.settle(outcome);
        }
    }

    /// Gives the beginning of an answer while the call goes on.
    pub fn begin(&self, response: Response) {
        self.ticket.settle(Ok(response));
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answering")
    }
}
