//! Keeps the pool alive: pure decisions, so that every signal and race can be tested in virtual time.
//!
//! [`Supervisor::step`] takes what has happened and gives what to do. It reads no clock and calls no system.

use super::admin::Admin;
use super::canary::CanaryWish;
use super::check::{Check, Trial};
use super::crew::{Crew, Seat};
use super::mold::Molds;
use super::notify::Notifier;
use super::recycle::Recycling;
use super::reload::Reload;
use super::respawn::Respawn;
use super::scale::Deferred;
pub(super) use super::stop::Phase;
use super::tickets::Tickets;
use super::trouble::Trouble;
use super::upgrade::Upgrade;
use crate::contract::control::{Pace, State};
use crate::contract::slot::{Generation, Slot};
use crate::master::event::{Action, Event, Note};
use crate::master::pool::Pool;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// The pool: which slots are in service, which workers there are, and what is under way.
#[derive(Debug, Clone)]
pub(in crate::master) struct Supervisor {
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
    /// `None` where there is to be no admin process.
    pub(super) admin: Option<Admin>,
    /// `None` where no service manager asks.
    pub(super) notifier: Option<Notifier>,
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
    pub(in crate::master) fn new(pool: Pool, slots_max: u16) -> Self {
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
            admin: None,
            notifier: None,
            published: None,
            out: Vec::new(),
        }
    }

    /// Takes one event; gives what to do, in this order.
    pub(in crate::master) fn step(&mut self, now: Instant, event: Event) -> Vec<Action> {
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
        self.tend_admin(now);
        self.tell_manager(now);
        self.publish();
        self.look(now);
        self.adapt(now);
        self.replace_program(now);
        std::mem::take(&mut self.out)
    }

    /// When [`Event::Tick`] is due, if nothing else happens.
    pub(in crate::master) fn deadline(&self) -> Option<Instant> {
        let lives = self.crew.workers.values().filter_map(|worker| worker.life.deadline());
        let others = [
            self.next_filling(),
            self.check.as_ref().map(|check| check.deadline),
            self.molds.due(),
            self.reload.as_ref().map(Reload::due),
            self.upgrade.due(),
            self.notifier.as_ref().and_then(Notifier::due),
            self.stop_due(),
            self.tickets_due(),
            self.admin_due(),
            self.recycling_due(),
            self.heartbeat_due(),
            self.adaption_due(),
        ];
        lives.chain(others.into_iter().flatten()).min()
    }

    /// Whether a generation may still be asked for.
    pub(in crate::master) fn uses(&self, generation: Generation) -> bool {
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

    pub(super) fn act(&mut self, action: Action) {
        self.out.push(action);
    }

    pub(super) fn say(&mut self, note: Note) {
        self.out.push(Action::Say(note));
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
