//! The time that the main thread spends in calls before the connections have their turn again.
//!
//! The relief notices calls that last. Short ones may follow one another without an end, and what arrives meanwhile waits in
//! the kernel, where nobody sees how old it gets, while answers wait for the thread to come back.

use super::Call;
use super::waitlist::Waitlist;
use crate::sys::clock;
use std::time::Duration;

/// How long it has been away from the runtime.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stay {
    since_ns: Option<u64>,
    /// When the last call began.
    last_ns: u64,
}

impl Stay {
    /// A call has begun.
    pub(super) fn note(&mut self, began_ns: u64) {
        self.since_ns.get_or_insert(began_ns);
        self.last_ns = began_ns;
    }

    /// Whether it is the connections' turn.
    pub(super) fn is_over(self) -> bool {
        self.since_ns.is_some_and(|since_ns| self.last_ns.saturating_sub(since_ns) >= LONGEST_NS)
    }
}

/// Whether short calls are made as fast as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// They are.
    KeepsUp,
    /// So many were left over that siblings should have some, and newcomers be counted.
    Behind,
}

/// The pace by what is left over at the end of a stay.
pub(super) fn pace(waiting: &Waitlist<Call>) -> Pace {
    if !waiting.is_empty() && waiting.oldest(clock::monotonic_ns()) >= BEHIND {
        Pace::Behind
    } else {
        Pace::KeepsUp
    }
}

/// As long as a call takes, at the least, that the relief notices.
const LONGEST_NS: u64 = 2_000_000;

/// Calls that wait for less are none to be moved: moving one costs as much as some calls take.
const BEHIND: Duration = Duration::from_millis(10);
