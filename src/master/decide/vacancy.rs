//! Slots without a worker: when they get one, and who serves them until then.

use super::crew::Seat;
use super::supervisor::Supervisor;
use crate::contract::message::Order;
use crate::contract::scoreboard::Service;
use crate::contract::slot::{Generation, Slot};
use crate::master::event::{Action, Note};
use std::collections::BTreeSet;
use std::time::Instant;

impl Supervisor {
    /// Slots in service.
    pub(super) fn size(&self) -> u16 {
        u16::try_from(self.seats.len()).unwrap_or(u16::MAX)
    }

    /// Starts a worker in every slot that needs one and may have it now.
    pub(super) fn fill_slots(&mut self, now: Instant) {
        for slot in self.seats.keys().copied().collect::<Vec<_>>() {
            let Some(seat) = self.seats.get(&slot) else { continue };
            if self.wants_worker(slot, seat.generation) && self.due(seat).is_none_or(|due| due <= now) {
                self.fork(slot, seat.generation);
            }
        }
    }

    /// When the next slot may be filled.
    pub(super) fn next_filling(&self) -> Option<Instant> {
        let wanting = self.seats.iter().filter(|(slot, seat)| self.wants_worker(**slot, seat.generation));
        wanting.filter_map(|(_, seat)| self.due(seat)).min()
    }

    fn due(&self, seat: &Seat) -> Option<Instant> {
        let attempt = if self.molds.is_ready(seat.generation) { None } else { self.next_attempt() };
        seat.respawn.due().max(attempt)
    }

    fn wants_worker(&self, slot: Slot, generation: Generation) -> bool {
        self.keeps_pool()
            && self.is_checked()
            && self.is_short(slot)
            && self.has_room(slot)
            && self.has_turn(slot)
            && !self.molds.delays(generation)
            && self.may_load(slot, generation)
    }

    /// Whether the slot needs a worker that the reload will not bring.
    fn is_short(&self, slot: Slot) -> bool {
        let claimed = self.reload.as_ref().is_some_and(|reload| reload.claims(slot));
        !claimed
            && !self.pending.contains_key(&slot)
            && !self.crew.starts(slot)
            && !self.crew.is_settled(slot)
    }

    pub(super) fn is_trying(&self) -> bool {
        !self.pending.is_empty()
            || self.molds.comes()
            || self.crew.workers.values().any(|worker| worker.life.is_starting())
    }

    /// Tells the workers when other slots are served than before.
    pub(super) fn tell_vacancies(&mut self) {
        if !self.keeps_pool() {
            return;
        }
        let serving = self.crew.workers.values().filter(|worker| worker.life.serves());
        let served: BTreeSet<_> = serving.map(|worker| worker.slot).collect();
        if served == self.served {
            return;
        }
        for slot in served.symmetric_difference(&self.served) {
            let service = if served.contains(slot) { Service::Served } else { Service::Vacant };
            self.out.push(Action::Serve { slot: *slot, service });
        }
        if served.is_empty() && self.lacks_code(self.generation) {
            self.say(Note::NobodyServes);
        }
        self.served = served;
        for pid in self.crew.select(|worker| worker.life.serves()) {
            self.act(Action::Send { pid, order: Order::Vacancies });
        }
    }
}
