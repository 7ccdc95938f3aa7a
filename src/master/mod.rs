//! Keeps the workers alive: one thread, no async runtime, no HTTP, no app.
//!
//! Three steps in a circle: wait for an event, let the pure `supervisor` decide, perform what it says.
#![forbid(unsafe_code)]

mod adapt;
mod adopt;
mod attend;
mod birth;
mod canary;
mod check;
mod command;
mod control;
mod crew;
mod errands;
mod estate;
mod event;
mod figures;
mod forking;
mod foundry;
mod generations;
pub mod handover;
mod hear;
mod heartbeat;
mod herald;
mod inquiries;
mod judgement;
mod legacy;
mod life;
mod loans;
mod manager;
mod mold;
mod notes;
mod perform;
mod pid_file;
mod proof;
mod prove;
mod recycle;
mod reload;
mod respawn;
mod scale;
mod shelf;
mod signalled;
mod sockets;
mod steward;
mod stop;
mod supervisor;
mod survey;
#[cfg(test)]
mod tests;
mod tickets;
mod trouble;
mod upgrade;
mod vacancy;
mod weigh;

pub use attend::AdminMain;
pub use command::Surroundings;
pub use errands::HookMain;
pub use pid_file::PidFileError;

use crate::config::{Config, Share, WorkerCount};
use crate::contract::exit::ExitReason;
use crate::contract::handoff::{Handoff, Relay};
use crate::contract::metrics::{MetricTable, Metrics};
use crate::contract::scoreboard::{Scoreboard, Service};
use crate::contract::slot::{Generation, Slot};
use crate::net::bind::{self, BindError};
use crate::sys::signals::SignalPipe;
use crate::sys::systemd::{self, Handed};
use crate::sys::{ForkHooks, cpu, fd_store, fork, limits, privileges, process};
use adapt::Span;
use attend::Office;
use control::ControlSockets;
use event::{Action, Event, Finish, Pool};
use handover::{ConfigText, Handover, Purpose};
use herald::Herald;
use mold::Preload;
use perform::{Own, Performer, Shared, SocketSource};
use pid_file::PidFile;
use recycle::{MemoryLimits, Plan};
use shelf::Shelf;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use steward::Attendance;
use supervisor::Supervisor;
use tracing::warn;

/// What a master is started with.
pub struct Start {
    /// The configuration of the first generation.
    pub config: Config,
    /// The file that it was read from, for those who ask.
    pub config_file: Option<PathBuf>,
    /// What that file held.
    pub config_text: ConfigText,
    /// What another program has left to this one.
    pub handover: Option<Handover>,
    /// Where the server was started, and what it finds there.
    pub surroundings: Surroundings,
    /// Reads the configuration anew, for a reload; the text says what is wrong with it.
    pub reload_config: Box<dyn FnMut() -> Result<Config, String>>,
    /// Opens the master's own logs anew; the text says why not.
    pub reopen_logs: Box<dyn FnMut() -> Result<(), String>>,
    /// What a worker does, in its own process, until it ends.
    pub worker_main: Box<dyn Fn(Handoff) -> ExitReason>,
    /// What a mold does before it forks workers.
    pub load_apps: Box<LoadApps>,
    /// What the admin process does; `None`: there is none.
    pub admin_main: Option<Box<AdminMain>>,
    /// Calls a hook of the site, in a process that ends afterwards.
    pub hook_main: Box<HookMain>,
    /// What must be done around each fork.
    pub fork_hooks: ForkHooks,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Loads the apps of a configuration in a process that then forks workers, given where the server was started and what to count with.
///
/// It becomes who and where the apps should be. An error is the reason in short, and what the operator should read.
pub type LoadApps = dyn Fn(&Config, &Path, Metrics) -> Result<(), (ExitReason, String)>;

/// The server has ended as it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// The configuration asks for something that is not there.
    #[error("{0}")]
    Config(String),
    /// An address is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The first workers could not load an app; the text is theirs, often a traceback.
    #[error("the app did not load: {0}")]
    AppDidNotLoad(String),
    /// The first workers did not start for another reason.
    #[error("the workers did not start: {0}")]
    StartFailed(String),
    /// The pid file is another's, or cannot be written.
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    /// The system refuses what a master needs.
    #[error("cannot {doing}: {source}; {cure}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the operator can do.
        cure: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl MasterError {
    /// The exit status of the program.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::StartFailed(_) | Self::PidFile(_) | Self::System { .. } => 1,
            Self::Config(_) => 2,
            Self::AppDidNotLoad(_) => 3,
            Self::Bind(_) => 4,
        }
    }
}

/// Serves until told to stop.
///
/// To be called while the process has one thread. Every worker is forked from here and runs `worker_main`; the
/// master itself returns.
///
/// # Errors
/// [`MasterError`], whose [`exit_code`](MasterError::exit_code) is for the program; nothing is left running.
pub fn run(mut start: Start) -> Result<Outcome, MasterError> {
    match start.handover.take().map(Handover::open) {
        None => begin(start),
        Some((bequest, Purpose::Prove(task))) => prove::run(start, bequest, task),
        Some((bequest, Purpose::Adopt(inheritance))) => adopt::run(start, bequest, *inheritance),
    }
}

fn begin(mut start: Start) -> Result<Outcome, MasterError> {
    let system = |doing, cure| move |source| MasterError::System { doing, cure, source };
    check_accounts(&start.config)?;
    // First of all: a signal during the start is then seen after it.
    let signals = SignalPipe::new().map_err(system("catch signals", DESCRIPTORS))?;
    // Out of the environment before there are workers, who would take it for theirs.
    let handed = systemd::take_environment().map_err(system(
        "read what the service manager has set",
        "look at the unit's sockets and its Type=",
    ))?;
    for complaint in &handed.complaints {
        warn!("the service manager is not told how the server is: {complaint}");
    }
    // Whoever started the server may have blocked signals; nobody that it starts is to inherit that.
    fork::restore_signals().map_err(system("let signals through", FILTER))?;
    let open_files = start.config.server.open_files;
    if let Err(error) = limits::set_descriptors((open_files > 0).then_some(open_files)) {
        warn!("cannot set the limit of open descriptors: {error}");
    }
    process::become_subreaper().map_err(system("become the parent of orphans", FILTER))?;
    let pool = pool(&start.config);
    // A larger pool may have left sockets of more slots with the service manager.
    let kept = u16::try_from(fd_store::places()).unwrap_or(u16::MAX).min(KEPT_MAX);
    let slots_max = SLOTS_MAX.max(pool.most().saturating_mul(2)).max(kept);
    let scoreboard = Scoreboard::new(slots_max).map_err(system("share memory with workers", MEMORY))?;
    let metrics =
        MetricTable::new(scoreboard.record_count()).map_err(system("share memory with workers", MEMORY))?;
    let relay = Relay::new().map_err(system("make the workers' relay", DESCRIPTORS))?;
    let source = if bind::is_activated(&handed) { SocketSource::Handed } else { SocketSource::Bound };
    let shelf = Shelf::new(handed.manager.as_ref());
    let bound = bind::bind(&start.config.server, pool.workers, &handed)?;
    // The next attempt takes kept sockets by their paths.
    let undo = || {
        if !shelf.is_there() {
            bound.files.remove()
        }
    };
    let pid_file = start.config.server.pid_file.as_deref().map(PidFile::write).transpose();
    let pid_file = pid_file.inspect_err(|_| undo())?;
    let control = ControlSockets::new(&start.config).inspect_err(|_| undo())?;
    sockets::announce(bound.listeners.iter());
    // Those of a larger pool before a restart, too.
    for slot in (1..=pool.workers).map(Slot).chain(bound.listeners.slots()) {
        scoreboard.set_service(slot, Service::Vacant);
    }
    let shared = Shared { listeners: bound.listeners, relay, scoreboard, metrics };
    let Handed { manager, watchdog, .. } = handed;
    let herald = manager.as_ref().map(|_| Herald::new(watchdog));
    let office = Office::new(control, &mut start, &shared);
    let attendance = if office.is_wanted() { Attendance::Attended } else { Attendance::Unattended };
    let own = Own { signals, pid_file, manager, watchdog, files: bound.files, source, shelf };
    let mut performer = Performer::new(start, shared, own, office, Generation(1));
    performer.shelve();
    let supervisor = Supervisor::new(pool, slots_max).with_herald(herald).attended(attendance);
    finish(performer, supervisor, VecDeque::from([Event::Tick]))
}

/// Serves from these events on, and to the end.
fn finish(
    mut performer: Performer,
    supervisor: Supervisor,
    events: VecDeque<Event>,
) -> Result<Outcome, MasterError> {
    let finish = supervise(&mut performer, supervisor, events);
    performer.close();
    match finish.map_err(|source| MasterError::System {
        doing: "wait for events",
        cure: DESCRIPTORS,
        source,
    })? {
        Finish::Ended => Ok(Outcome),
        Finish::StartFailed { reason: ExitReason::AppLoadFailed, text } => {
            Err(MasterError::AppDidNotLoad(text))
        }
        Finish::StartFailed { text, .. } => Err(MasterError::StartFailed(text)),
    }
}

/// Number of workers that a configuration stands for, at the start.
pub fn worker_count(config: &Config) -> u16 {
    match config.workers.count {
        WorkerCount::Exactly(count) | WorkerCount::Between(count, _) => count.max(1),
        WorkerCount::Auto => {
            let is_python = config.has_python_app();
            let cpus = cpu::cgroup_cpus();
            // Each Python worker holds the whole app in memory.
            if is_python { cpus.min(PYTHON_WORKERS_MAX) } else { cpus }
        }
    }
}

/// The circle. Answers to actions come before whatever else has happened.
fn supervise(
    performer: &mut Performer,
    mut supervisor: Supervisor,
    mut events: VecDeque<Event>,
) -> io::Result<Finish> {
    loop {
        if events.is_empty() {
            performer.wait(supervisor.deadline(), &mut events)?;
        }
        let actions = supervisor.step(Instant::now(), events.pop_front().unwrap_or(Event::Tick));
        let mut answers = Vec::new();
        for action in actions {
            if let Action::Exit(finish) = action {
                return Ok(finish);
            }
            answers.extend(performer.perform(action, supervisor.most()));
        }
        for answer in answers.into_iter().rev() {
            events.push_front(answer);
        }
        performer.forget(|generation| supervisor.uses(generation));
    }
}

fn pool(config: &Config) -> Pool {
    let workers = worker_count(config);
    let timeouts = &config.timeouts;
    Pool {
        workers,
        span: span(config),
        surge: part(config.workers.max_surge, workers),
        drain: timeouts.longest_drain(),
        lame_duck: timeouts.lame_duck,
        boot: timeouts.boot,
        check: (!config.workers.check_command.is_empty()).then_some(timeouts.check),
        reload: timeouts.reload,
        recycling: Plan {
            at_once: part(config.workers.max_recycling, workers),
            max_age: config.workers.max_age,
            age_jitter: config.workers.max_age_jitter,
            memory: MemoryLimits {
                each: config.workers.max_memory.map(|size| size.0),
                pressure: config.workers.memory_pressure.map(|percent| percent.0.into()),
            },
        },
        heartbeat: Some(timeouts.heartbeat).filter(|limit| !limit.is_zero()),
        canary: config.workers.canary,
        preload: if config.preloads() { Preload::Yes } else { Preload::No },
    }
}

/// Between which numbers the workers follow the load.
fn span(config: &Config) -> Option<Span> {
    match config.workers.count {
        WorkerCount::Between(least, most) => {
            let least = least.max(1);
            Some(Span { least, most: most.max(least), shrink_after: config.workers.shrink_after })
        }
        WorkerCount::Auto | WorkerCount::Exactly(_) => None,
    }
}

/// So many of the workers, at least one.
fn part(share: Share, workers: u16) -> u16 {
    let count = match share {
        Share::Count(count) => count,
        Share::Percent(percent) => {
            u16::try_from(u32::from(workers) * u32::from(percent) / 100).unwrap_or(u16::MAX)
        }
    };
    count.max(1)
}

/// Names are looked up before anything is bound: a worker that finds out would be too late.
fn check_accounts(config: &Config) -> Result<(), MasterError> {
    let fail = |key| move |error: io::Error| MasterError::Config(format!("server.{key}: {error}"));
    let server = &config.server;
    for (key, name) in [("user", &server.user), ("unix_owner", &server.unix_owner)] {
        name.as_deref().map(privileges::user_id).transpose().map_err(fail(key))?;
    }
    for (key, name) in [("group", &server.group), ("unix_group", &server.unix_group)] {
        name.as_deref().map(privileges::group_id).transpose().map_err(fail(key))?;
    }
    Ok(())
}

/// What to do where the system refuses what a master needs.
const DESCRIPTORS: &str = "raise the limit of open descriptors (ulimit -n)";
const FILTER: &str = "see whether a filter of system calls forbids it";
const MEMORY: &str = "let it have more memory (ulimit -v, the cgroup's limit)";

/// Slots there is room for at least; more than any pool scaled up by hand will have.
const SLOTS_MAX: u16 = 256;

/// As many sockets as a service manager hands over at most.
const KEPT_MAX: u16 = 1024;

const PYTHON_WORKERS_MAX: u16 = 4;
