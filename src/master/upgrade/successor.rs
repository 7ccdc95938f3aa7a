//! The program that has taken the place of another goes on with its sockets, its workers and its admin process.
//!
//! Nothing here may fail for a reason that its trial has ruled out: there is no way back.

use super::handover::{Bequest, Inheritance};
use crate::master::decide::admin::HasAdmin;
use crate::master::decide::notify::Notifier;
use crate::master::decide::supervisor::Supervisor;
use crate::master::error::{DESCRIPTORS, FILTER};
use crate::master::event::Event;
use crate::master::perform::admin::AdminProcess;
use crate::master::perform::admin_sockets::AdminSockets;
use crate::master::perform::fd_store::FdStore;
use crate::master::perform::pid_file::PidFile;
use crate::master::perform::{Link, Own, Performer};
use crate::master::pool::Pool;
use crate::master::{MasterError, Outcome, Start, finish};
use crate::net::socket_files::SocketFiles;
use crate::sys::process::Pid;
use crate::sys::signals::SignalPipe;
use crate::sys::systemd::Manager;
use crate::sys::{fork, inherit, process};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::time::Instant;
use tracing::{info, warn};

/// Serves until told to stop, as [`run`](crate::master::run) does.
pub(super) fn run(
    mut start: Start,
    bequest: Bequest,
    inheritance: Inheritance,
) -> Result<Outcome, MasterError> {
    let take_over = MasterError::system("take over from the program before", "start the server anew");
    // All have been blocked since before the other program ended; those sent meanwhile are pending.
    let signals = SignalPipe::new().map_err(MasterError::system("catch signals", DESCRIPTORS))?;
    fork::restore_signals().map_err(MasterError::system("let signals through", FILTER))?;
    // Kept across execve, but by this process alone: said again, it costs nothing.
    if let Err(error) = process::become_subreaper() {
        warn!("cannot become the parent of orphans: {error}");
    }
    let generation = bequest.generation;
    let (shared, source) = bequest.common.unpack().map_err(take_over)?;
    let Inheritance { written, links, admin: written_admin, files, pid_file, manager, watchdog, config: _ } =
        inheritance;
    let manager = manager.as_deref().and_then(service_manager);
    let notifier = manager.as_ref().map(|_| Notifier::new(watchdog));
    let fd_store = FdStore::new(manager.as_ref());
    let own = Own {
        signals,
        pid_file: pid_file
            .map(|(path, number)| PidFile::inherited(path, number))
            .transpose()
            .map_err(take_over)?,
        manager,
        watchdog,
        files: SocketFiles::from_written(files),
        source,
        fd_store,
    };
    let control = AdminSockets::inherited(&written_admin).map_err(take_over)?;
    let mut admin = AdminProcess::new(control, &mut start, &shared);
    let has_admin = if admin.is_wanted() { HasAdmin::Yes } else { HasAdmin::No };
    admin.inherit(&written_admin).map_err(take_over)?;
    let pool = Pool::of(&start.config);
    let now = Instant::now();
    let mut supervisor = Supervisor::from_written(now, pool, shared.scoreboard.slots_max(), &written)
        .with_notifier(notifier)
        .with_admin(has_admin);
    if admin.has_process() {
        supervisor = supervisor.admin_inherited(now);
    }
    let mut performer = Performer::new(start, shared, own, admin, generation);
    take_workers(&mut performer, links).map_err(take_over)?;
    // What is kept already is not kept twice.
    performer.store_sockets();
    let workers = performer.links.len();
    info!(%generation, "the new program has taken over, with {workers} workers and every socket");
    // First those who have ended meanwhile: the wave that has been proven is not to be relied on without looking.
    let mut events = VecDeque::new();
    performer.reap(&mut events);
    events.push_back(Event::Tick);
    finish(performer, supervisor, events)
}

/// The one that the program before had told how it is.
fn service_manager(name: &str) -> Option<Manager> {
    let connected = Manager::connect(OsStr::new(name));
    connected.inspect_err(|error| warn!("the service manager is not told how the server is: {error}")).ok()
}

/// Takes over the workers: their numbers, records and channels.
fn take_workers(performer: &mut Performer, links: Vec<(i32, usize, Option<i32>)>) -> io::Result<()> {
    for (pid, record, channel) in links {
        let Some(record) = performer.shared.scoreboard.index(record) else { continue };
        let channel = channel.map(inherit::take).transpose()?;
        performer.links.insert(Pid(pid), Link { channel, record });
    }
    Ok(())
}
