//! The hooks of a site, called in this process.

use super::{BootFailure, setup};
use crate::config::Config;
use crate::contract::exit::ExitReason;
use crate::contract::handoff::Handoff;
use crate::contract::hook::{HookCall, HookEvent, HookWorker};
use crate::sys::process;
use crate::telemetry;
use std::path::Path;

/// The life of a process that is there for one call.
pub fn run_hook(config: &Config, directory: &Path, hook: &HookCall) -> ExitReason {
    let called = setup::enter(config, directory).and_then(|()| call(config, hook));
    end();
    match called {
        Ok(()) => ExitReason::Done,
        Err(failure) => {
            say(hook.event, &failure);
            failure.reason
        }
    }
}

/// Calls a hook in a worker, if there is one.
pub(super) fn in_worker(handoff: &Handoff, event: HookEvent) -> Result<(), BootFailure> {
    if event.target(&handoff.config).is_none() {
        return Ok(());
    }
    let (slot, generation, pid) = (handoff.slot, handoff.generation, process::own_pid().0);
    let worker = HookWorker { slot, generation, pid, end: String::new() };
    call(&handoff.config, &HookCall { event, worker: Some(worker) })
}

/// The same where nobody waits for the outcome.
pub(super) fn at_exit(handoff: &Handoff) {
    if let Err(failure) = in_worker(handoff, HookEvent::WorkerExit) {
        say(HookEvent::WorkerExit, &failure);
    }
}

fn say(event: HookEvent, failure: &BootFailure) {
    let (name, (first, traceback)) = (event.name(), telemetry::parts(&failure.text));
    tracing::error!(traceback, "the hook {name} failed: {first}");
}

#[cfg(feature = "python")]
fn call(config: &Config, hook: &HookCall) -> Result<(), BootFailure> {
    let Some(target) = hook.event.target(config) else { return Ok(()) };
    let called = crate::app::python::call_hook(&target.0, &config.python.path, hook);
    called.map_err(super::load::failed)
}

#[cfg(not(feature = "python"))]
fn call(_: &Config, _: &HookCall) -> Result<(), BootFailure> {
    Ok(())
}

#[cfg(feature = "python")]
fn end() {
    crate::app::python::end_interpreter();
}

#[cfg(not(feature = "python"))]
fn end() {}
