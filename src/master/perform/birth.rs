//! The fork of a worker: what it is given, and what it must not have.

use super::molds::MoldProcesses;
use super::{Link, Performer};
use crate::config::Config;
use crate::contract::exit::ExitReason;
use crate::contract::figures::Figure;
use crate::contract::handoff::{Handoff, Relay};
use crate::contract::scoreboard::{RecordIndex, WorkerState};
use crate::contract::slot::{Generation, Slot};
use crate::master::event::Event;
use crate::sys::fork::{self, fork_worker};
use crate::sys::process::Pid;
use crate::sys::{channel, env, fd_store};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a worker is forked for.
pub(super) struct Birth {
    pub(super) slot: Slot,
    pub(super) generation: Generation,
    pub(super) config: Arc<Config>,
    pub(super) record: RecordIndex,
    pub(super) channel: OwnedFd,
    pub(super) workers: u16,
}

impl Performer {
    /// Starts a worker; the answer is what came of it.
    pub(super) fn fork(&mut self, slot: Slot, generation: Generation, workers: u16) -> Event {
        match self.try_fork(slot, generation, workers) {
            Ok(pid) => Event::Forked { slot, generation, pid },
            Err(error) => {
                Event::ForkFailed { slot, generation, text: format!("cannot start a worker: {error}") }
            }
        }
    }

    fn try_fork(&mut self, slot: Slot, generation: Generation, workers: u16) -> io::Result<Pid> {
        self.open_slot(slot)?;
        let config = self.config_of(generation)?;
        let (ours, channel) = channel::pair()?;
        let record = self.claim_record(slot, generation)?;
        let birth = Birth { slot, generation, config, record, channel, workers };
        let mut ours = Some(ours);
        let forked = fork_worker(self.start.fork_hooks, ExitReason::Panicked.status(), || {
            drop(ours.take());
            self.become_worker(birth).status()
        });
        let pid = match forked {
            Ok(pid) => pid,
            Err(error) => {
                self.shared.scoreboard.record(record).set_state(WorkerState::Free);
                return Err(error);
            }
        };
        self.link(pid, Link { channel: ours, record });
        Ok(pid)
    }

    /// The configuration of a generation that may still be started.
    pub(in crate::master) fn config_of(&self, generation: Generation) -> io::Result<Arc<Config>> {
        let missing = || io::Error::other(format!("no configuration of generation {generation}"));
        self.configs.get(&generation).cloned().ok_or_else(missing)
    }

    /// Takes a record for a worker that is about to be forked.
    pub(super) fn claim_record(&mut self, slot: Slot, generation: Generation) -> io::Result<RecordIndex> {
        let record = self.take_reserved().or_else(|| self.shared.scoreboard.free_record());
        let record = record.ok_or_else(|| self.no_room())?;
        self.shared.scoreboard.record(record).claim(slot, generation);
        Ok(record)
    }

    /// Every worker has a record until it has ended.
    pub(in crate::master) fn no_room(&self) -> io::Error {
        let count = self.shared.scoreboard.record_count();
        io::Error::other(format!(
            "no room for a further worker: {count} are there, counting those that still leave; wait until they have left, or restart the server"
        ))
    }

    /// Notes a worker that has been forked.
    pub(super) fn link(&mut self, pid: Pid, link: Link) {
        self.shared.scoreboard.record(link.record).set_pid(pid);
        self.shared.scoreboard.figure(Figure::Forks).fetch_add(1, Ordering::Relaxed);
        self.links.insert(pid, link);
    }

    /// In the child: everything that is the master's goes, then the worker begins.
    pub(super) fn become_worker(&mut self, birth: Birth) -> ExitReason {
        self.forget_parent();
        let Birth { slot, generation, config, record, channel, workers } = birth;
        let directory = self.surroundings.directory.clone();
        let scoreboard = self.shared.scoreboard.clone();
        let listeners = std::mem::take(&mut self.shared.listeners);
        let ends = (self.shared.relay.post.try_clone(), self.shared.relay.take.try_clone());
        let (Ok(post), Ok(take)) = ends else { return ExitReason::BootFailed };
        let relay = Relay { post, take };
        if fork::restore_signals().is_err() {
            return ExitReason::BootFailed;
        }
        (self.start.worker_main)(Handoff {
            slot,
            generation,
            config,
            directory,
            listeners,
            channel,
            relay,
            scoreboard,
            metrics: self.shared.metrics.of(record),
            record,
            workers,
        })
    }

    /// In a child: everything that is the master's goes.
    pub(in crate::master) fn forget_parent(&mut self) {
        // With a copy of a sibling's channel open here, that sibling would not see the master's death.
        self.links.clear();
        self.molds = MoldProcesses::default();
        self.admin.leave_to_parent();
        if let Some(pid_file) = self.own.pid_file.take() {
            pid_file.leave_to_parent();
        }
        self.own.manager = None;
        // The master needs it as long as it lives; nobody else should take the manager's promise for theirs.
        let _ = env::remove(fd_store::PLACES.as_ref());
        self.own.signals.release();
        self.check = None;
        self.proof = None;
    }
}
