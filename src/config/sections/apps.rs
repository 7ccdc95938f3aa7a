//! `[[app]]`: what is mounted where.

use super::{Interface, RequestContent};
use crate::config::{HostPattern, NamePattern};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// `[[app]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Hosts the app is for; empty: all.
    pub hosts: Vec<HostPattern>,
    /// URL prefix the app answers, on path segment boundaries. Default: "/".
    pub mount: String,
    /// What is mounted there.
    pub target: AppTarget,
    /// File of `NAME=value` lines given to the app's environment, read anew for each generation.
    pub env_file: Option<PathBuf>,
    /// Variables given to the app's environment; they win over `env_file`.
    pub env: BTreeMap<String, String>,
    /// What a Python app speaks. Default: told by what it looks like.
    pub interface: Interface,
    /// When an ASGI app is entered for a request with content. Default: once that is complete.
    pub request_content: RequestContent,
    /// How files are answered, where the target is a directory.
    pub files: FileRules,
}

/// How a directory of files answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRules {
    /// Codings of which a finished file may lie beside the original, the preferred one first.
    pub precompressed: Vec<Coding>,
    /// Name of the file that stands for its directory; `None`: directories are not found.
    pub index: Option<String>,
    /// Whether directories without an index are listed.
    pub listing: bool,
    /// How long clients may keep a file without asking again; `None`: not said.
    pub max_age: Option<Duration>,
    /// Names of files that never change.
    pub immutable: Vec<NamePattern>,
}

/// A content coding (RFC 9110 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `br`, in files named `.br` (RFC 7932).
    Brotli,
    /// `zstd`, in files named `.zst` (RFC 9659).
    Zstd,
    /// `gzip`, in files named `.gz`.
    Gzip,
}

/// What an `[[app]]` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppTarget {
    /// `native:NAME`, or the bare name of a demo app: `hello`, `echo`, `status`.
    Native(String),
    /// `module:callable`, `module:factory()`, or a bare `module`.
    Python(String),
    /// A directory of files.
    Static(PathBuf),
}
