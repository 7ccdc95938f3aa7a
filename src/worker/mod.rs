//! One process that serves: prepares itself, loads its apps, says ready, serves, drains.
//!
//! In the order of its life:
//! - `setup`: its name, directory, account, environment and limits.
//! - `lifecycle`: the rest of its life, told in order. Begin here.
//! - `load`: the apps of the configuration, `issuing` the one that issues tokens; `mold`: what was loaded before the fork.
//! - `ties`: what ties requests to the scoreboard, the master and the siblings.
//! - `runtime`: the event loop, and the threads that drive it; `interpreter`: Python in it.
//! - `warm_up`: requests that it answers itself before it is ready.
//!
//! While it serves:
//! - `acceptors`: which sockets it accepts from; `connections`: each is served in a task of its own.
//! - `orders`: what the master says, up to the order to leave; `inquiries`: what operators want of single requests.
//! - `siblings`: who is free and where calls wait; `relay`: connections that change hands.
//! - `heartbeat`, `busyness`, `status`: what it shows; `retirement`: when it asks for a successor.
//! - `keys`: read anew when their files change; `signals`: kept from apps; `memory`: theirs, moved into huge pages.
//!
//! Beside it: `hooks` calls what `[python.hooks]` names; `in_place` serves in a runtime that is already there, without fork and master.
#![forbid(unsafe_code)]

mod acceptors;
mod busyness;
mod connections;
mod heartbeat;
mod hooks;
mod in_place;
mod inquiries;
mod interpreter;
#[cfg(feature = "issue")]
mod issuing;
mod keys;
mod lifecycle;
mod load;
#[cfg(feature = "python")]
mod memory;
mod mold;
mod orders;
mod relay;
mod retirement;
mod runtime;
mod setup;
mod siblings;
mod signals;
mod status;
mod ties;
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
use crate::telemetry::panics;
use std::os::fd::AsFd;
use std::sync::Arc;

/// The life of a worker, in the child, after the fork; `make` makes the program's own apps, if it has any, and `mold` has
/// what the process that it was forked from had loaded.
pub fn main(mut handoff: Handoff, make: Option<&MakeApps>, mold: &Mold) -> ExitReason {
    setup::take_name(&handoff);
    load::adopt(handoff.metrics.clone());
    panics::count_in(&handoff.metrics);
    let config = &handoff.config;
    let prepared = match mold.loaded() {
        // Forked by a mold, it is who and where it should be.
        Some(_) => Ok(()),
        None => setup::enter(config, &handoff.directory)
            .and_then(|()| if must_survive_forks(config) { mold.fill(config) } else { Ok(()) }),
    };
    match prepared.and_then(|()| lifecycle::run(&mut handoff, make, mold.loaded())) {
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
    let tried = runtime::build(1, true).and_then(|runtime| {
        let loading = load::Loading {
            slot: Slot(1),
            workers: 1,
            calls: &calls,
            status: &status,
            own: Vec::new(),
            loaded: None,
            runtime: Some((&runtime, Arc::new(Drain::default()).watch())),
        };
        setup::prepare(config).and_then(|()| load::apps(config, loading)).map(drop)
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

fn report_failure(handoff: &Handoff, failure: &BootFailure) {
    let report = Report::Failed { reason: failure.reason, text: failure.text.clone() };
    // A master that cannot be told sees the exit status all the same.
    if channel::send(handoff.channel.as_fd(), &report.encode(), &[]).is_err() {
        tracing::error!("{}", failure.text);
    }
}
