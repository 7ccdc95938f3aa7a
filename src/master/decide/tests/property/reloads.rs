//! What must hold while a reload goes on, and after one that has failed.

use super::{Model, World};
use crate::contract::message::Order;
use crate::contract::tally::Tally;
use crate::master::event::{Action, Event, Note};
use crate::sys::process::Pid;
use std::collections::BTreeSet;

impl World {
    /// In the step in which a reload fails without having replaced anybody, no worker of before is touched.
    pub(super) fn check_failed_reload(&self, actions: &[Action], serving_before: &BTreeSet<Pid>) {
        let failed = actions.iter().find_map(|action| {
            if let Action::Say(Note::ReloadFailed { serving, .. }) = action { Some(*serving) } else { None }
        });
        let Some(kept) = failed else { return };
        // A SIGTTOU that waited for the end of the reload takes a worker in the same step.
        if actions.iter().any(|action| matches!(action, Action::Say(Note::Scaled { .. }))) {
            return;
        }
        for action in actions {
            if let Action::Send { pid, order: Order::Drain(_) | Order::Stop } | Action::Kill { pid } = action
            {
                let is_new = self.processes.get(pid).is_some_and(|(_, generation, _)| *generation > kept);
                assert!(is_new || !serving_before.contains(pid), "a failed reload touches the new ones only");
            }
        }
    }

    /// A configuration, a bad one, or the finding that another program is there.
    pub(super) fn load_config(&mut self) -> Event {
        match self.below(8) {
            0 | 1 => Event::ConfigLoaded(Err("bad".into())),
            2 => Event::ProgramChanged,
            _ => Event::ConfigLoaded(Ok(self.any_pool())),
        }
    }

    /// A canary that gives so many answers, of which few or many are errors; the others give none.
    pub(super) fn compare(&mut self, canary: Pid) -> Event {
        assert!(self.processes.contains_key(&canary), "a canary that is there");
        let errors = if self.below(8) == 0 { 50 } else { 0 };
        let answers = if self.below(2) == 0 { 1000 } else { 10 };
        self.answers = self.answers.wrapping_add(answers);
        let tally = Tally { answers: self.answers, errors, ..Tally::default() };
        Event::Compared([(canary, tally)].into())
    }

    /// With code that is known not to start, nobody is replaced who serves, and one attempt is made at a time.
    pub(super) fn check_forks(&self, actions: &[Action]) {
        if !self.supervisor.is_degraded() || self.supervisor.reload.is_some() {
            return;
        }
        let forks: Vec<_> = actions
            .iter()
            .filter_map(|action| if let Action::Fork { slot, .. } = action { Some(*slot) } else { None })
            .collect();
        let starting = self.supervisor.crew.select(|worker| worker.life.is_starting()).len();
        assert!(forks.is_empty() || (forks.len() == 1 && starting == 0), "attempts: {forks:?}");
        let leaves = |pid: &Pid| {
            actions
                .iter()
                .any(|action| matches!(action, Action::Send { pid: to, order: Order::Drain(_) } if to == pid))
        };
        let serves = |slot| {
            let mut all = self.processes.iter();
            all.any(|(pid, (of, _, model))| *of == slot && *model == Model::Serving && !leaves(pid))
        };
        assert!(!forks.into_iter().any(serves), "replaced although its successor will not start");
    }

    pub(super) fn note_reload(&mut self, actions: &[Action], serving: usize) {
        for action in actions {
            let Action::Say(note) = action else { continue };
            if let Note::Recycled { who, .. } = note {
                self.retiring.insert(who.pid);
            }
            if matches!(note, Note::ReloadStarted { .. }) {
                self.floor = Some(serving);
            }
            if matches!(
                note,
                Note::ReloadDone { .. } | Note::ReloadFailed { .. } | Note::ReloadStopped { .. }
            ) {
                self.floor = None;
            }
        }
    }
}
