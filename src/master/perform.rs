//! The supervisor's arms and ears: the only file of the master that touches the system.

use super::attend::Office;
use super::event::{Action, Event, Pool};
use super::herald::Bulletin;
use super::pid_file::PidFile;
use super::{Start, figures, manager, notes, pool};
use crate::config::{Changes, Config};
use crate::contract::control::{Command, Pace, Scale, Tiding};
use crate::contract::exit::ExitReason;
use crate::contract::figures::Figure;
use crate::contract::handoff::{Generation, Handoff, Relay, Slot};
use crate::contract::message::{Order, Report};
use crate::contract::metrics::MetricTable;
use crate::contract::scoreboard::{RecordIndex, Scoreboard, Service, WorkerState};
use crate::net::listeners::ListenerSet;
use crate::sys::channel::{self, Received, Sent};
use crate::sys::fork::{self, fork_worker};
use crate::sys::process::Pid;
use crate::sys::signals::{self, Signal, SignalPipe};
use crate::sys::systemd::Manager;
use crate::sys::{ForkHooks, poll, wait};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tracing::{debug, info, warn};

/// Does what the supervisor decides and hears what happens.
pub(super) struct Performer {
    start: Callbacks,
    /// The configuration of each generation that may still be started.
    configs: BTreeMap<Generation, Arc<Config>>,
    /// What the sockets were made by.
    started_with: Arc<Config>,
    loaded: Option<Config>,
    links: BTreeMap<Pid, Link>,
    pub(super) shared: Shared,
    /// What a worker must not have.
    own: Own,
    pub(super) office: Office,
    hearing: Hearing,
}

/// Whether the service manager has got what it was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    Heard,
    Deaf,
}

/// What the workers get a copy of.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) listeners: ListenerSet,
    pub(super) relay: Relay,
    pub(super) scoreboard: Scoreboard,
    pub(super) metrics: MetricTable,
}

/// What the master keeps to itself.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) signals: SignalPipe,
    pub(super) pid_file: Option<PidFile>,
    pub(super) manager: Option<Manager>,
}

struct Callbacks {
    reload_config: Box<dyn FnMut() -> Result<Config, String>>,
    reopen_logs: Box<dyn FnMut() -> Result<(), String>>,
    worker_main: Box<dyn Fn(Handoff) -> ExitReason>,
    fork_hooks: ForkHooks,
}

/// The master's side of a worker.
#[derive(Debug)]
struct Link {
    /// `None` once the worker has closed its end.
    channel: Option<OwnedFd>,
    record: RecordIndex,
}

/// What a worker is forked for.
struct Birth {
    slot: Slot,
    generation: Generation,
    config: Arc<Config>,
    record: RecordIndex,
    channel: OwnedFd,
    workers: u16,
}

impl Performer {
    pub(super) fn new(start: Start, shared: Shared, own: Own, office: Office) -> Self {
        let Start { config, reload_config, reopen_logs, worker_main, fork_hooks, .. } = start;
        let config = Arc::new(config);
        Self {
            start: Callbacks { reload_config, reopen_logs, worker_main, fork_hooks },
            configs: BTreeMap::from([(Generation(1), Arc::clone(&config))]),
            started_with: config,
            loaded: None,
            links: BTreeMap::new(),
            shared,
            own,
            office,
            hearing: Hearing::Heard,
        }
    }

    /// Does one thing; the answer, if there is one, is for the supervisor before anything else.
    pub(super) fn perform(&mut self, action: Action, workers: u16) -> Option<Event> {
        match action {
            Action::ForkAdmin => return Some(self.fork_admin()),
            Action::Fork { slot, generation } => return Some(self.fork(slot, generation, workers)),
            Action::LoadConfig => return Some(Event::ConfigLoaded(self.load_config())),
            Action::ReopenLogs => return Some(Event::LogsReopened((self.start.reopen_logs)())),
            Action::Send { pid, order } => self.send(pid, order, None),
            Action::Kill { pid } => {
                if let Err(error) = signals::kill(pid) {
                    warn!(%pid, "cannot kill worker: {error}");
                }
            }
            Action::Adopt { generation } => {
                if let Some(config) = self.loaded.take() {
                    self.configs.insert(generation, Arc::new(config));
                }
            }
            Action::Mark { pid, state } => {
                if let Some(link) = self.links.get(&pid) {
                    self.shared.scoreboard.record(link.record).set_state(state);
                }
            }
            Action::Serve { slot, service } => self.shared.scoreboard.set_service(slot, service),
            Action::Say(note) => {
                if let Some(figure) = figures::of(&note) {
                    self.shared.scoreboard.figure(figure).fetch_add(1, Ordering::Relaxed);
                }
                notes::write(&note);
            }
            Action::Tell(bulletin) => self.tell(&bulletin),
            Action::Answer { ticket, verdict } => self.office.tell(Tiding::Answer { ticket, verdict }),
            Action::Publish(state) => {
                self.shared.scoreboard.set_stage(state.stage);
                self.office.tell(Tiding::State(state));
            }
            // The loop's own business.
            Action::Exit(_) => {}
        }
        None
    }

    /// Forgets configurations that nobody can be started with any more.
    pub(super) fn forget(&mut self, is_used: impl Fn(Generation) -> bool) {
        self.configs.retain(|generation, _| is_used(*generation));
    }

    /// Waits until something happens or the deadline passes; adds what has happened.
    pub(super) fn wait(&mut self, deadline: Option<Instant>, events: &mut VecDeque<Event>) -> io::Result<()> {
        let limit = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let (pids, channels): (Vec<Pid>, Vec<BorrowedFd<'_>>) = self
            .links
            .iter()
            .filter_map(|(pid, link)| link.channel.as_ref().map(|channel| (*pid, channel.as_fd())))
            .unzip();
        let mut sources = channels;
        sources.push(self.own.signals.descriptor());
        sources.extend(self.office.channel());
        let ready = poll::wait_readable(&sources, limit)?;
        if ready.last().is_some_and(|index| *index > pids.len()) {
            self.office.listen(events);
        }
        for pid in ready.iter().filter_map(|index| pids.get(*index)) {
            self.listen(*pid, events);
        }
        for signal in self.own.signals.take() {
            match command(signal) {
                Some(command) => events.push_back(Event::Asked { ticket: None, command }),
                None => self.reap(events),
            }
        }
        Ok(())
    }

    /// Reads what a worker has reported.
    fn listen(&mut self, pid: Pid, events: &mut VecDeque<Event>) {
        let Some(link) = self.links.get_mut(&pid) else { return };
        for _ in 0..REPORTS_AT_ONCE {
            let Some(channel) = &link.channel else { return };
            match channel::receive(channel.as_fd()) {
                Ok(Received::Message(bytes, _)) => match Report::decode(&bytes) {
                    Ok(report) => events.push_back(Event::Reported { pid, report }),
                    Err(error) => warn!(%pid, "{error}"),
                },
                Ok(Received::WouldBlock) => return,
                // Its end follows.
                Ok(Received::Closed) => link.channel = None,
                Err(error) => {
                    warn!(%pid, "cannot hear worker: {error}");
                    link.channel = None;
                }
            }
        }
    }

    fn reap(&mut self, events: &mut VecDeque<Event>) {
        while let Some((pid, outcome)) = wait::reap() {
            // What it said last comes before its end.
            self.listen(pid, events);
            if self.office.reaped(pid) {
                events.push_back(Event::AdminExited(outcome));
                continue;
            }
            let Some(link) = self.links.remove(&pid) else {
                debug!(%pid, "reaped a process that is no worker");
                continue;
            };
            self.shared.metrics.retire(link.record);
            self.shared.scoreboard.retire(link.record);
            events.push_back(Event::Exited { pid, outcome });
        }
    }

    fn tell(&mut self, bulletin: &Bulletin) {
        let Some(manager) = &self.own.manager else { return };
        let requests = self.shared.scoreboard.totals().requests;
        let told = manager::assignments(bulletin, requests).and_then(|text| manager.tell(&text));
        // Once, and not at each beat.
        if let (Err(error), Hearing::Heard) = (&told, self.hearing) {
            warn!("the service manager cannot be told how the server is: {error}");
        }
        self.hearing = if told.is_ok() { Hearing::Heard } else { Hearing::Deaf };
    }

    fn send(&mut self, pid: Pid, order: Order, descriptor: Option<BorrowedFd<'_>>) {
        let Some(channel) = self.links.get(&pid).and_then(|link| link.channel.as_ref()) else { return };
        match channel::send(channel.as_fd(), &order.encode(), descriptor.as_slice()) {
            Ok(Sent::Sent | Sent::Closed) => {}
            // Deadlines see to a worker that hears nothing.
            Ok(Sent::WouldBlock) => warn!(%pid, "worker does not read its orders"),
            Err(error) => warn!(%pid, "cannot reach worker: {error}"),
        }
    }

    fn load_config(&mut self) -> Result<Pool, String> {
        let config = (self.start.reload_config)()?;
        let pool = pool(&config);
        if let Some((_, serving)) = self.configs.last_key_value() {
            let changes = Changes::between(serving, &config);
            if !changes.reloaded.is_empty() {
                info!("changed keys that the reload takes: {}", changes.reloaded.join(", "));
            }
        }
        for key in Changes::between(&self.started_with, &config).restart {
            warn!("{key} has changed: this takes effect at a restart only");
        }
        self.loaded = Some(config);
        Ok(pool)
    }

    fn fork(&mut self, slot: Slot, generation: Generation, workers: u16) -> Event {
        match self.try_fork(slot, generation, workers) {
            Ok(pid) => Event::Forked { slot, generation, pid },
            Err(error) => {
                Event::ForkFailed { slot, generation, text: format!("cannot start a worker: {error}") }
            }
        }
    }

    fn try_fork(&mut self, slot: Slot, generation: Generation, workers: u16) -> io::Result<Pid> {
        self.open_slot(slot)?;
        let missing = || io::Error::other(format!("no configuration of generation {generation}"));
        let config = self.configs.get(&generation).cloned().ok_or_else(missing)?;
        let full = || io::Error::other("the scoreboard is full");
        let record = self.shared.scoreboard.free_record().ok_or_else(full)?;
        let (ours, channel) = channel::pair()?;
        self.shared.scoreboard.record(record).claim(slot, generation);
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
        self.shared.scoreboard.record(record).set_pid(pid);
        self.links.insert(pid, Link { channel: ours, record });
        self.shared.scoreboard.figure(Figure::Forks).fetch_add(1, Ordering::Relaxed);
        Ok(pid)
    }

    /// In the child: everything that is the master's goes, then the worker begins.
    fn become_worker(&mut self, birth: Birth) -> ExitReason {
        self.forget_parent();
        let Birth { slot, generation, config, record, channel, workers } = birth;
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
    pub(super) fn forget_parent(&mut self) {
        // With a copy of a sibling's channel open here, that sibling would not see the master's death.
        self.links.clear();
        self.office.leave_to_parent();
        if let Some(pid_file) = self.own.pid_file.take() {
            pid_file.leave_to_parent();
        }
        self.own.manager = None;
        self.own.signals.release();
    }

    pub(super) fn fork_hooks(&self) -> ForkHooks {
        self.start.fork_hooks
    }

    /// Takes leave of the admin process, as everybody else has gone.
    pub(super) fn close(mut self) {
        self.office.close(&mut self.own.signals);
    }

    /// Sees that the slot has its sockets, and that everybody knows of new ones before they are connected to in vain.
    fn open_slot(&mut self, slot: Slot) -> io::Result<()> {
        let opened = self.shared.listeners.open_slot(slot)?;
        if opened.is_empty() {
            return Ok(());
        }
        self.shared.scoreboard.set_service(slot, Service::Vacant);
        for listener in opened {
            let Some(socket) = self.shared.listeners.socket(listener, slot) else { continue };
            let state = |link: &Link| self.shared.scoreboard.record(link.record).state();
            // Who drains must not begin to accept again.
            for link in self.links.values().filter(|link| state(link) != WorkerState::Draining) {
                let Some(channel) = &link.channel else { continue };
                let order = Order::Socket { slot, listener };
                if !matches!(channel::send(channel.as_fd(), &order.encode(), &[socket]), Ok(Sent::Sent)) {
                    warn!(%slot, "a worker has not got the new slot's socket");
                }
            }
        }
        for pid in self.links.keys().copied().collect::<Vec<_>>() {
            self.send(pid, Order::Vacancies, None);
        }
        Ok(())
    }
}

/// What a signal asks for; `None` for one that only says that a child has ended.
fn command(signal: Signal) -> Option<Command> {
    match signal {
        Signal::Child => None,
        Signal::Terminate => Some(Command::Stop(Pace::Graceful)),
        Signal::Interrupt | Signal::Quit => Some(Command::Stop(Pace::Quick)),
        Signal::HangUp => Some(Command::Reload),
        Signal::User1 => Some(Command::ReopenLogs),
        Signal::User2 => Some(Command::Upgrade),
        Signal::More => Some(Command::Scale(Scale::By(1))),
        Signal::Less => Some(Command::Scale(Scale::By(-1))),
    }
}

/// Reports read from one worker before the others are heard.
const REPORTS_AT_ONCE: usize = 64;
