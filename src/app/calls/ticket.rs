//! One call, from its connection to its thread and back.

use crate::app::AppError;
use crate::contract::inflight::Flight;
use crate::protocol::Response;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub(super) type Outcome = Result<Response, AppError>;

/// One call, as its connection and its thread both know it.
pub(super) struct Ticket {
    pub(super) limit: Duration,
    /// In the table for as long as the call goes on, also when its client has left.
    pub(super) flight: Flight,
    inner: Mutex<TicketState>,
}

struct TicketState {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
    settled: bool,
}

impl Ticket {
    pub(super) fn new(limit: Duration, flight: Flight) -> Self {
        let state = TicketState { outcome: None, waker: None, settled: false };
        Self { limit, flight, inner: Mutex::new(state) }
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

    /// Whether an outcome has been given.
    pub(super) fn is_settled(&self) -> bool {
        self.lock().settled
    }
}

/// The way back for an answer that begins before its call ends.
pub struct Answering {
    pub(super) ticket: Arc<Ticket>,
}

impl Answering {
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
