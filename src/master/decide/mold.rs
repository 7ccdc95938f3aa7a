//! Molds: for each generation that preloads a process that has loaded the apps and forks the generation's workers.
//!
//! A mold stays as long as a seat is of its generation, and is made anew when it dies before. As it holds the code that it
//! has loaded, workers can be replaced whatever lies on disk by then.

use super::life::{DYING, LEAVING};
use super::respawn::Respawn;
use super::supervisor::{Supervisor, UNWANTED};
use super::trouble::Blame;
use crate::contract::control::{MoldState, Verdict};
use crate::contract::exit::{self, ExitReason, Progress};
use crate::contract::slot::{Generation, Slot};
use crate::master::event::{Action, Finish, MoldNews, MoldNote, Note};
use crate::sys::wait::WaitOutcome;
use std::collections::BTreeMap;
use std::time::Instant;

/// Whether the workers of a configuration are forked by a mold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::master) enum Preload {
    /// They load the apps themselves.
    No,
    /// They are.
    Yes,
}

/// The molds of the generations that preload.
#[derive(Debug, Clone, Default)]
pub(super) struct Molds {
    all: BTreeMap<Generation, Mold>,
}

#[derive(Debug, Clone)]
struct Mold {
    life: MoldLife,
    /// Whether the generation has had one that was ready. The first is made when a worker is to be forked, and no sooner:
    /// what comes before that, such as the check command, comes before the apps are loaded.
    was_ready: bool,
    /// When the next one may be made.
    respawn: Respawn,
    /// Until when the workers that it was told to fork have to be there.
    casts: BTreeMap<Slot, Instant>,
}

/// Where a mold is in its life. Each state that waits for a process holds its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MoldLife {
    /// There is none, and nobody needs it.
    Absent,
    /// There is none, and somebody needs it.
    Wanted,
    /// It has been asked for; the answer comes before anything else.
    Asked,
    /// It loads the apps.
    Loading { deadline: Instant },
    /// It forks workers on order.
    Ready { since: Instant },
    /// It has failed, or SIGKILL is on its way.
    Leaving { deadline: Instant },
}

impl MoldLife {
    fn has_process(self) -> bool {
        match self {
            Self::Absent | Self::Wanted => false,
            Self::Asked | Self::Loading { .. } | Self::Ready { .. } | Self::Leaving { .. } => true,
        }
    }

    fn comes(self) -> bool {
        match self {
            Self::Wanted | Self::Asked | Self::Loading { .. } => true,
            Self::Absent | Self::Ready { .. } | Self::Leaving { .. } => false,
        }
    }
}

impl Molds {
    /// Notes whether a generation preloads; nothing is started yet.
    pub(super) fn add(&mut self, generation: Generation, preload: Preload) {
        if preload == Preload::Yes {
            let (life, casts) = (MoldLife::Absent, BTreeMap::new());
            let mold = Mold { life, was_ready: false, respawn: Respawn::default(), casts };
            self.all.insert(generation, mold);
        }
    }

    /// Whether workers of this generation can be had without reading what lies on disk.
    pub(super) fn is_ready(&self, generation: Generation) -> bool {
        self.all.get(&generation).is_some_and(|mold| matches!(mold.life, MoldLife::Ready { .. }))
    }

    /// Whether the generation preloads: then its workers say nothing of what lies on disk.
    pub(super) fn covers(&self, generation: Generation) -> bool {
        self.all.contains_key(&generation)
    }

    /// Whether workers of this generation have to wait for its mold, one that comes or one that has to go first.
    pub(super) fn delays(&self, generation: Generation) -> bool {
        self.all
            .get(&generation)
            .is_some_and(|mold| mold.life.comes() || matches!(mold.life, MoldLife::Leaving { .. }))
    }

    /// Whether any is on its way.
    pub(super) fn comes(&self) -> bool {
        self.all.values().any(|mold| mold.life.comes())
    }

    /// Whether there is any process.
    pub(super) fn has_process(&self) -> bool {
        self.all.values().any(|mold| mold.life.has_process())
    }

    /// When something must be done about one, if nothing else happens.
    pub(super) fn due(&self) -> Option<Instant> {
        let own = |mold: &Mold| match mold.life {
            MoldLife::Wanted => mold.respawn.due(),
            MoldLife::Loading { deadline } | MoldLife::Leaving { deadline } => Some(deadline),
            MoldLife::Absent | MoldLife::Asked | MoldLife::Ready { .. } => None,
        };
        let casts = self.all.values().flat_map(|mold| mold.casts.values().copied());
        self.all.values().filter_map(own).chain(casts).min()
    }

    /// For those who watch; `None` where the generation does not preload.
    pub(super) fn state(&self, generation: Generation) -> Option<MoldState> {
        self.all.get(&generation).map(|mold| match mold.life {
            MoldLife::Absent | MoldLife::Wanted | MoldLife::Leaving { .. } => MoldState::Gone,
            MoldLife::Asked | MoldLife::Loading { .. } => MoldState::Loading,
            MoldLife::Ready { .. } => MoldState::Ready,
        })
    }

    pub(super) fn life(&self, generation: Generation) -> Option<MoldLife> {
        self.all.get(&generation).map(|mold| mold.life)
    }

    pub(super) fn set(&mut self, generation: Generation, life: MoldLife) {
        if let Some(mold) = self.all.get_mut(&generation) {
            mold.life = life;
        }
    }

    fn select(&self, wanted: impl Fn(&Mold) -> bool) -> Vec<Generation> {
        self.all.iter().filter(|(_, mold)| wanted(mold)).map(|(generation, _)| *generation).collect()
    }
}

impl Supervisor {
    /// Something has become of a mold.
    pub(super) fn mold_news(&mut self, now: Instant, generation: Generation, news: MoldNews) {
        match (news, self.molds.life(generation)) {
            (MoldNews::Forked, Some(MoldLife::Asked)) => {
                let deadline = now + self.pool_of(generation).boot;
                self.molds.set(generation, MoldLife::Loading { deadline });
            }
            (MoldNews::NotForked(text), Some(MoldLife::Asked)) => {
                self.molds.set(generation, MoldLife::Absent);
                self.mold_failed(now, generation, (ExitReason::BootFailed, text), Blame::Circumstances);
            }
            (MoldNews::Loaded, Some(MoldLife::Loading { .. })) => {
                self.molds.set(generation, MoldLife::Ready { since: now });
                self.molds.all.entry(generation).and_modify(|mold| mold.was_ready = true);
                self.say(Note::Mold { generation, note: MoldNote::Ready });
                if !self.is_reloaded(generation) {
                    self.code_has_started();
                }
            }
            (MoldNews::Failed { reason, text }, Some(MoldLife::Loading { .. })) => {
                self.molds.set(generation, MoldLife::Leaving { deadline: now + LEAVING });
                let text = if text.is_empty() { reason.to_string() } else { text };
                self.mold_failed(now, generation, (reason, text), Blame::Code);
            }
            (MoldNews::Ended(outcome), Some(life)) => self.mold_ended(now, generation, life, &outcome),
            (
                MoldNews::Forked
                | MoldNews::NotForked(_)
                | MoldNews::Loaded
                | MoldNews::Failed { .. }
                | MoldNews::Ended(_),
                _,
            ) => {}
        }
    }

    fn mold_ended(&mut self, now: Instant, generation: Generation, life: MoldLife, outcome: &WaitOutcome) {
        self.molds.set(generation, MoldLife::Absent);
        match life {
            MoldLife::Loading { .. } => {
                let how = exit::cause(outcome, Progress::Starting).text;
                let reason = match outcome {
                    WaitOutcome::Exited(status) => ExitReason::from_status(*status),
                    WaitOutcome::Signalled { .. } | WaitOutcome::OutOfMemory => None,
                };
                let text = format!("the mold ended before it had loaded the apps: {how}");
                let reason = reason.unwrap_or(ExitReason::BootFailed);
                self.mold_failed(now, generation, (reason, text), Blame::Code);
            }
            MoldLife::Ready { since } => {
                if let Some(mold) = self.molds.all.get_mut(&generation) {
                    mold.respawn.crashed(now, now.saturating_duration_since(since));
                }
                let how = exit::cause(outcome, Progress::Serving).text;
                self.say(Note::Mold { generation, note: MoldNote::Ended(how) });
            }
            // What is to be said of these has been said.
            MoldLife::Leaving { .. } | MoldLife::Absent | MoldLife::Wanted | MoldLife::Asked => {}
        }
    }

    /// A mold has not come to be: the reload fails, the start fails, or another try follows.
    fn mold_failed(
        &mut self,
        now: Instant,
        generation: Generation,
        (reason, text): (ExitReason, String),
        blame: Blame,
    ) {
        if self.is_reloaded(generation) {
            return self.fail_reload(now, text, blame);
        }
        if !self.has_served() {
            return self.stop_start(now, Finish::StartFailed { reason, text });
        }
        self.answer_scale(&Verdict::Failed(text.clone()));
        self.say(Note::Mold { generation, note: MoldNote::Failed(text) });
        self.attempt_failed(now);
        if let Some(mold) = self.molds.all.get_mut(&generation) {
            mold.respawn.failed(now);
        }
    }

    /// Ends what takes too long: a mold that loads, one that does not fork, one that does not die.
    pub(super) fn end_overdue_molds(&mut self, now: Instant) {
        for generation in self.molds.all.keys().copied().collect::<Vec<_>>() {
            match self.molds.life(generation) {
                Some(MoldLife::Loading { deadline }) if deadline <= now => {
                    self.break_mold(now, generation);
                    let text = "the apps were not loaded in time (timeouts.boot)".to_owned();
                    self.mold_failed(now, generation, (ExitReason::BootFailed, text), Blame::Code);
                }
                Some(MoldLife::Leaving { deadline }) if deadline <= now => self.break_mold(now, generation),
                Some(
                    MoldLife::Loading { .. }
                    | MoldLife::Leaving { .. }
                    | MoldLife::Absent
                    | MoldLife::Wanted
                    | MoldLife::Asked
                    | MoldLife::Ready { .. },
                )
                | None => {}
            }
            self.end_overdue_casts(now, generation);
        }
    }

    fn end_overdue_casts(&mut self, now: Instant, generation: Generation) {
        let Some(mold) = self.molds.all.get(&generation) else { return };
        let overdue: Vec<_> =
            mold.casts.iter().filter(|(_, deadline)| **deadline <= now).map(|(slot, _)| *slot).collect();
        if overdue.is_empty() {
            return;
        }
        if matches!(mold.life, MoldLife::Ready { .. }) {
            self.say(Note::Mold { generation, note: MoldNote::Stuck });
            self.break_mold(now, generation);
        }
        for slot in overdue {
            let text = "the mold did not fork a worker in time (timeouts.boot)".to_owned();
            self.fork_failed(now, slot, generation, text);
        }
        self.time_casts(now);
    }

    /// Makes the molds that are needed, and has those leave that are not.
    pub(super) fn tend_molds(&mut self, now: Instant) {
        let came = self.molds.comes();
        let may_revive = !self.doubts_code();
        for generation in self.molds.select(|_| true) {
            let is_needed = self.needs_mold(generation);
            let Some(mold) = self.molds.all.get_mut(&generation) else { continue };
            if is_needed && mold.life == MoldLife::Absent && mold.was_ready && may_revive {
                // Also before a worker asks for it, who would have to wait: loading takes its time.
                mold.life = MoldLife::Wanted;
            }
            let (life, is_due) = (mold.life, mold.respawn.is_due(now));
            match (life, is_needed) {
                (MoldLife::Wanted, true) if is_due => {
                    self.molds.set(generation, MoldLife::Asked);
                    self.act(Action::MakeMold { generation });
                }
                (MoldLife::Absent | MoldLife::Wanted, false) if mold.casts.is_empty() => {
                    self.molds.all.remove(&generation);
                }
                (MoldLife::Wanted, false) => self.molds.set(generation, MoldLife::Absent),
                (MoldLife::Loading { .. } | MoldLife::Ready { .. }, false) => {
                    self.break_mold(now, generation);
                }
                (
                    MoldLife::Wanted | MoldLife::Absent | MoldLife::Loading { .. } | MoldLife::Ready { .. },
                    true,
                )
                | (MoldLife::Absent, false)
                | (MoldLife::Asked | MoldLife::Leaving { .. }, _) => {}
            }
        }
        if came && !self.molds.comes() {
            // Slots that are tried one at a time have waited for it.
            self.fill_slots(now);
        }
        self.time_casts(now);
    }

    /// Gives each worker that a mold was told to fork its time, and forgets those that are there.
    fn time_casts(&mut self, now: Instant) {
        for generation in self.molds.select(|_| true) {
            let boot = self.pool_of(generation).boot;
            let Some(mold) = self.molds.all.get_mut(&generation) else { continue };
            let pending = |slot: &Slot| self.pending.get(slot).copied();
            // It comes all the same where nobody wants it any more.
            mold.casts
                .retain(|slot, _| matches!(pending(slot), Some(of) if of == generation || of == UNWANTED));
            for slot in self.pending.keys().filter(|slot| pending(slot) == Some(generation)) {
                mold.casts.entry(*slot).or_insert(now + boot);
            }
        }
    }

    fn break_mold(&mut self, now: Instant, generation: Generation) {
        self.molds.set(generation, MoldLife::Leaving { deadline: now + DYING });
        self.act(Action::BreakMold { generation });
    }

    fn needs_mold(&self, generation: Generation) -> bool {
        let is_seated = || self.seats.values().any(|seat| seat.generation == generation);
        self.keeps_pool() && (generation == self.generation || self.is_reloaded(generation) || is_seated())
    }

    /// Whether the reload on its way is to this generation.
    fn is_reloaded(&self, generation: Generation) -> bool {
        self.reload.as_ref().is_some_and(|reload| reload.generation == generation)
    }
}
