//! The start: what the system has to give before there is a worker.

use super::decide::admin::HasAdmin;
use super::decide::notify::Notifier;
use super::decide::supervisor::Supervisor;
use super::error::{DESCRIPTORS, FILTER, MEMORY, MasterError};
use super::event::Event;
use super::perform::admin::AdminProcess;
use super::perform::admin_sockets::AdminSockets;
use super::perform::fd_store::FdStore;
use super::perform::pid_file::PidFile;
use super::perform::{Own, Performer, Shared, SocketSource, sockets};
use super::pool::Pool;
use super::{Outcome, Start, finish};
use crate::config::Config;
use crate::contract::handoff::Relay;
use crate::contract::metrics::MetricTable;
use crate::contract::scoreboard::{Scoreboard, Service};
use crate::contract::slot::{Generation, Slot};
use crate::net::bind;
use crate::sys::signals::SignalPipe;
use crate::sys::systemd::{self, Handed};
use crate::sys::{fd_store, fork, limits, privileges, process};
use std::collections::VecDeque;
use std::io;
use tracing::warn;

/// Serves until told to stop, with workers of its own.
pub(super) fn begin(mut start: Start) -> Result<Outcome, MasterError> {
    check_accounts(&start.config)?;
    let (signals, handed) = settle_in(&start.config)?;
    let pool = Pool::of(&start.config);
    // A larger pool may have left sockets of more slots with the service manager.
    let kept = u16::try_from(fd_store::places()).unwrap_or(u16::MAX).min(KEPT_MAX);
    let slots_max = SLOTS_MAX.max(pool.most().saturating_mul(2)).max(kept);
    let no_memory = MasterError::system("share memory with workers", MEMORY);
    let scoreboard = Scoreboard::new(slots_max).map_err(no_memory)?;
    let metrics = MetricTable::new(scoreboard.record_count()).map_err(no_memory)?;
    let relay = Relay::new().map_err(MasterError::system("make the workers' relay", DESCRIPTORS))?;
    let source = if bind::is_activated(&handed) { SocketSource::Handed } else { SocketSource::Bound };
    let fd_store = FdStore::new(handed.manager.as_ref());
    let bound = bind::bind(&start.config.server, pool.workers, &handed)?;
    // The next attempt takes kept sockets by their paths.
    let undo = || {
        if !fd_store.is_there() {
            bound.files.remove()
        }
    };
    let pid_file = start.config.server.pid_file.as_deref().map(PidFile::write).transpose();
    let pid_file = pid_file.inspect_err(|_| undo())?;
    let control = AdminSockets::new(&start.config).inspect_err(|_| undo())?;
    sockets::announce(bound.listeners.iter());
    // Those of a larger pool before a restart, too.
    for slot in (1..=pool.workers).map(Slot).chain(bound.listeners.slots()) {
        scoreboard.set_service(slot, Service::Vacant);
    }
    let shared = Shared { listeners: bound.listeners, relay, scoreboard, metrics };
    let Handed { manager, watchdog, .. } = handed;
    let notifier = manager.as_ref().map(|_| Notifier::new(watchdog));
    let admin = AdminProcess::new(control, &mut start, &shared);
    let has_admin = if admin.is_wanted() { HasAdmin::Yes } else { HasAdmin::No };
    let own = Own { signals, pid_file, manager, watchdog, files: bound.files, source, fd_store };
    let mut performer = Performer::new(start, shared, own, admin, Generation(1));
    performer.store_sockets();
    let supervisor = Supervisor::new(pool, slots_max).with_notifier(notifier).with_admin(has_admin);
    finish(performer, supervisor, VecDeque::from([Event::Tick]))
}

/// Makes this process a master: signals are seen, orphans come to it, and what the service manager has set is read.
fn settle_in(config: &Config) -> Result<(SignalPipe, Handed), MasterError> {
    // First of all: a signal during the start is then seen after it.
    let signals = SignalPipe::new().map_err(MasterError::system("catch signals", DESCRIPTORS))?;
    // Out of the environment before there are workers, who would take it for theirs.
    let handed = systemd::take_environment().map_err(MasterError::system(
        "read what the service manager has set",
        "look at the unit's sockets and its Type=",
    ))?;
    for complaint in &handed.complaints {
        warn!("the service manager is not told how the server is: {complaint}");
    }
    // Whoever started the server may have blocked signals; nobody that it starts is to inherit that.
    fork::restore_signals().map_err(MasterError::system("let signals through", FILTER))?;
    let open_files = config.server.open_files;
    if let Err(error) = limits::set_descriptors((open_files > 0).then_some(open_files)) {
        warn!("cannot set the limit of open descriptors: {error}");
    }
    process::become_subreaper().map_err(MasterError::system("become the parent of orphans", FILTER))?;
    Ok((signals, handed))
}

/// Names are looked up before anything is bound: a worker that finds out would be too late.
pub(super) fn check_accounts(config: &Config) -> Result<(), MasterError> {
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

/// Slots there is room for at least; more than any pool scaled up by hand will have.
const SLOTS_MAX: u16 = 256;

/// As many sockets as a service manager hands over at most.
const KEPT_MAX: u16 = 1024;
