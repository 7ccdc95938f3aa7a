//! Values with a unit: parsed from and printed to the same text.

use std::fmt;
use std::path::PathBuf;

/// A number of bytes, written `"1 MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Permission bits, written in octal: `"0660"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

/// How many workers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerCount {
    /// The CPUs of the cgroup, at most 4 for Python apps.
    Auto,
    /// Exactly so many, at least one.
    Exactly(u16),
}

/// Part of the workers: `"25%"` (rounded down, at least one) or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Hundredths of the worker count.
    Percent(u8),
    /// A number of workers, at least one.
    Count(u16),
}

/// An address to listen on: `HOST:PORT`, `[v6]:PORT`, `:PORT`, `unix:PATH`, `fd://N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindAddress {
    /// A TCP port; the host may be a name or an address without brackets.
    Tcp {
        /// Name or address.
        host: String,
        /// Port; 0 lets the kernel choose one.
        port: u16,
    },
    /// A UNIX socket in the file system.
    Unix(PathBuf),
    /// A listening socket that was inherited open.
    Inherited(i32),
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited(descriptor) => write!(f, "fd://{descriptor}"),
        }
    }
}
