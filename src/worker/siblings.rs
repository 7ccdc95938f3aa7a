//! What the workers know of one another: who has an app thread free, and where calls wait.
//!
//! A call that waits stays where it is as long as nobody is free, since there it is seen whose turn it is. Who becomes
//! free while calls wait elsewhere asks for them, by a message the other way through the relay; whoever has some, and
//! hears it first, gives.

use crate::app::calls::{CallQueue, Load, MeanCalls, Shed, Siblings};
use crate::contract::handoff::Handoff;
use crate::contract::scoreboard::{Record, RecordIndex, Scoreboard, WorkerState};
use crate::sys::channel::{self, Received};
use crate::sys::{clock, watch};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The other workers of the server.
pub(super) struct Neighbours {
    scoreboard: Scoreboard,
    own: RecordIndex,
    threads: u64,
    /// Where calls for others go.
    post: OwnedFd,
    /// Where those of others come from, and asking goes.
    take: OwnedFd,
}

impl Neighbours {
    pub(super) fn new(handoff: &Handoff, threads: u16) -> io::Result<Self> {
        let (post, take) = (handoff.relay.post.try_clone()?, handoff.relay.take.try_clone()?);
        let (scoreboard, own) = (handoff.scoreboard.clone(), handoff.record);
        Ok(Self { scoreboard, own, threads: threads.max(1).into(), post, take })
    }

    fn others(&self) -> impl Iterator<Item = Record<'_>> {
        let all = self.scoreboard.indexed_records().filter(|(index, _)| *index != self.own);
        all.map(|(_, record)| record).filter(|record| record.state() == WorkerState::Ready)
    }
}

impl Siblings for Neighbours {
    fn room(&self) -> usize {
        let free = self.others().filter(|record| !record.is_full()).count();
        if free == 0 {
            return 0;
        }
        // Where the kernel does not say it, it refuses what is too much.
        let outstanding = channel::outstanding(self.post.as_fd()).unwrap_or(0);
        (free * AHEAD).saturating_sub(outstanding / MESSAGE)
    }

    fn show(&self, load: Load) {
        let record = self.scoreboard.record(self.own);
        let now_ns = clock::monotonic_ns();
        let (busy, since) =
            (record.busy().load(Ordering::Relaxed), record.busy_since().load(Ordering::Relaxed));
        if busy != u64::from(load.busy) {
            record.busy_ns().fetch_add(now_ns.saturating_sub(since) * busy / ALL, Ordering::Relaxed);
            record.busy_since().store(now_ns, Ordering::Relaxed);
            record.busy().store(load.busy.into(), Ordering::Release);
        }
        record.waiting().store(load.waiting.into(), Ordering::Release);
    }

    fn found_busy(&self, time: Duration) {
        let time_ns = u64::try_from(time.as_nanos()).unwrap_or(0);
        let record = self.scoreboard.record(self.own);
        record.busy_ns().fetch_add(time_ns / self.threads, Ordering::Relaxed);
    }

    fn tell(&self, own: MeanCalls) {
        self.scoreboard.record(self.own).mean_calls().store(own.hundredths.into(), Ordering::Release);
    }

    fn share(&self, own: MeanCalls) -> usize {
        let of = |record: Record<'_>| MeanCalls {
            hundredths: u32::try_from(record.mean_calls().load(Ordering::Acquire)).unwrap_or(u32::MAX),
        };
        // Whoever is free takes what is given: more than the least loaded should have would come back.
        let free = self.others().filter(|record| !record.is_full());
        free.map(|record| own.share_of(of(record))).max().unwrap_or(0)
    }

    fn ask(&self) {
        if self.others().any(|record| record.waiting().load(Ordering::Acquire) > 0) {
            // Where it does not arrive, those who have calls look again by themselves.
            let _ = channel::send(self.take.as_fd(), b"?", &[]);
        }
    }
}

/// Gives calls that wait here to siblings, when one asks for them or has a thread free.
pub(super) async fn give(post: OwnedFd, calls: Arc<CallQueue>) -> io::Result<()> {
    let post = watch::readable(post)?;
    loop {
        calls.wait_backlog().await;
        let again = calls.give().look_again();
        if let Ok(asked) = tokio::time::timeout(again, post.readable()).await {
            let mut asked = asked?;
            while matches!(channel::receive(post.get_ref().as_fd())?, Received::Message(..)) {}
            asked.clear_ready();
        }
    }
}

/// Counts a request that is not served, in the record of this worker.
pub(super) fn count_shed(record: Record<'_>, why: Shed) {
    let counter = match why {
        Shed::Full => record.shed_full(),
        Shed::Late => record.shed_late(),
        Shed::Gone => record.shed_gone(),
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How many calls may be on their way for each free sibling: so many that it does not wait for the next, so few that they
/// do not grow old there.
const AHEAD: usize = 4;

/// What the kernel counts for a message with a short head.
const MESSAGE: usize = 1024;

const ALL: u64 = 1000;
