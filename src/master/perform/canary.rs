//! While a canary is tried: tells the workers, reads what they have counted, and passes connections on between them.

use super::Performer;
use crate::contract::message::Order;
use crate::contract::scoreboard::WorkerState;
use crate::contract::tally::Part;
use crate::master::event::Event;
use crate::sys::channel::{self, Sent};
use crate::sys::process::Pid;
use std::os::fd::{AsFd, OwnedFd};

/// The canary that is tried, and whose turn it is to get back what it had been lent.
#[derive(Debug, Default)]
pub(super) struct CanaryTrial {
    canary: Option<Pid>,
    turn: usize,
}

impl Performer {
    /// Sees that everybody counts, also those who have come since; the answer is what they have counted.
    pub(super) fn compare(&mut self, canary: Pid) -> Event {
        self.canary_trial.canary = Some(canary);
        let old = u16::try_from(self.old_workers().len()).unwrap_or(u16::MAX);
        let record = |pid: &Pid| Some(self.shared.scoreboard.record(self.links.get(pid)?.record));
        for pid in self.links.keys() {
            let part = if *pid == canary { Part::Canary } else { Part::Old(old) };
            record(pid).into_iter().for_each(|record| record.set_part(part));
        }
        let tallies = self.links.keys().filter_map(|pid| Some((*pid, record(pid)?.tally()))).collect();
        Event::Compared(tallies)
    }

    /// Nobody counts any more, and nobody lends connections.
    pub(super) fn end_comparison(&mut self) {
        self.canary_trial.canary = None;
        for link in self.links.values() {
            self.shared.scoreboard.record(link.record).set_part(Part::None);
        }
    }

    /// Gives a connection that a worker lends to the canary, and one that the canary lends to one of the others.
    pub(super) fn pass_on(&mut self, from: Pid, connection: &OwnedFd) {
        self.canary_trial.turn = self.canary_trial.turn.wrapping_add(1);
        let canary = self.canary_trial.canary.filter(|canary| *canary != from);
        let old = self.old_workers();
        let begin = self.canary_trial.turn % old.len().max(1);
        let others = old.iter().cycle().skip(begin).take(old.len()).copied();
        // Where nobody takes it, whoever had it serves it on.
        for pid in canary.into_iter().chain(others).chain([from]) {
            let channel = self.links.get(&pid).and_then(|link| link.channel.as_ref());
            let sent = channel
                .map(|channel| channel::send(channel.as_fd(), &Order::Take.encode(), &[connection.as_fd()]));
            if let Some(Ok(Sent::Sent)) = sent {
                return;
            }
        }
    }

    /// Those who serve, without the canary.
    fn old_workers(&self) -> Vec<Pid> {
        let state = |record| self.shared.scoreboard.record(record).state();
        let serves = self.links.iter().filter(|(_, link)| state(link.record) == WorkerState::Ready);
        serves.map(|(pid, _)| *pid).filter(|pid| Some(*pid) != self.canary_trial.canary).collect()
    }
}
