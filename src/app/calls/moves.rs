//! Calls that another worker may make.

use super::{Call, CallQueue, State};
use crate::app::AppError;
use crate::protocol::Patience;

/// Whether calls that find no free thread are given back, to be served by another worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moves {
    /// There are other workers.
    Offered,
    /// There are none.
    Never,
}

impl CallQueue {
    pub(super) fn gives_back(&self, state: &State, call: &Call) -> bool {
        (self.moves == Moves::Offered || state.is_overdue)
            && call.patience == Patience::Move
            && state.running.len() >= self.threads
    }

    /// Gives back all waiting calls that may move; they are to be taken on outside of the lock.
    pub(super) fn take_movable(&self, state: &mut State) -> Vec<Call> {
        let waiting = std::mem::take(&mut state.waiting);
        let (back, stay) = waiting.into_iter().partition(|call| self.gives_back(state, call));
        state.waiting = stay;
        Vec::from(back)
    }
}

/// Sends the request back to its connection.
pub(super) fn give_back(call: Call) {
    call.ticket.settle(Err(AppError::Busy(call.request)));
}
