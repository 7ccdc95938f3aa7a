//! One process that serves: prepares itself, loads its apps, says ready, serves, drains.
#![forbid(unsafe_code)]

mod acceptors;
mod busyness;
mod hooks;
mod in_place;
mod inquiries;
mod interpreter;
#[cfg(feature = "issue")]
mod issuing;
mod keys;
mod load;
mod mold;
mod orders;
mod relay;
mod retirement;
mod runtime;
mod scheduler;
mod siblings;
mod signals;
mod warm_up;

pub use hooks::run_hook;
pub use in_place::serve_in_place;
pub use mold::Mold;

use crate::app::calls::{Alone, CallQueue};
use crate::app::{MakeApps, Status};
use crate::config::{Config, Preload};
use crate::contract::exit::ExitReason;
use crate::contract::handoff::{Handoff, Report};
use crate::contract::slot::Slot;
use crate::net::Drain;
use crate::sys::channel;
use crate::sys::limits::CoreDumps;
use crate::{sys, telemetry};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

/// The life of a worker, in the child, after the fork; `make` makes the program's own apps, if it has any, and `mold` has
/// what the process that it was forked from had loaded.
pub fn main(mut handoff: Handoff, make: Option<&MakeApps>, mold: &Mold) -> ExitReason {
    take_name(&handoff);
    load::adopt(handoff.metrics.clone());
    let config = &handoff.config;
    let prepared = match mold.loaded() {
        // Forked by a mold, it is who and where it should be.
        Some(_) => Ok(()),
        None => join(config, &handoff.directory)
            .and_then(|()| prepare(config))
            .and_then(|()| if must_survive_forks(config) { mold.fill(config) } else { Ok(()) }),
    };
    match prepared.and_then(|()| runtime::run(&mut handoff, make, mold.loaded())) {
        Ok(reason) => reason,
        Err(failure) => {
            report_failure(&handoff, &failure);
            failure.reason
        }
    }
}

/// Whether the apps may begin nothing that does not survive a fork.
///
/// A worker without a mold is one that proves the next program: what no mold would take must not get that far.
fn must_survive_forks(config: &Config) -> bool {
    config.preloads() && config.workers.preload == Preload::Strict
}

/// Loads the apps as a worker would, in this very process, which is then of no use for anything else.
///
/// # Errors
/// The exit code and what the operator should read.
pub fn try_apps(config: &Config) -> Result<(), (ExitReason, String)> {
    let calls = CallQueue::new(1, load::queue_rules(config), Alone);
    let status: Status = Arc::new(String::new);
    let tried = scheduler::build(1, true).and_then(|runtime| {
        let loading = load::Loading {
            slot: Slot(1),
            workers: 1,
            calls: &calls,
            status: &status,
            own: Vec::new(),
            loaded: None,
            runtime: Some((&runtime, Arc::new(Drain::default()).watch())),
        };
        prepare(config).and_then(|()| load::apps(config, loading)).map(drop)
    });
    tried.map_err(|failure| (failure.reason, failure.text))
}

/// Why a worker could not begin to serve.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct BootFailure {
    reason: ExitReason,
    text: String,
}

impl BootFailure {
    fn new(what: &str, error: &dyn std::error::Error) -> Self {
        Self { reason: ExitReason::BootFailed, text: format!("{what}: {error}") }
    }
}

/// Takes a name that ps(1) shows.
fn take_name(handoff: &Handoff) {
    let Handoff { slot, generation, .. } = handoff;
    let title = format!("ferricorn: worker {slot}, generation {generation}");
    // Only ps(1) is poorer without.
    let _ = sys::title::set(&format!("ferricorn-w{slot}"), &title);
}

/// Begins to live in a generation: its directory, its error log.
fn join(config: &Config, directory: &Path) -> Result<(), BootFailure> {
    // Before the user is dropped, who may not open the file any more.
    if config.server.oom_score_adj > 0
        && let Err(error) = sys::limits::raise_oom_score(config.server.oom_score_adj)
    {
        tracing::debug!(%error, "oom_score_adj cannot be raised");
    }
    enter_start(directory)?;
    telemetry::adopt(&config.log).map_err(|error| BootFailure::new("cannot open the error log", &error))
}

/// Becomes who the apps should run as, where they should run. Still one thread.
fn prepare(config: &Config) -> Result<(), BootFailure> {
    let server = &config.server;
    if let Some(directory) = &server.chdir {
        std::env::set_current_dir(directory)
            .map_err(|error| BootFailure::new(&format!("cannot enter {}", directory.display()), &error))?;
    }
    if let Some(umask) = server.umask {
        sys::process::set_umask(umask.0);
    }
    for mount in &config.apps {
        // Relative paths are relative to the working directory, which has just been entered.
        let variables = mount
            .environment(Path::new("."))
            .map_err(|error| BootFailure::new("cannot set the app's environment", &error))?;
        for (name, value) in variables {
            sys::env::set(OsStr::new(&name), OsStr::new(&value))
                .map_err(|error| BootFailure::new(&format!("cannot set {name}"), &error))?;
        }
    }
    if server.user.is_some() || server.group.is_some() {
        sys::privileges::drop_to(server.user.as_deref(), server.group.as_deref())
            .map_err(|error| BootFailure::new("cannot become the configured user", &error))?;
    }
    if server.no_new_privs {
        sys::limits::set_no_new_privs()
            .map_err(|error| BootFailure::new("cannot set server.no_new_privs", &error))?;
    }
    if let Some(wanted) = server.core_dumps {
        sys::limits::set_core_dumps(CoreDumps::wanted(wanted))
            .map_err(|error| BootFailure::new("cannot set server.core_dumps", &error))?;
    }
    Ok(())
}

/// Enters the directory that the server was started in once more: a symbolic link on the way to it may have changed.
fn enter_start(directory: &Path) -> Result<(), BootFailure> {
    match std::env::set_current_dir(directory) {
        Ok(()) => Ok(()),
        // Its name cannot be followed by this user; whoever started the server was in it all the same.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(BootFailure::new(&format!("cannot enter {}", directory.display()), &error)),
    }
}

fn report_failure(handoff: &Handoff, failure: &BootFailure) {
    let report = Report::Failed { reason: failure.reason, text: failure.text.clone() };
    // A master that cannot be told sees the exit status all the same.
    if channel::send(handoff.channel.as_fd(), &report.encode(), &[]).is_err() {
        tracing::error!("{}", failure.text);
    }
}

/// Opens the log files anew; a failure keeps the present ones.
fn reopen_logs(access_log: Option<&crate::middleware::access_log::AccessLog>) {
    if let Err(error) = telemetry::reopen() {
        tracing::error!(%error, "the error log could not be opened anew");
    }
    if let Some(Err(error)) = access_log.map(crate::middleware::access_log::AccessLog::reopen) {
        tracing::error!(%error, "the access log could not be opened anew");
    }
}
