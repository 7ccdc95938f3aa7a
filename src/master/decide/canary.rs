//! The canary of a reload: its first worker, which serves beside the old ones until it is known to do as well.
//!
//! Nothing else is touched meanwhile. It is judged when its time is over and it has given enough answers; where it gets
//! few, it is given more time, and is then judged by those that there are. What is clearly worse is refused before.

use super::crew::Worker;
use super::judgement::{self, Certainty};
use super::reload::Reload;
use super::supervisor::Supervisor;
use super::trouble::Blame;
use crate::config::Canary;
use crate::contract::slot::{Generation, Slot};
use crate::contract::tally::Tally;
use crate::master::event::{Action, CanaryNote, Note};
use crate::sys::process::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Where a reload is with its canary.
#[derive(Debug, Clone)]
pub(super) enum Trying {
    /// The first worker is to be one.
    Due(Canary),
    /// It serves.
    Watched(Watch),
    /// It has served, or there is none.
    Over,
}

/// A canary that serves.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    plan: Canary,
    pid: Pid,
    /// When its time is over.
    until: Instant,
    /// The same if it gets few requests.
    last: Instant,
    /// When it is looked at next.
    look: Instant,
    /// What everybody had counted before.
    before: Option<BTreeMap<Pid, Tally>>,
}

/// What is asked of the next reload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CanaryWish {
    /// Somebody wants what the configuration says.
    usual: bool,
    /// Somebody wants so long.
    time: Option<Duration>,
}

impl CanaryWish {
    /// One more wants it.
    pub(super) fn add(&mut self, time: Option<Duration>) {
        match time {
            None => self.usual = true,
            Some(time) => self.time = Some(self.time.map_or(time, |other| other.max(time))),
        }
    }

    /// What the configuration's canary becomes: of several wishes the most careful.
    pub(super) fn apply(self, plan: Canary) -> Canary {
        let time = match self.time {
            Some(time) if self.usual => time.max(plan.time),
            Some(time) => time,
            None => plan.time,
        };
        Canary { time, ..plan }
    }

    /// The time asked for.
    pub(super) fn time(self) -> Option<Duration> {
        self.time
    }
}

impl Trying {
    pub(super) fn new(plan: Canary) -> Self {
        if plan.time.is_zero() { Self::Over } else { Self::Due(plan) }
    }

    /// Whether the wave that comes is the canary alone.
    pub(super) fn is_due(&self) -> bool {
        matches!(self, Self::Due(_))
    }

    /// A canary that leaves is followed by another, which is watched as if it were the first.
    pub(super) fn begin_anew(&mut self) {
        if let Self::Watched(watch) = self {
            *self = Self::Due(watch.plan);
        }
    }

    /// The canary that serves.
    pub(super) fn watched(&self) -> Option<Pid> {
        match self {
            Self::Watched(watch) => Some(watch.pid),
            Self::Due(_) | Self::Over => None,
        }
    }

    /// When it is looked at.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Watched(watch) => Some(watch.look),
            Self::Due(_) | Self::Over => None,
        }
    }
}

impl Watch {
    fn new(now: Instant, plan: Canary, pid: Pid) -> Self {
        let (until, last) = (now + plan.time, now + plan.longest());
        Self { plan, pid, until, last, look: now, before: None }
    }

    /// Time between two looks.
    fn pause(&self) -> Duration {
        (self.plan.time / LOOKS).clamp(SHORTEST, LONGEST)
    }
}

/// What comes of a look at a canary.
enum Verdict {
    Open,
    Passed(CanaryNote),
    Refused(String),
}

impl Supervisor {
    /// The canary that is being tried.
    pub(super) fn canary(&self) -> Option<Pid> {
        self.reload.as_ref().and_then(|reload| reload.trying.watched())
    }

    /// Whether the first wave, which is ready, may take the place of the old workers; its worker is watched until then.
    pub(super) fn canary_is_over(
        &mut self,
        now: Instant,
        generation: Generation,
        wave: &BTreeSet<Slot>,
    ) -> bool {
        let is_there = |worker: &Worker| worker.generation == generation && wave.contains(&worker.slot);
        let pid = self.crew.select(|worker| worker.life.serves() && is_there(worker)).first().copied();
        let anybody =
            !self.crew.select(|worker| worker.life.serves() && worker.generation != generation).is_empty();
        let Some(reload) = &mut self.reload else { return false };
        match (&mut reload.trying, pid) {
            (Trying::Over, _) => return true,
            (Trying::Due(plan), Some(pid)) if anybody => {
                let (time, watch) = (plan.time, Watch::new(now, *plan, pid));
                reload.trying = Trying::Watched(watch);
                if let Some(who) = self.crew.who(pid) {
                    self.say(Note::Canary(CanaryNote::Begun { who, time }));
                }
            }
            // There is nobody to compare it with, and nothing better to serve with.
            (Trying::Due(_) | Trying::Watched(_), _) if !anybody => {
                reload.trying = Trying::Over;
                self.say(Note::Canary(CanaryNote::Alone));
                return true;
            }
            (Trying::Due(_) | Trying::Watched(_), _) => {}
        }
        self.look_at_canary(now);
        false
    }

    fn look_at_canary(&mut self, now: Instant) {
        let Some(Reload { trying: Trying::Watched(watch), .. }) = &mut self.reload else { return };
        if watch.look <= now {
            watch.look = now + watch.pause();
            let canary = watch.pid;
            self.compares = true;
            self.act(Action::Compare { canary });
        }
    }

    /// Lets the workers know when no canary is tried any more.
    pub(super) fn end_comparison(&mut self) {
        if self.compares && self.canary().is_none() {
            self.compares = false;
            self.act(Action::EndComparison);
        }
    }

    /// The answer to `Compare`.
    pub(super) fn compared(&mut self, now: Instant, tallies: BTreeMap<Pid, Tally>) {
        let Some(Reload { trying: Trying::Watched(watch), generation, .. }) = &mut self.reload else {
            return;
        };
        let Some(before) = &watch.before else {
            watch.before = Some(tallies);
            return;
        };
        let since = |pid: &Pid| {
            let now = tallies.get(pid).copied().unwrap_or_default();
            now.since(before.get(pid).copied().unwrap_or_default())
        };
        let is_old = |worker: &Worker| worker.life.serves() && worker.generation != *generation;
        let old = self.crew.select(is_old).iter().map(since).fold(Tally::default(), Tally::plus);
        match verdict(now, watch, since(&watch.pid), old) {
            Verdict::Open => {}
            Verdict::Passed(note) => {
                if let Some(reload) = &mut self.reload {
                    reload.trying = Trying::Over;
                }
                self.say(Note::Canary(note));
            }
            Verdict::Refused(reason) => self.fail_reload(now, reason, Blame::Canary),
        }
    }
}

fn verdict(now: Instant, watch: &Watch, canary: Tally, old: Tally) -> Verdict {
    let is_enough = canary.answers >= watch.plan.requests;
    let is_over = now >= watch.last || (now >= watch.until && is_enough);
    let certainty = if is_over { Certainty::Usual } else { Certainty::High };
    let fault = || judgement::fault(canary, old, &watch.plan, certainty);
    if !is_over && !is_enough {
        return Verdict::Open;
    }
    match (fault(), is_over) {
        (Some(reason), _) => Verdict::Refused(reason),
        (None, false) => Verdict::Open,
        (None, true) => {
            let text = judgement::describe(canary, old);
            Verdict::Passed(if is_enough { CanaryNote::Passed(text) } else { CanaryNote::Unproven(text) })
        }
    }
}

/// Looks within its time.
const LOOKS: u32 = 10;

/// Between two looks, however short or long that is.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);
