//! Calls that another worker may make, and what the workers know of one another.

use super::balance::MeanCalls;
use super::stay::Pace;
use super::{Call, CallQueue, Driver, State};
use crate::app::AppError;
use crate::protocol::Patience;
use crate::sys::clock;
use std::time::Duration;

/// The other workers, as a queue of calls knows them.
pub trait Siblings: Send + Sync {
    /// How many calls they would take now.
    fn room(&self) -> usize;

    /// Tells them how this worker is.
    fn show(&self, load: Load);

    /// Asks them for calls that wait there.
    fn ask(&self);

    /// An app thread was found in a call that does not last; looked at once in this time.
    fn found_busy(&self, _time: Duration) {}

    /// Tells them how many calls this worker has.
    fn tell(&self, _own: MeanCalls) {}

    /// How many of its calls they should have, so that everybody has as many.
    fn share(&self, _own: MeanCalls) -> usize {
        0
    }
}

/// How a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// App threads in calls that last, in thousandths of all.
    pub busy: u16,
    /// Calls that wait for one.
    pub waiting: u32,
}

impl Load {
    /// Whether no thread is free.
    pub fn is_full(self) -> bool {
        self.busy >= ALL
    }
}

/// There are no other workers.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl Siblings for Alone {
    fn room(&self) -> usize {
        0
    }

    fn show(&self, _: Load) {}

    fn ask(&self) {}
}

impl CallQueue {
    /// Waits until calls wait here that no thread is free for.
    pub async fn wait_backlog(&self) {
        loop {
            let mut notified = std::pin::pin!(self.backlog.notified());
            notified.as_mut().enable();
            if self.has_backlog() {
                return;
            }
            notified.await;
        }
    }

    /// Looks whether those are still there whose calls wait here, and gives siblings what they would take; whether they
    /// would take any.
    pub fn give(&self) -> Room {
        let room = self.siblings.room();
        let mut state = self.lock();
        let (mut shed, now_ns) = (Vec::new(), clock::monotonic_ns());
        state.waiting.look(now_ns, Call::presence, &mut shed);
        let wait = state.waiting.oldest(now_ns);
        self.show(&mut state);
        // Short calls go by `even_out`.
        let lasts = state.driver != Driver::Main && !self.has_thread(&state);
        let given = if room == 0 || !lasts { Vec::new() } else { self.take_movable(&mut state, room) };
        let is_free = self.has_thread(&state);
        drop(state);
        if is_free {
            self.free.notify_waiters();
        }
        shed.into_iter().for_each(|(call, why)| call.ticket.settle(Err(AppError::Shed(why, wait))));
        given.into_iter().for_each(give_back);
        if room == 0 { Room::None } else { Room::Some }
    }

    /// Whether a call goes to a sibling instead of waiting here.
    pub(super) fn gives_back(&self, state: &State, call: &Call) -> bool {
        call.patience == Patience::Move
            && !self.has_thread(state)
            && (state.is_overdue || (state.driver != Driver::Main && self.siblings.room() > 0))
    }

    /// Takes the waiting calls that siblings are to make, up to so many; to be given back outside of the lock.
    pub(super) fn take_movable(&self, state: &mut State, count: usize) -> Vec<Call> {
        let may_move = |call: &Call| call.patience == Patience::Move;
        let taken = state.waiting.take(clock::monotonic_ns(), count, may_move);
        self.show(state);
        taken
    }

    /// The siblings learn how this worker is, when that has changed. Costs a comparison while no call lasts.
    pub(super) fn show(&self, state: &mut State) {
        // Whoever was left over has gone, or is served elsewhere.
        if state.waiting.is_empty() && state.pace == Pace::Behind {
            state.pace = Pace::KeepsUp;
            self.free.notify_waiters();
        }
        let load = if state.driver == Driver::Main && state.pace == Pace::KeepsUp {
            Load::default()
        } else {
            let busy = self.busy(state).min(self.callers()) * usize::from(ALL) / self.callers();
            Load {
                busy: if state.pace == Pace::Behind { ALL } else { u16::try_from(busy).unwrap_or(ALL) },
                waiting: u32::try_from(state.waiting.len()).unwrap_or(u32::MAX),
            }
        };
        if load != state.shown {
            let was_full = state.shown.is_full();
            state.shown = load;
            self.siblings.show(load);
            if was_full && !load.is_full() && load.waiting == 0 {
                self.siblings.ask();
            }
        }
    }

    fn has_backlog(&self) -> bool {
        let state = self.lock();
        !state.waiting.is_empty() && !self.has_thread(&state)
    }
}

/// Whether siblings would take calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Some would.
    Some,
    /// None would.
    None,
}

impl Room {
    /// When to look again: soon, while there is somebody who works off what he is given.
    pub fn look_again(self) -> Duration {
        match self {
            Self::Some => Duration::from_millis(1),
            Self::None => Duration::from_millis(20),
        }
    }
}

/// Sends the request back to its connection.
pub(super) fn give_back(call: Call) {
    call.ticket.settle(Err(AppError::Busy(call.request)));
}

const ALL: u16 = 1000;
