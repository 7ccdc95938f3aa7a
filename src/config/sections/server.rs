//! Addresses, identity and files of the server as a whole.

use crate::config::{BindAddress, Mode};
use std::path::PathBuf;

/// `[server]`
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Addresses to listen on. Default: 127.0.0.1:8000, or 0.0.0.0:$PORT.
    pub bind: Vec<BindAddress>,
    /// Length of each listening socket's queue (listen(2)). Default: 2048.
    pub backlog: u32,
    /// Mode of UNIX sockets. Default: 0666.
    pub unix_mode: Mode,
    /// Owner of UNIX sockets, a name or number. Default: unchanged.
    pub unix_owner: Option<String>,
    /// Group of UNIX sockets, a name or number. Default: unchanged.
    pub unix_group: Option<String>,
    /// User that workers run as, a name or number.
    pub user: Option<String>,
    /// Group that workers run as, a name or number.
    pub group: Option<String>,
    /// File mode creation mask; `None`: as inherited.
    pub umask: Option<Mode>,
    /// Whether programs that apps start can get no more rights than workers have. Default: false.
    pub no_new_privs: bool,
    /// Limit of open descriptors per process; 0: the highest that is allowed. Default: 0.
    pub open_files: u64,
    /// Whether workers that crash leave core dumps; `None`: as inherited.
    pub core_dumps: Option<bool>,
    /// How much sooner than the master a worker is killed when memory runs out. Default: 100.
    pub oom_score_adj: u16,
    /// Working directory, entered before anything is loaded.
    pub chdir: Option<PathBuf>,
    /// File that the master's pid is written to.
    pub pid_file: Option<PathBuf>,
    /// Peers whose forwarded fields are believed: addresses, networks, or "*".
    pub forwarded_allow_ips: Vec<String>,
    /// The fields in which those peers are believed. Default: X-Forwarded-For, -Proto, -Host and -Port.
    pub forwarded_fields: Vec<ForwardedField>,
}

/// A field in which a proxy says what it knows of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedField {
    /// X-Forwarded-For: addresses.
    For,
    /// X-Forwarded-Proto: the scheme, https or http.
    Proto,
    /// X-Forwarded-Host: the host asked for.
    Host,
    /// X-Forwarded-Port: the port asked.
    Port,
    /// X-Forwarded-Ssl: the scheme, on or off.
    Ssl,
    /// X-Forwarded-Protocol: the scheme, ssl or http.
    Protocol,
    /// Forwarded (RFC 7239): all of these; it stands alone.
    Forwarded,
}
