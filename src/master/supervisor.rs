//! Keeps the pool alive: pure decisions, so that every signal and race can be tested in virtual time.
//!
//! [`Supervisor::step`] takes what has happened and gives what to do. It reads no clock and calls no system.

use super::canary::CanaryWish;
use super::check::{Check, Trial};
use super::crew::{Crew, Life, Seat, Worker};
use super::event::{Action, Event, KillReason, Note, Pool, Who};
use super::herald::Herald;
use super::mold::Molds;
use super::recycle::Recycling;
use super::reload::Reload;
use super::respawn::Respawn;
use super::scale::Deferred;
use super::steward::Steward;
pub(super) use super::stop::Phase;
use super::tickets::Tickets;
use super::trouble::{Blame, Trouble};
use super::upgrade::Upgrade;
use crate::contract::control::{Pace, State};
use crate::contract::exit::{self, ExitReason, Progress};
use crate::contract::handoff::{Generation, Slot};
use crate::contract::message::{DrainReason, Order, Report};
use crate::contract::scoreboard::WorkerState;
use crate::sys::process::Pid;
use crate::sys::wait::WaitOutcome;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The pool: which slots are in service, which workers there are, and what is under way.
#[derive(Debug, Clone)]
pub(super) struct Supervisor {
    pub(super) pool: Pool,
    /// The highest slot there is room for.
    pub(super) slots_max: u16,
    /// What new slots get.
    pub(super) generation: Generation,
    /// The highest number given.
    pub(super) last_generation: Generation,
    pub(super) seats: BTreeMap<Slot, Seat>,
    pub(super) crew: Crew,
    /// Where workers come from in generations that preload.
    pub(super) molds: Molds,
    /// Forks that have been asked for and not been answered; of [`UNWANTED`], where nobody wants them any more.
    pub(super) pending: BTreeMap<Slot, Generation>,
    pub(super) reload: Option<Reload>,
    /// A reload was asked for that must wait.
    pub(super) again: bool,
    /// How that one is to try its first worker.
    pub(super) canary_wish: CanaryWish,
    /// The workers have been told of a canary.
    pub(super) compares: bool,
    /// Where the upgrade is, if one is under way.
    pub(super) upgrade: Upgrade,
    /// The number of workers to have after the reload, where one was asked for.
    pub(super) scale_later: Option<Deferred>,
    pub(super) tickets: Tickets,
    /// Why the last reload did not succeed.
    pub(super) trouble: Option<Trouble>,
    /// Where the first generation is with its check command.
    pub(super) trial: Trial,
    /// The check command that runs.
    pub(super) check: Option<Check>,
    pub(super) start: Start,
    pub(super) phase: Phase,
    pub(super) served: BTreeSet<Slot>,
    pub(super) recycling: Recycling,
    /// `None` where nobody is to be admitted.
    pub(super) steward: Option<Steward>,
    /// `None` where no service manager asks.
    pub(super) herald: Option<Herald>,
    /// What has been published last.
    pub(super) published: Option<State>,
    pub(super) out: Vec<Action>,
}

/// How far the first generation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Nobody has ever served.
    Dark,
    /// Somebody has.
    Serving,
    /// All have been ready.
    Announced,
}

impl Supervisor {
    /// A pool of which nothing has been started; the first step does that.
    pub(super) fn new(pool: Pool, slots_max: u16) -> Self {
        let generation = Generation(1);
        let seat = Seat { generation, respawn: Respawn::default() };
        let mut molds = Molds::default();
        molds.add(generation, pool.preload);
        Self {
            pool,
            slots_max,
            generation,
            last_generation: generation,
            seats: (1..=pool.workers).map(|number| (Slot(number), seat.clone())).collect(),
            crew: Crew::default(),
            molds,
            pending: BTreeMap::new(),
            reload: None,
            again: false,
            canary_wish: CanaryWish::default(),
            compares: false,
            upgrade: Upgrade::default(),
            scale_later: None,
            tickets: Tickets::default(),
            trouble: None,
            trial: Trial::new(pool.check),
            check: None,
            start: Start::Dark,
            phase: Phase::Serving,
            served: BTreeSet::new(),
            recycling: Recycling::default(),
            steward: None,
            herald: None,
            published: None,
            out: Vec::new(),
        }
    }

    /// Takes one event; gives what to do, in this order.
    pub(super) fn step(&mut self, now: Instant, event: Event) -> Vec<Action> {
        let serving = self.phase == Phase::Serving;
        match event {
            Event::Asked { ticket, command } => self.asked(now, ticket, command),
            Event::AdminForked(forked) => self.admin_forked(now, forked),
            Event::AdminExited(outcome) => self.admin_exited(now, &outcome),
            Event::LogsReopened(reopened) => self.logs_reopened(reopened),
            Event::Forked { slot, generation, pid } => self.forked(now, slot, generation, pid),
            Event::Reported { pid, report } => self.reported(now, pid, report),
            Event::Exited { pid, outcome } => self.exited(now, pid, &outcome),
            Event::ForkFailed { slot, generation, text } => self.fork_failed(now, slot, generation, text),
            Event::Mold { generation, news } => self.mold_news(now, generation, news),
            Event::Checked { generation, outcome } => self.checked(now, generation, outcome),
            Event::ConfigLoaded(loaded) if serving => self.begin_reload(now, loaded),
            Event::ProgramChanged if serving => self.upgrade_instead(),
            Event::Tick | Event::ConfigLoaded(_) | Event::ProgramChanged => {}
            Event::Surveyed(work) => self.surveyed(now, work),
            Event::Looked(beats) => self.looked(now, beats),
            Event::Proof(news) => self.hear_of_proof(now, news),
            Event::Weighed(weights) => self.weighed(now, weights),
            Event::Compared(tallies) => self.compared(now, tallies),
        }
        self.kill_overdue(now);
        self.end_overdue_check(now);
        self.end_overdue_molds(now);
        self.end_overdue_reload(now);
        self.end_overdue_proof(now);
        self.end_overdue_inquiries(now);
        self.settle(now);
        self.end_comparison();
        self.tend_molds(now);
        self.attend(now);
        self.tell_manager(now);
        self.publish();
        self.look(now);
        self.adapt(now);
        self.replace_program(now);
        std::mem::take(&mut self.out)
    }

    /// When [`Event::Tick`] is due, if nothing else happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let lives = self.crew.workers.values().filter_map(|worker| worker.life.deadline());
        let others = [
            self.next_filling(),
            self.check.as_ref().map(|check| check.deadline),
            self.molds.due(),
            self.reload.as_ref().map(Reload::due),
            self.upgrade.due(),
            self.herald.as_ref().and_then(Herald::due),
            self.stop_due(),
            self.tickets_due(),
            self.attendance_due(),
            self.recycling_due(),
            self.heartbeat_due(),
            self.adaption_due(),
        ];
        lives.chain(others.into_iter().flatten()).min()
    }

    /// Whether a generation may still be asked for.
    pub(super) fn uses(&self, generation: Generation) -> bool {
        generation >= self.generation || self.seats.values().any(|seat| seat.generation == generation)
    }

    /// Whether a worker's failure is that of the reload on its way.
    pub(super) fn is_tried(&self, slot: Slot, generation: Generation) -> bool {
        self.reload.as_ref().is_some_and(|reload| reload.is_tried(slot, generation))
    }

    pub(super) fn has_served(&self) -> bool {
        self.start != Start::Dark
    }

    /// Whether the whole first generation has been ready.
    pub(super) fn is_announced(&self) -> bool {
        self.start == Start::Announced
    }

    /// Whether a further process fits into the slot: one, and its successor or a last one that drains.
    pub(super) fn has_room(&self, slot: Slot) -> bool {
        let expected = usize::from(self.pending.contains_key(&slot)) + usize::from(self.upgrade.fills(slot));
        self.crew.of(slot).count() + expected < PROCESSES_PER_SLOT
    }

    /// Has a worker leave that is not needed any more: in order if it serves, at once if it does not yet.
    pub(super) fn dismiss(&mut self, now: Instant, pid: Pid) {
        match self.crew.workers.get(&pid).map(|worker| worker.life) {
            Some(Life::Ready { .. } | Life::Retiring { .. }) => self.drain(now, pid, DrainReason::Replaced),
            Some(Life::Starting { .. }) => self.kill(now, pid, KillReason::NotNeeded),
            Some(Life::Draining { .. } | Life::Failed { .. } | Life::Killed { .. }) | None => {}
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        self.out.push(action);
    }

    pub(super) fn say(&mut self, note: Note) {
        self.out.push(Action::Say(note));
    }

    fn reported(&mut self, now: Instant, pid: Pid, report: Report) {
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

    fn exited(&mut self, now: Instant, pid: Pid, outcome: &WaitOutcome) {
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

    pub(super) fn drain(&mut self, now: Instant, pid: Pid, reason: DrainReason) {
        self.act(Action::Mark { pid, state: WorkerState::Draining });
        self.act(Action::Send { pid, order: Order::Drain(reason) });
        // Workers keep the limits themselves; this is for one that cannot.
        self.set_life(pid, Life::Draining { deadline: now + self.pool.drain + LEAVING });
    }

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

    fn kill_overdue(&mut self, now: Instant) {
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

    /// Brings what is there nearer to what should be there.
    fn settle(&mut self, now: Instant) {
        match &self.phase {
            Phase::Serving => {}
            Phase::LameDuck { until } if *until <= now => return self.stop(now, Pace::Graceful),
            Phase::LameDuck { .. } => {}
            Phase::Stopping { finish, .. } => {
                let children = self.check.is_some() || self.upgrade.has_child() || self.molds.has_process();
                if self.crew.workers.is_empty() && self.pending.is_empty() && !children {
                    let finish = finish.clone();
                    self.phase = Phase::Ended;
                    self.answer_stop();
                    self.act(Action::Exit(finish));
                }
                return;
            }
            Phase::Ended => return,
        }
        self.advance_start(now);
        self.advance_reload(now);
        self.finish_upgrade(now);
        self.begin_upgrade(now);
        if !self.is_changing() {
            self.scale_deferred(now);
            if self.again && self.has_served() {
                self.again = false;
                self.load_config();
            }
        }
        self.recycle(now);
        self.fill_slots(now);
        if self.start == Start::Serving && self.seats.keys().all(|slot| self.crew.serves(*slot)) {
            self.start = Start::Announced;
            self.say(Note::AllReady { workers: self.seats.len(), generation: self.generation });
        }
        self.settle_scale(now);
        self.tell_vacancies();
    }
}

/// No generation has this number.
pub(super) const UNWANTED: Generation = Generation(0);

const PROCESSES_PER_SLOT: usize = 2;

/// Time for a worker that leaves at once.
pub(super) const LEAVING: Duration = Duration::from_secs(2);

/// Time after which a killed process is reported as still there.
pub(super) const DYING: Duration = Duration::from_secs(10);
