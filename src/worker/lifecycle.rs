//! A worker's life, in order: it loads its apps, says that it is ready, serves until told to leave, and ends.

use super::acceptors::Acceptors;
use super::inquiries::Inquiries;
use super::load;
use super::mold::Loaded;
use super::orders::Obedience;
use super::retirement::Retirement;
use super::siblings::{self, Neighbours};
use super::ties::Ties;
use super::{
    BootFailure, busyness, connections, heartbeat, hooks, interpreter, keys, relay, runtime, signals, status,
    warm_up,
};
use crate::app::calls::{CallQueue, Overseer, Recycling};
use crate::app::{BoxError, BoxFuture, MakeApps, OwnApps, Status, WorkerInfo};
use crate::contract::exit::{ExitReason, LEAVING};
use crate::contract::handoff::{Handoff, RetireReason};
use crate::contract::hook::HookEvent;
use crate::contract::slot::Slot;
use crate::net::Drain;
use crate::net::listeners::ListenerSet;
use crate::pipeline::Pipeline;
use crate::protocol::h1::Settings;
use crate::sys::reserved_signals::ReservedSignals;
use crate::sys::{app_fork, cpu};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
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
    let runtime = runtime::build(threads, blocking)?;
    let retirement = Arc::new(Retirement::of_worker(handoff)?);
    let drain = Arc::new(Drain::default());
    let worker =
        WorkerInfo::new((handoff.slot.0, handoff.generation.0), drain.watch(), handoff.metrics.clone());
    let own = make.map_or_else(|| Ok(OwnApps::new()), |make| make_own(&runtime, make(worker)))?;
    let reserved =
        ReservedSignals::note().map_err(|error| BootFailure::new("cannot note signals", &error))?;
    // From here on code of the site may fork.
    let channels = [handoff.channel.as_fd(), handoff.relay.post.as_fd(), handoff.relay.take.as_fd()];
    app_fork::note(listeners.descriptors(), &channels, reserved.clone());
    interpreter::prepare(config);
    hooks::in_worker(handoff, HookEvent::PostFork)?;
    let pipeline = Arc::new(pipeline(handoff, (&calls, &runtime, &drain), &retirement, (own, loaded))?);
    hooks::in_worker(handoff, HookEvent::WorkerStart)?;
    signals::keep(&reserved);
    if blocking {
        oversee(&calls, &retirement, config.workers.recycle_after_timeout)?;
        let _context = runtime.enter();
        interpreter::begin(&calls)?;
    }
    if let Some(main_loop) = calls.main_loop() {
        main_loop.start().map_err(load::failed)?;
    }
    let parts = Parts { handoff, calls: &calls, pipeline: &pipeline, retirement: &retirement, drain };
    let serving = serve(&parts, listeners, reserved, &runtime)
        .map_err(|error| BootFailure::new("cannot begin to serve", &error))?;
    let outcome = if blocking {
        runtime::drive_with_calls(&runtime, &calls, threads, serving)
    } else {
        runtime.block_on(runtime.spawn(serving))
    };
    hooks::at_exit(handoff);
    let limit = config.timeouts.longest_drain() + LEAVING;
    runtime.block_on(async {
        for app in pipeline.router.apps() {
            app.stop(parts.drain.left_of(limit)).await;
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

/// Has calls that take too long ended, and this worker replaced where that does not help, or always.
fn oversee(
    calls: &Arc<CallQueue>,
    retirement: &Arc<Retirement>,
    recycle_after_timeout: bool,
) -> Result<(), BootFailure> {
    let retirement = Arc::clone(retirement);
    let retire = Box::new(move || retirement.ask(RetireReason::RequestTimeout));
    let recycling = if recycle_after_timeout { Recycling::Always } else { Recycling::IfStuck };
    calls.set_overseer(Overseer { interrupter: interpreter::interrupter()?, retire, recycling });
    Ok(())
}

/// The apps, and everything that a request passes on its way to them.
fn pipeline(
    handoff: &Handoff,
    (calls, runtime, drain): (&Arc<CallQueue>, &Arc<Runtime>, &Arc<Drain>),
    retirement: &Arc<Retirement>,
    (own, loaded): (OwnApps, Option<&Loaded>),
) -> Result<Pipeline, BootFailure> {
    let scoreboard = handoff.scoreboard.clone();
    let status: Status = Arc::new(move || status::as_json(&scoreboard));
    let loading = load::Loading {
        slot: handoff.slot,
        workers: handoff.workers,
        calls,
        status: &status,
        own,
        loaded,
        runtime: Some((runtime, drain.watch())),
    };
    let apps = load::apps(&handoff.config, loading)?;
    load::pipeline(&handoff.config, apps, Ties::of_worker(handoff, retirement)?)
}

/// What a worker that is about to serve consists of.
struct Parts<'a> {
    handoff: &'a Handoff,
    calls: &'a Arc<CallQueue>,
    pipeline: &'a Arc<Pipeline>,
    retirement: &'a Arc<Retirement>,
    drain: Arc<Drain>,
}

/// Accepts and serves until told to leave.
fn serve(
    parts: &Parts<'_>,
    listeners: ListenerSet,
    reserved: ReservedSignals,
    runtime: &Runtime,
) -> io::Result<impl Future<Output = Result<ExitReason, BootFailure>> + Send + 'static> {
    let _context = runtime.enter();
    let &Parts { handoff, calls, .. } = parts;
    let config = Arc::clone(&handoff.config);
    let obedience = obedience(parts, listeners)?;
    let serve = Arc::clone(&obedience.acceptors.serve);
    let taking =
        relay::take(handoff.relay.take.try_clone()?, Arc::clone(calls), move |connection, opening| {
            serve(connection, opening)
        });
    let taking = relay::until_replaced(taking, Arc::clone(&parts.drain));
    let giving = siblings::give(handoff.relay.post.try_clone()?, Arc::clone(calls));
    let channel = handoff.channel.try_clone()?;
    let counters = (handoff.scoreboard.clone(), handoff.record);
    let beating = heartbeat::beat(counters.clone(), config.timeouts.heartbeat, reserved);
    let pipeline = Arc::clone(parts.pipeline);
    let speaks = handoff.slot == Slot(1);
    Ok(async move {
        warm_up::answer_all(&pipeline, &config).await?;
        // These were no client's.
        counters.0.record(counters.1).requests_total().store(0, Ordering::Relaxed);
        let (taking, giving, beating) = (tokio::spawn(taking), tokio::spawn(giving), tokio::spawn(beating));
        busyness::begin(&config, counters);
        interpreter::tend(&config);
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

/// Who accepts connections, as the master orders.
fn obedience(parts: &Parts<'_>, listeners: ListenerSet) -> io::Result<Obedience> {
    let Parts { handoff, calls, pipeline, retirement, drain } = parts;
    let config = &handoff.config;
    let settings = Arc::new(Settings { limits: config.limits.clone(), timeouts: config.timeouts.clone() });
    let counters = (handoff.scoreboard.clone(), handoff.record);
    let acceptors = Acceptors {
        own: handoff.slot,
        listeners,
        scoreboard: handoff.scoreboard.clone(),
        limit: config.limits.connections,
        drain: Arc::clone(drain),
        calls: Arc::clone(calls),
        serve: connections::server(settings, Arc::clone(drain), Arc::clone(pipeline), counters),
        running: BTreeMap::new(),
    };
    let inquiries = Arc::new(Inquiries {
        calls: Arc::clone(calls),
        board: pipeline.board,
        channel: handoff.channel.try_clone()?,
        authenticator: pipeline.authenticator.clone(),
        speaks: handoff.slot == Slot(1),
    });
    Ok(Obedience {
        acceptors,
        pipeline: Arc::clone(pipeline),
        retirement: Arc::clone(retirement),
        inquiries,
        relay: handoff.relay.take.try_clone()?,
        longest: config.timeouts.longest_drain(),
        sweeps_until: None,
    })
}
