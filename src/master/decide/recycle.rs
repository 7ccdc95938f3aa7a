//! Workers that are replaced though nothing is wrong with them: for their requests, their age, their memory.

use super::crew::{Life, Worker};
use super::respawn::Respawn;
use super::supervisor::{Phase, Supervisor};
use crate::contract::message::RetireReason;
use crate::contract::slot::Slot;
use crate::master::event::{Action, Note, Who};
use crate::sys::process::Pid;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What is to be recycled, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::master) struct Plan {
    /// At least one.
    pub(in crate::master) at_once: u16,
    /// Zero: never for its age.
    pub(in crate::master) max_age: Duration,
    /// What is added at most.
    pub(in crate::master) age_jitter: Duration,
    pub(in crate::master) memory: MemoryLimits,
}

/// When a worker has too much memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::master) struct MemoryLimits {
    /// Bytes of each worker.
    pub(in crate::master) each: Option<u64>,
    /// Hundredths of what the cgroup may have.
    pub(in crate::master) pressure: Option<u64>,
}

/// What was found when memory was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::master) struct Weights {
    /// Workers that may have too much, and how many bytes they have.
    pub(in crate::master) sizes: Vec<(Pid, u64)>,
    /// Hundredths of its limit that the cgroup uses, where that is too much.
    pub(in crate::master) pressure: Option<u64>,
}

/// Why a worker is recycled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::master) enum Surfeit {
    /// It is as old as it should get.
    Age,
    /// It has more memory than it should; it has served so long.
    Memory { bytes: u64, served: Duration },
    /// It is the largest, and the cgroup uses so many hundredths of its limit.
    Pressure { bytes: u64, percent: u64 },
}

/// Who is being recycled, and when memory is looked at next.
#[derive(Debug, Clone, Default)]
pub(super) struct Recycling {
    planned: BTreeSet<Pid>,
    look: Option<Instant>,
}

impl Supervisor {
    /// Has workers retire that are due.
    pub(super) fn recycle(&mut self, now: Instant) {
        let crew = &self.crew.workers;
        self.recycling.planned.retain(|pid| crew.contains_key(pid));
        if !self.recycles() {
            return;
        }
        for pid in self.crew.select(|_| true) {
            if self.too_old_at(pid).is_some_and(|due| due <= now) {
                self.plan_retirement(pid, Surfeit::Age);
            }
        }
        let memory = self.pool.recycling.memory;
        if memory == MemoryLimits::default() {
            self.recycling.look = None;
        } else if *self.recycling.look.get_or_insert(now + LOOK) <= now {
            self.recycling.look = Some(now + LOOK);
            self.act(Action::Weigh(memory));
        }
    }

    /// When somebody gets too old, or memory is to be looked at.
    pub(super) fn recycling_due(&self) -> Option<Instant> {
        if !self.recycles() {
            return None;
        }
        let ages = self.crew.workers.keys().filter_map(|pid| self.too_old_at(*pid));
        ages.chain(self.recycling.look).min()
    }

    /// The answer to `Weigh`.
    pub(super) fn weighed(&mut self, now: Instant, weights: Weights) {
        let Weights { mut sizes, pressure } = weights;
        if !self.recycles() {
            return;
        }
        if let Some(limit) = self.pool.recycling.memory.each {
            for (pid, bytes) in sizes.iter().copied().filter(|(_, bytes)| *bytes > limit) {
                let since = self.ready_since(pid).unwrap_or(now);
                self.plan_retirement(
                    pid,
                    Surfeit::Memory { bytes, served: now.saturating_duration_since(since) },
                );
            }
        }
        // One at a time: what its end gives back is seen at the next look.
        if let Some(percent) = pressure.filter(|_| self.recycling.planned.is_empty()) {
            sizes.retain(|(pid, _)| self.ready_since(*pid).is_some());
            if let Some((pid, bytes)) = sizes.into_iter().max_by_key(|(_, bytes)| *bytes) {
                self.plan_retirement(pid, Surfeit::Pressure { bytes, percent });
            }
        }
    }

    /// A worker wants a successor.
    pub(super) fn wants_to_retire(&mut self, pid: Pid, reason: RetireReason) {
        let Some(who) = self.retire(pid) else { return };
        self.say(Note::Retires { who, reason });
        match reason {
            RetireReason::MaxRequests => self.planned(pid, who.slot),
            RetireReason::RequestTimeout | RetireReason::Terminated => {}
        }
        if self.lacks_code(who.generation) {
            self.say(Note::RecyclingWaits(who));
        }
    }

    /// Whether a slot that wants a successor for a planned end may have one now: not too many at once.
    pub(super) fn has_turn(&self, slot: Slot) -> bool {
        let is_planned = |(pid, worker): (Pid, &Worker)| {
            matches!(worker.life, Life::Retiring { .. }) && self.recycling.planned.contains(&pid)
        };
        !self.crew.of(slot).any(is_planned) || self.under_way() < usize::from(self.pool.recycling.at_once)
    }

    /// How many are being recycled: their successors start, or they are leaving.
    fn under_way(&self) -> usize {
        let workers = self.recycling.planned.iter().filter_map(|pid| self.crew.workers.get(pid));
        let is_under_way = |worker: &&Worker| match worker.life {
            Life::Ready { .. } | Life::Starting { .. } => false,
            Life::Retiring { .. } => self.pending.contains_key(&worker.slot) || self.crew.starts(worker.slot),
            Life::Draining { .. } | Life::Failed { .. } | Life::Killed { .. } => true,
        };
        workers.filter(is_under_way).count()
    }

    /// A reload replaces everybody anyway, and a server that stops nobody.
    fn recycles(&self) -> bool {
        self.phase == Phase::Serving && self.reload.is_none()
    }

    fn plan_retirement(&mut self, pid: Pid, why: Surfeit) {
        let Some(who) = self.retire(pid) else { return };
        self.say(Note::Recycled { who, why });
        self.planned(pid, who.slot);
        if self.lacks_code(who.generation) {
            self.say(Note::RecyclingWaits(who));
        }
    }

    fn retire(&mut self, pid: Pid) -> Option<Who> {
        let since = self.ready_since(pid)?;
        self.set_life(pid, Life::Retiring { since });
        self.crew.who(pid)
    }

    fn planned(&mut self, pid: Pid, slot: Slot) {
        self.recycling.planned.insert(pid);
        // Not a failure: no delay is due.
        self.seats.entry(slot).and_modify(|seat| seat.respawn = Respawn::default());
    }

    fn ready_since(&self, pid: Pid) -> Option<Instant> {
        match self.crew.workers.get(&pid)?.life {
            Life::Ready { since } => Some(since),
            Life::Starting { .. }
            | Life::Retiring { .. }
            | Life::Draining { .. }
            | Life::Failed { .. }
            | Life::Killed { .. } => None,
        }
    }

    fn too_old_at(&self, pid: Pid) -> Option<Instant> {
        let Plan { max_age, age_jitter, .. } = self.pool.recycling;
        let since = self.ready_since(pid).filter(|_| !max_age.is_zero())?;
        Some(since + max_age + age_jitter.mul_f64(share(pid)))
    }
}

/// A part of one that differs from pid to pid as if by chance, and is the same whenever it is asked for.
fn share(pid: Pid) -> f64 {
    // 2^32 divided by the golden ratio, made odd: neighbours end up far apart.
    let scattered = pid.0.cast_unsigned().wrapping_mul(0x9e37_79b9);
    f64::from(scattered) / f64::from(u32::MAX)
}

/// How often memory is looked at: a leak is slow, and a look costs.
const LOOK: Duration = Duration::from_secs(5);
