//! Puts master and workers together: configuration in, exit code out.
#![forbid(unsafe_code)]

use crate::app::MakeApps;
#[cfg(feature = "cli")]
use crate::cli::interpreter;
use crate::config::{Config, Reloader};
#[cfg(feature = "cli")]
use crate::config::{Loaded, Log};
#[cfg(feature = "cli")]
use crate::contract::exit::ExitReason;
use crate::master::upgrade::handover::{ConfigText, Handover};
use crate::master::{self, AdminMain, MasterError, Start, Surroundings};
use crate::sys::fork::ForkHooks;
#[cfg(feature = "cli")]
use crate::telemetry::LogError;
use crate::{telemetry, worker};
#[cfg(feature = "cli")]
use std::fmt::Display;
use std::path::PathBuf;
#[cfg(feature = "cli")]
use std::process::ExitCode;
use std::sync::Arc;

/// Serves until told to stop.
///
/// Exit codes: 0 ended as asked, 1 failed, 2 configuration, 3 the app did not load, 4 an address was not bound.
#[cfg(feature = "cli")]
pub fn serve(loaded: Loaded, mut reloader: Reloader, mut handover: Option<Handover>) -> ExitCode {
    let config = loaded.config;
    if let Err(error) = handover.as_mut().map_or(Ok(()), Handover::speak) {
        say(&error);
        return ExitCode::FAILURE;
    }
    if let Err(error) = begin_log(&config.log, handover.as_ref()) {
        return refuse(&error);
    }
    if config.has_python_app() && !cfg!(feature = "python") {
        // What has been handed over would be lost on the way.
        let became =
            if handover.is_some() { Err(NOT_BY_UPGRADE.into()) } else { interpreter::become_python() };
        if let Err(reason) = became {
            return refuse(&reason);
        }
    }
    #[cfg(feature = "python")]
    warn_of_threads();
    if let Some(what) = &loaded.found {
        tracing::info!("no app is named: serving {what}");
    }
    let beginning = Beginning::new(config, loaded.file, &reloader, handover);
    let reload = move || reloader.reload().map_err(|errors| errors.to_string());
    match supervise(beginning, programs(), reload, None) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Begins the error log.
///
/// # Errors
/// [`LogError`], of which [`LogError::AlreadyBegun`] means that the program has a subscriber of its own.
#[cfg(feature = "cli")]
pub(crate) fn begin_log(log: &Log, handover: Option<&Handover>) -> Result<(), LogError> {
    let Err(error) = telemetry::init(log) else { return Ok(()) };
    let adopts = handover.is_some_and(|handover| !handover.is_trial());
    // The trial has just opened it, and there is no way back: anything is better than no server.
    if !adopts || telemetry::init(&Config::default().log).is_err() {
        return Err(error);
    }
    say(&error);
    Ok(())
}

/// Says why the server does not run: in its log, or on standard error where there is none, or none yet.
///
/// A traceback goes where tracebacks go.
#[cfg(feature = "cli")]
pub(crate) fn say(problem: &dyn Display) {
    let text = problem.to_string();
    if !tracing::enabled!(tracing::Level::ERROR) {
        return crate::cli::complain(&text);
    }
    let (first, traceback) = telemetry::parts(&text);
    tracing::error!(traceback, "{first}");
}

#[cfg(feature = "cli")]
fn refuse(problem: &dyn Display) -> ExitCode {
    say(problem);
    ExitCode::from(2)
}

/// Names threads that were begun in this interpreter before it became the master, which should have one.
#[cfg(all(feature = "cli", feature = "python"))]
fn warn_of_threads() {
    let names = crate::app::python::other_threads();
    if !names.is_empty() {
        let names = names.join(", ");
        tracing::warn!(
            "this process has threads besides its own: {names}; the workers are forked without them, which may stop what they do"
        );
    }
}

/// Loads the apps of a configuration, as its workers would, in this very process.
///
/// # Errors
/// What keeps a worker from getting ready.
#[cfg(feature = "cli")]
pub fn try_apps(config: &Config) -> Result<(), MasterError> {
    if config.has_python_app() {
        interpreter::become_python().map_err(MasterError::Config)?;
    }
    worker::try_apps(config).map_err(|(reason, text)| {
        let is_apps = reason == ExitReason::AppLoadFailed;
        if is_apps { MasterError::AppDidNotLoad(text) } else { MasterError::StartFailed(text) }
    })
}

/// What the program before has left to this one, if it takes that one's place. To be called first of all.
///
/// # Errors
/// When that program is too different from this one.
pub fn take_over() -> std::io::Result<Option<Handover>> {
    Handover::take()
}

/// What a master begins with.
pub(crate) struct Beginning {
    config: Config,
    /// The file that it was read from.
    file: Option<PathBuf>,
    /// What that file held.
    text: ConfigText,
    /// Where relative paths start.
    directory: PathBuf,
    /// What the program before has left to this one.
    handover: Option<Handover>,
}

impl Beginning {
    /// With a configuration as it was read from this file, if from any.
    pub(crate) fn new(
        config: Config,
        file: Option<PathBuf>,
        reloader: &Reloader,
        handover: Option<Handover>,
    ) -> Self {
        // The server may work elsewhere.
        let file = file.map(|file| std::path::absolute(&file).unwrap_or(file));
        let (text, directory) = (reloader.last_read().cloned(), reloader.directory().to_owned());
        Self { config, file, text, directory, handover }
    }
}

/// Becomes the master; `make` makes a program's own apps, in each worker. `programs` are those of the virtual environment.
pub(crate) fn supervise(
    beginning: Beginning,
    programs: Option<PathBuf>,
    reload_config: impl FnMut() -> Result<Config, String> + 'static,
    make: Option<Arc<MakeApps>>,
) -> Result<(), MasterError> {
    if cfg!(panic = "abort") {
        tracing::warn!(
            "this program was built with panic = \"abort\": a panic in an app ends its worker and every request in \
             it; build with panic = \"unwind\", and it costs one request"
        );
    }
    let Beginning { config, file, text, directory, handover } = beginning;
    // Empty, except in a mold and in the workers that it forks.
    let mold = worker::Mold::default();
    let workers_mold = mold.clone();
    master::run(Start {
        config,
        config_file: file,
        config_text: text,
        handover,
        surroundings: Surroundings { directory, programs },
        reload_config: Box::new(reload_config),
        reopen_logs: Box::new(|| telemetry::reopen().map_err(|error| error.to_string())),
        worker_main: Box::new(move |handoff| worker::main(handoff, make.as_deref(), &workers_mold)),
        load_apps: Box::new(move |config, directory, metrics| mold.load(config, directory, metrics)),
        admin_main: admin_main(),
        hook_main: Box::new(worker::run_hook),
        fork_hooks: fork_hooks(),
    })
    .map(|_| ())
}

#[cfg(feature = "admin")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature there is none")]
fn admin_main() -> Option<Box<AdminMain>> {
    Some(Box::new(crate::admin::main))
}

#[cfg(not(feature = "admin"))]
fn admin_main() -> Option<Box<AdminMain>> {
    None
}

#[cfg(feature = "cli")]
const NOT_BY_UPGRADE: &str =
    "there is a Python app now, for which another program must be started: restart the server instead";

/// The programs of the virtual environment, where this is its Python.
#[cfg(all(feature = "cli", feature = "python"))]
fn programs() -> Option<PathBuf> {
    crate::app::python::programs()
}

#[cfg(all(feature = "cli", not(feature = "python")))]
fn programs() -> Option<PathBuf> {
    None
}

#[cfg(feature = "python")]
fn fork_hooks() -> ForkHooks {
    crate::app::python::fork_hooks()
}

#[cfg(not(feature = "python"))]
fn fork_hooks() -> ForkHooks {
    ForkHooks::NONE
}
