//! What the service manager is told, and when: read off what the supervisor has just decided.

use super::supervisor::{Phase, Supervisor};
use crate::contract::control::{Stage, State, Unity};
use crate::contract::slot::Generation;
use crate::master::event::{Action, Finish, UpgradeStep};
use std::time::{Duration, Instant};

/// What the manager has been told, and when it is told next.
#[derive(Debug, Clone)]
pub(in crate::master) struct Notifier {
    beat: Duration,
    due: Option<Instant>,
    told: Option<Status>,
}

/// One message to the manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::master) struct Notification {
    /// How the server is now.
    pub(in crate::master) status: Status,
    /// Whether the manager has been told of this stage before.
    pub(in crate::master) stage: Novelty,
    /// How long the start or the stop may go on from now.
    pub(in crate::master) extend: Option<Duration>,
    /// Whether the watchdog is to be content.
    pub(in crate::master) pulse: Pulse,
}

/// How the server is, in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::master) struct Status {
    pub(in crate::master) stage: Stage,
    pub(in crate::master) ready: usize,
    pub(in crate::master) wanted: usize,
    pub(in crate::master) generation: Generation,
    /// What the last reload has left: "degraded: ", "mixed: ", or nothing.
    pub(in crate::master) condition: &'static str,
    /// Something that went wrong and that the operator should know of.
    pub(in crate::master) failure: Option<String>,
}

/// Whether something is said for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::master) enum Novelty {
    New,
    Known,
}

/// Whether somebody serves or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::master) enum Pulse {
    Alive,
    Dead,
}

impl Notifier {
    /// A notifier that speaks at least so often that a watchdog of this length never fires for nothing.
    pub(in crate::master) fn new(watchdog: Option<Duration>) -> Self {
        // sd_watchdog_enabled(3): half of the time is recommended.
        let beat = watchdog.map_or(FRESHNESS, |limit| (limit / 2).min(FRESHNESS));
        Self { beat, due: None, told: None }
    }

    /// When it speaks even if nothing changes.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl Supervisor {
    /// The same with a service manager that wants to be told.
    pub(in crate::master) fn with_notifier(mut self, notifier: Option<Notifier>) -> Self {
        self.notifier = notifier;
        self
    }

    /// Tells the manager what has changed, and now and then that nothing has.
    pub(super) fn tell_manager(&mut self, now: Instant) {
        // At the end everything has been told.
        let Some(mut notifier) = self.notifier.take().filter(|_| self.phase != Phase::Ended) else { return };
        let status = self.status();
        let is_new_stage = notifier.told.as_ref().is_none_or(|told| told.stage != status.stage);
        let stage = if is_new_stage { Novelty::New } else { Novelty::Known };
        let extend = self.extension(status.stage, stage);
        let is_due = notifier.due.is_none_or(|due| due <= now);
        if is_due || extend.is_some() || notifier.told.as_ref() != Some(&status) {
            notifier.told = Some(status.clone());
            notifier.due = Some(now + notifier.beat);
            let tidings = Notification { status, stage, extend, pulse: self.pulse() };
            // Before what is done next: a reload that is asked for begins with its being announced, and has ended for the
            // manager before it has for who asked.
            let place = self.out.iter().position(|action| {
                matches!(action, Action::LoadConfig | Action::Answer { .. } | Action::Exit(_))
            });
            self.out.insert(place.unwrap_or(self.out.len()), Action::Tell(tidings));
        }
        self.notifier = Some(notifier);
    }

    /// Lets the admin process know what has changed.
    pub(super) fn publish(&mut self) {
        let Status { stage, ready, wanted, generation, failure, .. } = self.status();
        let small = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        let unity = if self.is_mixed() { Unity::Mixed } else { Unity::One };
        let (ready, wanted) = (small(ready), small(wanted));
        let mold = self.molds.state(generation);
        let state = State { stage, generation, ready, wanted, unity, mold, trouble: failure };
        if self.published.as_ref() != Some(&state) {
            self.published = Some(state.clone());
            let end = self.out.iter().position(|action| matches!(action, Action::Exit(_)));
            self.out.insert(end.unwrap_or(self.out.len()), Action::Publish(state));
        }
    }

    fn status(&self) -> Status {
        let stage = match &self.phase {
            Phase::LameDuck { .. } | Phase::Stopping { .. } | Phase::Ended => Stage::Stopping,
            Phase::Serving if !self.is_announced() => Stage::Starting,
            Phase::Serving if self.is_changing() || self.out.contains(&Action::LoadConfig) => {
                Stage::Reloading
            }
            Phase::Serving => Stage::Serving,
        };
        let failure = match &self.phase {
            Phase::Stopping { finish: Finish::StartFailed { text, .. }, .. } => {
                Some(format!("start failed: {}", brief(text)))
            }
            Phase::Stopping { finish: Finish::Ended, .. }
            | Phase::Serving
            | Phase::LameDuck { .. }
            | Phase::Ended => self.trouble_text().as_deref().map(brief),
        };
        let ready = self.crew.select(|worker| worker.life.serves()).len();
        let (generation, condition) = (self.generation, self.condition());
        Status { stage, ready, wanted: self.seats.len(), generation, condition, failure }
    }

    /// The manager's own limits for a start and a stop must not be shorter than those of the configuration, at whose end
    /// the supervisor itself kills what is overdue.
    fn extension(&self, stage: Stage, novelty: Novelty) -> Option<Duration> {
        let time = match stage {
            Stage::Starting | Stage::Reloading
                if self.does(|action| matches!(action, Action::Check { .. })) =>
            {
                self.reload.as_ref().map_or(self.pool, |reload| reload.pool).check?
            }
            Stage::Starting | Stage::Reloading
                if self.does(|action| {
                    matches!(
                        action,
                        Action::Fork { .. }
                            | Action::Cast { .. }
                            | Action::MakeMold { .. }
                            | Action::Upgrade(UpgradeStep::Prove { .. })
                    )
                }) =>
            {
                self.pool.boot
            }
            Stage::Reloading if self.does(|action| matches!(action, Action::Compare { .. })) => {
                // Until it is looked at again, and to the end of what follows.
                self.pool.boot
            }
            Stage::Stopping if novelty == Novelty::New => self.pool.lame_duck + self.pool.drain,
            Stage::Starting | Stage::Reloading | Stage::Stopping | Stage::Serving => return None,
        };
        Some(time + MARGIN)
    }

    fn does(&self, what: impl Fn(&Action) -> bool) -> bool {
        self.out.iter().any(what)
    }

    /// A master that runs while nobody serves or is about to is not what the watchdog should be content with.
    fn pulse(&self) -> Pulse {
        let anybody =
            self.crew.workers.values().any(|worker| worker.life.serves() || worker.life.is_starting());
        // The time for stopping has a limit of its own. Of code that does not start, a restart would load the same.
        let alive = anybody
            || !self.pending.is_empty()
            || self.check.is_some()
            || self.molds.comes()
            || self.is_degraded()
            || self.phase != Phase::Serving;
        if alive { Pulse::Alive } else { Pulse::Dead }
    }
}

/// The first and the last line, which are what happened and why, on one: a further line would be a further assignment
/// (sd_notify(3)).
fn brief(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let text = match lines.next_back() {
        Some(last) if first.ends_with(':') => format!("{first} {last}"),
        Some(last) => format!("{first}: {last}"),
        None => first.to_owned(),
    };
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(LONGEST).collect()
}

/// Without a watchdog the numbers are told this often.
const FRESHNESS: Duration = Duration::from_secs(10);

/// For what the supervisor does once a limit has passed: kill and reap.
const MARGIN: Duration = Duration::from_secs(10);

/// Characters of a reason; `systemctl status` shows it on one line.
const LONGEST: usize = 300;
