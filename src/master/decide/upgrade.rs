//! An upgrade: another program is proven in a child and then takes this one's place, under the same process number.
//!
//! Until that moment nothing is touched: whatever goes wrong, this program goes on with the workers it has. What is handed
//! over then is in `written`; the program that takes over replaces the remaining workers as a reload does.

use super::canary::CanaryWish;
use super::crew::{Life, Worker};
use super::life::DYING;
use super::supervisor::{Phase, Supervisor};
use super::trouble::{Blame, Extent};
use crate::contract::control::{Pace, Ticket, Verdict};
use crate::contract::message::DrainReason;
use crate::contract::slot::{Generation, Slot};
use crate::master::event::{Action, Note, ProofNews, UpgradeNote, UpgradeStep};
use crate::sys::process::Pid;
use std::time::{Duration, Instant};

/// Where an upgrade is.
#[derive(Debug, Clone, Default)]
pub(super) struct Upgrade {
    stage: Stage,
    /// Where the child starts workers.
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// There is none.
    #[default]
    Idle,
    /// Asked for; something else comes first, which has a deadline of its own.
    Wanted,
    /// A child shows what the next program can do.
    Proving { generation: Generation, deadline: Instant },
    /// It has shown it, and has left; the next program takes over as soon as nothing is half done.
    Proven { generation: Generation },
    /// Nothing will come of the child; it has this time to leave.
    Ending { generation: Generation, deadline: Instant, next: Next },
    /// This is the next program. The remaining workers are replaced.
    Adopted,
}

/// What follows when a child has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Nothing,
    /// Somebody has mended what was wrong, and asked again.
    Upgrade,
}

impl Upgrade {
    /// Whether reloads and changes of the number of workers have to wait.
    pub(super) fn is_proving(&self) -> bool {
        matches!(self.stage, Stage::Proving { .. } | Stage::Proven { .. })
    }

    /// Whether a child is to be reaped.
    pub(super) fn has_child(&self) -> bool {
        matches!(self.stage, Stage::Proving { .. } | Stage::Ending { .. })
    }

    /// Whether the child has a worker in this slot, or is about to.
    pub(super) fn fills(&self, slot: Slot) -> bool {
        self.has_child() && self.slots.contains(&slot)
    }

    /// When something must be done about it.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Proving { deadline, .. } | Stage::Ending { deadline, .. } => Some(deadline),
            Stage::Idle | Stage::Wanted | Stage::Proven { .. } | Stage::Adopted => None,
        }
    }

    /// This program is the next one.
    pub(super) fn adopted(&mut self) {
        self.stage = Stage::Adopted;
    }
}

impl Supervisor {
    /// SIGUSR2 and its like.
    pub(super) fn ask_upgrade(&mut self, ticket: Option<Ticket>) {
        match &mut self.upgrade.stage {
            stage @ Stage::Idle => *stage = Stage::Wanted,
            Stage::Ending { next, .. } if *next == Next::Nothing => *next = Next::Upgrade,
            Stage::Wanted
            | Stage::Proving { .. }
            | Stage::Proven { .. }
            | Stage::Ending { .. }
            | Stage::Adopted => {
                self.say(Note::Upgrade(UpgradeNote::Busy));
                return self.answer(ticket, &Verdict::Failed(BUSY.into()));
            }
        }
        self.tickets.upgrade.extend(ticket);
        if self.upgrade.has_child() || !self.may_upgrade() || self.slots_to_prove().is_empty() {
            self.say(Note::Upgrade(UpgradeNote::Postponed));
        }
    }

    /// A reload finds that another program would be started now, such as that of the virtual environment of another release:
    /// it is that one's to take the new code. (An upgrade has no canary.)
    pub(super) fn upgrade_instead(&mut self) {
        self.canary_wish = CanaryWish::default();
        let tickets = std::mem::take(&mut self.tickets.reload);
        match self.upgrade.stage {
            Stage::Idle | Stage::Wanted | Stage::Ending { .. } => {
                self.say(Note::Upgrade(UpgradeNote::InsteadOfReload));
                self.tickets.upgrade.extend(tickets);
                if self.upgrade.stage != Stage::Wanted {
                    self.ask_upgrade(None);
                }
            }
            // Only the last is ever met: a reload that had to wait, behind an upgrade that is all but done.
            Stage::Proving { .. } | Stage::Proven { .. } | Stage::Adopted => {
                self.say(Note::Upgrade(UpgradeNote::Busy));
                self.answer(tickets, &Verdict::Failed(BUSY.into()));
            }
        }
    }

    /// Starts the child where one is wanted and nothing else is under way.
    pub(super) fn begin_upgrade(&mut self, now: Instant) {
        let slots = self.slots_to_prove();
        if self.upgrade.stage != Stage::Wanted || !self.may_upgrade() || slots.is_empty() {
            return;
        }
        let generation = Generation(self.last_generation.0.saturating_add(1));
        self.last_generation = generation;
        let limit = self.pool.boot + self.pool.check.unwrap_or_default() + START;
        self.upgrade.stage = Stage::Proving { generation, deadline: now + limit };
        self.upgrade.slots.clone_from(&slots);
        self.say(Note::Upgrade(UpgradeNote::Started { generation }));
        self.act(Action::Upgrade(UpgradeStep::Prove { generation, slots }));
    }

    /// What has become of the child.
    pub(super) fn hear_of_proof(&mut self, now: Instant, news: ProofNews) {
        match news {
            ProofNews::Begun(begun) => self.proof_begun(now, begun),
            ProofNews::Failed(reason) => self.proof_failed(now, reason),
            ProofNews::Ended { workers, failure } => self.proof_ended(now, &workers, failure),
            ProofNews::NotReplaced(reason) => self.not_replaced(now, reason),
        }
    }

    /// The answer to `Prove`.
    fn proof_begun(&mut self, now: Instant, begun: Result<(), String>) {
        if let Err(reason) = begun {
            self.upgrade.stage = Stage::Idle;
            self.fail_upgrade(now, reason);
        }
    }

    /// The child has said why nothing will come of it; those of its workers that serve still drain.
    fn proof_failed(&mut self, now: Instant, reason: String) {
        if let Stage::Proving { generation, .. } = self.upgrade.stage {
            let deadline = now + self.pool.drain + START;
            self.upgrade.stage = Stage::Ending { generation, deadline, next: Next::Nothing };
            self.fail_upgrade(now, reason);
        }
    }

    /// The child has been reaped, and has left these workers, who serve.
    fn proof_ended(&mut self, now: Instant, workers: &[(Pid, Slot)], failure: Option<String>) {
        let (generation, is_awaited, next) = match self.upgrade.stage {
            Stage::Proving { generation, .. } => (generation, true, Next::Nothing),
            Stage::Ending { generation, next, .. } => (generation, false, next),
            Stage::Idle | Stage::Wanted | Stage::Proven { .. } | Stage::Adopted => return,
        };
        for (pid, slot) in workers {
            let (life, drain) = (Life::Ready { since: now }, self.pool.drain);
            self.crew.workers.insert(*pid, Worker { slot: *slot, generation, life, drain });
        }
        if is_awaited && failure.is_none() && self.phase == Phase::Serving {
            self.upgrade.stage = Stage::Proven { generation };
            return;
        }
        self.upgrade.stage = match next {
            Next::Nothing => Stage::Idle,
            Next::Upgrade => Stage::Wanted,
        };
        self.dismiss_proven(now, generation);
        if is_awaited {
            self.fail_upgrade(now, failure.unwrap_or_else(|| OVERDUE.into()));
        }
    }

    /// Puts the next program in this one's place. The last action of a step: whatever comes after it is not done.
    pub(super) fn replace_program(&mut self, now: Instant) {
        let Stage::Proven { generation } = self.upgrade.stage else { return };
        // What has been asked for is answered first: the next program could not make sense of it.
        if self.pending.is_empty() && !self.admin_is_awaited() && self.tickets.logs.is_empty() {
            self.end_inquiries();
            let written = self.written(now, generation);
            self.act(Action::Upgrade(UpgradeStep::Replace(Box::new(written))));
        }
    }

    /// The other program could not be put in this one's place after all.
    fn not_replaced(&mut self, now: Instant, reason: String) {
        if let Stage::Proven { generation } = self.upgrade.stage {
            self.upgrade.stage = Stage::Idle;
            self.dismiss_proven(now, generation);
            self.fail_upgrade(now, reason);
        }
    }

    /// Ends a child that takes too long.
    pub(super) fn end_overdue_proof(&mut self, now: Instant) {
        if self.upgrade.due().is_none_or(|due| due > now) {
            return;
        }
        match self.upgrade.stage {
            Stage::Proving { generation, .. } => {
                self.end_child(now, generation, Pace::Quick, Next::Nothing);
                self.fail_upgrade(now, OVERDUE.into());
            }
            Stage::Ending { generation, next, .. } => {
                self.end_child(now, generation, Pace::Quick, next);
            }
            Stage::Idle | Stage::Wanted | Stage::Proven { .. } | Stage::Adopted => {}
        }
    }

    /// Nobody wants to know any more.
    pub(super) fn end_proof(&mut self, now: Instant, pace: Pace) {
        match self.upgrade.stage {
            Stage::Proving { generation, .. } | Stage::Ending { generation, .. } => {
                self.end_child(now, generation, pace, Next::Nothing);
            }
            Stage::Idle | Stage::Wanted | Stage::Proven { .. } | Stage::Adopted => {
                self.upgrade.stage = Stage::Idle;
            }
        }
    }

    fn end_child(&mut self, now: Instant, generation: Generation, pace: Pace, next: Next) {
        let limit = match pace {
            Pace::Graceful => self.pool.drain + START,
            Pace::Quick => DYING,
        };
        self.upgrade.stage = Stage::Ending { generation, deadline: now + limit, next };
        self.act(Action::Upgrade(UpgradeStep::EndProof(pace)));
    }

    /// The last step of the next program: an admin process of its own, once those who asked the old one have been answered.
    pub(super) fn finish_upgrade(&mut self, now: Instant) {
        if self.upgrade.stage == Stage::Adopted && self.reload.is_none() && self.nobody_waits() {
            self.upgrade.stage = Stage::Idle;
            self.replace_admin(now);
            self.say(Note::Upgrade(UpgradeNote::Done { generation: self.generation }));
        }
    }

    /// Whether other changes have to wait.
    pub(super) fn is_changing(&self) -> bool {
        self.reload.is_some() || self.upgrade.is_proving()
    }

    fn may_upgrade(&self) -> bool {
        self.reload.is_none() && self.check.is_none() && self.has_served()
    }

    /// As many as a reload would start at once, where there is room beside those that serve.
    fn slots_to_prove(&self) -> Vec<Slot> {
        let slots = self.seats.keys().copied().filter(|slot| self.has_room(*slot));
        slots.take(usize::from(self.pool.surge.max(1))).collect()
    }

    fn dismiss_proven(&mut self, now: Instant, generation: Generation) {
        for pid in self.crew.select(|worker| worker.generation == generation) {
            if self.keeps_pool() {
                self.dismiss(now, pid);
            } else {
                self.drain(now, pid, DrainReason::ServerStop);
            }
        }
    }

    fn fail_upgrade(&mut self, now: Instant, reason: String) {
        self.answer_upgrade(&Verdict::Failed(reason.clone()));
        self.note_trouble(now, Extent::NotUpgraded, &reason, Blame::Circumstances);
        self.say(Note::Upgrade(UpgradeNote::Failed { reason }));
    }
}

const BUSY: &str = "an upgrade is under way already";

/// Of a child that says nothing, which may be any program; one that proves itself says what was late.
const OVERDUE: &str =
    "the new program has proven nothing in time (timeouts.boot, and 10 s for its own start)";

/// For what an upgrade takes beside the start of workers: that of the program itself. [`OVERDUE`] says it.
const START: Duration = Duration::from_secs(10);
