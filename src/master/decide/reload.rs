//! A reload: new workers wave by wave, each proven before those it replaces are told to leave.

use super::canary::Trying;
use super::check::Trial;
use super::crew::{Life, Seat};
use super::respawn::Respawn;
use super::supervisor::{Supervisor, UNWANTED};
use super::trouble::{Blame, Delayed, Extent};
use crate::contract::control::{Ticket, Verdict};
use crate::contract::exit::ExitReason;
use crate::contract::slot::{Generation, Slot};
use crate::master::event::{Action, Finish, Note};
use crate::master::pool::Pool;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// A reload on its way.
#[derive(Debug, Clone)]
pub(super) struct Reload {
    /// What is being started.
    pub(super) generation: Generation,
    /// How many and how long.
    pub(super) pool: Pool,
    /// Where it is with its check command.
    pub(super) trial: Trial,
    /// Where it is with its canary.
    pub(super) trying: Trying,
    /// When it has failed, if it is not done by then.
    deadline: Instant,
    /// How long the next wave waits for those to leave who were told to.
    patience: Instant,
    /// Slots whose turn comes later.
    todo: VecDeque<Slot>,
    /// Slots that get their new worker now.
    wave: BTreeSet<Slot>,
    progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nobody has been told to leave: a failure undoes everything.
    Undoable,
    /// Somebody has.
    Replacing,
}

impl Reload {
    fn new(now: Instant, generation: Generation, pool: Pool) -> Self {
        let todo = (1..=pool.workers).map(Slot).collect();
        Self {
            generation,
            pool,
            trial: Trial::new(pool.check),
            trying: Trying::new(pool.canary),
            // A canary's time is its own.
            deadline: now + pool.reload + pool.canary.longest(),
            patience: now + pool.drain,
            todo,
            wave: BTreeSet::new(),
            progress: Progress::Undoable,
        }
    }

    /// One whose first wave is ready and has passed its check: that of the program that has just taken over.
    pub(super) fn begun(now: Instant, generation: Generation, pool: Pool, ready: BTreeSet<Slot>) -> Self {
        let mut reload = Self::new(now, generation, pool);
        reload.trial = Trial::Passed;
        reload.trying = Trying::Over;
        reload.todo.retain(|slot| !ready.contains(slot));
        reload.wave = ready;
        reload
    }

    /// Whether the reload will fill, or is filling, this slot.
    pub(super) fn claims(&self, slot: Slot) -> bool {
        // Those that wait for the verdict on a canary would wait long.
        self.wave.contains(&slot) || (self.todo.contains(&slot) && self.trying.watched().is_none())
    }

    /// Whether a worker's failure is the reload's.
    pub(super) fn is_tried(&self, slot: Slot, generation: Generation) -> bool {
        generation == self.generation && self.wave.contains(&slot)
    }

    /// When something must be done about it, if nothing else happens.
    pub(super) fn due(&self) -> Instant {
        let waits = self.wave.is_empty() && self.trial == Trial::Passed;
        let due = if waits { self.patience.min(self.deadline) } else { self.deadline };
        self.trying.due().map_or(due, |look| look.min(due))
    }

    fn next_size(&self) -> usize {
        let most = if self.trying.is_due() { 1 } else { usize::from(self.pool.surge.max(1)) };
        most.min(self.todo.len())
    }

    fn next_wave(&mut self) {
        self.wave = self.todo.drain(..self.next_size()).collect();
    }
}

impl Supervisor {
    /// One reload at a time; however many are asked for meanwhile, one more follows, which has what they all changed.
    pub(super) fn ask_reload(&mut self, ticket: Option<Ticket>, canary: Option<Duration>) {
        self.await_reload(ticket);
        self.canary_wish.add(canary);
        if self.is_changing() || !self.has_served() {
            self.again = true;
            self.say(Note::ReloadPostponed);
        } else {
            self.load_config();
        }
    }

    /// Begins a reload.
    pub(super) fn load_config(&mut self) {
        self.reload_begins();
        self.act(Action::LoadConfig);
    }

    /// The new configuration has been read, or not.
    pub(super) fn begin_reload(&mut self, now: Instant, loaded: Result<Pool, String>) {
        let wish = std::mem::take(&mut self.canary_wish);
        match loaded {
            Ok(mut pool) => {
                pool.canary = wish.apply(pool.canary);
                let pool = pool.keeping(self.seats.len());
                let generation = Generation(self.last_generation.0.saturating_add(1));
                self.last_generation = generation;
                self.molds.add(generation, pool.preload);
                self.act(Action::Adopt { generation });
                self.say(Note::ReloadStarted { generation });
                self.reload = Some(Reload::new(now, generation, pool));
            }
            Err(reason) => {
                self.answer_reload(&Verdict::Failed(reason.clone()));
                self.note_trouble(now, Extent::Undone, &reason, Blame::Circumstances);
                self.say(Note::ReloadFailed { reason, serving: self.generation });
            }
        }
    }

    /// Starts what is to be started now, and goes on to the next wave where all are ready.
    pub(super) fn advance_reload(&mut self, now: Instant) {
        let Some((generation, trial)) = self.reload.as_ref().map(|reload| (reload.generation, reload.trial))
        else {
            return;
        };
        let trial = self.advance_trial(now, trial, generation);
        if let Some(reload) = &mut self.reload {
            reload.trial = trial;
        }
        if trial != Trial::Passed {
            return;
        }
        while let Some(reload) = &self.reload {
            if reload.wave.is_empty() {
                if reload.todo.is_empty() {
                    return self.finish_reload(now);
                }
                if !self.has_room_for_wave(now, reload) {
                    return;
                }
            }
            let Some(reload) = &mut self.reload else { return };
            if reload.wave.is_empty() {
                reload.next_wave();
            }
            let (generation, wave) = (reload.generation, reload.wave.clone());
            let absent: Vec<_> =
                wave.iter().copied().filter(|slot| !self.crew.serves_as(*slot, generation)).collect();
            if !absent.is_empty() {
                reload.trying.begin_anew();
                for slot in absent {
                    self.start_in_wave(slot, generation);
                }
                return;
            }
            if !self.canary_is_over(now, generation, &wave) {
                return;
            }
            self.commit_wave(now, generation, &wave);
        }
    }

    /// Ends a reload because of a worker that did not start.
    ///
    /// Before anybody was told to leave, everything new goes; later, what is there stays, old and new.
    pub(super) fn fail_reload(&mut self, now: Instant, reason: String, blame: Blame) {
        let Some(reload) = self.reload.take() else { return };
        let tried = |slot: Slot, generation| match reload.progress {
            Progress::Undoable => generation == reload.generation,
            Progress::Replacing => reload.is_tried(slot, generation),
        };
        self.cancel_check(now);
        // Until they are answered they count as processes of their slots.
        for (_, generation) in self.pending.iter_mut().filter(|(slot, of)| tried(**slot, **of)) {
            *generation = UNWANTED;
        }
        for pid in self.crew.select(|worker| tried(worker.slot, worker.generation)) {
            self.dismiss(now, pid);
        }
        self.answer_reload(&Verdict::Failed(reason.clone()));
        match reload.progress {
            Progress::Undoable => {
                self.act(Action::Abandon { generation: reload.generation });
                self.note_trouble(now, Extent::Undone, &reason, blame);
                self.say(Note::ReloadFailed { reason, serving: self.generation });
            }
            Progress::Replacing => {
                self.generation = reload.generation;
                let count = |supervisor: &Self, new: bool| {
                    let is_new = |generation| generation == reload.generation;
                    supervisor.crew.select(|w| w.life.serves() && is_new(w.generation) == new).len()
                };
                let (old, new) = (count(self, false), count(self, true));
                self.note_trouble(now, Extent::HalfWay, &reason, blame);
                self.say(Note::ReloadStopped { reason, old, new });
            }
        }
    }

    /// A worker has not become ready: the reload fails, the start fails, or the slot tries again later.
    pub(super) fn boot_failed(
        &mut self,
        now: Instant,
        place: (Slot, Generation),
        reason: (ExitReason, String),
        blame: Blame,
    ) {
        let ((slot, generation), (reason, text)) = (place, reason);
        if self.is_tried(slot, generation) {
            return self.fail_reload(now, text, blame);
        }
        if !self.has_served() {
            return self.stop_start(now, Finish::StartFailed { reason, text });
        }
        self.answer_scale(&Verdict::Failed(text.clone()));
        self.say(Note::BootFailed { slot, generation, text });
        // One of a mold says nothing of what lies on disk.
        let is_cast = self.molds.is_ready(generation);
        if (is_cast || self.attempt_failed(now) == Delayed::Slot)
            && let Some(seat) = self.seats.get_mut(&slot)
        {
            seat.respawn.failed(now);
        }
    }

    /// Ends a reload that takes too long.
    pub(super) fn end_overdue_reload(&mut self, now: Instant) {
        if self.reload.as_ref().is_some_and(|reload| reload.deadline <= now) {
            let text = "it was not done in time (timeouts.reload)";
            self.fail_reload(now, text.into(), Blame::Circumstances);
        }
    }

    /// Whether the next wave may come: those of the one before are gone, or have had their time to leave.
    ///
    /// So a reload never takes the memory of more than `max_surge` additional workers, unless a connection outlives
    /// `timeouts.drain`.
    fn has_room_for_wave(&self, now: Instant, reload: &Reload) -> bool {
        let wanted = self.seats.len().max(usize::from(reload.pool.workers));
        let there = self.crew.workers.len() + self.pending.len();
        there + reload.next_size() <= wanted + usize::from(reload.pool.surge.max(1)) || reload.patience <= now
    }

    fn start_in_wave(&mut self, slot: Slot, generation: Generation) {
        let comes = self.crew.of(slot).any(|(_, worker)| {
            worker.generation == generation && matches!(worker.life, Life::Starting { .. })
        });
        if !comes && !self.pending.contains_key(&slot) && self.has_room(slot) {
            self.fork(slot, generation);
        }
    }

    /// The whole wave is ready: its predecessors leave.
    fn commit_wave(&mut self, now: Instant, generation: Generation, wave: &BTreeSet<Slot>) {
        if let Some(reload) = &mut self.reload {
            reload.progress = Progress::Replacing;
            reload.wave.clear();
            reload.patience = now + reload.pool.drain;
            self.pool = reload.pool;
        }
        // This code starts: nothing waits any more.
        self.trouble = None;
        for slot in wave {
            self.seats.insert(*slot, Seat { generation, respawn: Respawn::default() });
        }
        for pid in self.crew.select(|worker| wave.contains(&worker.slot) && worker.generation != generation) {
            self.dismiss(now, pid);
        }
    }

    fn finish_reload(&mut self, now: Instant) {
        let Some(reload) = self.reload.take() else { return };
        self.generation = reload.generation;
        let surplus: Vec<_> =
            self.seats.keys().copied().filter(|slot| slot.0 > reload.pool.workers).collect();
        for slot in surplus {
            self.retire_slot(now, slot);
        }
        let generation = reload.generation;
        self.act(Action::Settle { generation });
        self.answer_reload(&Verdict::Done(format!("generation {generation}")));
        self.say(Note::ReloadDone { generation });
    }
}
