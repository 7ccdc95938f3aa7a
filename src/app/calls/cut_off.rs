//! Calls that are ended from outside: past their time limit, or cancelled.
//!
//! Each on a thread of its own, which may wait for what the worker must not wait for: the stack of a thread that may
//! sit in the kernel, and the interpreter's lock, which C code may hold for ever.

use super::moves::give_back;
use super::ticket::{Answering, Ticket};
use super::{Call, CallQueue, TICK};
use crate::app::{AppError, CutOff, Late, say_too_slow};
use crate::sys::clock;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How the calls of apps in some language are looked into and interrupted.
pub trait Interrupter: Send + Sync {
    /// The stack of a thread (gettid(2)) that makes a call, also when it holds the interpreter's lock.
    ///
    /// # Errors
    /// Why there is none.
    fn stack(&self, thread: i32) -> Result<String, String>;

    /// Interrupts a call, unless it has left the app's own code. May wait for the interpreter's lock.
    fn interrupt(&self, call: &Answering);

    /// Calls the thread of an interrupted call out of a wait in the kernel, where that can be done. Never waits.
    fn call_out(&self, call: &Answering);
}

/// What has come of a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// The call has ended.
    Ended,
    /// It goes on, though its client has been answered; the stack of its thread.
    GoesOn(String),
    /// Somebody was about to end it already.
    Already,
}

/// What a queue does about calls past their time limit.
pub struct Overseer {
    /// `None` where calls cannot be interrupted.
    pub interrupter: Option<Arc<dyn Interrupter>>,
    /// Asks for a successor of this worker.
    pub retire: Box<dyn Fn() + Send + Sync>,
    /// When that is done.
    pub recycling: Recycling,
}

/// When a call past its time limit costs its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recycling {
    /// Also when it could be interrupted: what it was in the middle of may have been left in disorder.
    Always,
    /// When it goes on.
    IfStuck,
}

impl CallQueue {
    /// Cuts off the calls that are past their limit; returns when the next one may be.
    pub(super) fn oversee(self: &Arc<Self>) -> Option<Instant> {
        let running = self.lock().running.clone();
        let now_ns = clock::monotonic_ns();
        let mut next: Option<Duration> = None;
        for ticket in running {
            match ticket.left(now_ns) {
                None => {}
                Some(Duration::ZERO) => self.begin_cutting(&ticket, CutOff::TimeLimit, None),
                Some(left) => next = Some(next.map_or(left, |next| next.min(left))),
            }
        }
        // A call that a helper starts later is looked at within a second.
        let next = if self.threads > 1 { Some(next.unwrap_or(LOOK).min(LOOK)) } else { next };
        next.map(|left| Instant::now() + left.max(TICK))
    }

    /// Ends the call of the request of this name; `None` when there is none. What is given tells how it went.
    pub fn cancel(self: &Arc<Self>, id: u64) -> Option<oneshot::Receiver<Cancelled>> {
        let (told, receiver) = oneshot::channel();
        let mut state = self.lock();
        let running = state.running.iter().find(|running| running.id.0 == id).cloned();
        let waiting = state.waiting.remove(|call| call.ticket.id.0 == id);
        self.show(&mut state);
        drop(state);
        if let Some(ticket) = running {
            self.begin_cutting(&ticket, CutOff::Cancelled, Some(told));
            return Some(receiver);
        }
        let Some(Call { ticket, .. }) = waiting else { return self.main_loop()?.cancel(id) };
        say_cut(&ticket, CutOff::Cancelled, "no stack: the app had not been entered");
        ticket.settle(Err(AppError::CutOff(CutOff::Cancelled)));
        // Who has asked waits for it, or has gone.
        let _ = told.send(Cancelled::Ended);
        Some(receiver)
    }

    /// The stack of the thread that makes the call of this request; `None` when no thread does. It may take a moment.
    ///
    /// # Errors
    /// Why there is none.
    pub fn stack_of(&self, id: u64) -> Option<Result<String, String>> {
        let ticket = self.lock().running.iter().find(|running| running.id.0 == id).cloned();
        match ticket {
            Some(ticket) => Some(self.stack(&ticket)),
            None => self.main_loop()?.stack_of(id),
        }
    }

    /// Answers the client of a request that is being ended in its task, and says what it did.
    pub fn answer_cut_off(&self, call: &Answering, why: CutOff, stack: &str) {
        say_cut(&call.ticket, why, stack);
        self.answer(call, Err(AppError::CutOff(why)));
    }

    /// Another worker is to take this one's place, and may have what waits here: its main thread is stuck.
    pub fn give_up_main_thread(&self) {
        self.give_away();
        self.retire();
    }

    /// A call has been interrupted in the middle of something: its worker is replaced, if that is wanted.
    pub fn retire_after_interruption(&self) {
        if self.recycling() == Recycling::Always {
            self.retire();
        }
    }

    /// The stack of a thread (gettid(2)).
    ///
    /// # Errors
    /// Why there is none.
    pub fn stack_of_thread(&self, thread: i32) -> Result<String, String> {
        let interrupter = self.overseer.get().and_then(|overseer| overseer.interrupter.as_ref());
        interrupter
            .ok_or("no stack: the app is not Python")?
            .stack(thread)
            .map_err(|reason| format!("no stack: {reason}"))
    }

    fn begin_cutting(self: &Arc<Self>, ticket: &Arc<Ticket>, why: CutOff, told: Told) {
        if !ticket.cut_off() {
            tell(told, Cancelled::Already);
            return;
        }
        if why == CutOff::TimeLimit && self.recycling() == Recycling::Always {
            self.give_away();
        }
        let (queue, its) = (Arc::clone(self), Arc::clone(ticket));
        let cutting = std::thread::Builder::new().name("cut-off".to_owned());
        if let Err(error) = cutting.spawn(move || queue.cut(its, why, told)) {
            tracing::error!(request = %ticket.id, %error, "no thread to end a request from outside");
            ticket.settle(Err(AppError::CutOff(why)));
            self.give_away();
            self.retire();
        }
    }

    /// Says what the call does, answers its client, interrupts it, and says whether that was of use.
    fn cut(&self, ticket: Arc<Ticket>, why: CutOff, told: Told) {
        let call = Answering { ticket };
        let ticket = &call.ticket;
        say_cut(ticket, why, &self.stack(ticket).unwrap_or_else(|reason| reason));
        ticket.settle(Err(AppError::CutOff(why)));
        ticket.abort_stream();
        if why == CutOff::TimeLimit && self.recycling() == Recycling::Always {
            self.retire();
        }
        // Looked at from a second thread: C code may never let go of the lock that this one waits for.
        let interrupter = self.overseer.get().and_then(|overseer| overseer.interrupter.as_ref());
        std::thread::scope(|threads| {
            if let Some(interrupter) = interrupter {
                threads.spawn(|| interrupter.interrupt(&call));
            }
            // A signal that comes just before a wait begins is lost on it.
            let has_ended = (0..CALLS_OUT).any(|_| {
                if let Some(interrupter) = interrupter {
                    interrupter.call_out(&call);
                }
                self.has_ended_within(ticket, GRACE / CALLS_OUT)
            });
            if has_ended {
                tell(told, Cancelled::Ended);
                return;
            }
            ticket.abort_stream();
            let stack = self.stack(ticket).unwrap_or_else(|reason| reason);
            self.leave_going(ticket, why, &stack);
            tell(told, Cancelled::GoesOn(stack));
        });
    }

    /// A call has not noticed its interruption.
    fn leave_going(&self, ticket: &Ticket, why: CutOff, stack: &str) {
        let request = ticket.id;
        match why {
            CutOff::TimeLimit => {
                tracing::error!(
                    %request,
                    stack,
                    "the interrupted call goes on: it is in C code, or ignores the interruption; its worker is replaced and then killed"
                );
                self.give_away();
                self.retire();
            }
            CutOff::Cancelled => {
                tracing::warn!(
                    %request,
                    stack,
                    "the cancelled call goes on: it is in C code, or ignores the interruption; it keeps its thread until it ends or passes its time limit"
                );
                ticket.goes_on();
                // Whoever looks at the calls did not have this one in view any more.
                self.driver.notify_waiters();
            }
        }
    }

    fn stack(&self, ticket: &Ticket) -> Result<String, String> {
        let interrupter = self.overseer.get().and_then(|overseer| overseer.interrupter.as_ref());
        let thread = ticket.flight.entry().and_then(|entry| entry.thread);
        match (interrupter, thread) {
            (Some(interrupter), Some(thread)) => {
                interrupter.stack(thread).map_err(|reason| format!("no stack: {reason}"))
            }
            (None, _) => Err("no stack: the app is not Python".to_owned()),
            (_, None) => Err("no stack: the request is not in the table of requests".to_owned()),
        }
    }

    /// Another worker is on its way, and may have what waits here.
    fn give_away(&self) {
        let mut state = self.lock();
        state.is_overdue = true;
        let given_back = self.take_movable(&mut state, usize::MAX);
        drop(state);
        given_back.into_iter().for_each(give_back);
    }

    fn recycling(&self) -> Recycling {
        self.overseer.get().map_or(Recycling::Always, |overseer| overseer.recycling)
    }

    /// Asks for a successor of this worker.
    pub fn retire(&self) {
        if let Some(overseer) = self.overseer.get() {
            (overseer.retire)();
        }
    }

    fn has_ended_within(&self, ticket: &Arc<Ticket>, limit: Duration) -> bool {
        let state = self.lock();
        let waited = self.cut_ended.wait_timeout_while(state, limit, |state| {
            state.running.iter().any(|running| Arc::ptr_eq(running, ticket))
        });
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// Where the outcome of a cutting goes, if anybody wants to know it.
type Told = Option<oneshot::Sender<Cancelled>>;

fn tell(told: Told, outcome: Cancelled) {
    if let Some(told) = told {
        // Who has gone meanwhile does not want to know.
        let _ = told.send(outcome);
    }
}

fn say_cut(ticket: &Ticket, why: CutOff, stack: &str) {
    let (request, entry) = (ticket.id, ticket.flight.entry());
    match why {
        CutOff::TimeLimit => say_too_slow(request, ticket.limit, Late::Head, entry.as_ref(), Some(stack)),
        CutOff::Cancelled => {
            let what = entry
                .map_or_else(|| format!("request {request}"), |entry| entry.describe(clock::monotonic_ns()));
            tracing::info!(%request, stack, "request cancelled: {what}");
        }
    }
}

impl fmt::Debug for Overseer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overseer").finish_non_exhaustive()
    }
}

/// How long an interrupted call may take to end: `finally` blocks, a query that is awaited.
const GRACE: Duration = Duration::from_secs(2);

/// How often within that it is called out of waits.
const CALLS_OUT: u32 = 10;

/// How often calls are looked at that began unseen.
const LOOK: Duration = Duration::from_secs(1);
