//! As many workers as there is work for, between a least and a most number.
//!
//! The master looks twice a second how busy the app threads of all workers are together (those of the event loops, for Rust
//! apps and files), and how many requests wait. More
//! workers come soon, when two looks in a row say so, since somebody waits; fewer only when for a long time one less would
//! have been enough, and then at most half busy. Between "nearly all busy" and "half busy without one" lies every steady load, so
//! a number that suits it is kept.

use super::supervisor::{Phase, Supervisor};
use crate::master::event::{Action, Note};
use std::time::{Duration, Instant};

/// Between which numbers of workers there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::master) struct Span {
    /// At least one.
    pub(in crate::master) least: u16,
    /// Not less.
    pub(in crate::master) most: u16,
    /// How long one worker less must have been enough.
    pub(in crate::master) shrink_after: Duration,
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::master) struct Work {
    /// Thousandths of a worker: two of four workers busy all the time are 2000.
    pub(in crate::master) busy: u64,
    /// Requests that wait for an app thread.
    pub(in crate::master) waiting: u64,
    /// Hundredths of its memory limit that the cgroup uses, where it has one.
    pub(in crate::master) memory: Option<u64>,
}

/// What has been seen so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Adaption {
    /// When to look next.
    look: Option<Instant>,
    /// Looks in a row that wanted more workers.
    eager: u32,
    /// Since when one less would have been enough.
    spare: Option<Instant>,
    /// What has been shown last.
    shown: Option<Picture>,
}

/// How the adapting is, for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::master) struct Picture {
    pub(in crate::master) least: u16,
    pub(in crate::master) most: u16,
    /// Thousandths of a worker.
    pub(in crate::master) busy: u64,
    pub(in crate::master) hold: Hold,
}

/// Why the number of workers stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::master) enum Hold {
    /// It suits.
    None,
    /// More are wanted, and there are as many as there may be.
    Most,
    /// More are wanted, and a further one might not find enough memory.
    Memory,
    /// A reload, an upgrade, a start, or broken code on disk.
    Unsettled,
}

/// Why the number of workers has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::master) enum Why {
    /// Nearly all app threads are busy.
    Busy,
    /// Requests wait.
    Waiting,
    /// One less has been enough for a while.
    Spare,
}

impl Supervisor {
    /// Looks, when it is time.
    pub(super) fn adapt(&mut self, now: Instant) {
        let adapts = self.pool.span.is_some() && self.phase == Phase::Serving;
        if !adapts {
            self.crew.adaption = Adaption::default();
        } else if *self.crew.adaption.look.get_or_insert(now + LOOK) <= now {
            self.crew.adaption.look = Some(now + LOOK);
            self.act(Action::Survey);
        }
    }

    /// When somebody looks.
    pub(super) fn adaption_due(&self) -> Option<Instant> {
        self.crew.adaption.look
    }

    /// The answer to `Survey`.
    pub(super) fn surveyed(&mut self, now: Instant, work: Work) {
        let Some(span) = self.pool.span.filter(|_| self.phase == Phase::Serving) else { return };
        let hold = if self.is_settled() {
            self.weigh_up(now, span, work)
        } else {
            (self.crew.adaption.eager, self.crew.adaption.spare) = (0, None);
            Hold::Unsettled
        };
        let picture = Picture { least: span.least, most: span.most, busy: work.busy, hold };
        if self.crew.adaption.shown != Some(picture) {
            self.crew.adaption.shown = Some(picture);
            self.act(Action::Picture(picture));
        }
    }

    /// Numbers that scaling by hand may choose.
    pub(super) fn bounds(&self) -> (u16, u16) {
        self.pool.span.map_or((1, self.slots_max), |span| (span.least, span.most.min(self.slots_max)))
    }

    /// The most workers that there may be.
    pub(in crate::master) fn most(&self) -> u16 {
        self.pool.span.map_or(self.size(), |span| span.most.max(self.size()))
    }

    /// Whether everybody who should serve does, with code that starts, and nothing is about to change.
    fn is_settled(&self) -> bool {
        let all_serve = || self.seats.keys().all(|slot| self.crew.serves(*slot));
        self.is_announced() && !self.is_changing() && self.trouble.is_none() && all_serve()
    }

    fn weigh_up(&mut self, now: Instant, span: Span, work: Work) -> Hold {
        let count = u64::from(self.size());
        let why = if work.waiting >= count * BACKLOG {
            Some(Why::Waiting)
        } else {
            (work.busy >= count * NEARLY_ALL).then_some(Why::Busy)
        };
        if let Some(why) = why {
            self.crew.adaption.spare = None;
            return self.grow(span, work, why);
        }
        self.crew.adaption.eager = 0;
        let is_enough = count > u64::from(span.least)
            && work.waiting == 0
            && work.busy <= (count.saturating_sub(1)) * HALF;
        if !is_enough {
            self.crew.adaption.spare = None;
        } else if *self.crew.adaption.spare.get_or_insert(now) + span.shrink_after <= now {
            // The next one must have been too many for as long again.
            self.crew.adaption.spare = Some(now);
            self.resize(now, self.size() - 1, Why::Spare);
        }
        Hold::None
    }

    fn grow(&mut self, span: Span, work: Work, why: Why) -> Hold {
        let size = self.size();
        if size >= span.most.min(self.slots_max) {
            return Hold::Most;
        }
        if self.has_no_memory(work, size) {
            return Hold::Memory;
        }
        self.crew.adaption.eager += 1;
        if self.crew.adaption.eager >= EAGER {
            self.crew.adaption.eager = 0;
            // In steps, since what one worker more does for the load is not known before it is there.
            let more = (size / 4).max(1);
            self.enlarge(size.saturating_add(more).min(span.most).min(self.slots_max), why);
        }
        Hold::None
    }

    /// Whether a further worker, as large as the others are on average, would bring the cgroup to its limit.
    fn has_no_memory(&self, work: Work, size: u16) -> bool {
        let limit = self.pool.recycling.memory.pressure.unwrap_or(MEMORY_PERCENT);
        work.memory.is_some_and(|percent| percent + percent.div_ceil(u64::from(size.max(1))) >= limit)
    }

    fn enlarge(&mut self, workers: u16, why: Why) {
        let before = self.size();
        for _ in before..workers {
            self.add_slot();
        }
        self.say(Note::Adapted { workers, before, why });
    }

    fn resize(&mut self, now: Instant, workers: u16, why: Why) {
        let before = self.size();
        if let Some((last, _)) = self.seats.last_key_value() {
            self.retire_slot(now, *last);
        }
        self.say(Note::Adapted { workers, before, why });
    }
}

/// How often the work is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// So many looks in a row must want more workers: one may have fallen into a short burst.
const EAGER: u32 = 2;

/// Of each worker, in thousandths: busier than this, requests often find nobody free.
const NEARLY_ALL: u64 = 850;

/// Of each worker that remains, in thousandths: far enough from [`NEARLY_ALL`] that the next look does not want it back.
const HALF: u64 = 500;

/// Requests that wait for each worker: fewer wait now and then without any want of workers.
const BACKLOG: u64 = 2;

/// Where `workers.memory_pressure` does not say when memory is short.
const MEMORY_PERCENT: u64 = 90;
