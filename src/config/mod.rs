//! What the operator asked for: read, checked, immutable.
#![forbid(unsafe_code)]

mod access_pattern;
mod admin;
mod auth;
mod build;
mod canary;
mod check;
mod check_auth;
mod check_issue;
mod check_jwks;
mod counts;
mod database;
mod discover;
mod environment;
mod errors;
mod files;
mod flags;
mod hooks;
mod interface;
mod issue;
mod load;
mod manual;
mod patterns;
mod percent;
mod preload;
mod print;
mod python;
mod schema;
mod server;
mod setting;
mod suggest;
#[cfg(test)]
#[cfg(all(feature = "cli", feature = "jwt"))]
mod tests;
mod time;
mod token;
mod units;
mod value;
mod warm_up;
mod websocket;
mod words;

pub use access_pattern::{AccessPattern, Atom, Piece};
pub use admin::{Admin, ControlSocket};
pub use auth::{
    ArrayFormat, Auth, AuthKey, AuthProvider, AuthRoute, ClaimRule, Cors, Csrf, Extract, Forward, Hidden,
    JwksRules, KeySource, KeyUse, Preset, Require, StreamExpiry, UserState,
};
pub use canary::{Canary, Ratio};
pub use database::DatabaseUrl;
pub use errors::{ConfigErrors, Origin, Origins, Problem};
pub use flags::Flags;
pub use hooks::{HookTarget, Hooks};
pub use interface::{EventLoopKind, Interface, Lifespan, RequestContent};
pub use issue::{
    AuthStore, AuthUsers, Issue, IssueLimits, JWKS_PATH, OnStoreError, Rate, Reuse, TrustProxy, UserKind,
};
pub use load::{Changes, Loaded, Reloader, Sources, load};
pub use manual::manual;
pub use patterns::{HostPattern, NamePattern};
pub use percent::Percent;
pub use preload::Preload;
pub use print::{ShowOrigin, reference, to_json, to_toml};
pub use python::{Python, StaticRoot};
pub(crate) use schema::mount_prefix;
pub use server::{ForwardedField, Server};
pub(crate) use token::{is_token, is_token_byte};
pub use units::{BindAddress, ByteSize, Mode, Share, Threads, WorkerCount, parse_duration};
pub use warm_up::{WarmUp, WarmUpScheme};
pub use websocket::WebSocket;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The whole configuration, checked: nobody validates it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Addresses, identity and files of the server as a whole.
    pub server: Server,
    /// How many workers there are and how they are replaced.
    pub workers: Workers,
    /// Sizes and counts that no client or app may exceed.
    pub limits: Limits,
    /// How long anything may take.
    pub timeouts: Timeouts,
    /// Error log and access log.
    pub log: Log,
    /// How Python apps find their code.
    pub python: Python,
    /// WebSockets of ASGI apps.
    pub websocket: WebSocket,
    /// How the server is controlled and watched.
    pub admin: Admin,
    /// Bearer tokens checked before any app is entered; `None` without an `[auth]` section.
    pub auth: Option<Auth>,
    /// The mounted apps, in the order of the file.
    pub apps: Vec<Mount>,
    /// Limits for parts of the URL space; the first match wins.
    pub routes: Vec<Route>,
}

impl Config {
    /// Looks for contradictions in a configuration that was not read but made.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn check(&self) -> Result<(), ConfigErrors> {
        let mut build = build::Build { config: self.clone(), ..build::Build::default() };
        check::contradictions(&mut build);
        ConfigErrors::check(build.problems)
    }

    /// Threads that each of so many workers has for its apps, where the cgroup has so many CPUs.
    pub fn threads(&self, workers: u16, cpus: u16) -> u16 {
        match self.workers.threads {
            Threads::Exactly(threads) => threads,
            Threads::Auto if self.has_python_app() => 1,
            Threads::Auto => (cpus / workers.max(1)).max(1),
        }
    }

    /// Whether the workers are forked by a process that has loaded the apps; which only those of Python can be.
    pub fn preloads(&self) -> bool {
        self.workers.preload != Preload::Off && self.has_python_app()
    }

    /// Whether any app needs an interpreter.
    pub fn has_python_app(&self) -> bool {
        self.apps.iter().any(|mount| matches!(mount.target, AppTarget::Python(_)))
    }
}

/// `[workers]`
#[derive(Debug, Clone, PartialEq)]
pub struct Workers {
    /// Number of workers. Default "auto": the CPUs of the cgroup, at most 4 for Python apps.
    pub count: WorkerCount,
    /// How long one worker less must have been enough before one leaves, where `count` has two numbers. Default: 30 s.
    pub shrink_after: Duration,
    /// App threads per worker (WSGI), or runtime threads (native apps). Default: 1.
    pub threads: Threads,
    /// Recycle a worker after so many requests; 0 = never.
    pub max_requests: u64,
    /// At most so many requests are added to `max_requests`, at random per worker.
    pub max_requests_jitter: u64,
    /// Recycle a worker after so long; 0 = never. Default: 0.
    pub max_age: Duration,
    /// At most so much is added to `max_age`, differently for each worker. Default: 0.
    pub max_age_jitter: Duration,
    /// Recycle a worker that has more memory, its share of shared pages counted (PSS). Default: no limit.
    pub max_memory: Option<ByteSize>,
    /// Recycle the largest worker when this part of the cgroup's memory is in use. Default: never.
    pub memory_pressure: Option<Percent>,
    /// How many workers are recycled at once. Default 25 %, at least one.
    pub max_recycling: Share,
    /// Whether a worker is replaced when a request past its limit could be interrupted, too. Default: true.
    pub recycle_after_timeout: bool,
    /// Whether apps are loaded once per generation, and the workers forked from there. Default: off.
    pub preload: Preload,
    /// How many additional workers a reload may start at once. Default 25 %, at least one.
    pub max_surge: Share,
    /// How the first worker of a new generation is tried. Default: not at all.
    pub canary: Canary,
    /// How many workers a request may end before it is refused; 0 = any number. Default: 0.
    pub quarantine: u16,
    /// How long it is refused then. Default: 1 min.
    pub quarantine_time: Duration,
    /// Requests that a new worker answers itself before it is ready.
    pub warm_up: Vec<WarmUp>,
    /// Program and arguments, run before any worker of a generation is started; empty: nothing is run.
    pub check_command: Vec<String>,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Request line and fields together. Default: 32 KiB. Past it: 431.
    pub head: ByteSize,
    /// The request target. Default: 16 KiB. Past it: 414.
    pub target: ByteSize,
    /// Number of fields. Default: 100. Past it: 431.
    pub fields: u16,
    /// Request content. Default: 1 GiB. Past it: 413.
    pub body: ByteSize,
    /// Request content kept in memory; beyond it in a temporary file. Default: 1 MiB.
    pub body_memory: ByteSize,
    /// Response content that is held for a slow client before the app has to wait. Default: 1 MiB.
    pub response_buffer: ByteSize,
    /// Connections per worker. Default: 10000. Past it: connections wait in the queue.
    pub connections: u32,
    /// Requests per worker that wait for an app thread. Default: 10000. Past it: 503.
    pub queue: u32,
}

/// `[timeouts]`
#[derive(Debug, Clone, PartialEq)]
pub struct Timeouts {
    /// From the first byte of a head to its end. Default: 30 s. Past it: 408.
    pub head: Duration,
    /// Between two reads of request content. Default: 60 s. Past it: 408.
    pub body: Duration,
    /// Between two requests on a kept-alive connection. Default: 75 s. 0: connections are not kept.
    pub keep_alive: Duration,
    /// Time a request may spend in the app: until the head of its response, then from piece to piece. Default: 30 s;
    /// 0 = no limit. Past it: 504, or the end of a response that has begun.
    pub request: Duration,
    /// Time a request may wait for an app thread. Default: 30 s; 0 = no limit. Past it: 503.
    pub queue: Duration,
    /// From which wait on a long queue is served from its other end. Default: 500 ms; 0 = never.
    pub overload: Duration,
    /// Between two writes that a client accepts. Default: 60 s.
    pub write: Duration,
    /// Time running requests have to end when a worker leaves. Default: 30 s.
    pub graceful: Duration,
    /// The same for answers of unknown length. Default: as `graceful`.
    pub drain_streaming: Option<Duration>,
    /// The same for connections that have changed their protocol. Default: as `graceful`.
    pub drain_websocket: Option<Duration>,
    /// Time between being told to stop and taking nothing new. Default: 0 s.
    pub lame_duck: Duration,
    /// Time an idle kept-alive connection has, when a worker leaves, for a request already on its way. Default: 2 s.
    pub drain_idle: Duration,
    /// From the fork of a worker to its being ready. Default: 2 min.
    pub boot: Duration,
    /// Time for `workers.check_command`. Default: 1 min.
    pub check: Duration,
    /// From the beginning of a reload to its end. Default: 10 min.
    pub reload: Duration,
    /// How long a worker's event loop may stand still. Default: 1 min; 0 = for ever.
    pub heartbeat: Duration,
}

impl Timeouts {
    /// How long a worker that leaves may be there at most.
    pub fn longest_drain(&self) -> Duration {
        [self.drain_streaming, self.drain_websocket].into_iter().flatten().fold(self.graceful, Duration::max)
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Least severe level shown: error, warn, info, debug, trace. Default: info.
    pub level: LogLevel,
    /// Shape of the error log. Default: text.
    pub format: LogFormat,
    /// Where the error log goes. Default: standard error.
    pub error: LogTarget,
    /// Where the access log goes. Default: off.
    pub access: LogTarget,
    /// Shape of the access log. Default: combined.
    pub access_format: AccessFormat,
    /// Whether what Python apps print goes to the error log. Default: false.
    pub capture_output: bool,
}

/// Severity of the error log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is likely to fail.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// Shape of the error log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where a log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// "-": standard output.
    Stdout,
    /// "stderr": standard error.
    Stderr,
    /// A file, appended to, opened anew on SIGUSR1.
    File(PathBuf),
}

/// Shape of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessFormat {
    /// Apache's combined format.
    Combined,
    /// One JSON object a line.
    Json,
    /// As `--access-logformat` of Gunicorn describes it.
    Pattern(Arc<AccessPattern>),
}

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

/// `[[route]]`: limits for part of the URL space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Path prefix, on path segment boundaries.
    pub prefix: String,
    /// Methods it holds for; empty = all.
    pub methods: Vec<String>,
    /// Replaces `limits.body`.
    pub body: Option<ByteSize>,
    /// Replaces `timeouts.request`.
    pub timeout: Option<Duration>,
    /// Replaces `timeouts.queue`.
    pub queue: Option<Duration>,
    /// Requests with content must say its length beforehand, else 411.
    pub length_required: bool,
}
