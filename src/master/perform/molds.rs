//! Molds as processes: how the master makes, tells and hears them, and what such a process does.

use super::birth::Birth;
use super::{Link, Performer, Shared};
use crate::config::Config;
use crate::contract::exit::ExitReason;
use crate::contract::message::{Cast, Order, Report};
use crate::contract::scoreboard::{RecordIndex, WorkerState};
use crate::contract::slot::{Generation, Slot};
use crate::master::event::{Event, MoldNews};
use crate::sys::channel::{self, Received, Sent, Signatures, Signed};
use crate::sys::fork::{self, fork_worker};
use crate::sys::process::Pid;
use crate::sys::reserved_signals::ReservedSignals;
use crate::sys::{app_fork, poll, signals};
use crate::telemetry;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use tracing::{error, warn};

/// The molds there are, and the workers that they were told to fork.
#[derive(Debug, Default)]
pub(super) struct MoldProcesses {
    molds: BTreeMap<Generation, MoldLink>,
    expected: BTreeMap<(Slot, Generation), Expected>,
}

/// The master's side of a mold.
#[derive(Debug)]
struct MoldLink {
    pid: Pid,
    /// `None` once the mold has closed its end.
    channel: Option<OwnedFd>,
}

/// A worker that has not yet said that it exists.
#[derive(Debug)]
struct Expected {
    channel: OwnedFd,
    record: RecordIndex,
}

/// What comes of listening to a worker that is expected.
enum Word {
    None,
    Born(Pid),
    /// Nobody has this channel any more.
    Lost(String),
}

impl MoldProcesses {
    /// Readable when a mold or a worker that is expected has said something or has ended.
    pub(super) fn channels(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let molds = self.molds.values().filter_map(|mold| mold.channel.as_ref());
        molds.chain(self.expected.values().map(|expected| &expected.channel)).map(AsFd::as_fd)
    }

    /// Notes the end of a process; the generation whose mold it was.
    pub(super) fn reaped(&mut self, pid: Pid) -> Option<Generation> {
        let generation = self.molds.iter().find(|(_, mold)| mold.pid == pid).map(|(found, _)| *found)?;
        self.molds.remove(&generation);
        Some(generation)
    }
}

impl Expected {
    fn hear(&self) -> Word {
        match channel::receive_signed(self.channel.as_fd()) {
            Ok(Signed::WouldBlock) => Word::None,
            Ok(Signed::Message(bytes, pid)) if Report::decode(&bytes) == Ok(Report::Born) => {
                // What it says from now on is heard as from any worker.
                match channel::set_signatures(self.channel.as_fd(), Signatures::Unwanted) {
                    Ok(()) => Word::Born(pid),
                    Err(error) => Word::Lost(error.to_string()),
                }
            }
            Ok(Signed::Message(..)) => Word::Lost("its first word was malformed".into()),
            Ok(Signed::Closed) => Word::Lost("the mold has not forked it".into()),
            Err(error) => Word::Lost(error.to_string()),
        }
    }
}

impl Performer {
    /// Starts the mold of a generation.
    pub(super) fn make_mold(&mut self, generation: Generation) -> Event {
        let news = match self.try_make_mold(generation) {
            Ok(()) => MoldNews::Forked,
            Err(error) => MoldNews::NotForked(format!("cannot start a mold: {error}")),
        };
        Event::Mold { generation, news }
    }

    fn try_make_mold(&mut self, generation: Generation) -> io::Result<()> {
        let config = self.config_of(generation)?;
        let (ours, theirs) = channel::pair()?;
        let mut ours = Some(ours);
        let pid = fork_worker(self.fork_hooks(), ExitReason::Panicked.status(), || {
            drop(ours.take());
            self.become_mold(generation, &config, theirs).status()
        })?;
        self.molds.molds.insert(generation, MoldLink { pid, channel: ours });
        Ok(())
    }

    /// Has a mold fork a worker; the answer, unless it fails at once, is the worker's own.
    pub(super) fn cast(&mut self, slot: Slot, generation: Generation, workers: u16) -> Option<Event> {
        self.try_cast(slot, generation, workers).err().map(|error| Event::ForkFailed {
            slot,
            generation,
            text: format!("cannot start a worker: {error}"),
        })
    }

    fn try_cast(&mut self, slot: Slot, generation: Generation, workers: u16) -> io::Result<()> {
        self.open_slot(slot)?;
        let (ours, theirs) = channel::pair()?;
        channel::set_signatures(ours.as_fd(), Signatures::Wanted)?;
        let record = self.claim_record(slot, generation)?;
        let order = Order::Cast(Cast { slot, record, workers }).encode();
        let mold = self.molds.molds.get(&generation).and_then(|mold| mold.channel.as_ref());
        match mold.map(|mold| channel::send(mold.as_fd(), &order, &[theirs.as_fd()])) {
            Some(Ok(Sent::Sent)) => {
                self.molds.expected.insert((slot, generation), Expected { channel: ours, record });
                Ok(())
            }
            refused => {
                self.shared.scoreboard.record(record).set_state(WorkerState::Free);
                refused.transpose()?;
                Err(io::Error::other("its mold is gone"))
            }
        }
    }

    /// SIGKILL: it serves nobody, and what it holds is of no use any more.
    pub(super) fn break_mold(&self, generation: Generation) {
        if let Some(Err(error)) = self.molds.molds.get(&generation).map(|mold| signals::kill(mold.pid)) {
            warn!(%generation, "cannot kill a mold: {error}");
        }
    }

    /// Tells every mold what concerns the workers that it will fork.
    pub(super) fn tell_molds(&self, order: Order, descriptor: Option<BorrowedFd<'_>>) {
        for (generation, mold) in &self.molds.molds {
            let Some(channel) = &mold.channel else { continue };
            match channel::send(channel.as_fd(), &order.encode(), descriptor.as_slice()) {
                Ok(Sent::Sent | Sent::Closed) => {}
                // Without it its workers would not have the sockets that they should: another one is made.
                Ok(Sent::WouldBlock) | Err(_) => {
                    warn!(%generation, "a mold does not read its orders; it is replaced");
                    self.break_mold(*generation);
                }
            }
        }
    }

    /// Hears the molds, and the first word of the workers they fork.
    pub(super) fn hear_molds(&mut self, events: &mut VecDeque<Event>) {
        for (generation, mold) in &mut self.molds.molds {
            let Some(channel) = &mold.channel else { continue };
            match channel::receive(channel.as_fd()) {
                Ok(Received::Message(bytes, _)) => match Report::decode(&bytes) {
                    Ok(report) => events.extend(news(*generation, report)),
                    Err(error) => {
                        warn!(%generation, "what a mold reports is not understood (is it of another version?); restart the server: {error}")
                    }
                },
                Ok(Received::WouldBlock) => {}
                // Its end follows.
                Ok(Received::Closed) => mold.channel = None,
                Err(error) => {
                    warn!(%generation, "cannot hear a mold: {error}");
                    mold.channel = None;
                }
            }
        }
        let words = self.molds.expected.iter().map(|(place, expected)| (*place, expected.hear()));
        for ((slot, generation), word) in words.collect::<Vec<_>>() {
            if matches!(word, Word::None) {
                continue;
            }
            let Some(Expected { channel, record }) = self.molds.expected.remove(&(slot, generation)) else {
                continue;
            };
            match word {
                Word::Born(pid) => {
                    self.link(pid, Link { channel: Some(channel), record });
                    events.push_back(Event::Forked { slot, generation, pid });
                }
                Word::Lost(why) => {
                    self.shared.scoreboard.record(record).set_state(WorkerState::Free);
                    let text = format!("cannot start a worker: {why}");
                    events.push_back(Event::ForkFailed { slot, generation, text });
                }
                Word::None => {}
            }
        }
    }

    /// In the child: loads the apps, then forks workers until the master is gone or has no more use for it.
    fn become_mold(&mut self, generation: Generation, config: &Arc<Config>, channel: OwnedFd) -> ExitReason {
        self.forget_parent();
        if fork::restore_signals().is_err() {
            return ExitReason::BootFailed;
        }
        let report = |report: &Report| channel::send(channel.as_fd(), &report.encode(), &[]);
        let Ok(signals) = ReservedSignals::note() else { return ExitReason::BootFailed };
        let Shared { listeners, relay, .. } = &self.shared;
        // Loading may fork.
        let channels = [channel.as_fd(), relay.post.as_fd(), relay.take.as_fd()];
        app_fork::note(listeners.descriptors(), &channels, signals);
        let Ok(metrics) = self.shared.metrics.of_mold() else { return ExitReason::BootFailed };
        if let Err((reason, text)) = (self.start.load_apps)(config, &self.surroundings.directory, metrics) {
            if report(&Report::Failed { reason, text: text.clone() }).is_err() {
                let (first, traceback) = telemetry::parts(&text);
                error!(traceback, "{first}");
            }
            return reason;
        }
        if !matches!(report(&Report::Ready), Ok(Sent::Sent)) {
            return ExitReason::MasterGone;
        }
        // Taken out by a worker, who must not keep it.
        let mut own = Some(channel);
        loop {
            let Some(channel) = &own else { return ExitReason::BootFailed };
            match next_order(self.start.fork_hooks.waiting, channel.as_fd()) {
                Ok(Some((Order::Cast(cast), Some(theirs)))) => {
                    let Cast { slot, record, workers } = cast;
                    let config = Arc::clone(config);
                    let birth = Birth { slot, generation, config, record, channel: theirs, workers };
                    self.fork_from_mold(birth, &mut own);
                }
                Ok(Some((order, descriptor))) => self.follow(order, descriptor),
                Ok(None) => return ExitReason::MasterGone,
                Err(error) => {
                    error!(%generation, "the mold cannot hear its orders: {error}");
                    return ExitReason::BootFailed;
                }
            }
        }
    }

    /// Forks a worker that is the master's child. When that fails, the master sees the worker's channel close.
    fn fork_from_mold(&mut self, birth: Birth, own: &mut Option<OwnedFd>) {
        let slot = birth.slot;
        let say_born = || {
            let sent = channel::send(birth.channel.as_fd(), &Report::Born.encode(), &[]);
            // Nobody expects it any more, and its record may be another's.
            matches!(sent, Ok(Sent::Sent)).then_some(birth)
        };
        let forked = fork::fork_orphan(self.fork_hooks(), ExitReason::Panicked.status(), say_born, |birth| {
            drop(own.take());
            birth.map_or(ExitReason::MasterGone, |birth| self.become_worker(birth)).status()
        });
        if let Err(error) = forked {
            error!(%slot, "the mold cannot fork a worker: {error}");
        }
    }

    /// In the mold: keeps what its workers will inherit as it should be.
    fn follow(&mut self, order: Order, descriptor: Option<OwnedFd>) {
        match (order, descriptor) {
            (Order::Socket { slot, listener }, Some(socket)) => {
                self.shared.listeners.insert(listener, slot, socket);
            }
            (Order::Close { listener }, _) => drop(self.shared.listeners.close(listener)),
            (Order::ReopenLogs, _) => {
                if let Err(error) = telemetry::reopen() {
                    error!(%error, "the error log could not be opened anew");
                }
            }
            // A worker's.
            (
                Order::Socket { .. }
                | Order::Cast(_)
                | Order::Drain(_)
                | Order::Stop
                | Order::Announce
                | Order::Take
                | Order::Inquire { .. }
                | Order::Vacancies,
                _,
            ) => {}
        }
    }
}

/// What a mold's report means.
fn news(generation: Generation, report: Report) -> Option<Event> {
    let news = match report {
        Report::Ready => MoldNews::Loaded,
        Report::Failed { reason, text } => MoldNews::Failed { reason, text },
        Report::Born | Report::Lends | Report::KeysWanted | Report::Retiring(_) | Report::Answered { .. } => {
            return None;
        }
    };
    Some(Event::Mold { generation, news })
}

/// The next order; `None` once the master is gone.
fn next_order(
    waiting: fn(&mut (dyn FnMut() + Send)),
    channel: BorrowedFd<'_>,
) -> io::Result<Option<(Order, Option<OwnedFd>)>> {
    loop {
        let mut waited = Ok(Vec::new());
        waiting(&mut || waited = poll::wait_readable(&[channel], None));
        waited?;
        match channel::receive(channel)? {
            Received::Message(bytes, descriptors) => {
                let order = Order::decode(&bytes).map_err(io::Error::other)?;
                return Ok(Some((order, descriptors.into_iter().next())));
            }
            Received::WouldBlock => {}
            Received::Closed => return Ok(None),
        }
    }
}
