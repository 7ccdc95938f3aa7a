//! The server as a library: a program's own app under the master, or in a runtime that is already there.
#![forbid(unsafe_code)]

mod error;
mod own;
#[cfg(test)]
mod tests;

pub use error::ServerError;

use crate::app::{App, Body, BoxError, ServiceApp, WorkerInfo};
#[cfg(feature = "cli")]
use crate::config::Flags;
use crate::config::{BindAddress, Config, ControlSocket, Reloader, Threads, WorkerCount};
use crate::master::upgrade::handover::Handover;
use crate::net::accept::Acceptor;
#[cfg(feature = "cli")]
use crate::telemetry::LogError;
use crate::{serve, sys, worker};
use http_body::Body as HttpBody;
use own::{MakeApp, OwnMounts};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use tower_service::Service;

/// A server for an app of the program's own.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use ferricorn::{Server, WorkerInfo};
///
/// fn main() -> Result<(), ferricorn::ServerError> {
///     Server::new(|worker: WorkerInfo| async move {
///         let greeting = format!("Hello from worker {}\\n", worker.slot);
///         Ok(Router::new().route("/", get(|| async move { greeting })))
///     })
///     .bind("127.0.0.1:8000")
///     .workers(4)
///     .run()
/// }
/// ```
///
/// The constructor runs once in each worker, after the fork, on that worker's runtime: pools of connections, caches and
/// background tasks belong there. Its error means that the worker is not ready: at the start the server does not
/// run ([`ServerError::exit_code`] 3), at a reload (SIGHUP) the workers of before go on serving. Where others have got
/// ready, it is tried again.
///
/// What is set here are the program's defaults: a configuration file wins over them, and where they are asked
/// for ([`main`](Self::main)) the environment and flags over both. Of itself a server reads no argument, no variable of
/// the environment and no file, and sets no allocator, `tracing` subscriber or panic hook.
#[must_use = "it serves once `run`, `main` or `serve_on` is called"]
pub struct Server {
    own: OwnMounts,
    config: Config,
    file: Option<PathBuf>,
    /// What another program has left to this one.
    handover: Option<Handover>,
    binds: Binds,
    /// The first thing that was wrong in what was set.
    problem: Option<String>,
}

/// Whether `bind` has been called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binds {
    Default,
    Named,
}

impl Server {
    /// A server for what the constructor makes: a `tower_service::Service`, such as an axum `Router`, at "/".
    pub fn new<M, F, S, B>(make: M) -> Self
    where
        M: Fn(WorkerInfo) -> F + Send + Sync + 'static,
        F: Future<Output = Result<S, BoxError>> + Send + 'static,
        S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        Self::empty().mounted(&[], "/", of_service(make))
    }

    /// Mounts a further service at a prefix such as "/api", on every host.
    ///
    /// The longest prefix that a path is below, on segment boundaries, decides. The service sees the path without it
    /// ("/api/notes" as "/notes"); the prefix is in [`ConnectInfo::mount`](crate::ConnectInfo).
    pub fn mount<M, F, S, B>(self, prefix: &str, make: M) -> Self
    where
        M: Fn(WorkerInfo) -> F + Send + Sync + 'static,
        F: Future<Output = Result<S, BoxError>> + Send + 'static,
        S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        self.mounted(&[], prefix, of_service(make))
    }

    /// Mounts a further service for certain hosts: "a.example", or "*.a.example" for all below it.
    ///
    /// An exact host comes before one with a star, that before none, and only then the longest prefix.
    pub fn mount_for<M, F, S, B>(self, hosts: &[&str], prefix: &str, make: M) -> Self
    where
        M: Fn(WorkerInfo) -> F + Send + Sync + 'static,
        F: Future<Output = Result<S, BoxError>> + Send + 'static,
        S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        self.mounted(hosts, prefix, of_service(make))
    }

    /// A server for an [`App`], which sees requests as the server does.
    pub fn with_app<M, F, A>(make: M) -> Self
    where
        M: Fn(WorkerInfo) -> F + Send + Sync + 'static,
        F: Future<Output = Result<A, BoxError>> + Send + 'static,
        A: App,
    {
        let make: Arc<MakeApp> = Arc::new(move |worker| {
            let making = make(worker);
            Box::pin(async move {
                let app: Arc<dyn App> = Arc::new(making.await?);
                Ok(app)
            })
        });
        Self::empty().mounted(&[], "/", make)
    }

    fn empty() -> Self {
        let config = Config { apps: Vec::new(), ..Config::default() };
        let (own, binds) = (OwnMounts::default(), Binds::Default);
        Self { own, config, file: None, handover: None, binds, problem: None }
    }

    fn mounted(mut self, hosts: &[&str], prefix: &str, make: Arc<MakeApp>) -> Self {
        let place = own::place(hosts.iter().copied(), prefix);
        if let Err(problem) = place.and_then(|place| self.own.add(place, make)) {
            self.problem.get_or_insert(problem);
        }
        self
    }

    /// Listens there too; the first call replaces the default, `127.0.0.1:8000`.
    ///
    /// `HOST:PORT`, `:PORT`, `unix:PATH`, or `fd://N` for an inherited socket.
    pub fn bind(mut self, address: &str) -> Self {
        if self.binds == Binds::Default {
            self.config.server.bind.clear();
            self.binds = Binds::Named;
        }
        match BindAddress::parse(address) {
            Ok(address) => self.config.server.bind.push(address),
            Err(problem) => {
                self.problem.get_or_insert_with(|| format!("the address {address:?}: {problem}"));
            }
        }
        self
    }

    /// Has so many workers; otherwise as many as the cgroup has CPUs.
    pub fn workers(mut self, count: u16) -> Self {
        self.config.workers.count = WorkerCount::Exactly(count);
        self
    }

    /// Has as many workers as there is work for, within these bounds: more while all event loops together are busier than 85 %, fewer
    /// once one less has been enough for `workers.shrink_after`.
    pub fn workers_between(mut self, least: u16, most: u16) -> Self {
        let least = least.max(1);
        self.config.workers.count = WorkerCount::Between(least, most.max(least));
        self
    }

    /// Gives each worker's runtime so many threads; otherwise one, which is the fastest as long as workers are many.
    ///
    /// `workers(1).threads(Threads::Auto)` is one supervised worker with all CPUs, for apps that share state in memory.
    pub fn threads(mut self, threads: Threads) -> Self {
        self.config.workers.threads = threads;
        self
    }

    /// Changes any key of the configuration.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        let bind = self.config.server.bind.clone();
        change(&mut self.config);
        if self.config.server.bind != bind {
            self.binds = Binds::Named;
        }
        self
    }

    /// Reads this TOML file, now and at each reload. It can mount further apps, of files, beside the program's own.
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Becomes the master, forks the workers, and returns when the server has ended as it was asked to.
    ///
    /// It takes commands only at a control socket that is named (`admin.socket`).
    ///
    /// To be called from a plain `main`, before any thread is started: fork(2) copies the calling thread alone, and a
    /// lock that another one holds would stay locked in every worker. The caller's process stays the master.
    ///
    /// # Errors
    /// [`ServerError`]; nothing is left running. [`ServerError::exit_code`] is for the program's own end.
    pub fn run(self) -> Result<(), ServerError> {
        let mut unasked = self.take_over()?;
        // Where its socket would be is for the environment to say, which is not read here.
        if unasked.config.admin.socket == ControlSocket::Auto {
            unasked.config.admin.socket = ControlSocket::Off;
        }
        let reloader = unasked.reloader(BTreeMap::new())?.without_default_file();
        unasked.supervise(reloader)
    }

    /// Does all that `ferricorn serve` does, for this app: reads these arguments (`std::env::args_os()`), the
    /// environment and `ferricorn.toml`, writes the error log, and becomes the master.
    ///
    /// A `tracing` subscriber that the program has set is left in its place.
    #[cfg(feature = "cli")]
    pub fn main(mut self, arguments: impl IntoIterator<Item = std::ffi::OsString>) -> std::process::ExitCode {
        self.handover = match serve::take_over() {
            Ok(handover) => handover,
            Err(error) => {
                serve::say(&error);
                return std::process::ExitCode::FAILURE;
            }
        };
        let mut flags = match crate::cli::own_flags(arguments) {
            Ok(flags) => flags,
            Err(code) => return code,
        };
        flags.config = flags.config.or(self.file.take());
        self.file.clone_from(&flags.config);
        let error = match self.flagged(flags).and_then(|reloader| self.supervise(reloader)) {
            Ok(()) => return std::process::ExitCode::SUCCESS,
            Err(error) => error,
        };
        serve::say(&error);
        error.exit_code().into()
    }

    /// Takes what another program has left to this one, before anything is read.
    fn take_over(mut self) -> Result<Self, ServerError> {
        self.handover = serve::take_over().map_err(ServerError::System)?;
        Ok(self)
    }

    #[cfg(feature = "cli")]
    fn flagged(&mut self, flags: Flags) -> Result<Reloader, ServerError> {
        let directory = std::env::current_dir().map_err(ServerError::System)?;
        let mut reloader = Reloader::new(flags).map_err(ServerError::System)?.over(self.config.clone());
        let log = self.load_first(&mut reloader)?.log;
        self.speak()?;
        match serve::begin_log(&log, self.handover.as_ref()) {
            // The program's own subscriber is as good.
            Ok(()) | Err(LogError::AlreadyBegun) => Ok(reloader),
            Err(error @ (LogError::Open { .. } | LogError::Standard(_))) => {
                Err(ServerError::Config(format!("{error} (in {})", directory.display())))
            }
        }
    }

    /// Serves the connections of a listening socket in the caller's runtime, until `shutdown` is ready.
    ///
    /// No fork, no master: nothing replaces what crashes, and nothing is reloaded. Requests under way at the shutdown
    /// have `timeouts.graceful` to end. Of the configuration `[server]` and `[workers]` have no effect.
    ///
    /// # Errors
    /// [`ServerError::Config`], or [`ServerError::App`] with what the constructor said.
    pub async fn serve_on(
        self,
        listener: impl Into<Acceptor>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServerError> {
        let mut reloader = self.reloader(BTreeMap::new())?.without_default_file();
        let config = self.load(&mut reloader)?;
        worker::serve_in_place(&config, &*self.own.into_make(), listener.into(), shutdown)
            .await
            .map_err(ServerError::App)
    }

    fn reloader(&self, environment: BTreeMap<String, String>) -> Result<Reloader, ServerError> {
        if let Some(problem) = &self.problem {
            return Err(ServerError::Config(problem.clone()));
        }
        let directory = std::env::current_dir().map_err(ServerError::System)?;
        Ok(Reloader::for_file(self.file.clone(), environment, directory).over(self.config.clone()))
    }

    /// The configuration to begin with: the one that has been proven, where there is such.
    fn load_first(&self, reloader: &mut Reloader) -> Result<Config, ServerError> {
        if let Some(proven) = self.handover.as_ref().and_then(Handover::proven_config) {
            *reloader = reloader.clone().pinned(proven.clone());
        }
        self.load(reloader)
    }

    /// What was written to standard error before is the reason why an upgrade fails.
    fn speak(&mut self) -> Result<(), ServerError> {
        self.handover.as_mut().map_or(Ok(()), Handover::speak).map_err(ServerError::System)
    }

    fn load(&self, reloader: &mut Reloader) -> Result<Config, ServerError> {
        if let Some(problem) = &self.problem {
            return Err(ServerError::Config(problem.clone()));
        }
        reload(reloader, &self.own).map_err(ServerError::Config)
    }

    fn supervise(self, mut reloader: Reloader) -> Result<(), ServerError> {
        // A runtime of one thread (`flavor = "current_thread"`) has no threads that would give it away.
        if tokio::runtime::Handle::try_current().is_ok() {
            return Err(ServerError::InRuntime);
        }
        let threads = sys::process::thread_count().map_err(ServerError::System)?;
        if threads != 1 {
            return Err(ServerError::Threads(threads));
        }
        let mut this = self;
        let config = this.load_first(&mut reloader)?;
        this.speak()?;
        let Self { own, file, handover, .. } = this;
        let make = own.clone().into_make();
        let beginning = serve::Beginning::new(config, file, &reloader, handover);
        Ok(serve::supervise(beginning, None, move || reload(&mut reloader, &own), Some(make))?)
    }
}

/// The configuration, which must leave the program's own apps their places.
fn reload(reloader: &mut Reloader, own: &OwnMounts) -> Result<Config, String> {
    let config = reloader.reload().map_err(|errors| errors.to_string())?;
    own.agree_with(&config).map(|()| config)
}

/// The constructor of an app from that of a service.
fn of_service<M, F, S, B>(make: M) -> Arc<MakeApp>
where
    M: Fn(WorkerInfo) -> F + Send + Sync + 'static,
    F: Future<Output = Result<S, BoxError>> + Send + 'static,
    S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    Arc::new(move |worker: WorkerInfo| {
        let draining = worker.draining.clone();
        let making = make(worker);
        Box::pin(async move {
            let app: Arc<dyn App> = Arc::new(ServiceApp::new(making.await?, draining));
            Ok(app)
        })
    })
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}
