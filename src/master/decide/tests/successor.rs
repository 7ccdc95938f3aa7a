//! The next program in random scripts: a child that proves it, well or not, and the moment in which it takes over.

use super::property::{Model, SLOTS_MAX, World};
use crate::contract::control::Pace;
use crate::contract::slot::{Generation, Slot};
use crate::master::decide::admin::HasAdmin;
use crate::master::decide::supervisor::Supervisor;
use crate::master::decide::written::WrittenPool;
use crate::master::event::{Event, ProofNews, UpgradeStep};
use crate::sys::process::Pid;

/// The child in which the next program is proven.
pub(super) struct Successor {
    generation: Generation,
    slots: Vec<Slot>,
    model: Model,
}

impl World {
    pub(super) fn perform_upgrade(&mut self, step: UpgradeStep) -> Option<Event> {
        match step {
            UpgradeStep::Prove { generation, slots } => {
                assert!(
                    self.successor.is_none() && !self.stopping,
                    "one child at a time, and none after a stop"
                );
                assert!(!slots.is_empty(), "something is proven");
                let is_good = self.below(8) != 0;
                if is_good {
                    self.successor = Some(Successor { generation, slots, model: Model::Serving });
                }
                let begun = if is_good { Ok(()) } else { Err("no such program".into()) };
                Some(Event::Proof(ProofNews::Begun(begun)))
            }
            UpgradeStep::EndProof(pace) => {
                let child = self.successor.as_mut().expect("a child to be ended");
                child.model = if pace == Pace::Quick { Model::Killed } else { Model::Leaving };
                None
            }
            UpgradeStep::Replace(written) => {
                assert!(self.successor.is_none() && !self.stopping, "the child has been reaped");
                if self.below(4) == 0 {
                    return Some(Event::Proof(ProofNews::NotReplaced("text file busy".into())));
                }
                self.take_over(&written);
                Some(Event::Tick)
            }
        }
    }

    /// The next program knows what is on paper and nothing else.
    fn take_over(&mut self, written: &WrittenPool) {
        let written = serde_json::from_str(&serde_json::to_string(written).unwrap()).unwrap();
        let pool = self.any_pool();
        let supervisor = Supervisor::from_written(self.now, pool, SLOTS_MAX, &written);
        let supervisor = supervisor.with_admin(HasAdmin::Yes);
        self.supervisor = if self.has_admin { supervisor.admin_inherited(self.now) } else { supervisor };
        // They are not handed over: they end when their master's program does.
        self.molds.end();
        let known: Vec<Pid> = self.supervisor.crew.workers.keys().copied().collect();
        assert_eq!(known, self.processes.keys().copied().collect::<Vec<_>>(), "nobody is forgotten");
    }

    /// What the child does next, if it is its turn.
    pub(super) fn successor_acts(&mut self, calm: bool) -> Option<Event> {
        let succeeds = calm || self.below(3) != 0;
        let tells = self.below(2) == 0;
        let Successor { generation, slots, model } = self.successor.take()?;
        let reason = || "no module x".to_owned();
        match model {
            // It may have been done before it was told.
            Model::Serving | Model::Leaving if succeeds => {
                let workers = slots.into_iter().map(|slot| (self.serves(slot, generation), slot)).collect();
                let failure = (!calm && tells && model == Model::Serving && self.below(4) == 0).then(reason);
                Some(Event::Proof(ProofNews::Ended { workers, failure }))
            }
            Model::Serving if tells => {
                self.successor = Some(Successor { generation, slots: Vec::new(), model: Model::Killed });
                Some(Event::Proof(ProofNews::Failed(reason())))
            }
            Model::Starting | Model::Serving | Model::Leaving | Model::Killed => {
                Some(Event::Proof(ProofNews::Ended { workers: Vec::new(), failure: Some(reason()) }))
            }
        }
    }

    fn serves(&mut self, slot: Slot, generation: Generation) -> Pid {
        self.next_pid += 1;
        let pid = Pid(self.next_pid);
        self.processes.insert(pid, (slot, generation, Model::Serving));
        pid
    }
}
