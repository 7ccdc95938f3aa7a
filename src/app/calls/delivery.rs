//! Answers on their way back, and who waits for them.

use super::CallQueue;
use super::ticket::{Outcome, Ticket};
use super::turns::Submitted;
use crate::app::AppError;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What the main thread has for tasks of the runtime.
pub(super) enum Delivery {
    /// There may be an answer for whoever waits.
    Answer(Arc<Ticket>),
    Wake(Waker),
}

/// A call that has ended.
pub(super) struct Ended {
    pub(super) ticket: Arc<Ticket>,
    pub(super) outcome: Result<(), AppError>,
}

impl Ended {
    pub(super) fn settle(self) {
        self.delivery().make();
    }

    pub(super) fn delivery(self) -> Delivery {
        if let Err(error) = self.outcome {
            self.ticket.offer(Err(error));
        }
        Delivery::Answer(self.ticket)
    }
}

impl Delivery {
    pub(super) fn make(self) {
        match self {
            Self::Answer(ticket) => ticket.tell(),
            Self::Wake(waker) => waker.wake(),
        }
    }
}

pub(super) fn deliver(deliveries: &mut Vec<Delivery>) {
    deliveries.drain(..).for_each(Delivery::make);
}

/// A call that somebody waits for. Dropped before its beginning, it is not made at all.
pub(super) struct Waiting<'a> {
    pub(super) queue: &'a CallQueue,
    pub(super) ticket: Arc<Ticket>,
    /// What the queue said when it got the call.
    pub(super) submitted: Submitted,
    answered: bool,
}

impl<'a> Waiting<'a> {
    /// The ticket knows whom to wake.
    pub(super) fn new(queue: &'a CallQueue, ticket: Arc<Ticket>) -> Self {
        Self { queue, ticket, submitted: Submitted::Settled, answered: false }
    }

    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Outcome> {
        if std::mem::replace(&mut self.submitted, Submitted::Settled) == Submitted::Waits {
            return Poll::Pending;
        }
        let outcome = self.ticket.poll(cx);
        self.answered = outcome.is_ready();
        outcome
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.queue.withdraw(&self.ticket);
            self.ticket.abandon();
        }
    }
}
