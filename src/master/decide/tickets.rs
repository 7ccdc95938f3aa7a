//! What is asked of the server, and who waits for the outcome: every ticket gets exactly one verdict, within a deadline.

use super::crew::Life;
use super::inquiries::Inquiries;
use super::supervisor::{Phase, Supervisor};
use crate::contract::control::{Command, Pace, Ticket, Verdict};
use crate::contract::message::Order;
use crate::master::event::{Action, Note};
use std::time::{Duration, Instant};

/// Those who wait.
#[derive(Debug, Clone, Default)]
pub(super) struct Tickets {
    /// For the reload that is under way. It has deadlines of its own.
    pub(super) reload: Vec<Ticket>,
    /// For the one that follows, which has what they have changed.
    pub(super) next_reload: Vec<Ticket>,
    /// For the present number of workers to be ready.
    pub(super) scale: Vec<Ticket>,
    /// That number, and until when they wait; `None` as long as a reload comes first.
    scale_due: Option<(usize, Instant)>,
    /// For the upgrade. It has deadlines of its own.
    pub(super) upgrade: Vec<Ticket>,
    /// For the logs, which are opened at once.
    pub(super) logs: Vec<Ticket>,
    /// For the end of the server.
    stop: Vec<Ticket>,
    /// For what workers say of their requests.
    pub(super) inquiries: Inquiries,
}

/// Those who wait for a number of workers.
pub(super) struct ScaleTickets {
    pub(super) tickets: Vec<Ticket>,
    due: Option<(usize, Instant)>,
}

impl Supervisor {
    /// Takes a command, whose ticket is kept until there is a verdict.
    pub(super) fn asked(&mut self, now: Instant, ticket: Option<Ticket>, command: Command) {
        if let Command::Stop(pace) = command {
            let pace = if self.phase == Phase::Serving { pace } else { Pace::Quick };
            self.tickets.stop.extend(ticket);
            return self.stop(now, pace);
        }
        if command == Command::ReopenLogs {
            self.tickets.logs.extend(ticket);
            return self.reopen_logs();
        }
        if let Command::Inquire { pid, inquiry } = command {
            return self.inquire(now, ticket, (pid, inquiry));
        }
        if self.phase != Phase::Serving {
            return self.answer(ticket, &Verdict::Failed(STOPPING.into()));
        }
        match command {
            Command::Reload { canary } => self.ask_reload(ticket, canary),
            Command::Scale(scale) => self.ask_scale(now, ticket, scale),
            Command::Upgrade => self.ask_upgrade(ticket),
            Command::ReopenLogs | Command::Stop(_) | Command::Inquire { .. } => {}
        }
    }

    /// The master's own, and everybody's.
    fn reopen_logs(&mut self) {
        self.act(Action::ReopenLogs);
        for pid in self.crew.select(|worker| !matches!(worker.life, Life::Killed { .. })) {
            self.act(Action::Send { pid, order: Order::ReopenLogs });
        }
    }

    /// The answer to `ReopenLogs`.
    pub(super) fn logs_reopened(&mut self, reopened: Result<(), String>) {
        match reopened {
            Ok(()) => self.answer_logs(&Verdict::Done("the log files are open anew".into())),
            Err(reason) => {
                self.answer_logs(&Verdict::Failed(format!(
                    "the error log could not be opened anew: {reason}"
                )));
                self.say(Note::LogsNotReopened(reason));
            }
        }
    }

    /// Gives those who have asked their verdict.
    pub(super) fn answer(&mut self, tickets: impl IntoIterator<Item = Ticket>, verdict: &Verdict) {
        for ticket in tickets {
            self.act(Action::Answer { ticket, verdict: verdict.clone() });
        }
    }

    /// Someone waits for the next reload.
    pub(super) fn await_reload(&mut self, ticket: Option<Ticket>) {
        self.tickets.next_reload.extend(ticket);
    }

    /// The configuration is about to be read: it has what all who wait have changed.
    pub(super) fn reload_begins(&mut self) {
        let waiting = std::mem::take(&mut self.tickets.next_reload);
        self.tickets.reload.extend(waiting);
    }

    /// The reload under way has ended.
    pub(super) fn answer_reload(&mut self, verdict: &Verdict) {
        let tickets = std::mem::take(&mut self.tickets.reload);
        self.answer(tickets, verdict);
    }

    /// The upgrade has failed. Its success is the next program's to tell.
    pub(super) fn answer_upgrade(&mut self, verdict: &Verdict) {
        let tickets = std::mem::take(&mut self.tickets.upgrade);
        self.answer(tickets, verdict);
    }

    /// Whether all have been answered.
    pub(super) fn nobody_waits(&self) -> bool {
        let Tickets { reload, next_reload, scale, upgrade, .. } = &self.tickets;
        [reload, next_reload, scale, upgrade].into_iter().all(Vec::is_empty)
    }

    /// The logs have been opened anew, or not.
    pub(super) fn answer_logs(&mut self, verdict: &Verdict) {
        let tickets = std::mem::take(&mut self.tickets.logs);
        self.answer(tickets, verdict);
    }

    /// Someone waits for the number of workers that is there after the present reload.
    pub(super) fn await_scale(&mut self, ticket: Option<Ticket>) {
        self.tickets.scale.extend(ticket);
    }

    /// Who waits for the number of workers that has been asked for, and until when.
    pub(super) fn take_scale(&mut self) -> ScaleTickets {
        let Tickets { scale, scale_due, .. } = &mut self.tickets;
        ScaleTickets { tickets: std::mem::take(scale), due: scale_due.take() }
    }

    /// They go on waiting, beside those who have come since.
    pub(super) fn await_scale_again(&mut self, earlier: ScaleTickets) {
        if !earlier.tickets.is_empty() {
            self.tickets.scale.extend(earlier.tickets);
            self.tickets.scale_due = self.tickets.scale_due.or(earlier.due);
        }
    }

    /// The number of workers has been changed: from now on it is a matter of their being ready.
    pub(super) fn scale_begins(&mut self, now: Instant) {
        if !self.tickets.scale.is_empty() {
            self.tickets.scale_due = Some((self.seats.len(), now + self.pool.boot + MARGIN));
        }
    }

    /// Who wanted another number of workers does not get it.
    pub(super) fn answer_scale(&mut self, verdict: &Verdict) {
        self.tickets.scale_due = None;
        let tickets = std::mem::take(&mut self.tickets.scale);
        self.answer(tickets, verdict);
    }

    /// Says that there are as many workers as wanted once all are ready, or that time is up.
    pub(super) fn settle_scale(&mut self, now: Instant) {
        let Some((wanted, due)) = self.tickets.scale_due else { return };
        if self.reload.is_some() {
            return;
        }
        let workers = self.seats.len();
        // Where it follows the load that may have moved it on.
        if workers != wanted && self.pool.span.is_none() {
            let text = format!("a reload came first, and has made it {workers} again instead of {wanted}");
            return self.answer_scale(&Verdict::Failed(text));
        }
        let ready = self.seats.keys().filter(|slot| self.crew.is_settled(**slot)).count();
        if ready == workers {
            self.answer_scale(&Verdict::Done(format!(
                "{workers} worker{}",
                if workers == 1 { "" } else { "s" }
            )));
        } else if due <= now {
            let text = format!("only {ready} of {workers} workers became ready in time (timeouts.boot)");
            self.answer_scale(&Verdict::Failed(text));
        }
    }

    /// When those who wait for workers are told that they wait in vain.
    pub(super) fn tickets_due(&self) -> Option<Instant> {
        let scale = self.tickets.scale_due.filter(|_| self.reload.is_none()).map(|(_, due)| due);
        scale.into_iter().chain(self.tickets.inquiries.due()).min()
    }

    /// Nothing of what they wait for will come: the server leaves.
    pub(super) fn answer_all_but_stop(&mut self) {
        let verdict = Verdict::Failed(STOPPING.into());
        let tickets = &mut self.tickets;
        let lists = [&mut tickets.reload, &mut tickets.next_reload, &mut tickets.upgrade, &mut tickets.scale];
        let waiting: Vec<Ticket> = lists.into_iter().flat_map(std::mem::take).collect();
        tickets.scale_due = None;
        self.answer(waiting, &verdict);
    }

    /// The end has come, which is what they wanted.
    pub(super) fn answer_stop(&mut self) {
        let tickets = std::mem::take(&mut self.tickets.stop);
        self.answer(tickets, &Verdict::Done("the server has ended".into()));
    }
}

const STOPPING: &str = "the server is stopping";

/// For what the supervisor does at the end of `timeouts.boot`.
const MARGIN: Duration = Duration::from_secs(5);
