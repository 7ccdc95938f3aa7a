//! How busy a worker is, and what it could not serve: further words of its record.

use crate::contract::scoreboard::{LOAD, Record};
use std::sync::atomic::{AtomicU64, Ordering};

impl<'a> Record<'a> {
    /// Nanoseconds that its app threads have been in calls that last, the average of all threads; up to [`Self::busy_since`].
    /// Written by the worker.
    pub fn busy_ns(self) -> &'a AtomicU64 {
        &self.fields[BUSY_NS]
    }

    /// The same up to now. What the worker writes meanwhile may be counted in part; the next reading has it.
    pub fn busy_until(self, now_ns: u64) -> u64 {
        let lasting = now_ns.saturating_sub(self.busy_since().load(Ordering::Acquire));
        let busy = self.busy().load(Ordering::Acquire).min(FULL);
        self.busy_ns().load(Ordering::Acquire).saturating_add(lasting.saturating_mul(busy) / FULL)
    }

    /// App threads in calls that last, in thousandths of all, since [`Self::busy_since`]. Written by the worker.
    pub fn busy(self) -> &'a AtomicU64 {
        &self.fields[BUSY]
    }

    /// When that has changed last, on the clock of all processes. Written by the worker.
    pub fn busy_since(self) -> &'a AtomicU64 {
        &self.fields[BUSY_SINCE]
    }

    /// Whether it has no app thread free for a further call.
    pub fn is_full(self) -> bool {
        self.fields[BUSY].load(Ordering::Acquire) >= FULL
    }

    /// Requests that wait for an app thread. Written by the worker.
    pub fn waiting(self) -> &'a AtomicU64 {
        &self.fields[WAITING]
    }

    /// Hundredths of calls that it has at once, short ones as well, the mean of a short time. Written by the worker.
    pub fn mean_calls(self) -> &'a AtomicU64 {
        &self.fields[MEAN_CALLS]
    }

    /// Requests that were not served because too many waited. Written by the worker.
    pub fn shed_full(self) -> &'a AtomicU64 {
        &self.fields[SHED_FULL]
    }

    /// Requests that were not served because they had waited too long. Written by the worker.
    pub fn shed_late(self) -> &'a AtomicU64 {
        &self.fields[SHED_LATE]
    }

    /// Requests whose clients had left while they waited. Written by the worker.
    pub fn shed_gone(self) -> &'a AtomicU64 {
        &self.fields[SHED_GONE]
    }
}

const BUSY_NS: usize = LOAD;
const BUSY: usize = LOAD + 1;
const BUSY_SINCE: usize = LOAD + 2;
const WAITING: usize = LOAD + 3;
const SHED_FULL: usize = LOAD + 4;
const SHED_LATE: usize = LOAD + 5;
const SHED_GONE: usize = LOAD + 6;
const MEAN_CALLS: usize = LOAD + 7;

/// All app threads, in the unit of [`Record::busy`].
const FULL: u64 = 1000;
