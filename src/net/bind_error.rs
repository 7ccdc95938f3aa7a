//! Why an address cannot be had.

use crate::sys::process::{self, Pid};
use std::fmt;
use std::io;

/// Why there is no listening socket at an address.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody listens there.
    #[error("cannot bind {address}: in use by {holder}; stop it, or bind another address (-b)")]
    InUse {
        /// The address.
        address: String,
        /// Who listens.
        holder: Holder,
    },
    /// Somebody listens where the server is to be controlled or watched.
    #[error("cannot bind {address} ({key}): in use by {holder}; stop it, or set {key} to another place")]
    AdminInUse {
        /// The place.
        address: String,
        /// The key that names it.
        key: &'static str,
        /// Who listens.
        holder: Holder,
    },
    /// Another server is about to bind the same address.
    #[error(
        "cannot bind {address}: another server is starting on it at this moment; wait for it, or stop one of the two"
    )]
    BeingTaken {
        /// The address.
        address: String,
    },
    /// A port below 1024 without the right to it.
    #[error(
        "cannot bind {address}: permission denied; give CAP_NET_BIND_SERVICE, use a socket unit, or a port from 1024"
    )]
    LowPort {
        /// The address.
        address: String,
    },
    /// The path names something that is no socket; it is left alone.
    #[error("cannot bind {address}: the path exists and is no socket; move it away, or bind another path")]
    NoSocket {
        /// The address.
        address: String,
    },
    /// The name means no address.
    #[error("cannot bind {address}: the name cannot be resolved: {source}")]
    Resolve {
        /// The address.
        address: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot bind {address}: {source}")]
    Other {
        /// The address.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Who listens on an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(Option<(Pid, Option<String>)>);

impl Holder {
    /// A process, if it is known.
    pub fn of(pid: Option<Pid>) -> Self {
        Self(pid.map(|pid| (pid, process::command_line(pid))))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((pid, Some(command))) => write!(f, "pid {pid} ({command})"),
            Some((pid, None)) => write!(f, "pid {pid}"),
            None => f.write_str("an unknown process (only root sees whose)"),
        }
    }
}
