//! The time that the main thread spends in calls before the connections have their turn again.
//!
//! The relief notices calls that last. Short ones may follow one another without an end, and what arrives meanwhile waits in
//! the kernel, where nobody sees how old it gets, while answers wait for the thread to come back.
//!
//! Once the relief drives, connections have their turn all the time. But each request then costs two switches of threads, which
//! a call that lasts is worth, and short ones are not: after a few of those the main thread goes back, though calls wait.

use super::waitlist::Waitlist;
use super::{Call, Driver};
use crate::sys::clock;
use std::time::Duration;

/// How long it has been away from the runtime.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stay {
    since_ns: Option<u64>,
    /// When the last call began.
    last_ns: u64,
    /// Calls in a row, up to the last but one, that were short.
    short: u32,
}

impl Stay {
    /// A call has begun.
    pub(super) fn note(&mut self, began_ns: u64) {
        self.since_ns.get_or_insert(began_ns);
        let is_short = began_ns.saturating_sub(self.last_ns) < NOTICED_NS;
        self.short = if is_short { self.short.saturating_add(1) } else { 0 };
        self.last_ns = began_ns;
    }

    /// Whether the main thread, one of so many that make calls, is to be in the runtime before the next one.
    pub(super) fn must_end(self, driver: Driver, threads: usize) -> bool {
        match driver {
            Driver::Main => self.is_over(),
            // Further threads make calls only while the relief drives; what they wait for may be something else than a processor.
            Driver::Relief => threads == 1 && self.short >= SHORT,
            Driver::HandingBack => false,
        }
    }

    fn is_over(self) -> bool {
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

/// A call of a millisecond drives the server's own code out of the processor's caches: it is fetched once for a few calls.
/// Half of this costs such calls two percent more, twice this one less.
pub(super) const LONGEST_NS: u64 = 4_000_000;

/// As long as a call takes, at the least, that the relief notices whenever it looks: two ticks.
const NOTICED_NS: u64 = 4_000_000;

/// So many that the runtime does not change hands twice for each call where about half of them last.
const SHORT: u32 = 4;

/// Calls that wait for less are none to be moved: moving one costs as much as some calls take.
const BEHIND: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// A stay with calls that took so long, and one that has just begun.
    fn stay(calls_ns: &[u64]) -> Stay {
        let mut stay = Stay::default();
        let mut now_ns = 1 << 40;
        stay.note(now_ns);
        for call_ns in calls_ns {
            now_ns += call_ns;
            stay.note(now_ns);
        }
        stay
    }

    #[test]
    fn connections_wait_for_short_calls_until_those_have_had_their_time() {
        let ends = |calls_ns: &[u64]| stay(calls_ns).must_end(Driver::Main, 1);
        assert!(!Stay::default().must_end(Driver::Main, 1));
        assert!(!ends(&[]));
        assert!(!ends(&[LONGEST_NS / 2, LONGEST_NS / 2 - 1]));
        assert!(ends(&[LONGEST_NS / 2, LONGEST_NS / 2]));
        assert!(ends(&[LONGEST_NS]));
    }

    #[test]
    fn the_relief_drives_on_until_a_few_calls_in_a_row_were_short() {
        let ends = |calls_ns: &[u64]| stay(calls_ns).must_end(Driver::Relief, 1);
        let (short, lasting) = ([NOTICED_NS - 1; SHORT as usize], NOTICED_NS);
        assert!(!ends(&short[1..]));
        assert!(ends(&short));
        assert!(!ends(&[&short[..], &[lasting]].concat()));
        assert!(!ends(&[&short[..], &[lasting], &short[1..]].concat()));
        assert!(ends(&[&short[..], &[lasting], &short].concat()));
        assert!(!stay(&short).must_end(Driver::Relief, 2), "the other thread makes calls as well");
        assert!(!stay(&short).must_end(Driver::HandingBack, 1));
    }
}
