//! The apps of a configuration, made in this worker.

use super::BootFailure;
use super::mold::Loaded;
use super::ties::Ties;
use crate::app::calls::{CallQueue, QueueRules};
use crate::app::collected::{Collection, Verdict};
use crate::app::static_files::StaticFiles;
use crate::app::{App, OwnApps, Status, native};
use crate::config::{AppTarget, Auth, Config, FileRules, HostPattern, Interface, RequestContent};
#[cfg(feature = "python")]
use crate::config::{LogFormat, LogTarget};
use crate::contract::exit::ExitReason;
use crate::contract::key_table::KeyTable;
use crate::contract::metrics::Metrics;
use crate::contract::slot::Slot;
use crate::middleware::access_log::AccessLog;
use crate::middleware::bearer::Authenticator;
use crate::middleware::health::HealthPaths;
use crate::middleware::limits::RouteTable;
use crate::middleware::overload::Overload;
use crate::middleware::refusals::RefusalLog;
use crate::net::Draining;
use crate::pipeline::Pipeline;
use crate::protocol::forwarded::Forwarding;
use crate::router::{Place, Router};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Everything a request passes through.
pub(super) fn pipeline(config: &Config, apps: Apps, ties: Ties) -> Result<Pipeline, BootFailure> {
    let authenticator = match config.auth.as_ref().filter(|auth| auth.enabled) {
        Some(auth) => {
            let authenticator = authenticator(auth, &ties.metrics, ties.keys, ties.want_keys)?;
            #[cfg(feature = "jwt")]
            let authenticator = match apps.standings {
                Some(standings) => authenticator.with_standings(standings),
                None => authenticator,
            };
            Some(Arc::new(authenticator))
        }
        None => None,
    };
    let access_log = AccessLog::open(&config.log)
        .map_err(|error| BootFailure::new("cannot open the access log", &error))?;
    Ok(Pipeline {
        health: HealthPaths::new(&config.admin, ties.is_ready),
        router: apps.router,
        forwarding: Forwarding::new(&config.server),
        routes: RouteTable::new(config),
        authenticator,
        access_log,
        refusals: RefusalLog::default(),
        times: ties.times,
        count_request: ties.count_request,
        overload: Overload::new(ties.count_shed),
        relay: ties.relay,
        board: ties.board,
        ledger: ties.ledger,
        quarantine: ties.quarantine,
    })
}

fn authenticator(
    auth: &Auth,
    metrics: &Metrics,
    keys: KeyTable,
    want_keys: Box<dyn Fn() + Send + Sync>,
) -> Result<Authenticator, BootFailure> {
    let failed = |text| BootFailure { reason: ExitReason::BootFailed, text };
    let authenticator = Authenticator::new(auth)
        .map_err(|errors| failed(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    for warning in authenticator.warnings() {
        tracing::warn!("{warning}");
    }
    let directory =
        std::env::current_dir().map_err(|error| failed(format!("no working directory: {error}")))?;
    let fetching = authenticator.fetching(keys, &directory, want_keys);
    fetching.map(|fetching| fetching.counting(metrics)).map_err(|error| failed(error.to_string()))
}

/// What may wait for app threads.
pub(super) fn queue_rules(config: &Config) -> QueueRules {
    let length = usize::try_from(config.limits.queue).unwrap_or(usize::MAX);
    QueueRules { length, overload: config.timeouts.overload }
}

/// The apps, and what they have to say about tokens.
pub(super) struct Apps {
    pub(super) router: Router,
    /// What a token cannot say, where this server issues them.
    #[cfg(feature = "jwt")]
    pub(super) standings: Option<Arc<dyn crate::auth::Standings>>,
}

/// What the apps of a configuration are loaded with.
pub(super) struct Loading<'a> {
    pub(super) slot: Slot,
    pub(super) workers: u16,
    pub(super) calls: &'a Arc<CallQueue>,
    pub(super) status: &'a Status,
    /// The program's own apps.
    pub(super) own: OwnApps,
    /// What the mold of this process has loaded, if it has one.
    pub(super) loaded: Option<&'a Loaded>,
    /// The runtime, where an event loop may wait by driving it, and what tells that the worker leaves.
    pub(super) runtime: Option<(&'a Arc<Runtime>, Draining)>,
}

/// Loads every app.
pub(super) fn apps(config: &Config, loading: Loading<'_>) -> Result<Apps, BootFailure> {
    let Loading { slot, workers, calls, status, own, loaded, runtime } = loading;
    let place = PythonPlace { slot, workers, calls, loaded, runtime, made: Made::default() };
    let mut apps = own;
    for mount in &config.apps {
        let app = match &mount.target {
            AppTarget::Native(name) => native(name, status).ok_or_else(|| {
                failed(format!("there is no native app {name:?}; there are hello, echo and status"))
            })?,
            AppTarget::Static(directory) => Arc::new(
                StaticFiles::new(directory, &mount.mount, &mount.files)
                    .map_err(|error| failed(error.to_string()))?,
            ),
            AppTarget::Python(target) => {
                python((target, mount.interface, mount.request_content), config, &place)?
            }
        };
        apps.push((Place { hosts: mount.hosts.clone(), prefix: mount.mount.clone() }, app));
    }
    if loaded.is_none() {
        settle(config)?;
    }
    if let Some(collection) = django(config) {
        apps.extend(collected(&collection, config, slot));
    }
    // Every worker of a generation finds the same; one says it.
    #[cfg(all(feature = "jwt", feature = "python"))]
    for line in
        config.auth.as_ref().filter(|_| slot == Slot(1)).map(crate::app::python::drift).unwrap_or_default()
    {
        tracing::warn!("the Django project and the configuration differ: {line}; change one of them");
    }
    let router = Router::new(apps);
    #[cfg(feature = "issue")]
    let (router, standings) = match super::issuing::begin(config, slot)? {
        Some(issuing) => (router.with_issuing(issuing.apps), Some(issuing.standings)),
        None => (router, None),
    };
    #[cfg(all(feature = "jwt", not(feature = "issue")))]
    let standings = None;
    Ok(Apps {
        router,
        #[cfg(feature = "jwt")]
        standings,
    })
}

/// A Django project's collected files, as an app; nothing where something is mounted already.
fn collected(collection: &Collection, config: &Config, slot: Slot) -> Option<(Place, Arc<dyn App>)> {
    // Every worker of a generation finds the same; one says it.
    let speaks = slot == Slot(1);
    let refuse = |reason: &str| {
        if speaks {
            tracing::warn!("the Django project's static files are not served: {reason}");
        }
    };
    let prefix = match collection.judge() {
        Verdict::Serve(prefix) => prefix,
        Verdict::Leave => return None,
        Verdict::Refuse(reason) => {
            refuse(&reason);
            return None;
        }
    };
    if config.apps.iter().any(|mount| mount.mount == prefix) {
        return None;
    }
    match StaticFiles::new(&collection.root, &prefix, &FileRules::default()) {
        Ok(files) => {
            if speaks {
                let root = collection.root.display();
                tracing::info!(%root, mount = prefix, "serving the static files that the Django project has collected");
            }
            Some((Place { hosts: python_hosts(config), prefix }, Arc::new(files)))
        }
        Err(error) => {
            refuse(&error.to_string());
            None
        }
    }
}

/// An app that could not be loaded.
pub(super) fn failed(text: String) -> BootFailure {
    BootFailure { reason: ExitReason::AppLoadFailed, text }
}

/// Has Python apps count with these figures.
#[cfg(feature = "python")]
pub(super) fn adopt(metrics: Metrics) {
    crate::app::python::adopt_metrics(metrics);
}

#[cfg(not(feature = "python"))]
pub(super) fn adopt(_: Metrics) {}

/// Where the Python apps of this worker find what they share.
#[cfg_attr(not(feature = "python"), expect(dead_code, reason = "without Python there are none"))]
struct PythonPlace<'a> {
    slot: Slot,
    workers: u16,
    calls: &'a Arc<CallQueue>,
    loaded: Option<&'a Loaded>,
    runtime: Option<(&'a Arc<Runtime>, Draining)>,
    made: Made,
}

/// The event loop of the ASGI apps, once there is one.
#[cfg(feature = "python")]
type Made = std::sync::OnceLock<crate::app::python::Made>;

#[cfg(not(feature = "python"))]
type Made = ();

#[cfg(feature = "python")]
fn python(
    (target, interface, content): (&str, Interface, RequestContent),
    config: &Config,
    place: &PythonPlace<'_>,
) -> Result<Arc<dyn App>, BootFailure> {
    use crate::app::python::{Capture, ErrorStream, LoopPlace, Options, WebSocketPlace, load};
    use crate::protocol::websocket::{Deflate, Rules};
    let websocket = &config.websocket;
    let whole = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let is_log = config.log.error == LogTarget::Stderr && config.log.format == LogFormat::Text;
    let options = Options {
        slot: place.slot.0,
        errors: if is_log { ErrorStream::Stderr } else { ErrorStream::Log },
        capture: if config.log.capture_output { Capture::On } else { Capture::Off },
        response_buffer: whole(config.limits.response_buffer.0),
        path: &config.python.path,
        threads: config.threads(place.workers, crate::sys::cpu::cgroup_cpus()),
        workers: place.workers,
        interface,
        content,
        lifespan: config.python.lifespan,
        event_loop: place.runtime.as_ref().map(|(runtime, draining)| LoopPlace {
            kind: config.python.event_loop,
            runtime,
            draining: draining.clone(),
            made: &place.made,
            response_buffer: whole(config.limits.response_buffer.0),
            websocket: WebSocketPlace {
                rules: Rules {
                    max_message: whole(websocket.max_message.0),
                    ping_interval: websocket.ping_interval,
                    ping_timeout: websocket.ping_timeout,
                    deflate: if websocket.deflate { Deflate::Offered } else { Deflate::Never },
                },
                queue: whole(websocket.queue.into()),
            },
            patience: config.timeouts.graceful,
            longest_drain: config.timeouts.longest_drain(),
        }),
    };
    load(target, &options, Arc::clone(place.calls), place.loaded).map_err(failed)
}

/// The hosts of the Python apps, since the files are for the same ones; empty: all.
fn python_hosts(config: &Config) -> Vec<HostPattern> {
    let python = || config.apps.iter().filter(|mount| matches!(mount.target, AppTarget::Python(_)));
    if python().any(|mount| mount.hosts.is_empty()) {
        return Vec::new();
    }
    python().flat_map(|mount| mount.hosts.iter().cloned()).collect()
}

#[cfg(feature = "python")]
pub(super) fn settle(config: &Config) -> Result<(), BootFailure> {
    let asks = config.has_python_app() && config.python.gc_freeze;
    if asks { crate::app::python::freeze().map_err(failed) } else { Ok(()) }
}

#[cfg(not(feature = "python"))]
fn settle(_: &Config) -> Result<(), BootFailure> {
    Ok(())
}

#[cfg(feature = "python")]
fn django(config: &Config) -> Option<Collection> {
    let asks = config.has_python_app() && config.python.static_files == crate::config::StaticRoot::Auto;
    asks.then(crate::app::python::collection).flatten()
}

#[cfg(not(feature = "python"))]
fn django(_: &Config) -> Option<Collection> {
    None
}

#[cfg(not(feature = "python"))]
fn python(
    (target, ..): (&str, Interface, RequestContent),
    _: &Config,
    _: &PythonPlace<'_>,
) -> Result<Arc<dyn App>, BootFailure> {
    Err(failed(format!(
        "{target} is a Python app, and this program has no Python: build it with the Cargo feature python, or serve the app by the ferricorn of the wheel"
    )))
}
