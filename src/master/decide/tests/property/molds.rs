//! What stands for molds: they load, or not; they fork, late or never; they die.

use super::{KILLED, Model, World};
use crate::contract::exit::ExitReason;
use crate::contract::slot::{Generation, Slot};
use crate::master::event::{Action, Event, MoldNews};
use crate::sys::process::Pid;
use std::collections::{BTreeMap, BTreeSet};

/// The molds of a world.
#[derive(Default)]
pub(in crate::master::decide::tests) struct Molds {
    processes: BTreeMap<Generation, Model>,
    /// Workers that they were told to fork.
    expected: Vec<(Slot, Generation)>,
    /// Workers that came when nobody expected them any more.
    late: BTreeSet<Pid>,
}

impl Molds {
    /// Their master's program has ended; with it whoever is not born yet.
    pub(in crate::master::decide::tests) fn end(&mut self) {
        self.processes.clear();
        self.expected.clear();
    }

    pub(super) fn are_gone(&self) -> bool {
        self.processes.is_empty()
    }

    /// Whether something must happen to them.
    pub(super) fn wait(&self) -> bool {
        self.processes.values().any(|model| *model != Model::Serving)
    }

    pub(super) fn came_late(&self, pid: Pid) -> bool {
        self.late.contains(&pid)
    }
}

impl World {
    pub(super) fn perform_on_molds(&mut self, action: &Action) -> Option<Event> {
        if let Action::MakeMold { generation } = *action {
            assert!(!self.stopping, "no mold after a stop");
            if self.below(10) == 0 {
                return Some(Event::Mold { generation, news: MoldNews::NotForked("no room".into()) });
            }
            let before = self.molds.processes.insert(generation, Model::Starting);
            assert_eq!(before, None, "one mold per generation");
            return Some(Event::Mold { generation, news: MoldNews::Forked });
        }
        if let Action::Cast { slot, generation } = *action {
            assert!(!self.stopping, "no fork after a stop");
            assert!(self.molds.processes.contains_key(&generation), "a mold forks only while it is there");
            if self.below(20) == 0 {
                return Some(Event::ForkFailed { slot, generation, text: "no room".into() });
            }
            self.molds.expected.push((slot, generation));
        }
        if let Action::BreakMold { generation } = *action {
            *self.molds.processes.get_mut(&generation).expect("a mold that is there") = Model::Killed;
        }
        None
    }

    /// Something becomes of a mold or of a worker that one was told to fork; whether there was any.
    pub(super) fn act_on_molds(&mut self, calm: bool) -> bool {
        let choice = self.below(4);
        if (calm || choice < 2) && !self.molds.expected.is_empty() {
            let index = usize::from(self.below(4)).min(self.molds.expected.len() - 1);
            self.answer_cast(index);
            return true;
        }
        // Left in peace, molds are faster than their deadlines.
        let acts = |model: Model| !calm || model != Model::Serving;
        let generations: Vec<_> =
            self.molds.processes.iter().filter(|(_, model)| acts(**model)).map(|(found, _)| *found).collect();
        let index = if calm { 0 } else { usize::from(self.below(3)) };
        let Some(generation) = generations.get(index).copied() else { return false };
        let news = match self.molds.processes[&generation] {
            Model::Starting if calm || choice != 2 => {
                self.molds.processes.insert(generation, Model::Serving);
                MoldNews::Loaded
            }
            Model::Starting => {
                self.molds.processes.insert(generation, Model::Leaving);
                MoldNews::Failed { reason: ExitReason::AppLoadFailed, text: "no module".into() }
            }
            Model::Serving if calm || choice != 2 => return false,
            Model::Serving | Model::Leaving | Model::Killed => {
                self.molds.processes.remove(&generation);
                MoldNews::Ended(KILLED)
            }
        };
        self.happen(Event::Mold { generation, news });
        true
    }

    /// A worker that was expected is born, or never will be; without its mold it may be born all the same.
    fn answer_cast(&mut self, index: usize) {
        let (slot, generation) = self.molds.expected.remove(index);
        if self.below(8) == 0 || (self.below(2) == 0 && !self.molds.processes.contains_key(&generation)) {
            let text = "the mold has not forked it".into();
            return self.happen(Event::ForkFailed { slot, generation, text });
        }
        self.next_pid += 1;
        let pid = Pid(self.next_pid);
        if self.supervisor.pending.get(&slot) != Some(&generation) {
            self.molds.late.insert(pid);
        }
        self.processes.insert(pid, (slot, generation, Model::Starting));
        self.happen(Event::Forked { slot, generation, pid });
    }
}
