//! What the supervisor of a program leaves to that of the next, on paper.

use super::check::Trial;
use super::crew::{Life, Seat, Worker};
use super::mold::Molds;
use super::reload::Reload;
use super::respawn::Respawn;
use super::scale::Deferred;
use super::supervisor::{Start, Supervisor};
use crate::contract::control::Ticket;
use crate::contract::slot::{Generation, Slot};
use crate::master::pool::Pool;
use crate::sys::process::Pid;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// The pool as one program knew it, for the next one to go on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::master) struct WrittenPool {
    /// The one that the next program was proven with: some of its workers are ready.
    generation: u32,
    /// The one that serves.
    serving: u32,
    /// Slots in service.
    seats: Vec<u16>,
    workers: Vec<WrittenWorker>,
    /// Those who wait for the upgrade.
    upgrade: Vec<u64>,
    /// Those who wait for a reload that has not begun.
    reload: Vec<u64>,
    /// Those who wait for another number of workers.
    scale: Vec<u64>,
    scale_later: Option<(Option<u16>, i32)>,
    /// A reload was asked for that must wait.
    again: bool,
    /// How its first worker is to be tried; a program that had none of that says nothing of it.
    #[serde(default)]
    canary: Option<Duration>,
}

/// A worker process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenWorker {
    pid: i32,
    slot: u16,
    generation: u32,
    stage: Stage,
    /// Since or until when, seen from the writing.
    time: Duration,
    drain: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    Starting,
    Ready,
    Retiring,
    Draining,
    Failed,
    Killed,
}

impl Supervisor {
    /// What the next program has to know, once workers of this generation have been proven with it.
    pub(super) fn written(&self, now: Instant, generation: Generation) -> WrittenPool {
        let numbers = |tickets: &[Ticket]| tickets.iter().map(|ticket| ticket.0).collect();
        let tickets = &self.tickets;
        WrittenPool {
            generation: generation.0,
            serving: self.generation.0,
            seats: self.seats.keys().map(|slot| slot.0).collect(),
            workers: self
                .crew
                .workers
                .iter()
                .map(|(pid, worker)| WrittenWorker::of(now, *pid, worker))
                .collect(),
            upgrade: numbers(&tickets.upgrade),
            reload: numbers(&tickets.next_reload),
            scale: numbers(&tickets.scale),
            scale_later: self.scale_later.map(Deferred::parts),
            again: self.again,
            canary: self.canary_wish.time(),
        }
    }

    /// Goes on where the program before has left off: as if a reload to the proven generation were on its way, whose first
    /// wave is ready.
    ///
    /// That program cannot be forked any more, so whatever is forked from now on is of the proven generation.
    pub(in crate::master) fn from_written(
        now: Instant,
        pool: Pool,
        slots_max: u16,
        written: &WrittenPool,
    ) -> Self {
        let generation = Generation(written.generation);
        let pool = pool.keeping(written.seats.len());
        let mut supervisor = Self::new(pool, slots_max);
        supervisor.start = Start::Announced;
        supervisor.generation = Generation(written.serving);
        supervisor.last_generation = generation;
        supervisor.trial = Trial::Passed;
        supervisor.molds = Molds::default();
        supervisor.molds.add(generation, pool.preload);
        let seat = Seat { generation, respawn: Respawn::default() };
        supervisor.seats = written.seats.iter().map(|slot| (Slot(*slot), seat.clone())).collect();
        for worker in &written.workers {
            supervisor.crew.workers.insert(Pid(worker.pid), worker.read(now));
        }
        let serving = supervisor.crew.workers.values().filter(|worker| worker.life.serves());
        supervisor.served = serving.map(|worker| worker.slot).collect();
        let proven = written.workers.iter().filter(|worker| worker.generation == written.generation);
        let proven = proven.map(|worker| Slot(worker.slot)).collect();
        supervisor.reload = Some(Reload::begun(now, generation, pool, proven));
        supervisor.upgrade.adopted();
        let tickets = |numbers: &[u64]| numbers.iter().copied().map(Ticket).collect();
        supervisor.tickets.reload = tickets(&written.upgrade);
        supervisor.tickets.next_reload = tickets(&written.reload);
        supervisor.tickets.scale = tickets(&written.scale);
        supervisor.scale_later = written.scale_later.map(Deferred::of_parts);
        supervisor.again = written.again;
        if written.again {
            supervisor.canary_wish.add(written.canary);
        }
        if supervisor.scale_later.is_none() {
            supervisor.scale_begins(now);
        }
        supervisor
    }
}

impl WrittenPool {
    /// The generation that the next program was proven with.
    pub(in crate::master) fn generation(&self) -> Generation {
        Generation(self.generation)
    }
}

impl WrittenWorker {
    fn of(now: Instant, pid: Pid, worker: &Worker) -> Self {
        let (stage, time) = match worker.life {
            Life::Starting { deadline } => (Stage::Starting, deadline.saturating_duration_since(now)),
            Life::Ready { since } => (Stage::Ready, now.saturating_duration_since(since)),
            Life::Retiring { since } => (Stage::Retiring, now.saturating_duration_since(since)),
            Life::Draining { deadline } => (Stage::Draining, deadline.saturating_duration_since(now)),
            Life::Failed { deadline } => (Stage::Failed, deadline.saturating_duration_since(now)),
            Life::Killed { deadline } => (Stage::Killed, deadline.saturating_duration_since(now)),
        };
        Self {
            pid: pid.0,
            slot: worker.slot.0,
            generation: worker.generation.0,
            stage,
            time,
            drain: worker.drain,
        }
    }

    fn read(&self, now: Instant) -> Worker {
        let deadline = now + self.time;
        // The clock may be younger than the worker: that of a process does not go back before its boot.
        let since = now.checked_sub(self.time).unwrap_or(now);
        let life = match self.stage {
            Stage::Starting => Life::Starting { deadline },
            Stage::Ready => Life::Ready { since },
            Stage::Retiring => Life::Retiring { since },
            Stage::Draining => Life::Draining { deadline },
            Stage::Failed => Life::Failed { deadline },
            Stage::Killed => Life::Killed { deadline },
        };
        Worker { slot: Slot(self.slot), generation: Generation(self.generation), life, drain: self.drain }
    }
}
