//! What operators want of single requests: passed on to the worker that has them, whose answer has a deadline.

use super::crew::Life;
use super::supervisor::Supervisor;
use crate::contract::control::{Ticket, Verdict};
use crate::contract::inquiry::Inquiry;
use crate::contract::message::Order;
use crate::master::event::Action;
use crate::sys::process::Pid;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Those who wait for an answer of a worker.
#[derive(Debug, Clone, Default)]
pub(super) struct Inquiries {
    waiting: BTreeMap<Ticket, Waiting>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    pid: Pid,
    until: Instant,
}

impl Inquiries {
    /// When somebody is told that no answer has come.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.until).min()
    }

    fn take(&mut self, wanted: impl Fn(&Waiting) -> bool) -> Vec<Ticket> {
        self.waiting.extract_if(.., |_, waiting| wanted(waiting)).map(|(ticket, _)| ticket).collect()
    }
}

impl Supervisor {
    /// Asks a worker, also while the server stops: that is when requests stand in the way.
    pub(super) fn inquire(&mut self, now: Instant, ticket: Option<Ticket>, (pid, inquiry): (Pid, Inquiry)) {
        let Some(ticket) = ticket else { return };
        let hears = self.crew.workers.get(&pid).is_some_and(|worker| {
            matches!(worker.life, Life::Ready { .. } | Life::Retiring { .. } | Life::Draining { .. })
        });
        if !hears {
            return self.answer([ticket], &Verdict::Failed(GONE.into()));
        }
        self.tickets.inquiries.waiting.insert(ticket, Waiting { pid, until: now + PATIENCE });
        self.act(Action::Send { pid, order: Order::Inquire { ticket, inquiry } });
    }

    /// A worker has answered; one who was told long ago that no answer came is not told twice.
    pub(super) fn inquired(&mut self, ticket: Ticket, verdict: &Verdict) {
        if self.tickets.inquiries.waiting.remove(&ticket).is_some() {
            self.answer([ticket], verdict);
        }
    }

    /// A worker has ended, and its requests with it.
    pub(super) fn end_inquiries_of(&mut self, pid: Pid) {
        let tickets = self.tickets.inquiries.take(|waiting| waiting.pid == pid);
        self.answer(tickets, &Verdict::Failed(GONE.into()));
    }

    /// Another program comes, which would not know who has asked.
    pub(super) fn end_inquiries(&mut self) {
        let tickets = self.tickets.inquiries.take(|_| true);
        self.answer(tickets, &Verdict::Failed(REPLACED.into()));
    }

    /// Tells those whose time is up.
    pub(super) fn end_overdue_inquiries(&mut self, now: Instant) {
        let tickets = self.tickets.inquiries.take(|waiting| waiting.until <= now);
        self.answer(tickets, &Verdict::Failed(SILENT.into()));
    }
}

const GONE: &str = "the worker that had this request has ended";

const REPLACED: &str = "an upgrade has come between: ask again";

const SILENT: &str = "the worker does not answer: something blocks its event loop, likely this request's app";

/// A worker needs about five seconds at most: two stacks, and the time that an interruption has to be noticed.
const PATIENCE: Duration = Duration::from_secs(10);
