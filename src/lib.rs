//! Ferricorn: a production multi-worker application server. This page is the map.
//!
//! A **master** pre-forks **workers**. Each worker **slot** owns a listening socket; the master supervises the
//! workers and replaces them. Workers host **apps**: Python WSGI and ASGI callables, native ones written in Rust, static
//! files. A JWT layer checks bearer tokens before any app is entered.
//!
//! # Two flows
//! ```text
//! request   socket -> connection -> protocol -> middleware -> router -> app -> response
//!           net/       net/          protocol/   middleware/   router    app/
//! process   config -> master -> (mold) -> worker
//!           config/   master/   worker/          contract/ is all that master and worker share
//! ```
//! Two places to start reading: [`pipeline`] (one request) and `master/decide/supervisor.rs` (the pool).
//!
//! # Code map
//! - [`config`]: what the operator asked for. One schema gives parsing, defaults, reference and origins.
//! - [`master`]: keeps workers alive. `master/decide` decides, and is pure; `master/perform` hears and acts; `master/upgrade` puts another
//!   program in this one's place.
//! - [`contract`]: what master and worker share: [`contract::handoff`] (birth), [`contract::scoreboard`] (life),
//!   [`contract::exit`] (death); [`contract::control`] and [`contract::inquiry`]: what is asked of the master and of a worker, and what becomes
//!   of it. In shared memory: [`contract::inflight`] (requests under way, which [`protocol::flight`] notes), [`contract::quarantine`] (those that ended workers),
//!   [`contract::key_table`] (fetched key sets), [`contract::tally`] and [`contract::figures`] (what is counted), [`contract::metrics`]
//!   (what apps count).
//! - [`worker`]: one process that serves. `lifecycle` tells its life in order, `orders` obeys, `inquiries` ends single requests, `relay` hands
//!   connections to siblings and takes theirs; `in_place` serves in a runtime that is already there.
//!   `hooks` calls what `[python.hooks]` names, in this process; `master/perform/hooks.rs` sees to those that only the master can tell.
//! - [`net`]: sockets, connections, the moment of draining; `together` has answers of native apps leave together where that is cheaper.
//! - [`protocol`]: HTTP/1.x, byte by byte; [`protocol::Handler`] is its seam to what lies above.
//! - `auth`: keys and tokens; `jwt` is pure. `auth/issue` issues them, `auth/store` remembers sessions, `auth/users` knows passwords.
//! - [`middleware`]: what happens around an app: request ids, limits, tokens, access log.
//! - [`app`]: the [`app::App`] trait and the apps; `service` makes one of any tower service. `app/python` alone
//!   names pyo3.
//! - `admin`: one process beside the workers: the control socket, health, metrics, status. It and the fetching of key sets (`auth/jwks`), which it
//!   does, speak HTTP by hyper.
//! - [`telemetry`]: the error log.
//! - `cli`: subcommands. [`serve`]: where master and worker meet. [`server`]: the library's front door.
//! - [`sys`]: the only unsafe code, and the only place that names libc, nix and socket2. One exception:
//!   `app/python/ffi.rs` holds the unsafe calls into CPython.
//! - `fuzzing`: laws about bytes from outside, for `fuzz/` and the tests; in no build of the server.
//!
//! # How a WSGI app is called
//! On the thread that serves the connections: handing the call to another thread costs as much as a small app.
//! A second thread looks on, and when a call takes longer than two to four milliseconds ([`app::calls::TICK`]; up to twelve,
//! after many short ones) it drives the runtime in the caller's place, until no call waits or some short ones have followed. Connections that then want the app are handed, with the request received, to an idle worker
//! ([`app::calls`], `worker/relay.rs`). So nothing waits behind a blocked call while any worker is idle, and Python
//! code runs on the same few threads throughout.
//!
//! When no worker is idle a request waits where it is (`app/calls/waitlist.rs`), since only there it is known how old it
//! is and whether its client has left; the workers tell each other through the scoreboard who is idle and where calls
//! wait (`worker/siblings.rs`).
//!
//! # How an ASGI app is called
//! On that thread too. asyncio's own event loop turns there, with a selector of ours, which waits by driving the runtime
//! (`app/python/asgi/core.rs`); or uvloop's, in which we wait in libuv's place (`sys/libuv.rs`). A request begins as a real task inside of that wait, and takes its first step at once; an
//! app that never waits is done before the loop turns. While the loop runs code, the same relief looks on.
//!
//! # What a Rust program does
//! It hands [`Server::new`] a constructor and calls [`Server::run`], which becomes the master:
//! ```no_run
//! use axum::{Router, routing::get};
//! use ferricorn::{Server, ServerError};
//!
//! fn main() -> Result<(), ServerError> {
//!     Server::new(|_worker| async { Ok(Router::new().route("/", get(|| async { "Hello" }))) })
//!         .bind("127.0.0.1:8000")
//!         .run()
//! }
//! ```
//! The constructor runs in each worker, after the fork, on that worker's runtime. What it makes is any
//! `tower_service::Service` over [`Body`]; `app/service.rs` translates. [`Server::mount`] and [`Server::mount_for`] add further ones by
//! prefix and host; each sees paths without its prefix. Handlers find in a request's extensions
//! [`ConnectInfo`] (with [`Draining`]: the worker has to leave, end your streams), `Arc<Identity>` of a verified token, and
//! [`OnUpgrade`] where the client asks for another protocol. axum reads them with its `Extension` extractor; an
//! extractor that wants axum's own `ConnectInfo` gets it from a layer:
//! ```
//! # use axum::extract::{ConnectInfo, Request};
//! # use axum::middleware::{Next, from_fn};
//! # let router = axum::Router::<()>::new();
//! let router = router.layer(from_fn(|mut request: Request, next: Next| {
//!     let peer = request.extensions().get::<ferricorn::ConnectInfo>().and_then(|info| info.peer.address());
//!     peer.map(|peer| request.extensions_mut().insert(ConnectInfo(peer)));
//!     next.run(request)
//! }));
//! ```
//! A 101 hands the connection over ([`protocol::Upgraded`]). axum's `WebSocketUpgrade` looks for hyper's handle, which
//! only hyper can make: the feature `hyper` has it make one (`app/hyper_upgrade.rs`). [`Server::serve_on`] serves
//! in a runtime that is already there, without fork and master. `examples/axum.rs` has it all.
//!
//! Features: `cli` (the program, flags, [`Server::main`], the error log's writer) `jwt` (`[auth]`) and `websocket` are on, and with `issue` the server issues tokens itself (`redis`, `postgres`: with its sessions there); `cli` brings `admin` (the process behind `ferricorn ctl`); `hyper`
//! and `python` are off. Without any there remain the server and its supervisor.
//!
//! # What must stay true
//! - Sockets belong to slots, never to workers, and are not closed as long as their address is configured: closing one loses the
//!   connections in its queue, and is done only once that is empty. Siblings accept from the sockets of slots without a ready worker.
//! - A reload is a transaction: new workers are ready before old ones are told to leave.
//! - The master has one thread, no runtime, no HTTP and no app code. `step(now, event)` decides, `impl Performer` acts.
//! - Who asks for something by a command gets exactly one verdict, also when the server ends.
//! - An app never meets a slow client: content is complete before it is entered, unless an ASGI
//!   app wants it as it comes ([`protocol::Entry`]).
//! - Client bytes never panic. Everything has a limit, and the limit is a key of the configuration or a constant
//!   with a reason.
//!
//! # What this version has not
//! TLS, HTTP/2 and the PROXY protocol: a proxy in front ends the first two and tells of clients by fields. An app that is a reverse proxy. Commands `dev` (one process
//! that reloads when files change), `top` (a live view; `ferricorn ctl status` is a still one) and `migrate` (configurations of other
//! servers; `docs/from-*.md` say what becomes of each key). SIGWINCH means nothing to the master: sockets without workers are kept by the service
//! manager (`docs/systemd.md`). A watch over the site's files: a reload is asked for.
//!
//! # Words
//! *slot*: a worker's place, with its sockets. *generation*: one configuration and the code it stands for.
//! *mold*: a process that has loaded the apps of a generation and forks its workers (`workers.preload`).
//! *drain*: finish what has begun, take nothing new. *lame duck*: the time before that, announced. *relay*: the queue by which connections
//! change hands. *flight*: a request under way, as it stands in the shared table. *mount*: an app and its URL prefix.
//! *pool*: what the supervisor knows of a configuration. *crew*: the workers there are; a *seat* is a slot in service.
//! *ticket*: somebody waits for the outcome of a command, its *verdict*. *canary*: the first new worker of a reload, tried beside the old
//! ones. *proof*: a child in which the next program shows that its workers get ready.
//! *field*, *content*, *target*: as in RFC 9110.

// First of all that a compiler on another system complains about.
#[cfg(not(target_os = "linux"))]
compile_error!("Ferricorn runs on Linux alone; elsewhere, use a Linux container or virtual machine");

#[cfg(feature = "admin")]
pub mod admin;
pub mod app;
#[cfg(feature = "jwt")]
pub mod auth;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod contract;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod master;
pub mod middleware;
pub mod net;
pub mod pipeline;
pub mod protocol;
pub mod router;
pub mod serve;
pub mod server;
pub mod sys;
pub mod telemetry;
pub mod worker;

pub use app::{Body, BoxError, ConnectInfo, WorkerInfo};
pub use config::{Config, Threads};
pub use contract::metrics::{Counter, Gauge, Histogram, Merge, MetricError, Metrics};
pub use net::Draining;
pub use protocol::{Identity, NotUpgraded, OnUpgrade, StreamEnd, Upgraded};
pub use server::{Server, ServerError};
