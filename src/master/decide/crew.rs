//! The workers and the slots, as the supervisor knows them.

use super::adapt::Adaption;
use super::heartbeat::Heartbeat;
use super::respawn::Respawn;
use crate::contract::slot::{Generation, Slot};
use crate::master::event::Who;
use crate::sys::process::Pid;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A slot in service.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    /// Of which generation its next worker is.
    pub(super) generation: Generation,
    /// When its next worker may be started.
    pub(super) respawn: Respawn,
}

/// A worker process, from its fork until it is reaped.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) slot: Slot,
    pub(super) generation: Generation,
    pub(super) life: Life,
    /// How long it may drain, by the configuration that it has itself.
    pub(super) drain: Duration,
}

/// Where a worker is in its life. Each state that waits holds its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Forked, not ready.
    Starting { deadline: Instant },
    /// It serves.
    Ready { since: Instant },
    /// It serves, and wants a successor.
    Retiring { since: Instant },
    /// Told to leave.
    Draining { deadline: Instant },
    /// It has said itself that it cannot start, and leaves.
    Failed { deadline: Instant },
    /// SIGKILL is on its way.
    Killed { deadline: Instant },
}

impl Life {
    /// Whether it takes connections.
    pub(super) fn serves(self) -> bool {
        matches!(self, Self::Ready { .. } | Self::Retiring { .. })
    }

    /// Whether it is on its way to serving.
    pub(super) fn is_starting(self) -> bool {
        matches!(self, Self::Starting { .. })
    }

    /// When something must be done about it.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Starting { deadline }
            | Self::Draining { deadline }
            | Self::Failed { deadline }
            | Self::Killed { deadline } => Some(deadline),
            Self::Ready { .. } | Self::Retiring { .. } => None,
        }
    }
}

/// All worker processes there are.
#[derive(Debug, Clone, Default)]
pub(super) struct Crew {
    pub(super) workers: BTreeMap<Pid, Worker>,
    pub(super) heartbeat: Heartbeat,
    pub(super) adaption: Adaption,
}

impl Crew {
    /// The workers of a slot.
    pub(super) fn of(&self, slot: Slot) -> impl Iterator<Item = (Pid, &Worker)> {
        self.workers.iter().filter(move |(_, worker)| worker.slot == slot).map(|(pid, worker)| (*pid, worker))
    }

    /// Whether the slot has a worker that starts.
    pub(super) fn starts(&self, slot: Slot) -> bool {
        self.of(slot).any(|(_, worker)| matches!(worker.life, Life::Starting { .. }))
    }

    /// Whether somebody takes the slot's connections.
    pub(super) fn serves(&self, slot: Slot) -> bool {
        self.of(slot).any(|(_, worker)| worker.life.serves())
    }

    /// Whether the slot has a worker of this generation that serves.
    pub(super) fn serves_as(&self, slot: Slot, generation: Generation) -> bool {
        self.of(slot).any(|(_, worker)| worker.life.serves() && worker.generation == generation)
    }

    /// Whether somebody serves who does not want to leave.
    pub(super) fn is_settled(&self, slot: Slot) -> bool {
        self.of(slot).any(|(_, worker)| matches!(worker.life, Life::Ready { .. }))
    }

    /// Those for whom this holds.
    pub(super) fn select(&self, wanted: impl Fn(&Worker) -> bool) -> Vec<Pid> {
        self.workers.iter().filter(|(_, worker)| wanted(worker)).map(|(pid, _)| *pid).collect()
    }

    /// A worker as the log names it.
    pub(super) fn who(&self, pid: Pid) -> Option<Who> {
        self.workers.get(&pid).map(|worker| Who { slot: worker.slot, pid, generation: worker.generation })
    }
}
