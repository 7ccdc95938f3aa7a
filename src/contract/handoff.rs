//! What a worker is born with.

use crate::config::Config;
use crate::contract::metrics::Metrics;
use crate::contract::scoreboard::{RecordIndex, Scoreboard};
use crate::contract::slot::{Generation, Slot};
use crate::net::listeners::ListenerSet;
use crate::sys::channel;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

pub use crate::contract::message::{Cast, DrainReason, Order, Report, RetireReason};

/// What a worker gets, in the child, after the fork.
#[derive(Debug)]
pub struct Handoff {
    /// Its place.
    pub slot: Slot,
    /// Its generation.
    pub generation: Generation,
    /// The configuration of that generation.
    pub config: Arc<Config>,
    /// Where the server was started; `server.chdir` comes after it.
    pub directory: PathBuf,
    /// Every socket of every slot, and the shared ones.
    pub listeners: ListenerSet,
    /// Non-blocking SOCK_SEQPACKET socket: [`Order`]s in, [`Report`]s out. End of file: the master has died, and the
    /// worker drains by itself. (No PR_SET_PDEATHSIG: a signal would cut the requests that are running.)
    pub channel: OwnedFd,
    /// Where connections change hands between workers.
    pub relay: Relay,
    /// The shared table.
    pub scoreboard: Scoreboard,
    /// The figures of the apps.
    pub metrics: Metrics,
    /// The record of this process in the shared table.
    pub record: RecordIndex,
    /// Slots in service at the fork.
    pub workers: u16,
}

/// One channel shared by all workers: who cannot serve a connection posts it, who is idle takes it.
///
/// Both ends are non-blocking SOCK_SEQPACKET sockets for `sys::channel`'s `send` and `receive`. The master keeps both
/// open, so what a dead worker has posted is still served. Each message goes to exactly one taker.
#[derive(Debug)]
pub struct Relay {
    /// For sending.
    pub post: OwnedFd,
    /// For receiving.
    pub take: OwnedFd,
}

impl Relay {
    /// A new, empty relay.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn new() -> io::Result<Self> {
        let (post, take) = channel::pair()?;
        Ok(Self { post, take })
    }
}
