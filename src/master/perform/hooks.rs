//! Hooks of the site about what only the master sees, each call in a process of its own: no code of a site runs in the
//! master.

use super::Performer;
use crate::config::Config;
use crate::contract::control::Command;
use crate::contract::exit::ExitReason;
use crate::contract::hook::{HookCall, HookEvent, HookWorker};
use crate::contract::scoreboard::RecordIndex;
use crate::contract::slot::Generation;
use crate::master::decide::signals::command;
use crate::master::event::Note;
use crate::sys::fork::{self, fork_worker};
use crate::sys::process::Pid;
use crate::sys::signals::SignalPipe;
use crate::sys::wait::{self, WaitOutcome};
use crate::sys::{limits, poll, signals, title};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::warn;

/// Calls a hook of the site, in a process that ends afterwards.
pub type HookMain = dyn Fn(&Config, &Path, &HookCall) -> ExitReason;

/// The processes that call hooks.
#[derive(Debug, Default)]
pub(super) struct HookCalls(BTreeMap<Pid, HookEvent>);

impl Performer {
    /// Calls the hook for what has just been said, if there is one.
    pub(super) fn call_hook_of(&mut self, note: &Note) {
        if let Note::AllReady { generation, .. } = note {
            self.call_hook(HookEvent::WhenReady, *generation, None);
        }
    }

    /// Calls the hook for an event, if there is one.
    fn call_hook(&mut self, event: HookEvent, generation: Generation, worker: Option<HookWorker>) {
        let Ok(config) = self.config_of(generation) else { return };
        if event.target(&config).is_none() {
            return;
        }
        let name = event.name();
        if self.hook_calls.0.len() >= AT_ONCE {
            warn!("the hook {name} is not called: {AT_ONCE} calls of hooks are still going on");
            return;
        }
        let call = HookCall { event, worker };
        let forked = fork_worker(self.start.fork_hooks, ExitReason::Panicked.status(), || {
            self.run_hook(&config, &call).status()
        });
        match forked {
            Ok(pid) => drop(self.hook_calls.0.insert(pid, event)),
            Err(error) => warn!("the hook {name} is not called: {error}"),
        }
    }

    /// Calls the hook for the end of a worker.
    pub(super) fn tell_of_end(&mut self, pid: Pid, record: RecordIndex, outcome: &WaitOutcome) {
        let record = self.shared.scoreboard.record(record);
        let (slot, generation) = (record.slot(), record.generation());
        let worker = HookWorker { slot, generation, pid: pid.0, end: outcome.to_string() };
        self.call_hook(HookEvent::ChildExit, generation, Some(worker));
    }

    /// In the child.
    fn run_hook(&mut self, config: &Arc<Config>, call: &HookCall) -> ExitReason {
        self.forget_parent();
        // Nobody may connect to sockets that only this process would hold.
        drop(std::mem::take(&mut self.shared.listeners));
        // Only ps(1) is poorer without.
        let _ = title::set("ferricorn-hook", &format!("ferricorn: hook {}", call.event.name()));
        limits::set_alarm(LIMIT);
        if fork::restore_signals().is_err() {
            return ExitReason::BootFailed;
        }
        (self.start.hook_main)(config, &self.surroundings.directory, call)
    }

    /// At the server's end: gives hooks that have been called the time they have, unless it is to stop at once.
    pub(super) fn wait_for_hooks(&mut self) {
        // Whoever connects from now on must not wait for what nobody will serve.
        drop(std::mem::take(&mut self.shared.listeners));
        let deadline = Instant::now() + LIMIT;
        loop {
            while let Some((pid, outcome)) = wait::reap() {
                self.hook_calls.reaped(pid, &outcome);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.hook_calls.0.is_empty() {
                return;
            }
            if poll::wait_readable(&[self.own.signals.descriptor()], Some(left)).is_err() {
                return;
            }
            if asks_to_stop(&mut self.own.signals) {
                return self.hook_calls.end();
            }
        }
    }
}

impl HookCalls {
    /// Notes the end of a process; whether it called a hook.
    pub(super) fn reaped(&mut self, pid: Pid, outcome: &WaitOutcome) -> bool {
        let Some(event) = self.0.remove(&pid) else { return false };
        let name = event.name();
        match outcome {
            WaitOutcome::Exited(0) => {}
            WaitOutcome::Signalled { signal, .. } if *signal == "SIGALRM" => {
                warn!("the hook {name} was ended after {} s", LIMIT.as_secs());
            }
            WaitOutcome::Exited(_) | WaitOutcome::Signalled { .. } | WaitOutcome::OutOfMemory => {
                warn!("the hook {name} has failed");
            }
        }
        true
    }

    /// Ends all calls that go on.
    pub(super) fn end(&self) {
        for (pid, event) in &self.0 {
            warn!("the hook {} is ended: the server was told once more to stop", event.name());
            // It has ended by itself, or cannot be ended by anybody.
            let _ = signals::kill(*pid);
        }
    }
}

/// Whether one of the signals that have come asks the server to stop.
pub(super) fn asks_to_stop(signals: &mut SignalPipe) -> bool {
    let mut asked = signals.take().into_iter().filter_map(command);
    asked.any(|command| matches!(command, Command::Stop(_)))
}

/// Calls that go on at once: more workers than this hardly ever end together, and each call is a process.
const AT_ONCE: usize = 64;

/// Time for one call.
const LIMIT: Duration = Duration::from_secs(30);
