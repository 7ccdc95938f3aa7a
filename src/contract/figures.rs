//! What the master counts in the shared table, and what the workers have counted altogether.

use crate::contract::control::Stage;
use crate::contract::scoreboard::{Record, RecordIndex, Scoreboard, WorkerState};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the master counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Figure {
    /// See [`Scoreboard::stage`].
    Stage,
    /// Changes whenever a record is given back; odd meanwhile.
    Version,
    /// Requests of workers that have ended.
    RequestsBefore,
    /// Connections of workers that have ended.
    ConnectionsBefore,
    /// Workers forked.
    Forks,
    /// Workers that ended unasked.
    Crashes,
    /// Workers that the master has killed because they were overdue.
    Kills,
    /// Workers that did not get ready.
    BootFailures,
    /// Reloads that put a new generation in place.
    ReloadsDone,
    /// Reloads that changed nothing.
    ReloadsFailed,
    /// Reloads that stopped half-way.
    ReloadsStopped,
    /// Admin processes started.
    AdminStarts,
    /// Requests that ended workers did not serve because too many waited.
    ShedFullBefore,
    /// The same because they had waited too long.
    ShedLateBefore,
    /// The same because their clients had left.
    ShedGoneBefore,
    /// The least number of workers, where it follows the load; else 0.
    WorkersLeast,
    /// The most.
    WorkersMost,
    /// How busy the workers are together, in thousandths of one.
    Busy,
    /// Why there are no more workers; see [`Scoreboard::hold`].
    Hold,
    /// How often there have come to be more.
    Grown,
    /// How often there have come to be fewer.
    Shrunk,
}

/// What all workers have counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests answered.
    pub requests: u64,
    /// Connections taken.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Requests that wait for an app thread now.
    pub waiting: u64,
    /// Requests that were not served because too many waited.
    pub shed_full: u64,
    /// The same because they had waited too long.
    pub shed_late: u64,
    /// The same because their clients had left.
    pub shed_gone: u64,
}

impl Scoreboard {
    /// Something that the master counts; written by the master.
    pub fn figure(&self, figure: Figure) -> &AtomicU64 {
        &self.figure_words()[figure as usize]
    }

    /// How far the server is. Written by the master.
    pub fn set_stage(&self, stage: Stage) {
        let value = match stage {
            Stage::Starting => 0,
            Stage::Serving => 1,
            Stage::Reloading => 2,
            Stage::Stopping => 3,
        };
        self.figure(Figure::Stage).store(value, Ordering::Release);
    }

    /// How far the server is, as the master has said last.
    pub fn stage(&self) -> Stage {
        match self.figure(Figure::Stage).load(Ordering::Acquire) {
            1 => Stage::Serving,
            2 => Stage::Reloading,
            3 => Stage::Stopping,
            _ => Stage::Starting,
        }
    }

    /// Why there are no more workers though their number follows the load; `None`: no more are wanted.
    pub fn hold(&self) -> Option<&'static str> {
        match self.figure(Figure::Hold).load(Ordering::Relaxed) {
            1 => Some("max"),
            2 => Some("memory"),
            3 => Some("unsettled"),
            _ => None,
        }
    }

    /// Whether requests should be sent here: somebody is ready, and is to stay.
    pub fn is_ready(&self) -> bool {
        let ready = |record: Record<'_>| record.state() == WorkerState::Ready;
        self.stage() != Stage::Stopping && self.records().any(ready)
    }

    /// Gives a record back when its process has ended, and keeps what it had counted. For the master.
    pub fn retire(&self, index: RecordIndex) {
        let record = self.record(index);
        let keep = |figure, field: &AtomicU64| {
            self.figure(figure).fetch_add(field.load(Ordering::Relaxed), Ordering::Relaxed);
        };
        // Odd while the same requests stand in two places; see `totals`.
        self.figure(Figure::Version).fetch_add(1, Ordering::AcqRel);
        keep(Figure::RequestsBefore, record.requests_total());
        keep(Figure::ConnectionsBefore, record.connections_total());
        keep(Figure::ShedFullBefore, record.shed_full());
        keep(Figure::ShedLateBefore, record.shed_late());
        keep(Figure::ShedGoneBefore, record.shed_gone());
        record.set_state(WorkerState::Free);
        self.figure(Figure::Version).fetch_add(1, Ordering::AcqRel);
    }

    /// What all workers have counted since the start, those who have ended included.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for _ in 0..READING_TRIES {
            let before = self.figure(Figure::Version).load(Ordering::Acquire);
            totals = Totals {
                requests: self.figure(Figure::RequestsBefore).load(Ordering::Acquire),
                connections: self.figure(Figure::ConnectionsBefore).load(Ordering::Acquire),
                shed_full: self.figure(Figure::ShedFullBefore).load(Ordering::Acquire),
                shed_late: self.figure(Figure::ShedLateBefore).load(Ordering::Acquire),
                shed_gone: self.figure(Figure::ShedGoneBefore).load(Ordering::Acquire),
                open: 0,
                waiting: 0,
            };
            for record in self.records() {
                totals.requests += record.requests_total().load(Ordering::Acquire);
                totals.connections += record.connections_total().load(Ordering::Acquire);
                totals.open += record.connections_open().load(Ordering::Acquire);
                totals.waiting += record.waiting().load(Ordering::Acquire);
                totals.shed_full += record.shed_full().load(Ordering::Acquire);
                totals.shed_late += record.shed_late().load(Ordering::Acquire);
                totals.shed_gone += record.shed_gone().load(Ordering::Acquire);
            }
            if before.is_multiple_of(2) && before == self.figure(Figure::Version).load(Ordering::Acquire) {
                break;
            }
            std::hint::spin_loop();
        }
        totals
    }
}

/// Number of [`Figure`]s.
pub(super) const FIGURES: usize = Figure::Shrunk as usize + 1;

/// How often a reader tries to find the table at rest; the master needs a few instructions.
const READING_TRIES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::slot::{Generation, Slot};

    #[test]
    fn what_ended_workers_have_counted_is_kept() {
        let board = Scoreboard::new(2).unwrap();
        for requests in [3, 4] {
            let index = board.free_record().unwrap();
            board.record(index).claim(Slot(1), Generation(1));
            board.record(index).requests_total().fetch_add(requests, Ordering::Relaxed);
            board.record(index).connections_total().fetch_add(2, Ordering::Relaxed);
            board.record(index).shed_late().fetch_add(1, Ordering::Relaxed);
            board.record(index).connections_open().fetch_add(1, Ordering::Relaxed);
            let with = board.totals();
            assert_eq!(with.open, 1);
            board.retire(index);
            assert_eq!(board.totals(), Totals { open: 0, ..with });
        }
        assert_eq!(board.totals(), Totals { requests: 7, connections: 4, shed_late: 2, ..Totals::default() });
        assert_eq!(board.records().count(), 0);
    }

    #[test]
    fn readiness_needs_a_ready_worker_and_a_server_that_stays() {
        let board = Scoreboard::new(1).unwrap();
        let record = board.record(board.free_record().unwrap());
        record.claim(Slot(1), Generation(1));
        assert!(!board.is_ready());
        record.set_state(WorkerState::Ready);
        for stage in [Stage::Starting, Stage::Serving, Stage::Reloading, Stage::Stopping] {
            board.set_stage(stage);
            assert_eq!(board.stage(), stage);
            assert_eq!(board.is_ready(), stage != Stage::Stopping);
        }
        board.set_stage(Stage::Serving);
        record.set_state(WorkerState::Draining);
        assert!(!board.is_ready());
    }
}
