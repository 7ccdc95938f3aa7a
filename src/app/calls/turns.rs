//! How calls come to wait, and whose turn it is.

use super::moves::give_back;
use super::stay::Pace;
use super::ticket::Ticket;
use super::waitlist::Shed;
use super::{Call, CallQueue, Driver, State};
use crate::app::AppError;
use crate::sys::presence::{Presence, presence};
use crate::sys::{clock, process};
use std::sync::Arc;
use std::time::Duration;

/// What has become of a call that was given to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Submitted {
    /// It waits for its turn; whoever waits for it will be woken.
    Waits,
    /// Its outcome may be there already.
    Settled,
}

impl CallQueue {
    pub(super) fn submit(&self, call: Call, since_ns: u64, limit: Duration) -> Submitted {
        let mut state = self.lock();
        if self.gives_back(&state, &call) {
            drop(state);
            give_back(call);
            return Submitted::Settled;
        }
        let due_ns = state.waiting.due_ns();
        state.waiting.push(call, since_ns, limit);
        // While the main thread is not held up, this is where every call passes through; none waits.
        let surplus = if state.driver == Driver::Main && state.pace == Pace::KeepsUp {
            None
        } else {
            self.has_come_to_wait(&mut state, due_ns)
        };
        let helper_is_free = self.threads > 1 && state.driver != Driver::Main;
        let wakes_driver = state.driver == Driver::Main && state.waiting.len() == 1;
        drop(state);
        if helper_is_free {
            self.available.notify_one();
        }
        if wakes_driver {
            self.driver.notify_one();
        }
        if let Some((call, wait)) = surplus {
            // Which may be the one that has just come: it is looked at.
            call.ticket.settle(Err(AppError::Shed(Shed::Full, wait)));
            return Submitted::Settled;
        }
        Submitted::Waits
    }

    /// A call waits that may have to wait for long; who must go for it, and how long the oldest has waited. Before it the
    /// first was due at `due_ns`.
    fn has_come_to_wait(&self, state: &mut State, due_ns: u64) -> Option<(Call, Duration)> {
        self.show(state);
        if self.has_thread(state) {
            return None;
        }
        let now_ns = clock::monotonic_ns();
        let wait = state.waiting.oldest(now_ns);
        let surplus = state.waiting.surplus(now_ns).map(|call| (call, wait));
        self.show(state);
        self.backlog.notify_one();
        if state.waiting.due_ns() < due_ns {
            // Whoever drives would look too late.
            self.driver.notify_waiters();
        }
        surplus
    }

    /// Nobody waits for this call any more.
    pub(super) fn withdraw(&self, ticket: &Arc<Ticket>) {
        let mut state = self.lock();
        let withdrawn = state.waiting.remove(|call| Arc::ptr_eq(&call.ticket, ticket));
        self.show(&mut state);
        // Its content may be a file to close: not while others wait for the lock.
        drop(state);
        drop(withdrawn);
    }

    /// Helpers work only while the main thread is held up: two threads that both want the interpreter's lock
    /// for short calls are slower than one.
    pub(super) fn take_for_helper(&self, state: &mut State) -> Option<Call> {
        let is_idle = state.driver == Driver::Main && !state.closed;
        // An app that lives in the main thread's event loop is entered nowhere else.
        if is_idle || self.main_loop().is_some() {
            return None;
        }
        let call = self.take_next(state);
        self.show(state);
        call
    }

    /// Whose turn it is; the calling thread makes this call.
    pub(super) fn take_next(&self, state: &mut State) -> Option<Call> {
        if state.waiting.is_empty() {
            return None;
        }
        let now_ns = clock::monotonic_ns();
        let mut shed = Vec::new();
        let next = state.waiting.next(now_ns, Call::presence, &mut shed);
        if let Some(call) = &next {
            call.ticket.flight.enter_app(process::thread_id());
            call.ticket.resume_at(now_ns);
            if state.driver != Driver::Main {
                call.ticket.hurry();
            }
            state.running.push(Arc::clone(&call.ticket));
        }
        // A ticket has a lock of its own, and nobody who holds it wants this one.
        let wait = state.waiting.oldest(now_ns);
        shed.into_iter().for_each(|(call, why)| call.ticket.settle(Err(AppError::Shed(why, wait))));
        next
    }
}

impl Call {
    /// Whether its client is still there.
    pub(super) fn presence(&self) -> Presence {
        self.socket.map_or(Presence::There, presence)
    }
}
