//! How much the workers have to do.

use super::Performer;
use crate::contract::figures::Figure;
use crate::master::decide::adapt::{Hold, Picture, Work};
use crate::master::event::Event;
use crate::sys::process::Pid;
use crate::sys::{clock, memory_use};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// What each worker had done at the last look.
#[derive(Debug, Default)]
pub(super) struct Survey {
    looked_ns: u64,
    done_ns: BTreeMap<Pid, u64>,
}

impl Performer {
    /// Looks at all workers; those that have come since the last look are told of at the next.
    pub(super) fn survey(&mut self) -> Event {
        let now_ns = clock::monotonic_ns();
        let passed_ns = now_ns.saturating_sub(self.survey.looked_ns).max(1);
        let mut work = Work { memory: memory_use::pressure(), ..Work::default() };
        let mut done_ns = BTreeMap::new();
        for (pid, link) in &self.links {
            let record = self.shared.scoreboard.record(link.record);
            let done = record.busy_until(now_ns);
            if let Some(before) = self.survey.done_ns.get(pid) {
                work.busy += done.saturating_sub(*before).min(passed_ns) * 1000 / passed_ns;
            }
            work.waiting += record.waiting().load(Ordering::Acquire);
            done_ns.insert(*pid, done);
        }
        self.survey = Survey { looked_ns: now_ns, done_ns };
        Event::Surveyed(work)
    }

    /// Shows how the adapting is to those who watch.
    pub(super) fn show_picture(&self, picture: Picture) {
        let hold = match picture.hold {
            Hold::None => 0,
            Hold::Most => 1,
            Hold::Memory => 2,
            Hold::Unsettled => 3,
        };
        let figures = [
            (Figure::WorkersLeast, picture.least.into()),
            (Figure::WorkersMost, picture.most.into()),
            (Figure::Busy, picture.busy),
            (Figure::Hold, hold),
        ];
        for (figure, value) in figures {
            self.shared.scoreboard.figure(figure).store(value, Ordering::Relaxed);
        }
    }
}
