//! The process that a worker is, before any code of the site runs in it: its name, directory, error log, account, environment
//! and limits.

use super::BootFailure;
use crate::config::Config;
use crate::contract::handoff::Handoff;
use crate::sys::limits::CoreDumps;
use crate::{sys, telemetry};
use std::ffi::OsStr;
use std::path::Path;

/// Takes a name that ps(1) shows.
pub(super) fn take_name(handoff: &Handoff) {
    let Handoff { slot, generation, .. } = handoff;
    let title = format!("ferricorn: worker {slot}, generation {generation}");
    // Only ps(1) is poorer without.
    let _ = sys::title::set(&format!("ferricorn-w{slot}"), &title);
}

/// Begins to live in a generation: its directory and its error log, then what [`prepare`] does.
pub(super) fn enter(config: &Config, directory: &Path) -> Result<(), BootFailure> {
    join(config, directory).and_then(|()| prepare(config))
}

/// Takes the directory and the error log of a generation.
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
pub(super) fn prepare(config: &Config) -> Result<(), BootFailure> {
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
