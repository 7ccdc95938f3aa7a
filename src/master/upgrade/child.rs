//! The child in which this program proves itself: it forks workers, sees them ready, leaves them to its parent, and ends.
//!
//! They become the master's children: it is the next subreaper above (prctl(2), PR_SET_CHILD_SUBREAPER), which this process
//! must not be. A failure takes back what has been done: workers that serve drain, the others are killed.

use super::handover::{Bequest, ConfigText, Task};
use super::parent::Word;
use crate::config::BindAddress;
use crate::contract::control::{Command, Pace};
use crate::contract::exit::{self, Progress};
use crate::contract::message::{DrainReason, Order, Report};
use crate::contract::scoreboard::WorkerState;
use crate::contract::slot::{Generation, Slot};
use crate::master::Start;
use crate::master::decide::life::LEAVING;
use crate::master::decide::scale;
use crate::master::event::{Action, Event, Note, Who};
use crate::master::perform::admin::AdminProcess;
use crate::master::perform::admin_sockets::AdminSockets;
use crate::master::perform::fd_store::FdStore;
use crate::master::perform::{Own, Performer, SocketSource};
use crate::master::pool::Pool;
use crate::master::start::check_accounts;
use crate::net::socket_files::SocketFiles;
use crate::sys::channel::{self, Sent};
use crate::sys::process::Pid;
use crate::sys::signals::{self, SignalPipe};
use crate::sys::{fork, inherit, memory_file};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Proves this program, and ends this process: 0 when its workers are the parent's.
pub(super) fn run(start: Start, bequest: Bequest, task: Task) -> ! {
    let Ok(channel) = inherit::take(task.channel) else { fork::leave(FAILED) };
    let config = start.config_text.clone();
    let told = match Trial::begin(start, bequest, task) {
        Ok(mut trial) => match trial.prove().and_then(|()| trial.tell(&channel, &config)) {
            Ok(()) => fork::leave(0),
            Err(reason) => {
                let told = tell(&channel, &Word::Failed, reason.as_bytes());
                trial.take_back();
                told
            }
        },
        Err(reason) => tell(&channel, &Word::Failed, reason.as_bytes()),
    };
    // Without an ear the exit status must do.
    drop(told);
    fork::leave(FAILED)
}

struct Trial {
    performer: Performer,
    generation: Generation,
    slots: Vec<Slot>,
    workers: BTreeMap<Pid, Slot>,
    ready: BTreeSet<Pid>,
    boot: Duration,
    check: Option<Duration>,
    drain: Duration,
    events: VecDeque<Event>,
}

impl Trial {
    fn begin(mut start: Start, bequest: Bequest, task: Task) -> Result<Self, String> {
        let text = |error: io::Error| error.to_string();
        let signals = SignalPipe::new().map_err(text)?;
        check_accounts(&start.config).map_err(|error| error.to_string())?;
        let generation = bequest.generation;
        let (shared, source) = bequest.common.unpack().map_err(text)?;
        let has = |address: &BindAddress| {
            !shared.listeners.select(|origin| origin.configured.as_ref() == Some(address)).is_empty()
        };
        let is_bound = source == SocketSource::Bound;
        if let Some(address) = start.config.server.bind.iter().find(|address| is_bound && !has(address)) {
            return Err(format!(
                "server.bind: {address} is new: take the change by a reload, before the upgrade or after it"
            ));
        }
        let pool = Pool::of(&start.config);
        scale::fits(&pool, shared.scoreboard.slots_max())?;
        let mut places: Vec<_> = task.places;
        // With fewer workers than before there are fewer slots; the first one is always there.
        let slots: BTreeSet<_> =
            places.iter().map(|(slot, _)| Slot(*slot)).filter(|slot| slot.0 <= pool.most()).collect();
        let slots = if slots.is_empty() { vec![Slot(1)] } else { slots.into_iter().collect() };
        places.truncate(slots.len());
        let records = places.iter().filter_map(|(_, number)| shared.scoreboard.index(*number)).collect();
        let own = Own {
            signals,
            pid_file: None,
            manager: None,
            watchdog: None,
            files: SocketFiles::default(),
            source,
            fd_store: FdStore::new(None),
        };
        let admin = AdminProcess::new(AdminSockets::default(), &mut start, &shared);
        let mut performer = Performer::new(start, shared, own, admin, generation);
        performer.reserved = records;
        Ok(Self {
            performer,
            generation,
            slots,
            workers: BTreeMap::new(),
            ready: BTreeSet::new(),
            boot: pool.boot,
            check: pool.check,
            drain: pool.drain,
            events: VecDeque::new(),
        })
    }

    /// Forks the workers and waits until all are ready; or says why not.
    fn prove(&mut self) -> Result<(), String> {
        if let Some(limit) = self.check {
            self.pass_check(Instant::now() + limit)?;
        }
        let size = u16::try_from(self.slots.len()).unwrap_or(u16::MAX);
        for slot in self.slots.clone() {
            match self.performer.perform(Action::Fork { slot, generation: self.generation }, size) {
                Some(Event::Forked { pid, slot, .. }) => _ = self.workers.insert(pid, slot),
                Some(Event::ForkFailed { text, .. }) => return Err(text),
                Some(_) | None => {}
            }
        }
        let deadline = Instant::now() + self.boot;
        while self.ready.len() < self.workers.len() {
            match self.next(deadline)? {
                Some(Event::Reported { pid, report: Report::Ready }) => self.is_ready(pid),
                Some(Event::Reported { report: Report::Failed { text, .. }, .. }) => return Err(text),
                Some(Event::Exited { pid, outcome }) => {
                    let how = exit::cause(&outcome, Progress::Starting).text;
                    self.workers.remove(&pid);
                    self.ready.remove(&pid);
                    return Err(format!("worker pid {pid} ended before the others were ready: {how}"));
                }
                Some(_) => {}
                None => return Err("the new program's workers were not ready in time (timeouts.boot)".into()),
            }
        }
        Ok(())
    }

    fn pass_check(&mut self, deadline: Instant) -> Result<(), String> {
        let mut begun = self.performer.perform(Action::Check { generation: self.generation }, 0);
        loop {
            let event = match begun.take() {
                Some(event) => Some(event),
                None => self.next(deadline)?,
            };
            match event {
                Some(Event::Checked { outcome, .. }) => return outcome,
                Some(_) => {}
                None => {
                    self.performer.perform(Action::EndCheck, 0);
                    return Err("the check command was not done in time (timeouts.check)".into());
                }
            }
        }
    }

    /// What happens next; `None` when the time is over.
    fn next(&mut self, deadline: Instant) -> Result<Option<Event>, String> {
        while self.events.is_empty() {
            if Instant::now() >= deadline {
                return Ok(None);
            }
            self.performer.wait(Some(deadline), &mut self.events).map_err(|error| error.to_string())?;
        }
        match self.events.pop_front() {
            Some(Event::Asked { command: Command::Stop(_), .. }) => Err("the upgrade was given up".into()),
            event => Ok(event),
        }
    }

    fn is_ready(&mut self, pid: Pid) {
        let Some(slot) = self.workers.get(&pid).copied() else { return };
        self.ready.insert(pid);
        self.performer.perform(Action::Mark { pid, state: WorkerState::Ready }, 0);
        self.performer.perform(Action::Say(Note::Ready(Who { slot, pid, generation: self.generation })), 0);
    }

    /// Hands the workers to the parent.
    fn tell(&self, channel: &OwnedFd, config: &ConfigText) -> Result<(), String> {
        for (pid, slot) in &self.workers {
            let link =
                self.performer.links.get(pid).and_then(|link| Some((link.channel.as_ref()?, link.record)));
            let Some((worker, record)) = link else { return Err(format!("worker pid {pid} is gone")) };
            let word = Word::Worker { pid: pid.0, slot: slot.0, record: record.number() };
            say(channel, &word, worker)?;
        }
        tell(channel, &Word::Done, &serde_json::to_vec(config).map_err(|error| error.to_string())?)
    }

    /// Nothing is left behind, and no request of a client is cut off.
    fn take_back(&mut self) {
        for pid in self.workers.keys().copied() {
            if self.ready.contains(&pid) {
                let order = Order::Drain(DrainReason::Replaced);
                self.performer.perform(Action::Mark { pid, state: WorkerState::Draining }, 0);
                self.performer.perform(Action::Send { pid, order }, 0);
            } else {
                // One that cannot be killed is killed with the group, by the parent.
                let _ = signals::kill(pid);
            }
        }
        let deadline = Instant::now() + self.drain + LEAVING;
        loop {
            // Those first that came with the failure: one of them may be the last that there will be.
            for event in self.events.drain(..) {
                if let Event::Exited { pid, .. } = event {
                    self.workers.remove(&pid);
                } else if let Event::Asked { command: Command::Stop(Pace::Quick), .. } = event {
                    return;
                }
            }
            let is_over = self.workers.is_empty() || Instant::now() >= deadline;
            if is_over || self.performer.wait(Some(deadline), &mut self.events).is_err() {
                return;
            }
        }
    }
}

/// Says a word with a file of these bytes.
fn tell(channel: &OwnedFd, word: &Word, bytes: &[u8]) -> Result<(), String> {
    let file = memory_file::holding(bytes).map_err(|error| error.to_string())?;
    say(channel, word, &file.into())
}

fn say(channel: &OwnedFd, word: &Word, descriptor: &OwnedFd) -> Result<(), String> {
    let bytes = serde_json::to_vec(word).map_err(|error| error.to_string())?;
    match channel::send(channel.as_fd(), &bytes, &[descriptor.as_fd()]) {
        Ok(Sent::Sent) => Ok(()),
        Ok(Sent::WouldBlock | Sent::Closed) => Err("the running program does not listen".into()),
        Err(error) => Err(error.to_string()),
    }
}

const FAILED: u8 = 1;
