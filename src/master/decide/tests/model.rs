//! What processes and people do in random scripts.

use super::property::{Model, World};
use crate::contract::control::{Command, Ticket};
use crate::contract::exit::ExitReason;
use crate::contract::message::Report;
use crate::master::event::Event;
use crate::sys::process::Pid;
use crate::sys::wait::WaitOutcome;
use std::collections::BTreeSet;

impl World {
    pub(super) fn serving(&self) -> BTreeSet<Pid> {
        self.processes
            .iter()
            .filter(|(_, process)| process.2 == Model::Serving)
            .map(|(pid, _)| *pid)
            .collect()
    }

    /// Somebody wants something; every other one waits for the outcome.
    pub(super) fn asked(&mut self, command: Command) -> Event {
        self.next_ticket += 1;
        let ticket = Some(Ticket(self.next_ticket)).filter(|_| self.below(2) == 0);
        self.waiting.extend(ticket);
        Event::Asked { ticket, command }
    }

    pub(super) fn becomes_ready(&mut self, pid: Pid) -> Event {
        self.processes.get_mut(&pid).unwrap().2 = Model::Serving;
        self.ever_served = true;
        Event::Reported { pid, report: Report::Ready }
    }

    pub(super) fn fails(&mut self, pid: Pid) -> Event {
        self.processes.get_mut(&pid).unwrap().2 = Model::Leaving;
        let report = Report::Failed { reason: ExitReason::AppLoadFailed, text: String::new() };
        Event::Reported { pid, report }
    }

    pub(super) fn ends(&mut self, pid: Pid, outcome: WaitOutcome) -> Event {
        let ended = self.processes.remove(&pid);
        self.retiring.remove(&pid);
        if ended.is_some_and(|(_, _, model)| model == Model::Serving) {
            self.floor = self.floor.map(|floor| floor.saturating_sub(1));
        }
        Event::Exited { pid, outcome }
    }
}
