//! Keeps the workers alive: one thread, no async runtime, no HTTP, no app.
//!
//! Three steps in a circle, in this file: wait for an event, let the supervisor decide, perform what it says.
//!
//! - `start`: what is done before there is a worker; `error`: why the server does not run.
//! - `pool`: what the supervisor knows of a configuration.
//! - `event`: what happens, what is done about it, what is said.
//! - `decide`: the supervisor. Pure: the time is an argument, and nothing is called.
//! - `perform`: waits for events, and acts.
//! - `upgrade`: how another program takes the place of this one.
#![forbid(unsafe_code)]

mod decide;
mod error;
mod event;
mod perform;
mod pool;
mod start;
pub mod upgrade;

pub use error::MasterError;
pub use perform::admin::AdminMain;
pub use perform::check_command::Surroundings;
pub use perform::hooks::HookMain;
pub use perform::pid_file::PidFileError;

use crate::config::Config;
use crate::contract::exit::ExitReason;
use crate::contract::handoff::Handoff;
use crate::contract::metrics::Metrics;
use crate::sys::ForkHooks;
use decide::supervisor::Supervisor;
use event::{Action, Event, Finish};
use perform::Performer;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use upgrade::handover::{ConfigText, Handover};

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

/// Serves until told to stop.
///
/// To be called while the process has one thread. Every worker is forked from here and runs `worker_main`; the
/// master itself returns.
///
/// # Errors
/// [`MasterError`], whose [`exit_code`](MasterError::exit_code) is for the program; nothing is left running.
pub fn run(mut start: Start) -> Result<Outcome, MasterError> {
    match start.handover.take() {
        None => start::begin(start),
        Some(handover) => upgrade::run(start, handover),
    }
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
        cure: error::DESCRIPTORS,
        source,
    })? {
        Finish::Ended => Ok(Outcome),
        Finish::StartFailed { reason: ExitReason::AppLoadFailed, text } => {
            Err(MasterError::AppDidNotLoad(text))
        }
        Finish::StartFailed { text, .. } => Err(MasterError::StartFailed(text)),
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
