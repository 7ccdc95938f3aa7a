//! The end: everybody leaves, in order or at once.

use super::crew::{Life, Worker};
use super::life::LEAVING;
use super::supervisor::Supervisor;
use crate::contract::control::Pace;
use crate::contract::message::{DrainReason, Order};
use crate::master::event::{Action, Finish, KillReason, Note};
use std::time::Instant;

/// Whether the server is to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// It serves, and stops at this time.
    LameDuck {
        until: Instant,
    },
    Stopping {
        pace: Pace,
        finish: Finish,
    },
    Ended,
}

impl Supervisor {
    /// SIGTERM, SIGINT, SIGQUIT: everybody leaves.
    pub(super) fn stop(&mut self, now: Instant, pace: Pace) {
        if pace == Pace::Graceful && self.phase == Phase::Serving && !self.pool.lame_duck.is_zero() {
            return self.announce_stop(now);
        }
        let finish = match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Serving | Phase::LameDuck { .. } => Finish::Ended,
            Phase::Stopping { finish, pace: before } => {
                if before == Pace::Quick {
                    self.phase = Phase::Stopping { pace: before, finish };
                    return;
                }
                finish
            }
            Phase::Ended => return,
        };
        self.phase = Phase::Stopping { pace, finish };
        self.say(Note::Stopping(pace));
        self.reload = None;
        self.answer_all_but_stop();
        self.cancel_check(now);
        self.end_proof(now, pace);
        if pace == Pace::Graceful {
            self.act(Action::RefuseClients);
        }
        for pid in self.crew.select(|worker| !matches!(worker.life, Life::Killed { .. })) {
            let life = self.crew.workers.get(&pid).map(|worker| worker.life);
            match (pace, life) {
                (Pace::Graceful, Some(Life::Ready { .. } | Life::Retiring { .. })) => {
                    self.drain(now, pid, DrainReason::ServerStop);
                }
                // Those that drain for another reason keep the time they have, and nobody to hand anything over to.
                (Pace::Graceful, Some(Life::Draining { .. })) => {
                    self.act(Action::Send { pid, order: Order::Drain(DrainReason::ServerStop) });
                }
                (Pace::Quick, Some(Life::Ready { .. } | Life::Retiring { .. } | Life::Draining { .. })) => {
                    self.act(Action::Send { pid, order: Order::Stop });
                    self.set_life(pid, Life::Draining { deadline: now + LEAVING });
                }
                (_, Some(Life::Starting { .. } | Life::Failed { .. })) => {
                    self.kill(now, pid, KillReason::NotNeeded)
                }
                (_, Some(Life::Killed { .. }) | None) => {}
            }
        }
    }

    /// Serves on for `timeouts.lame_duck`, while whoever sends requests here learns that it will not.
    fn announce_stop(&mut self, now: Instant) {
        let lame_duck = self.pool.lame_duck;
        self.phase = Phase::LameDuck { until: now + lame_duck };
        self.say(Note::Announced(lame_duck));
        self.answer_all_but_stop();
        self.cancel_check(now);
        self.end_proof(now, Pace::Graceful);
        if let Some(reload) = self.reload.take() {
            // Its workers that are ready serve; those that are not yet have no use.
            let starts = |worker: &Worker| {
                worker.generation == reload.generation && matches!(worker.life, Life::Starting { .. })
            };
            for pid in self.crew.select(starts) {
                self.dismiss(now, pid);
            }
        }
        for pid in self.crew.select(|worker| worker.life.serves()) {
            self.act(Action::Send { pid, order: Order::Announce });
        }
    }

    /// Whether workers that end are replaced.
    pub(super) fn keeps_pool(&self) -> bool {
        matches!(self.phase, Phase::Serving | Phase::LameDuck { .. })
    }

    /// When a stop that was announced is due.
    pub(super) fn stop_due(&self) -> Option<Instant> {
        match self.phase {
            Phase::LameDuck { until } => Some(until),
            Phase::Serving | Phase::Stopping { .. } | Phase::Ended => None,
        }
    }

    /// Ends a start that cannot succeed.
    pub(super) fn stop_start(&mut self, now: Instant, finish: Finish) {
        if self.phase != Phase::Serving {
            return;
        }
        self.phase = Phase::Stopping { pace: Pace::Quick, finish };
        self.answer_all_but_stop();
        self.cancel_check(now);
        for pid in self.crew.select(|_| true) {
            self.dismiss(now, pid);
        }
    }
}
