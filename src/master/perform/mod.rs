//! The supervisor's arms: carries out what has been decided. Each further file with an `impl Performer` has a part of it.
//!
//! - `wait`: waits for what happens, and reads it.
//! - `birth`: forks a worker; `molds`, molds and the workers that they fork; `admin`, the admin process; `check_command`; `hooks`,
//!   those of the site. Each is a child, and reaped in `wait`.
//! - `post_mortem`: what a worker leaves behind; `notes`, the log lines; `figures`, what of them is counted.
//! - `generations`: configurations, read and forgotten; `sockets`, the listening ones while the server runs; `admin_sockets`, those of the
//!   admin process; `pid_file`.
//! - `survey`: how much the workers have to do; `weigh`, how much memory they have; `canary`, what a canary and the others count.
//! - `notify`: what the service manager is told, in its words; `fd_store`, the sockets that it keeps over a restart.

pub(super) mod admin;
pub(super) mod admin_sockets;
mod birth;
mod canary;
pub(super) mod check_command;
pub(super) mod fd_store;
mod figures;
mod generations;
pub(super) mod hooks;
mod molds;
mod notes;
mod notify;
pub(super) mod pid_file;
mod post_mortem;
pub(super) mod sockets;
mod survey;
mod wait;
mod weigh;

use super::{LoadApps, Start};
use crate::config::Config;
use crate::contract::control::Tiding;
use crate::contract::exit::ExitReason;
use crate::contract::handoff::{Handoff, Relay};
use crate::contract::message::Order;
use crate::contract::metrics::MetricTable;
use crate::contract::scoreboard::{RecordIndex, Scoreboard};
use crate::contract::slot::Generation;
use crate::master::decide::notify::Notification;
use crate::master::event::{Action, Event};
use crate::master::upgrade::handover::ConfigText;
use crate::master::upgrade::parent::Proof;
use crate::net::bind::Bound;
use crate::net::listeners::ListenerSet;
use crate::net::socket_files::SocketFiles;
use crate::sys::ForkHooks;
use crate::sys::channel::{self, Sent};
use crate::sys::exec::OwnProgram;
use crate::sys::process::Pid;
use crate::sys::signals::{self, SignalPipe};
use crate::sys::systemd::Manager;
use admin::AdminProcess;
use canary::CanaryTrial;
use check_command::{Run, Surroundings};
use fd_store::FdStore;
use hooks::{HookCalls, HookMain};
use molds::MoldProcesses;
use pid_file::PidFile;
use post_mortem::PostMortems;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use survey::Survey;
use tracing::warn;

/// Does what the supervisor decides and hears what happens.
pub(super) struct Performer {
    start: Callbacks,
    /// The configuration of each generation that may still be started.
    configs: BTreeMap<Generation, Arc<Config>>,
    /// What the sockets were made by.
    started_with: Arc<Config>,
    loaded: Option<(Config, Bound)>,
    pub(super) links: BTreeMap<Pid, Link>,
    pub(super) shared: Shared,
    /// What a worker must not have.
    pub(super) own: Own,
    pub(super) admin: AdminProcess,
    /// What workers who have just died have left.
    post_mortems: PostMortems,
    molds: MoldProcesses,
    canary_trial: CanaryTrial,
    survey: Survey,
    /// The check command that runs.
    check: Option<Run>,
    /// The child in which the next program is proven.
    pub(super) proof: Option<Proof>,
    /// What the configuration was made of that it has been proven with.
    pub(super) proven_config: ConfigText,
    /// In such a child: the records for its workers.
    pub(super) reserved: VecDeque<RecordIndex>,
    /// `None` where it is not known.
    pub(super) program: Option<OwnProgram>,
    pub(super) surroundings: Surroundings,
    hook_calls: HookCalls,
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
    /// Within what time the manager wants to be told again and again.
    pub(super) watchdog: Option<Duration>,
    /// The paths of the UNIX sockets.
    pub(super) files: SocketFiles,
    pub(super) source: SocketSource,
    pub(super) fd_store: FdStore,
}

/// Who has bound the listening sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SocketSource {
    /// This server, as `server.bind` has it.
    Bound,
    /// The service manager.
    Handed,
}

struct Callbacks {
    reload_config: Box<dyn FnMut() -> Result<Config, String>>,
    reopen_logs: Box<dyn FnMut() -> Result<(), String>>,
    worker_main: Box<dyn Fn(Handoff) -> ExitReason>,
    load_apps: Box<LoadApps>,
    hook_main: Box<HookMain>,
    fork_hooks: ForkHooks,
}

/// The master's side of a worker.
#[derive(Debug)]
pub(super) struct Link {
    /// `None` once the worker has closed its end.
    pub(super) channel: Option<OwnedFd>,
    pub(super) record: RecordIndex,
}

impl Performer {
    pub(super) fn new(
        start: Start,
        shared: Shared,
        own: Own,
        admin: AdminProcess,
        first: Generation,
    ) -> Self {
        let Start {
            config,
            surroundings,
            reload_config,
            reopen_logs,
            worker_main,
            load_apps,
            hook_main,
            fork_hooks,
            ..
        } = start;
        let config = Arc::new(config);
        Self {
            start: Callbacks { reload_config, reopen_logs, worker_main, load_apps, hook_main, fork_hooks },
            configs: BTreeMap::from([(first, Arc::clone(&config))]),
            started_with: config,
            loaded: None,
            links: BTreeMap::new(),
            shared,
            own,
            admin,
            post_mortems: PostMortems::new(),
            molds: MoldProcesses::default(),
            survey: Survey::default(),
            canary_trial: CanaryTrial::default(),
            check: None,
            proof: None,
            proven_config: None,
            reserved: VecDeque::new(),
            program: OwnProgram::new(&surroundings.directory).ok(),
            surroundings,
            hook_calls: HookCalls::default(),
            hearing: Hearing::Heard,
        }
    }

    /// Does one thing; the answer, if there is one, is for the supervisor before anything else.
    pub(super) fn perform(&mut self, action: Action, workers: u16) -> Option<Event> {
        match action {
            Action::ForkAdmin => return Some(self.fork_admin()),
            Action::Fork { slot, generation } => return Some(self.fork(slot, generation, workers)),
            Action::Look => return Some(self.look()),
            Action::MakeMold { generation } => return Some(self.make_mold(generation)),
            Action::Cast { slot, generation } => return self.cast(slot, generation, workers),
            Action::BreakMold { generation } => self.break_mold(generation),
            Action::LoadConfig => return Some(self.load_config()),
            Action::ReopenLogs => {
                self.tell_molds(Order::ReopenLogs, None);
                return Some(Event::LogsReopened((self.start.reopen_logs)()));
            }
            Action::Send { pid, order } => self.send(pid, order, None),
            Action::Kill { pid } => kill(pid),
            // Kept sockets live on: who connects from now on is the next server's client.
            Action::RefuseClients if self.own.fd_store.is_there() => {}
            Action::RefuseClients => {
                if let Err(error) = self.shared.listeners.refuse_clients() {
                    warn!("a listening socket cannot be closed to clients; some may be lost: {error}");
                }
            }
            Action::Adopt { generation } => {
                if let Some((config, bound)) = self.loaded.take() {
                    self.configs.insert(generation, Arc::new(config));
                    self.add_addresses(bound, generation);
                }
            }
            Action::Abandon { generation } => {
                self.configs.remove(&generation);
                self.close_addresses(|origin| origin.since == generation);
            }
            Action::Settle { generation } => self.settle(generation),
            Action::Check { generation } => return self.begin_check(generation),
            Action::Compare { canary } => return Some(self.compare(canary)),
            Action::EndComparison => self.end_comparison(),
            Action::Weigh(limits) => return Some(self.weigh(limits)),
            Action::Survey => return Some(self.survey()),
            Action::Picture(picture) => self.show_picture(picture),
            Action::EndCheck => {
                if let Some(run) = &self.check {
                    run.kill();
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
                self.say(&note);
                self.call_hook_of(&note);
            }
            Action::Tell(notification) => self.tell(&notification),
            Action::Answer { ticket, verdict } => self.admin.tell(Tiding::Answer { ticket, verdict }),
            Action::Publish(state) => {
                self.shared.scoreboard.set_stage(state.stage);
                self.admin.tell(Tiding::State(state));
            }
            Action::Upgrade(step) => return self.upgrade(step),
            Action::DismissAdmin => self.admin.dismiss(),
            Action::KillAdmin => self.admin.kill(),
            // The loop's own business.
            Action::Exit(_) => {}
        }
        None
    }

    fn tell(&mut self, notification: &Notification) {
        let Some(manager) = &self.own.manager else { return };
        let requests = self.shared.scoreboard.totals().requests;
        let told = notify::assignments(notification, requests).and_then(|text| manager.tell(&text));
        // Once, and not at each beat.
        if let (Err(error), Hearing::Heard) = (&told, self.hearing) {
            warn!("the service manager cannot be told how the server is: {error}");
        }
        self.hearing = if told.is_ok() { Hearing::Heard } else { Hearing::Deaf };
    }

    pub(super) fn send(&mut self, pid: Pid, order: Order, descriptor: Option<BorrowedFd<'_>>) {
        let Some(channel) = self.links.get(&pid).and_then(|link| link.channel.as_ref()) else { return };
        match channel::send(channel.as_fd(), &order.encode(), descriptor.as_slice()) {
            Ok(Sent::Sent | Sent::Closed) => {}
            // Deadlines see to a worker that hears nothing.
            Ok(Sent::WouldBlock) => {
                warn!(%pid, "worker does not read its orders, and one is lost; if it hangs it is replaced (timeouts.heartbeat)")
            }
            Err(error) => {
                warn!(%pid, "cannot reach worker, which misses an order; if it hangs it is replaced (timeouts.heartbeat): {error}")
            }
        }
    }

    fn begin_check(&mut self, generation: Generation) -> Option<Event> {
        let config = self.configs.get(&generation)?;
        match Run::begin(generation, config, &self.surroundings) {
            Ok(run) => {
                self.check = Some(run);
                None
            }
            Err(text) => Some(Event::Checked { generation, outcome: Err(text) }),
        }
    }

    pub(super) fn fork_hooks(&self) -> ForkHooks {
        self.start.fork_hooks
    }

    /// Takes leave of the admin process, as everybody else has gone, and of the paths of sockets.
    pub(super) fn close(mut self) {
        // Hooks that were called last may end meanwhile.
        let hooks = &mut self.hook_calls;
        let is_urgent = self.admin.close(&mut self.own.signals, |pid, outcome| {
            hooks.reaped(pid, outcome);
        });
        if !self.own.fd_store.is_there() {
            self.own.files.remove();
        }
        if is_urgent {
            self.hook_calls.end();
        }
        self.wait_for_hooks();
    }
}

fn kill(pid: Pid) {
    if let Err(error) = signals::kill(pid) {
        warn!(%pid, "cannot kill worker: {error}");
    }
}
