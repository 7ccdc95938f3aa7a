//! A worker's life, as the supervisor leads it: it gets ready, is told to leave, is killed, ends.

use super::crew::{Life, Worker};
use super::stop::Phase;
use super::supervisor::{Start, Supervisor};
use super::trouble::Blame;
pub(in crate::master) use crate::contract::exit::LEAVING;
use crate::contract::exit::{self, ExitReason, Progress};
use crate::contract::message::{DrainReason, Order, Report};
use crate::contract::scoreboard::WorkerState;
use crate::master::event::{Action, KillReason, Note, Who};
use crate::sys::process::Pid;
use crate::sys::wait::WaitOutcome;
use std::time::{Duration, Instant};

impl Supervisor {
    /// Takes what a worker has said.
    pub(super) fn reported(&mut self, now: Instant, pid: Pid, report: Report) {
        let Some(who) = self.crew.who(pid) else { return };
        let Some(worker) = self.crew.workers.get_mut(&pid) else { return };
        match (report, worker.life) {
            (Report::Ready, Life::Starting { .. }) => {
                worker.life = Life::Ready { since: now };
                self.act(Action::Mark { pid, state: WorkerState::Ready });
                if matches!(self.phase, Phase::LameDuck { .. }) {
                    self.act(Action::Send { pid, order: Order::Announce });
                }
                self.say(Note::Ready(who));
                if self.start == Start::Dark {
                    self.start = Start::Serving;
                }
                // Within a reload they leave when the whole wave is ready.
                if !self.is_tried(who.slot, who.generation) {
                    if !self.molds.covers(who.generation) {
                        self.code_has_started();
                    }
                    // A late one of the old code does not stand in for a canary.
                    let others = |other: &Worker| {
                        other.slot == who.slot
                            && other.generation <= who.generation
                            && matches!(other.life, Life::Retiring { .. })
                    };
                    for other in self.crew.select(others) {
                        self.dismiss(now, other);
                    }
                }
            }
            (Report::Failed { reason, text }, Life::Starting { .. }) => {
                worker.life = Life::Failed { deadline: now + LEAVING };
                let text = if text.is_empty() { reason.to_string() } else { text };
                self.boot_failed(now, (who.slot, who.generation), (reason, text), Blame::Code);
            }
            (Report::Retiring(reason), Life::Ready { .. }) => self.wants_to_retire(pid, reason),
            (Report::Answered { ticket, verdict }, _) => self.inquired(ticket, &verdict),
            // Said before it knew that it is to leave.
            (Report::Born | Report::Lends | Report::KeysWanted, _)
            | (Report::Ready | Report::Failed { .. } | Report::Retiring(_), _) => {}
        }
    }

    /// Takes a worker's end: whoever it served has to be served by others, and its slot filled.
    pub(super) fn exited(&mut self, now: Instant, pid: Pid, outcome: &WaitOutcome) {
        let Some(who) = self.crew.who(pid) else { return };
        let Some(worker) = self.crew.workers.remove(&pid) else { return };
        self.end_inquiries_of(pid);
        let progress = if worker.life.is_starting() { Progress::Starting } else { Progress::Serving };
        let how = exit::cause(outcome, progress).text;
        match worker.life {
            Life::Starting { .. } => {
                let reason = match outcome {
                    WaitOutcome::Exited(status) => ExitReason::from_status(*status),
                    WaitOutcome::Signalled { .. } | WaitOutcome::OutOfMemory => None,
                };
                let text = format!("worker pid {pid} ended before it was ready: {how}");
                let reason = reason.unwrap_or(ExitReason::BootFailed);
                self.boot_failed(now, (worker.slot, worker.generation), (reason, text), Blame::Code);
            }
            Life::Ready { since } | Life::Retiring { since } => {
                self.say(Note::Crashed { who, how: how.clone() });
                // Before anything is forked, which takes its time: its connections wait.
                self.tell_vacancies();
                if self.canary() == Some(pid) {
                    let text = format!("canary: worker pid {pid} ended while it was tried: {how}");
                    self.fail_reload(now, text, Blame::Canary);
                } else if self.is_tried(who.slot, who.generation) {
                    let text = format!("worker pid {pid} ended just after it was ready: {how}");
                    self.fail_reload(now, text, Blame::Code);
                } else if let Some(seat) = self.seats.get_mut(&who.slot) {
                    seat.respawn.crashed(now, now.saturating_duration_since(since));
                }
            }
            Life::Draining { .. } if *outcome == WaitOutcome::Exited(0) => self.say(Note::Left(who)),
            Life::Draining { .. } => self.say(Note::Crashed { who, how }),
            // What is to be said of these has been said.
            Life::Failed { .. } | Life::Killed { .. } => {}
        }
    }

    /// Has a worker leave that is not needed any more: in order if it serves, at once if it does not yet.
    pub(super) fn dismiss(&mut self, now: Instant, pid: Pid) {
        match self.crew.workers.get(&pid).map(|worker| worker.life) {
            Some(Life::Ready { .. } | Life::Retiring { .. }) => self.drain(now, pid, DrainReason::Replaced),
            Some(Life::Starting { .. }) => self.kill(now, pid, KillReason::NotNeeded),
            Some(Life::Draining { .. } | Life::Failed { .. } | Life::Killed { .. }) | None => {}
        }
    }

    /// Has a worker finish what it has begun.
    pub(super) fn drain(&mut self, now: Instant, pid: Pid, reason: DrainReason) {
        self.act(Action::Mark { pid, state: WorkerState::Draining });
        self.act(Action::Send { pid, order: Order::Drain(reason) });
        // Workers keep the limits themselves, those that they were started with; this is for one that cannot.
        let drain = self.crew.workers.get(&pid).map_or(self.pool.drain, |worker| worker.drain);
        self.set_life(pid, Life::Draining { deadline: now + drain + LEAVING });
    }

    /// Ends a worker at once.
    pub(super) fn kill(&mut self, now: Instant, pid: Pid, reason: KillReason) {
        if let Some(who) = self.crew.who(pid) {
            self.act(Action::Kill { pid });
            self.say(Note::Killed { who, reason });
            self.set_life(pid, Life::Killed { deadline: now + DYING });
        }
    }

    pub(super) fn set_life(&mut self, pid: Pid, life: Life) {
        if let Some(worker) = self.crew.workers.get_mut(&pid) {
            worker.life = life;
        }
    }

    /// Sees to workers whose state has lasted too long.
    pub(super) fn kill_overdue(&mut self, now: Instant) {
        for pid in self.crew.select(|worker| worker.life.deadline().is_some_and(|deadline| deadline <= now)) {
            let Some(worker) = self.crew.workers.get(&pid).cloned() else { continue };
            match worker.life {
                Life::Starting { .. } => {
                    self.kill(now, pid, KillReason::BootOverdue);
                    let text = format!("worker pid {pid} was not ready in time (timeouts.boot)");
                    let place = (worker.slot, worker.generation);
                    self.boot_failed(now, place, (ExitReason::BootFailed, text), Blame::Code);
                }
                Life::Draining { .. } | Life::Failed { .. } => self.kill(now, pid, KillReason::Overdue),
                // A process in an uninterruptible call does not die of SIGKILL before that ends.
                Life::Killed { .. } => {
                    self.say(Note::StillThere(Who { slot: worker.slot, pid, generation: worker.generation }));
                    self.set_life(pid, Life::Killed { deadline: now + DYING });
                }
                Life::Ready { .. } | Life::Retiring { .. } => {}
            }
        }
    }
}

/// Time after which a killed process is reported as still there.
pub(super) const DYING: Duration = Duration::from_secs(10);
