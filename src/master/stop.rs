//! The end: everybody leaves, in order or at once.

use super::crew::Life;
use super::event::{Action, Finish, KillReason, Note};
use super::supervisor::{LEAVING, Phase, Supervisor};
use crate::contract::control::Pace;
use crate::contract::message::{DrainReason, Order};
use std::time::Instant;

impl Supervisor {
    /// SIGTERM, SIGINT, SIGQUIT: everybody leaves.
    pub(super) fn stop(&mut self, now: Instant, pace: Pace) {
        let finish = match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Serving => Finish::Ended,
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
        for pid in self.crew.select(|worker| !matches!(worker.life, Life::Killed { .. })) {
            let life = self.crew.workers.get(&pid).map(|worker| worker.life);
            match (pace, life) {
                (Pace::Graceful, Some(Life::Ready { .. } | Life::Retiring { .. })) => {
                    self.drain(now, pid, DrainReason::ServerStop);
                }
                // Those that drain for another reason keep the time they have.
                (Pace::Graceful, Some(Life::Draining { .. })) => {}
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
