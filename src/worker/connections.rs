//! The connections of this worker: served, and counted where the master sees it.

use super::acceptors::Serve;
use crate::contract::scoreboard::{RecordIndex, Scoreboard};
use crate::net::{Connection, Drain, OpenConnection};
use crate::pipeline::Pipeline;
use crate::protocol::h1::{self, Settings};
use crate::telemetry::panics;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Serves each connection in a task of its own, and counts it.
pub(super) fn server(
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
        if std::thread::panicking() {
            panics::caught();
        }
        self.scoreboard.record(self.record).connections_open().fetch_sub(1, Ordering::Relaxed);
    }
}
