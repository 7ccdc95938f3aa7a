//! The check command of a generation: run before anything of that generation is forked.

use super::life::DYING;
use super::supervisor::{Phase, Supervisor};
use super::trouble::Blame;
use crate::contract::exit::ExitReason;
use crate::contract::slot::Generation;
use crate::master::event::{Action, Finish};
use std::time::{Duration, Instant};

/// Where a generation is with its check command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trial {
    /// To be run, for so long at most.
    Due(Duration),
    /// It runs.
    Running,
    /// It has succeeded, or there is none.
    Passed,
}

impl Trial {
    /// What a configuration asks for.
    pub(super) fn new(limit: Option<Duration>) -> Self {
        limit.map_or(Self::Passed, Self::Due)
    }
}

/// A check command that runs, until it is reaped.
#[derive(Debug, Clone)]
pub(super) struct Check {
    generation: Generation,
    pub(super) deadline: Instant,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Awaited,
    /// Killed: its time was over.
    Overdue,
    /// Killed: nobody wants to know any more.
    Unwanted,
}

impl Supervisor {
    /// Whether the first generation may be forked.
    pub(super) fn is_checked(&self) -> bool {
        self.trial == Trial::Passed
    }

    /// Runs what is to be run before the first start.
    pub(super) fn advance_start(&mut self, now: Instant) {
        self.trial = self.advance_trial(now, self.trial, self.generation);
    }

    /// Begins a check that is due, unless an unwanted one still dies.
    pub(super) fn advance_trial(&mut self, now: Instant, trial: Trial, generation: Generation) -> Trial {
        match trial {
            Trial::Due(limit) if self.check.is_none() => {
                self.check = Some(Check { generation, deadline: now + limit, fate: Fate::Awaited });
                self.act(Action::Check { generation });
                Trial::Running
            }
            Trial::Due(_) | Trial::Running | Trial::Passed => trial,
        }
    }

    /// The check command has ended, and this is its outcome.
    pub(super) fn checked(&mut self, now: Instant, generation: Generation, outcome: Result<(), String>) {
        let Some(check) = self.check.take_if(|check| check.generation == generation) else { return };
        let failure = match (check.fate, outcome) {
            (Fate::Unwanted, _) => return,
            (Fate::Awaited, Ok(())) => return self.pass(generation),
            (Fate::Awaited, Err(text)) => text,
            (Fate::Overdue, Ok(())) => OVERDUE.to_owned(),
            (Fate::Overdue, Err(text)) => format!("{OVERDUE}\n{text}"),
        };
        if self.phase != Phase::Serving {
            return;
        }
        if self.is_checked() {
            self.fail_reload(now, failure, Blame::Code);
        } else {
            self.stop_start(now, Finish::StartFailed { reason: ExitReason::BootFailed, text: failure });
        }
    }

    /// Ends a check that takes too long.
    pub(super) fn end_overdue_check(&mut self, now: Instant) {
        let Some(check) = self.check.as_mut().filter(|check| check.deadline <= now) else { return };
        if check.fate == Fate::Awaited {
            check.fate = Fate::Overdue;
        }
        check.deadline = now + DYING;
        self.act(Action::EndCheck);
    }

    /// Ends a check whose outcome changes nothing any more.
    pub(super) fn cancel_check(&mut self, now: Instant) {
        if let Some(check) = self.check.as_mut().filter(|check| check.fate != Fate::Unwanted) {
            check.fate = Fate::Unwanted;
            check.deadline = now + DYING;
            self.act(Action::EndCheck);
        }
    }

    fn pass(&mut self, generation: Generation) {
        if let Some(reload) = self.reload.as_mut().filter(|reload| reload.generation == generation) {
            reload.trial = Trial::Passed;
        } else if generation == self.generation {
            self.trial = Trial::Passed;
        }
    }
}

const OVERDUE: &str = "the check command was not done in time (timeouts.check)";
