//! What the admin process is born with.

use crate::config::Config;
use crate::contract::metrics::MetricTable;
use crate::contract::scoreboard::Scoreboard;
use crate::sys::control_socket::ControlPlace;
use crate::sys::process::Pid;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// What top(1) calls the admin process; `ferricorn ctl` finds servers by it.
pub const ADMIN: &str = "ferricorn-admin";

/// What the admin process gets, in the child, after the fork.
#[derive(Debug)]
pub struct AdminHandoff {
    /// The configuration that the server was started with.
    pub config: Arc<Config>,
    /// Non-blocking SOCK_SEQPACKET socket: [`Tiding`](super::control::Tiding)s in, [`Petition`](super::control::Petition)s
    /// out. End of file: the server has ended.
    pub channel: OwnedFd,
    /// Where commands come from; listening, non-blocking.
    pub control: Option<OwnedFd>,
    /// `admin.address`; listening, non-blocking.
    pub addresses: Vec<OwnedFd>,
    /// The shared table.
    pub scoreboard: Scoreboard,
    /// The figures of the apps.
    pub metrics: MetricTable,
    /// What does not change as long as the server runs.
    pub facts: Facts,
}

/// What does not change as long as a server runs.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The master.
    pub pid: Pid,
    /// When it was started.
    pub started: SystemTime,
    /// The configuration file, if there is one.
    pub config_file: Option<PathBuf>,
    /// Where the server listens.
    pub bind: Vec<String>,
    /// The control socket, if there is one.
    pub place: Option<ControlPlace>,
    /// The user that the master runs as, who may control the server.
    pub user: u32,
    /// A group that may as well.
    pub group: Option<u32>,
}
