//! What the operator asked for: read, checked, immutable.
//!
//! - `sections`: what the program uses, a struct for each table of the file.
//! - `schema`: every key with its documentation and default, and how it fills those structs. The only such place.
//!
//! How they are read: `load` takes all sources in their order: files (`value`, `files`), the environment (`environment`), flags
//! (`flags`), and the directory, where no app is named (`discover`). `setting` and `words` turn what was written into values, `build`
//! fills the structs, `check` looks for contradictions, `errors` and `suggest` say what is wrong.
//!
//! How they are shown: `print` (the configuration, `config/reference.toml`), `manual` (`docs/settings.md`).
//!
//! What values are: `units`, `percent`, `counts`, `time`, `token`, `patterns`, `access_pattern`, `database`.
#![forbid(unsafe_code)]

mod access_pattern;
mod build;
mod check;
mod counts;
mod database;
mod discover;
mod environment;
mod errors;
mod files;
mod flags;
mod load;
mod manual;
mod patterns;
mod percent;
mod print;
mod schema;
mod sections;
mod setting;
mod suggest;
#[cfg(test)]
#[cfg(all(feature = "cli", feature = "jwt"))]
mod tests;
mod time;
mod token;
mod units;
mod value;
mod words;

pub use access_pattern::{AccessPattern, Atom, Piece};
pub use check::{FETCHED_SETS_MAX, LEEWAY_MAX};
pub use database::DatabaseUrl;
#[cfg(feature = "cli")]
pub(crate) use environment::FILE_VARIABLE;
pub use errors::{ConfigErrors, Origin, Origins, Problem};
pub use flags::Flags;
pub use load::{Changes, Loaded, Reloader, Sources, load};
pub use manual::manual;
pub use patterns::{HostPattern, NamePattern};
pub use percent::Percent;
pub use print::{ShowOrigin, reference, to_json, to_toml};
pub(crate) use schema::mount_prefix;
pub use sections::{
    AccessFormat, Admin, AppTarget, ArrayFormat, Auth, AuthKey, AuthProvider, AuthRoute, AuthStore,
    AuthUsers, Canary, ClaimRule, Coding, ControlSocket, Cors, Csrf, EventLoopKind, Extract, FileRules,
    Forward, ForwardedField, Hidden, HookTarget, Hooks, Interface, Issue, IssueLimits, JWKS_PATH, JwksRules,
    KeySource, KeyUse, Lifespan, Limits, Log, LogFormat, LogLevel, LogTarget, Mount, OnStoreError, Preload,
    Preset, Python, Rate, Ratio, RequestContent, Require, Reuse, Route, Server, StaticRoot, StreamExpiry,
    Timeouts, TrustProxy, UserKind, UserState, WarmUp, WarmUpScheme, WebSocket, Workers,
};
pub(crate) use token::{is_token, is_token_byte};
pub use units::{BindAddress, ByteSize, Mode, Share, Threads, WorkerCount, parse_duration};

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
