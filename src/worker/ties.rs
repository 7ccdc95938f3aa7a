//! What ties the requests of a worker to what is around it: the scoreboard, the master, the siblings.

use super::retirement::Retirement;
use super::{BootFailure, relay, siblings};
use crate::app::Shed;
use crate::contract::handoff::{Handoff, Report};
use crate::contract::inflight::OwnCells;
use crate::contract::key_table::KeyTable;
use crate::contract::metrics::Metrics;
use crate::contract::tally::Ledger;
use crate::middleware::quarantine::Quarantine;
use crate::middleware::times::Times;
use crate::pipeline::Relay;
use crate::protocol::flight::Board;
use crate::protocol::{Parcel, Relayed};
use crate::sys::channel;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What ties a pipeline to the process around it.
pub(super) struct Ties {
    pub(super) count_request: Box<dyn Fn() + Send + Sync>,
    pub(super) count_shed: Box<dyn Fn(Shed) + Send + Sync>,
    pub(super) relay: Box<Relay>,
    /// Whether the whole server is ready.
    pub(super) is_ready: Box<dyn Fn() -> bool + Send + Sync>,
    pub(super) board: &'static Board,
    pub(super) times: Option<Times>,
    pub(super) ledger: Option<Ledger>,
    pub(super) quarantine: Option<Quarantine>,
    /// Where the server's own figures are kept.
    pub(super) metrics: Metrics,
    /// Where fetched keys are.
    pub(super) keys: KeyTable,
    /// Says that keys are wanted.
    pub(super) want_keys: Box<dyn Fn() + Send + Sync>,
}

impl Ties {
    /// Those of a worker with a master.
    pub(super) fn of_worker(handoff: &Handoff, retirement: &Arc<Retirement>) -> Result<Self, BootFailure> {
        let (config, scoreboard, record) = (&handoff.config, &handoff.scoreboard, handoff.record);
        let retirement = Arc::clone(retirement);
        let (served, shed, whole) = (scoreboard.clone(), scoreboard.clone(), scoreboard.clone());
        let post = copy(&handoff.relay.post, "cannot duplicate the relay")?;
        let (lender, fetcher) = (to_master(handoff)?, to_master(handoff)?);
        Ok(Self {
            count_request: Box::new(move || {
                retirement.count();
                served.record(record).requests_total().fetch_add(1, Ordering::Relaxed);
            }),
            count_shed: Box::new(move |why| siblings::count_shed(shed.record(record), why)),
            relay: Box::new(move |connection, parcel| match parcel {
                Parcel::Loan => relay::lend(lender.as_fd(), connection),
                Parcel::Idle | Parcel::Request(..) => relay::post(post.as_fd(), connection, parcel),
            }),
            is_ready: Box::new(move || whole.is_ready()),
            board: Board::new(scoreboard.own_cells(record)),
            // Without room for it, as when apps have filled the registry, it is not told.
            times: config.admin.address.as_ref().and_then(|_| Times::new(&handoff.metrics).ok()),
            ledger: Some(Ledger::new(scoreboard.clone(), record)),
            quarantine: (config.workers.quarantine > 0).then(|| Quarantine::new(scoreboard.clone(), record)),
            metrics: handoff.metrics.clone(),
            keys: scoreboard.keys().clone(),
            want_keys: Box::new(move || {
                // Whoever fetches looks by himself now and then; a master who does not hear is busy with worse.
                let _ = channel::send(fetcher.as_fd(), &Report::KeysWanted.encode(), &[]);
            }),
        })
    }

    /// Those of a process that has no master and no siblings.
    pub(super) fn alone(
        metrics: Metrics,
        keys: KeyTable,
        want_keys: Box<dyn Fn() + Send + Sync>,
    ) -> io::Result<Self> {
        Ok(Self {
            count_request: Box::new(|| {}),
            count_shed: Box::new(|_| {}),
            relay: Box::new(|_, _| Relayed::Stayed),
            is_ready: Box::new(|| true),
            board: Board::new(OwnCells::alone()?),
            times: None,
            ledger: None,
            quarantine: None,
            metrics,
            keys,
            want_keys,
        })
    }
}

/// A further end of the channel to the master.
pub(super) fn to_master(handoff: &Handoff) -> Result<OwnedFd, BootFailure> {
    copy(&handoff.channel, "cannot duplicate the channel to the master")
}

fn copy(descriptor: &OwnedFd, failure: &str) -> Result<OwnedFd, BootFailure> {
    descriptor.try_clone().map_err(|error| BootFailure::new(failure, &error))
}
