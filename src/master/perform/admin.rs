//! The master's side of the admin process.

use super::Start;
use super::admin_sockets::AdminSockets;
use super::hooks::asks_to_stop;
use super::{Performer, Shared};
use crate::config::{Auth, Config};
use crate::contract::admin::{ADMIN, AdminHandoff, Facts};
use crate::contract::control::{Petition, State, Tiding};
use crate::contract::exit::ExitReason;
use crate::contract::figures::Figure;
use crate::contract::handoff::Relay;
use crate::master::event::Event;
use crate::master::upgrade::handover::{Luggage, WrittenAdmin};
use crate::sys::channel::{self, Received, Sent};
use crate::sys::fork::{self, fork_worker};
use crate::sys::process::{self, Pid};
use crate::sys::signals::SignalPipe;
use crate::sys::wait::{self, WaitOutcome};
use crate::sys::{inherit, poll, privileges, signals, title};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::warn;

/// What an admin process does, in its own process, until it ends.
pub type AdminMain = dyn Fn(AdminHandoff) -> ExitReason;

/// What the master needs for the admin process, and the process that there is.
pub(in crate::master) struct AdminProcess {
    sockets: AdminSockets,
    main: Option<Box<AdminMain>>,
    facts: Facts,
    config: Arc<Config>,
    pid: Option<Pid>,
    /// `None` once the process has closed its end.
    channel: Option<OwnedFd>,
    /// For the next process, who has not heard it.
    state: Option<State>,
}

impl AdminProcess {
    pub(in crate::master) fn new(sockets: AdminSockets, start: &mut Start, shared: &Shared) -> Self {
        let facts = Facts {
            pid: process::own_pid(),
            started: SystemTime::now(),
            config_file: start.config_file.take(),
            bind: shared.listeners.iter().map(|listener| listener.name().to_string()).collect(),
            place: sockets.place().cloned(),
            user: privileges::effective_user(),
            group: sockets.group(),
        };
        let (config, main) = (Arc::new(start.config.clone()), start.admin_main.take());
        Self { sockets, main, facts, config, pid: None, channel: None, state: None }
    }

    /// On paper, for the program that takes this one's place.
    pub(in crate::master) fn written<'a>(&'a self, luggage: &mut Luggage<'a>) -> WrittenAdmin {
        let (control, addresses) = self.sockets.written(luggage);
        let channel = self.channel.as_ref();
        let process = self.pid.zip(channel).map(|(pid, channel)| (pid.0, luggage.pack(channel.as_fd())));
        let started = self.facts.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        WrittenAdmin { started, control, addresses, process }
    }

    /// Goes on with the process that the program before has started.
    pub(in crate::master) fn inherit(&mut self, written: &WrittenAdmin) -> io::Result<()> {
        self.facts.started = UNIX_EPOCH + written.started;
        if let Some((pid, number)) = written.process {
            (self.pid, self.channel) = (Some(Pid(pid)), Some(inherit::take(number)?));
        }
        Ok(())
    }

    /// Whether there is an admin process.
    pub(in crate::master) fn has_process(&self) -> bool {
        self.pid.is_some()
    }

    /// Whether there is to be an admin process.
    pub(in crate::master) fn is_wanted(&self) -> bool {
        let fetches = |auth: &Auth| {
            auth.enabled
                && auth.providers.iter().any(|provider| provider.jwks_url.is_some() || provider.discovery)
        };
        self.main.is_some() && (!self.sockets.is_empty() || self.config.auth.as_ref().is_some_and(fetches))
    }

    /// Readable when the admin process has said something or has ended.
    pub(super) fn channel(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().map(AsFd::as_fd)
    }

    /// Reads what the admin process wants.
    pub(super) fn listen(&mut self, events: &mut VecDeque<Event>) {
        for _ in 0..PETITIONS_AT_ONCE {
            let Some(channel) = &self.channel else { return };
            match channel::receive(channel.as_fd()) {
                Ok(Received::Message(bytes, _)) => match Petition::decode(&bytes) {
                    Ok(Petition { ticket, command }) => {
                        events.push_back(Event::Asked { ticket: Some(ticket), command });
                    }
                    Err(error) => warn!(
                        "what the admin process wants is not understood (is it of another version?); restart the server: {error}"
                    ),
                },
                Ok(Received::WouldBlock) => return,
                // That the process has ended is seen as for every child.
                Ok(Received::Closed) => self.channel = None,
                Err(error) => {
                    warn!("cannot hear the admin process, which ends and is replaced: {error}");
                    self.channel = None;
                }
            }
        }
    }

    /// Notes the end of a process; whether it was the admin process.
    pub(super) fn reaped(&mut self, pid: Pid) -> bool {
        let was_ours = self.pid == Some(pid);
        if was_ours {
            self.pid = None;
            self.channel = None;
        }
        was_ours
    }

    /// Tells the admin process something.
    pub(super) fn tell(&mut self, tiding: Tiding) {
        let bytes = tiding.encode();
        if let Tiding::State(state) = tiding {
            self.state = Some(state);
        }
        let Some(channel) = &self.channel else { return };
        match channel::send(channel.as_fd(), &bytes, &[]) {
            Ok(Sent::Sent | Sent::Closed) => {}
            // One that does not even read is of no use to anybody; the next one hears the present state.
            Ok(Sent::WouldBlock) => {
                warn!("the admin process does not read what it is told");
                self.kill();
            }
            Err(error) => warn!("cannot reach the admin process: {error}"),
        }
    }

    /// Has the process leave, when it has passed on what it was told last.
    pub(super) fn dismiss(&mut self) {
        self.channel = None;
    }

    pub(super) fn kill(&self) {
        if let Some(Err(error)) = self.pid.map(signals::kill) {
            warn!("cannot kill the admin process: {error}");
        }
    }

    /// For a forked child who is to have none of it.
    pub(super) fn leave_to_parent(&mut self) {
        self.channel = None;
        self.sockets = AdminSockets::default();
    }

    /// At the end of the server: the process leaves when it has passed on what it was told last. `others` hears of every
    /// other process that ends before it. Says whether the server is told once more to stop meanwhile.
    pub(super) fn close(
        &mut self,
        signals: &mut SignalPipe,
        mut others: impl FnMut(Pid, &WaitOutcome),
    ) -> bool {
        self.channel = None;
        let mut is_urgent = false;
        let deadline = Instant::now() + LEAVING;
        while self.pid.is_some() {
            let left = deadline.saturating_duration_since(Instant::now());
            let waited = poll::wait_readable(&[signals.descriptor()], Some(left));
            is_urgent |= asks_to_stop(signals);
            while let Some((pid, outcome)) = wait::reap() {
                if !self.reaped(pid) {
                    others(pid, &outcome);
                }
            }
            if left.is_zero() || waited.is_err() {
                self.kill();
                break;
            }
        }
        self.sockets.remove();
        is_urgent
    }
}

impl Performer {
    /// Starts the admin process.
    pub(super) fn fork_admin(&mut self) -> Event {
        self.admin.sockets.restore();
        Event::AdminForked(self.try_fork_admin().map_err(|error| error.to_string()))
    }

    fn try_fork_admin(&mut self) -> io::Result<()> {
        let (ours, theirs) = channel::pair()?;
        if let Some(state) = &self.admin.state {
            channel::send(ours.as_fd(), &Tiding::State(state.clone()).encode(), &[])?;
        }
        let (control, addresses) = self.admin.sockets.duplicate()?;
        let handoff = AdminHandoff {
            config: Arc::clone(&self.admin.config),
            channel: theirs,
            control,
            addresses,
            scoreboard: self.shared.scoreboard.clone(),
            metrics: self.shared.metrics.clone(),
            facts: self.admin.facts.clone(),
        };
        let mut ours = Some(ours);
        let pid = fork_worker(self.fork_hooks(), ExitReason::Panicked.status(), || {
            drop(ours.take());
            self.become_admin(handoff).status()
        })?;
        self.admin.pid = Some(pid);
        self.admin.channel = ours;
        self.shared.scoreboard.figure(Figure::AdminStarts).fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// In the child: it has nothing to do with what the server serves, and holds none of its sockets.
    fn become_admin(&mut self, handoff: AdminHandoff) -> ExitReason {
        let Some(main) = self.admin.main.take() else { return ExitReason::BootFailed };
        self.forget_parent();
        self.shared.listeners = Default::default();
        // Only ps(1) is poorer without.
        let _ = title::set(ADMIN, "ferricorn: admin");
        // It needs no directory, and outlives reloads: the one of the start can be removed then.
        let _ = std::env::set_current_dir("/");
        match Relay::new() {
            Ok(relay) => self.shared.relay = relay,
            Err(_) => return ExitReason::BootFailed,
        }
        if fork::restore_signals().is_err() {
            return ExitReason::BootFailed;
        }
        main(handoff)
    }
}

/// Petitions read before others are heard.
const PETITIONS_AT_ONCE: usize = 64;

/// Time for an admin process to say goodbye.
const LEAVING: Duration = Duration::from_secs(1);
