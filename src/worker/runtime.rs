//! The runtime of a worker, and the threads that drive it.

use super::acceptors::{Acceptors, Serve};
use super::inquiries::Inquiries;
use super::interpreter::{self, with_interpreter, without_interpreter};
use super::load::{self, Ties};
use super::mold::Loaded;
use super::orders::Obedience;
use super::retirement::Retirement;
use super::siblings::{self, Neighbours};
use super::{BootFailure, busyness, hooks, keys, relay, scheduler, signals, warm_up};
use crate::app::calls::{CallQueue, Overseer, Recycling};
use crate::app::{BoxError, BoxFuture, MakeApps, OwnApps, WorkerInfo};
use crate::contract::exit::ExitReason;
use crate::contract::handoff::{Handoff, Report, RetireReason};
use crate::contract::hook::HookEvent;
use crate::contract::scoreboard::{self, RecordIndex, Scoreboard};
use crate::contract::slot::Slot;
use crate::contract::tally::Ledger;
use crate::middleware::quarantine::Quarantine;
use crate::middleware::request_id;
use crate::middleware::times::Times;
use crate::net::listeners::ListenerSet;
use crate::net::{Connection, Drain, OpenConnection};
use crate::pipeline::Pipeline;
use crate::protocol::Parcel;
use crate::protocol::h1::{self, Settings};
use crate::sys::reserved_signals::ReservedSignals;
use crate::sys::{app_fork, channel, cpu};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::Builder;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Loads the apps, says ready, serves until told to leave.
pub(super) fn run(
    handoff: &mut Handoff,
    make: Option<&MakeApps>,
    loaded: Option<&Loaded>,
) -> Result<ExitReason, BootFailure> {
    // There must be no further copy: what is closed one day has to be closed.
    let listeners = std::mem::take(&mut handoff.listeners);
    let handoff = &*handoff;
    let config = &handoff.config;
    let threads = config.threads(handoff.workers, cpu::cgroup_cpus());
    let neighbours = Neighbours::new(handoff, threads)
        .map_err(|error| BootFailure::new("cannot duplicate the relay", &error))?;
    let calls = CallQueue::new(threads, load::queue_rules(config), neighbours);
    // WSGI calls block the thread that makes them.
    let blocking = config.has_python_app();
    let runtime = scheduler::build(threads, blocking)?;
    let retirement = Arc::new(retirement(handoff)?);
    let drain = Arc::new(Drain::default());
    let worker =
        WorkerInfo::new((handoff.slot.0, handoff.generation.0), drain.watch(), handoff.metrics.clone());
    let own = make.map_or_else(|| Ok(OwnApps::new()), |make| make_own(&runtime, make(worker)))?;
    let reserved =
        ReservedSignals::note().map_err(|error| BootFailure::new("cannot note signals", &error))?;
    // From here on code of the site may fork.
    let channels = [handoff.channel.as_fd(), handoff.relay.post.as_fd(), handoff.relay.take.as_fd()];
    app_fork::note(listeners.descriptors(), &channels, reserved.clone());
    hooks::in_worker(handoff, HookEvent::PostFork)?;
    let pipeline = Arc::new(pipeline(handoff, (&calls, &runtime, &drain), &retirement, (own, loaded))?);
    hooks::in_worker(handoff, HookEvent::WorkerStart)?;
    signals::keep(&reserved);
    if blocking {
        let retirement = Arc::clone(&retirement);
        let retire = Box::new(move || retirement.ask(RetireReason::RequestTimeout));
        let recycling =
            if config.workers.recycle_after_timeout { Recycling::Always } else { Recycling::IfStuck };
        calls.set_overseer(Overseer { interrupter: interpreter::interrupter()?, retire, recycling });
        let _context = runtime.enter();
        interpreter::begin(&calls)?;
    }
    if let Some(main_loop) = calls.main_loop() {
        main_loop.start().map_err(load::failed)?;
    }
    let serving = serve(handoff, &calls, (&pipeline, &retirement), (drain, listeners, reserved), &runtime)
        .map_err(|error| BootFailure::new("cannot begin to serve", &error))?;
    let outcome = if blocking {
        let outcome = runtime.spawn(close_after(serving, Arc::clone(&calls)));
        drive(&runtime, &calls, threads);
        runtime.block_on(outcome)
    } else {
        runtime.block_on(runtime.spawn(serving))
    };
    hooks::at_exit(handoff);
    runtime.block_on(async {
        for app in pipeline.router.apps() {
            app.stop().await;
        }
    });
    // An event loop holds it while it waits, and waits no more.
    if let Some(runtime) = Arc::into_inner(runtime) {
        runtime.shutdown_background();
    }
    match outcome {
        Ok(ended) => ended,
        Err(_) => Ok(ExitReason::Panicked),
    }
}

/// The program's own apps, made on the runtime that will call them. A panic of a constructor is a failure like others.
fn make_own(
    runtime: &Runtime,
    making: BoxFuture<'static, Result<OwnApps, BoxError>>,
) -> Result<OwnApps, BootFailure> {
    match runtime.block_on(runtime.spawn(making)) {
        Ok(made) => made.map_err(|error| load::failed(describe(&*error))),
        Err(panic) => Err(load::failed(format!("its constructor panicked: {panic}"))),
    }
}

/// An error with its causes.
fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn retirement(handoff: &Handoff) -> Result<Retirement, BootFailure> {
    let workers = &handoff.config.workers;
    let channel = handoff
        .channel
        .try_clone()
        .map_err(|error| BootFailure::new("cannot duplicate the channel to the master", &error))?;
    // Those of the warm-up come on top, as they are no client's.
    let limit = match workers.max_requests {
        0 => 0,
        requests => requests.saturating_add(workers.warm_up.len() as u64),
    };
    Ok(Retirement::new(limit, workers.max_requests_jitter, request_id::next().0, channel))
}

fn pipeline(
    handoff: &Handoff,
    (calls, runtime, drain): (&Arc<CallQueue>, &Arc<Runtime>, &Arc<Drain>),
    retirement: &Arc<Retirement>,
    (own, loaded): (OwnApps, Option<&Loaded>),
) -> Result<Pipeline, BootFailure> {
    let config = &handoff.config;
    let scoreboard = handoff.scoreboard.clone();
    let status: crate::app::Status = Arc::new(move || status_text(&scoreboard));
    let (slot, workers) = (handoff.slot, handoff.workers);
    let loading = load::Loading {
        slot,
        workers,
        calls,
        status: &status,
        own,
        loaded,
        runtime: Some((runtime, drain.watch())),
    };
    let apps = load::apps(config, loading)?;
    let copy = |descriptor: &OwnedFd| {
        descriptor.try_clone().map_err(|error| BootFailure::new("cannot duplicate the relay", &error))
    };
    let (post, master) = (copy(&handoff.relay.post)?, copy(&handoff.channel)?);
    let whole = handoff.scoreboard.clone();
    let (retirement, scoreboard, record) =
        (Arc::clone(retirement), handoff.scoreboard.clone(), handoff.record);
    let board = scoreboard.board(record);
    let quarantine = (config.workers.quarantine > 0).then(|| Quarantine::new(scoreboard.clone(), record));
    let ledger = Some(Ledger::new(scoreboard.clone(), record));
    let keys = scoreboard.keys().clone();
    let to_master = handoff
        .channel
        .try_clone()
        .map_err(|error| BootFailure::new("cannot duplicate the channel to the master", &error))?;
    let shed = scoreboard.clone();
    let ties = Ties {
        count_request: Box::new(move || {
            retirement.count();
            scoreboard.record(record).requests_total().fetch_add(1, Ordering::Relaxed);
        }),
        count_shed: Box::new(move |why| siblings::count_shed(shed.record(record), why)),
        relay: Box::new(move |connection, parcel| match parcel {
            Parcel::Loan => relay::lend(master.as_fd(), connection),
            Parcel::Idle | Parcel::Request(..) => relay::post(post.as_fd(), connection, parcel),
        }),
        is_ready: Box::new(move || whole.is_ready()),
        board,
        // Without room for it, as when apps have filled the registry, it is not told.
        times: config.admin.address.as_ref().and_then(|_| Times::new(&handoff.metrics).ok()),
        ledger,
        quarantine,
        metrics: handoff.metrics.clone(),
        keys,
        want_keys: Box::new(move || {
            // Whoever fetches looks by himself now and then; a master who does not hear is busy with worse.
            let _ = channel::send(to_master.as_fd(), &Report::KeysWanted.encode(), &[]);
        }),
    };
    load::pipeline(config, apps, ties)
}

/// The workers as JSON.
fn status_text(scoreboard: &Scoreboard) -> String {
    let workers: Vec<serde_json::Value> = scoreboard
        .records()
        .filter(|record| record.pid().0 != 0)
        .map(|record| {
            serde_json::json!({
                "slot": record.slot().0,
                "pid": record.pid().0,
                "generation": record.generation().0,
                "state": format!("{:?}", record.state()).to_lowercase(),
                "requests": record.requests_total().load(Ordering::Relaxed),
                "connections": record.connections_open().load(Ordering::Relaxed),
                "connections_total": record.connections_total().load(Ordering::Relaxed),
            })
        })
        .collect();
    serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "workers": workers }).to_string()
}

/// Accepts and serves until told to leave.
fn serve(
    handoff: &Handoff,
    calls: &Arc<CallQueue>,
    (pipeline, retirement): (&Arc<Pipeline>, &Arc<Retirement>),
    (drain, listeners, reserved): (Arc<Drain>, ListenerSet, ReservedSignals),
    runtime: &Runtime,
) -> io::Result<impl Future<Output = Result<ExitReason, BootFailure>> + Send + 'static> {
    let _context = runtime.enter();
    let config = &handoff.config;
    let settings = Arc::new(Settings { limits: config.limits.clone(), timeouts: config.timeouts.clone() });
    let counters = (handoff.scoreboard.clone(), handoff.record);
    let serve = connection_server(settings, Arc::clone(&drain), Arc::clone(pipeline), counters);
    let acceptors = Acceptors {
        own: handoff.slot,
        listeners,
        scoreboard: handoff.scoreboard.clone(),
        limit: config.limits.connections,
        drain: Arc::clone(&drain),
        calls: Arc::clone(calls),
        serve: Arc::clone(&serve),
        running: BTreeMap::new(),
    };
    let taking =
        relay::take(handoff.relay.take.try_clone()?, Arc::clone(calls), move |connection, opening| {
            serve(connection, opening)
        });
    let taking = take_until_replaced(taking, drain);
    let giving = siblings::give(handoff.relay.post.try_clone()?, Arc::clone(calls));
    let inquiries = Arc::new(Inquiries {
        calls: Arc::clone(calls),
        board: pipeline.board,
        channel: handoff.channel.try_clone()?,
        authenticator: pipeline.authenticator.clone(),
        speaks: handoff.slot == Slot(1),
    });
    let obedience = Obedience {
        acceptors,
        pipeline: Arc::clone(pipeline),
        retirement: Arc::clone(retirement),
        inquiries,
        relay: handoff.relay.take.try_clone()?,
        longest: config.timeouts.longest_drain(),
        sweeps_until: None,
    };
    let channel = handoff.channel.try_clone()?;
    let (pipeline, config) = (Arc::clone(pipeline), Arc::clone(config));
    let counters = (handoff.scoreboard.clone(), handoff.record);
    let beating = beat(counters.clone(), config.timeouts.heartbeat, reserved);
    let speaks = handoff.slot == Slot(1);
    Ok(async move {
        warm_up::answer_all(&pipeline, &config).await?;
        // These were no client's.
        counters.0.record(counters.1).requests_total().store(0, Ordering::Relaxed);
        let (taking, giving, beating) = (tokio::spawn(taking), tokio::spawn(giving), tokio::spawn(beating));
        busyness::begin(&config, counters);
        if let Some(authenticator) = &pipeline.authenticator {
            tokio::spawn(keys::keep(Arc::clone(authenticator), speaks));
        }
        let reason = obedience.obey(channel).await;
        taking.abort();
        giving.abort();
        beating.abort();
        reason.map_err(|error| BootFailure::new("cannot serve", &error))
    })
}

/// Takes connections of siblings, but not those that a worker with successors has itself just handed over.
async fn take_until_replaced(
    taking: impl Future<Output = io::Result<()>>,
    drain: Arc<Drain>,
) -> io::Result<()> {
    let replaced = async {
        drain.wait_begun().await;
        if !drain.hands_over() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        taken = taking => taken,
        () = replaced => Ok(()),
    }
}

/// Shows the master that this event loop turns.
async fn beat((scoreboard, record): (Scoreboard, RecordIndex), limit: Duration, reserved: ReservedSignals) {
    if limit.is_zero() {
        return;
    }
    let mut beats = tokio::time::interval((limit / scoreboard::BEATS).max(Duration::from_millis(1)));
    loop {
        beats.tick().await;
        // An app may set them at any request.
        signals::keep(&reserved);
        scoreboard.record(record).beats().fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets the threads that make calls leave when there is nothing left to serve.
async fn close_after(
    serving: impl Future<Output = Result<ExitReason, BootFailure>>,
    calls: Arc<CallQueue>,
) -> Result<ExitReason, BootFailure> {
    let ended = serving.await;
    calls.close();
    ended
}

/// Runs the connections and the calls of blocking apps on this thread, with a relief beside it.
fn drive(runtime: &Runtime, calls: &Arc<CallQueue>, app_threads: u16) {
    std::thread::scope(|threads| {
        threads.spawn(|| {
            calls.relieve(|future| runtime.block_on(future));
        });
        for number in 1..app_threads {
            let thread = Builder::new().name(format!("app-{number}")).stack_size(APP_STACK);
            if let Err(error) = thread.spawn_scoped(threads, || calls.serve_calls()) {
                tracing::error!(%error, "no further thread for the app: fewer than workers.threads are there");
                break;
            }
        }
        if let Some(main_loop) = calls.main_loop() {
            main_loop.run();
            return;
        }
        without_interpreter(|| {
            while !calls.is_closed() {
                runtime.block_on(calls.drive());
                if calls.take_attention() {
                    interpreter::run_signal_handlers();
                }
                with_interpreter(|| calls.run_waiting());
            }
        });
    });
}

/// Serves each connection in a task of its own, and counts it.
fn connection_server(
    settings: Arc<Settings>,
    drain: Arc<Drain>,
    pipeline: Arc<Pipeline>,
    counters: (Scoreboard, RecordIndex),
) -> Serve {
    Arc::new(move |connection: Connection, opening| {
        let counted = Counted::new(drain.enter(), counters.0.clone(), counters.1);
        let (settings, drain, pipeline) = (Arc::clone(&settings), Arc::clone(&drain), Arc::clone(&pipeline));
        let serving = h1::serve(connection, opening, settings, drain, pipeline);
        tokio::spawn(async move {
            serving.await;
            drop(counted);
        });
    })
}

/// A connection, counted in the worker and in the shared table until it is dropped, also by a panic.
struct Counted {
    _open: OpenConnection,
    scoreboard: Scoreboard,
    record: RecordIndex,
}

impl Counted {
    fn new(open: OpenConnection, scoreboard: Scoreboard, record: RecordIndex) -> Self {
        let counters = scoreboard.record(record);
        counters.connections_open().fetch_add(1, Ordering::Relaxed);
        counters.connections_total().fetch_add(1, Ordering::Relaxed);
        Self { _open: open, scoreboard, record }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.scoreboard.record(self.record).connections_open().fetch_sub(1, Ordering::Relaxed);
    }
}

/// As much as the main thread has on most systems: recursion that is fine there must be fine in every app thread. It is
/// memory only once it is used.
const APP_STACK: usize = 8 << 20;
