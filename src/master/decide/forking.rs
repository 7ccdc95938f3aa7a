//! Workers that are asked for, and what comes of it.

use super::crew::{Life, Worker};
use super::mold::MoldLife;
use super::supervisor::{Supervisor, UNWANTED};
use super::trouble::Blame;
use crate::contract::exit::ExitReason;
use crate::contract::slot::{Generation, Slot};
use crate::master::event::{Action, KillReason};
use crate::master::pool::Pool;
use crate::sys::process::Pid;
use std::time::Instant;

impl Supervisor {
    /// Starts a worker; where its generation preloads and has no mold, that comes first.
    pub(super) fn fork(&mut self, slot: Slot, generation: Generation) {
        if self.pending.contains_key(&slot) {
            return;
        }
        let action = match self.molds.life(generation) {
            None => Action::Fork { slot, generation },
            Some(MoldLife::Ready { .. }) => Action::Cast { slot, generation },
            Some(MoldLife::Absent) => return self.molds.set(generation, MoldLife::Wanted),
            // The slot asks again when the mold is there.
            Some(
                MoldLife::Wanted | MoldLife::Asked | MoldLife::Loading { .. } | MoldLife::Leaving { .. },
            ) => return,
        };
        self.pending.insert(slot, generation);
        self.act(action);
    }

    /// A worker has been forked.
    pub(super) fn forked(&mut self, now: Instant, slot: Slot, generation: Generation, pid: Pid) {
        let expected = self.pending.get(&slot).copied();
        let wanted = expected == Some(generation);
        // One that comes late must not be taken for the one that is expected by now.
        if wanted || expected == Some(UNWANTED) {
            self.pending.remove(&slot);
        }
        let pool = self.pool_of(generation);
        let (life, drain) = (Life::Starting { deadline: now + pool.boot }, pool.drain);
        self.crew.workers.insert(pid, Worker { slot, generation, life, drain });
        if !wanted || !self.keeps_pool() {
            self.kill(now, pid, KillReason::NotNeeded);
        }
    }

    /// A worker could not be forked.
    pub(super) fn fork_failed(&mut self, now: Instant, slot: Slot, generation: Generation, text: String) {
        let expected = self.pending.get(&slot).copied();
        if expected == Some(generation) || expected == Some(UNWANTED) {
            self.pending.remove(&slot);
        }
        if expected == Some(generation) && self.keeps_pool() {
            let reason = (ExitReason::BootFailed, text);
            self.boot_failed(now, (slot, generation), reason, Blame::Circumstances);
        }
    }

    /// The limits that hold for a generation.
    pub(super) fn pool_of(&self, generation: Generation) -> Pool {
        let reload = self.reload.as_ref().filter(|reload| reload.generation == generation);
        reload.map_or(self.pool, |reload| reload.pool)
    }
}
