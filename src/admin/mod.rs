//! One process beside the workers: takes commands, tells how the server is. It serves none of its requests.
//!
//! What is asked here never waits behind an app, and what happens here reaches no worker.
//!
//! - `http`: the few resources; `caller`: who asks, and whether they may command; `site`: what answers are made of.
//! - `status`, `metrics`, `requests`: what is told.
//! - `desk`: commands are passed on to the master, and wait there for their verdict; `inquiries`: what is asked about single requests.
//! - `keys`: key sets are fetched here, for all workers.
#![forbid(unsafe_code)]

mod caller;
mod desk;
mod http;
mod inquiries;
#[cfg(feature = "jwt")]
mod keys;
mod metrics;
mod requests;
mod site;
mod status;

#[cfg(feature = "jwt")]
use crate::auth::jwks::Upkeep;
use crate::contract::admin::AdminHandoff;
use crate::contract::exit::ExitReason;
#[cfg(feature = "jwt")]
use crate::contract::scoreboard::Scoreboard;
use crate::sys::control_socket::ControlPlace;
use crate::sys::{privileges, unix_socket};
use caller::Caller;
use desk::Desk;
use site::Site;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// The life of the admin process, in the child, after the fork.
pub fn main(handoff: AdminHandoff) -> ExitReason {
    let server = &handoff.config.server;
    let lowered = privileges::drop_to(server.user.as_deref(), server.group.as_deref());
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match lowered.and(built) {
        Ok(runtime) => runtime.block_on(run(handoff)).unwrap_or_else(|error| {
            tracing::warn!("the admin process cannot serve: {error}");
            ExitReason::BootFailed
        }),
        Err(error) => {
            tracing::warn!("the admin process cannot start: {error}");
            ExitReason::BootFailed
        }
    }
}

async fn run(handoff: AdminHandoff) -> io::Result<ExitReason> {
    let AdminHandoff { channel, control, addresses, scoreboard, metrics, facts, .. } = handoff;
    let place = facts.place.clone();
    let desk = Arc::new(Desk::new(channel.as_fd())?);
    let mut tasks = JoinSet::new();
    #[cfg(feature = "jwt")]
    let keys = keep_keys(&desk, &scoreboard, &mut tasks);
    let site = Arc::new(Site {
        desk: Arc::clone(&desk),
        scoreboard,
        metrics,
        facts,
        #[cfg(feature = "jwt")]
        keys,
    });
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    if let Some(control) = control {
        let listener = UnixListener::from_std(StdUnixListener::from(control))?;
        tasks.spawn(take_commands(listener, Arc::clone(&site), Arc::clone(&room)));
    }
    for address in addresses {
        let listener = TcpListener::from_std(std::net::TcpListener::from(address))?;
        // Those who only want to know must not keep out who commands.
        tasks.spawn(tell(listener, Arc::clone(&site), Arc::new(Semaphore::new(CONNECTIONS))));
    }
    let reason = tokio::select! {
        ended = desk.listen(channel) => ended.map(|()| ExitReason::MasterGone),
        () = socket_gone(place) => Ok(ExitReason::Done),
    };
    tasks.shutdown().await;
    // Answers that are on their way.
    let empty = room.acquire_many(u32::try_from(CONNECTIONS).unwrap_or(u32::MAX));
    let _ = tokio::time::timeout(LEAVING, empty).await;
    reason
}

/// Fetches key sets for the workers from now on.
#[cfg(feature = "jwt")]
fn keep_keys(desk: &Arc<Desk>, scoreboard: &Scoreboard, tasks: &mut JoinSet<()>) -> keys::Keys {
    let upkeep = Upkeep::new(scoreboard.keys().clone());
    let waker = Arc::clone(&upkeep);
    desk.on_wish(Box::new(move || waker.wake()));
    let keys = keys::Keys { desk: Arc::clone(desk), scoreboard: scoreboard.clone(), upkeep };
    tasks.spawn(keys.clone().keep());
    keys
}

/// Serves the control socket.
async fn take_commands(listener: UnixListener, site: Arc<Site>, room: Arc<Semaphore>) {
    while let Some(permit) = enter(&room).await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let caller = Caller::of(stream.as_fd(), &site.facts);
                tokio::spawn(http::serve(stream, caller, Arc::clone(&site), permit));
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// Serves `admin.address`.
async fn tell(listener: TcpListener, site: Arc<Site>, room: Arc<Semaphore>) {
    while let Some(permit) = enter(&room).await {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(http::serve(stream, Caller::Anybody, Arc::clone(&site), permit));
            }
            Err(error) => pause(&error).await,
        }
    }
}

async fn enter(room: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(room).acquire_owned().await.ok()
}

/// accept(2): a connection that was given up is nothing; without descriptors some must be closed first.
async fn pause(error: &io::Error) {
    if error.kind() != io::ErrorKind::ConnectionAborted {
        tracing::debug!("cannot accept: {error}");
        tokio::time::sleep(RECOVERY).await;
    }
}

/// Waits until the file of the control socket is not the one that this process listens on.
async fn socket_gone(place: Option<ControlPlace>) {
    let Some(ControlPlace::File(path)) = place else { return std::future::pending().await };
    // One that could not be made anew is no reason to leave: health and metrics are still asked for.
    let Ok(ours) = unix_socket::identity(&path) else { return std::future::pending().await };
    while unix_socket::identity(&path).is_ok_and(|found| found == ours) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Connections at once, to the control socket and to each address.
const CONNECTIONS: usize = 64;

/// Between two attempts to accept when there was no room.
const RECOVERY: Duration = Duration::from_millis(100);

/// Between two looks at the control socket's file.
const LOOK: Duration = Duration::from_secs(1);

/// For the last answers; the master waits somewhat longer.
const LEAVING: Duration = Duration::from_millis(500);
