//! Serving in a runtime that is already there: no fork, no master.

use super::BootFailure;
use super::keys::Keeper;
use super::load;
use super::ties::Ties;
use crate::app::calls::{Alone, CallQueue};
use crate::app::{MakeApps, Status, WorkerInfo};
use crate::config::Config;
use crate::contract::exit::LEAVING;
use crate::contract::key_table::KeyTable;
use crate::contract::metrics::Metrics;
use crate::contract::slot::Slot;
use crate::net::accept::{self, Acceptor, Gate};
use crate::net::{Connection, Departure, Drain};
use crate::pipeline::Pipeline;
use crate::protocol::Opening;
use crate::protocol::h1::{self, Settings};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::JoinSet;

/// Serves the connections of one socket until `shutdown` is ready, then finishes what has begun.
///
/// # Errors
/// What the app's constructor, or the loading of the configured apps, says.
pub async fn serve_in_place(
    config: &Config,
    make: &MakeApps,
    acceptor: Acceptor,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), String> {
    let drain = Arc::new(Drain::default());
    let (pipeline, keeper) = pipeline(config, make, &drain).await?;
    let tending = keeper.begin(pipeline.authenticator.as_ref());
    let service = Connections {
        settings: Arc::new(Settings { limits: config.limits.clone(), timeouts: config.timeouts.clone() }),
        drain: Arc::clone(&drain),
        pipeline: Arc::new(pipeline),
        running: Mutex::new(JoinSet::new()),
    };
    let accepting = accept::run(
        &acceptor,
        config.limits.connections,
        Arc::clone(&drain),
        || std::future::ready(Gate::Next),
        |connection| service.serve(connection),
    );
    tokio::select! {
        () = accepting => {}
        () = shutdown => {}
    }
    // The kernel has accepted these for us: with the socket they would be lost.
    acceptor.sweep().into_iter().for_each(|connection| service.serve(connection));
    drop(acceptor);
    drain.begin(Departure::Final);
    let graceful = tokio::time::timeout(config.timeouts.graceful, drain.wait_below(1)).await;
    if graceful.is_err() {
        tracing::warn!(connections = drain.open(), "cut off what had not ended in time");
        service.running().abort_all();
    }
    tending.abort();
    for app in service.pipeline.router.apps() {
        app.stop(LEAVING).await;
    }
    Ok(())
}

/// Everything that a request passes through here, and who looks after its keys.
async fn pipeline(
    config: &Config,
    make: &MakeApps,
    drain: &Arc<Drain>,
) -> Result<(Pipeline, Keeper), String> {
    let metrics = Metrics::alone().map_err(|error| error.to_string())?;
    let own = make(WorkerInfo::new((1, 1), drain.watch(), metrics.clone()))
        .await
        .map_err(|error| error.to_string())?;
    let calls = CallQueue::new(1, load::queue_rules(config), Alone);
    let status: Status = Arc::new(|| serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }).to_string());
    let loading = load::Loading {
        slot: Slot(1),
        workers: 1,
        calls: &calls,
        status: &status,
        own,
        loaded: None,
        runtime: None,
    };
    let keys = KeyTable::new().map_err(|error| error.to_string())?;
    let keeper = Keeper::of(&keys);
    let ties = Ties::alone(metrics, keys, keeper.waker()).map_err(|error| error.to_string())?;
    let pipeline = load::apps(config, loading)
        .and_then(|apps| load::pipeline(config, apps, ties))
        .map_err(|failure: BootFailure| failure.to_string())?;
    Ok((pipeline, keeper))
}

/// The connections being served. They end with their owner.
struct Connections {
    settings: Arc<Settings>,
    drain: Arc<Drain>,
    pipeline: Arc<Pipeline>,
    running: Mutex<JoinSet<()>>,
}

impl Connections {
    fn serve(&self, connection: Connection) {
        let open = self.drain.enter();
        let serving = h1::serve(
            connection,
            Opening::Fresh,
            Arc::clone(&self.settings),
            Arc::clone(&self.drain),
            Arc::clone(&self.pipeline),
        );
        let mut running = self.running();
        // Those that have ended are forgotten, so that the set is no longer than the connections are many.
        while running.try_join_next().is_some() {}
        running.spawn(async move {
            serving.await;
            drop(open);
        });
    }

    fn running(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
