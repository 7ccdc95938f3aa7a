//! Who waits for an app thread, and whose turn it is. Pure: time is given, in nanoseconds of one clock.
//!
//! First come, first served, as long as that is of use to anybody. With more requests than can be served, everybody would
//! wait as long as the longest, and be served when nobody is there any more. So a queue that *stands*, deep and old, is
//! served from its other end: the newest first, whose clients are still there. One turn in [`OLDEST_ONE_IN`] remains the
//! oldest's, so that clients who never give up are not left waiting for ever by those who come again and again.
//!
//! Who has left is not served. TCP does not tell a client that has left from one that has nothing more to say and waits
//! (RFC 9293 3.6), except by when it ends its half of the connection: the latter right after its request, the former when
//! it has lost patience. So everybody is looked at early, and again when it is his turn.

use crate::sys::presence::Presence;
use std::collections::VecDeque;
use std::time::Duration;

/// What a queue may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueRules {
    /// The most that may wait.
    pub length: usize,
    /// From this age of the oldest on the newest is served first; zero: never.
    pub overload: Duration,
}

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// Too many wait.
    Full,
    /// It has waited too long.
    Late,
    /// Its client has left.
    Gone,
}

pub(super) struct Waitlist<T> {
    rules: QueueRules,
    /// How many must wait before the queue can be called a standing one.
    deep: usize,
    /// The oldest first.
    entries: VecDeque<Entry<T>>,
    /// Nobody is late before.
    due_ns: u64,
    turns: u32,
}

struct Entry<T> {
    item: T,
    since_ns: u64,
    /// When it is late; `u64::MAX`: never.
    until_ns: u64,
    seen: Seen,
}

/// What the early look at a client has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    NotYet,
    Open,
    HalfClosed,
}

impl<T> Waitlist<T> {
    pub(super) fn new(rules: QueueRules, threads: usize) -> Self {
        Self {
            rules,
            deep: threads.saturating_mul(DEEP),
            entries: VecDeque::new(),
            due_ns: u64::MAX,
            turns: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How long the oldest has waited.
    pub(super) fn oldest(&self, now_ns: u64) -> Duration {
        let since_ns = self.entries.front().map_or(now_ns, |entry| entry.since_ns);
        Duration::from_nanos(now_ns.saturating_sub(since_ns))
    }

    /// When somebody may be late.
    pub(super) fn due_ns(&self) -> u64 {
        if self.is_empty() { u64::MAX } else { self.due_ns }
    }

    /// Lets somebody wait who has come at `since_ns` and may wait for `limit`; zero: for ever.
    pub(super) fn push(&mut self, item: T, since_ns: u64, limit: Duration) {
        let until_ns = if limit.is_zero() {
            u64::MAX
        } else {
            since_ns.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
        };
        self.due_ns = self.due_ns.min(until_ns);
        let entry = Entry { item, since_ns, until_ns, seen: Seen::NotYet };
        match self.entries.back() {
            // It has waited in another worker before.
            Some(last) if last.since_ns > since_ns => {
                let place = self.entries.partition_point(|other| other.since_ns <= since_ns);
                self.entries.insert(place, entry);
            }
            _ => self.entries.push_back(entry),
        }
    }

    /// Who must go so that no more wait than may: whoever is least likely to be missed.
    pub(super) fn surplus(&mut self, now_ns: u64) -> Option<T> {
        if self.len() <= self.rules.length {
            return None;
        }
        let entry = if self.stands(now_ns) { self.entries.pop_front() } else { self.entries.pop_back() };
        entry.map(|entry| entry.item)
    }

    /// Whose turn it is; `is_there` is asked only of those who have waited for a while. Who is not served goes to `shed`.
    pub(super) fn next(
        &mut self,
        now_ns: u64,
        is_there: impl Fn(&T) -> Presence,
        shed: &mut Vec<(T, Shed)>,
    ) -> Option<T> {
        self.expire(now_ns, shed);
        loop {
            let from_end = self.stands(now_ns) && {
                self.turns = self.turns.wrapping_add(1);
                !self.turns.is_multiple_of(OLDEST_ONE_IN)
            };
            let entry = if from_end { self.entries.pop_back() } else { self.entries.pop_front() };
            let entry = entry?;
            if now_ns.saturating_sub(entry.since_ns) < PROMPT_NS {
                return Some(entry.item);
            }
            if !entry.has_left(&is_there) {
                return Some(entry.item);
            }
            shed.push((entry.item, Shed::Gone));
        }
    }

    /// Looks at those who have just come to wait, once, and takes out the oldest who have left; to be called every few
    /// milliseconds while somebody waits.
    pub(super) fn look(&mut self, now_ns: u64, is_there: impl Fn(&T) -> Presence, shed: &mut Vec<(T, Shed)>) {
        let new = self.entries.iter_mut().rev().take_while(|entry| entry.seen == Seen::NotYet);
        for entry in new.filter(|entry| now_ns.saturating_sub(entry.since_ns) >= EARLY_NS) {
            entry.seen = match is_there(&entry.item) {
                Presence::There => Seen::Open,
                Presence::HalfClosed | Presence::Gone => Seen::HalfClosed,
            };
        }
        // Who came first loses patience first, as a rule. Those who have left must not make the queue look like one
        // that stands.
        for _ in 0..LEAVE_AT_ONCE {
            if !self.entries.front().is_some_and(|entry| entry.has_left(&is_there)) {
                return;
            }
            shed.extend(self.entries.pop_front().map(|entry| (entry.item, Shed::Gone)));
        }
    }

    /// Takes out who has waited for too long.
    pub(super) fn expire(&mut self, now_ns: u64, shed: &mut Vec<(T, Shed)>) {
        if now_ns < self.due_ns {
            return;
        }
        let entries = std::mem::take(&mut self.entries).into_iter();
        let (late, wait): (VecDeque<_>, _) = entries.partition(|entry| entry.until_ns <= now_ns);
        self.entries = wait;
        shed.extend(late.into_iter().map(|entry| (entry.item, Shed::Late)));
        self.due_ns = self.entries.iter().map(|entry| entry.until_ns).min().unwrap_or(u64::MAX);
    }

    /// Takes out whoever this is.
    pub(super) fn remove(&mut self, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let place = self.entries.iter().position(|entry| is_it(&entry.item))?;
        self.entries.remove(place).map(|entry| entry.item)
    }

    /// Takes out up to `count` of whom this holds, those whose turn comes first.
    pub(super) fn take(&mut self, now_ns: u64, count: usize, holds: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        let from_end = self.stands(now_ns);
        let mut looked = 0;
        while taken.len() < count && looked < self.entries.len() {
            let place = if from_end { self.entries.len() - 1 - looked } else { looked };
            if holds(&self.entries[place].item) {
                taken.extend(self.entries.remove(place).map(|entry| entry.item));
            } else {
                looked += 1;
            }
        }
        taken
    }

    /// Takes out the last to come of whom this holds.
    pub(super) fn take_last(&mut self, holds: impl Fn(&T) -> bool) -> Option<T> {
        let place = self.entries.iter().rposition(|entry| holds(&entry.item))?;
        self.entries.remove(place).map(|entry| entry.item)
    }

    /// Whether the queue is so deep and so old that those at its head are not helped any more.
    fn stands(&self, now_ns: u64) -> bool {
        !self.rules.overload.is_zero()
            && self.entries.len() > self.deep
            && self.entries.front().is_some_and(|oldest| {
                Duration::from_nanos(now_ns.saturating_sub(oldest.since_ns)) >= self.rules.overload
            })
    }
}

impl<T> Entry<T> {
    fn has_left(&self, is_there: impl Fn(&T) -> Presence) -> bool {
        match (is_there(&self.item), self.seen) {
            (Presence::There, _) | (Presence::HalfClosed, Seen::NotYet | Seen::HalfClosed) => false,
            (Presence::HalfClosed, Seen::Open) | (Presence::Gone, _) => true,
        }
    }
}

/// A queue no deeper than this for each thread is no overload, however old: its calls are slow ones.
const DEEP: usize = 10;

/// Of a standing queue every such turn is the oldest's: a sixteenth of the capacity is what fairness may cost.
const OLDEST_ONE_IN: u32 = 16;

/// Clients do not leave within this time, and asking costs a system call.
const PROMPT_NS: u64 = 5_000_000;

/// The most that one look takes out: those who wait for the lock meanwhile should not notice.
const LEAVE_AT_ONCE: usize = 64;

/// By then who has nothing more to say has said so, and hardly anybody has lost patience.
const EARLY_NS: u64 = 20_000_000;

#[cfg(test)]
#[path = "waitlist_tests.rs"]
mod tests;
