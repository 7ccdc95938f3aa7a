//! One worker more, one less.

use super::crew::Seat;
use super::event::Note;
use super::respawn::Respawn;
use super::supervisor::Supervisor;
use crate::contract::handoff::Slot;
use std::time::Instant;

impl Supervisor {
    /// SIGTTIN and SIGTTOU; during a reload they wait for its end.
    pub(super) fn scale(&mut self, now: Instant, change: i32) {
        if self.reload.is_some() {
            self.scale_later = self.scale_later.saturating_add(change);
            return;
        }
        let (Some((last, _)), count) = (self.seats.last_key_value(), self.seats.len()) else { return };
        let last = *last;
        if change > 0 && last.0 < self.slots_max {
            let seat = Seat { generation: self.generation, respawn: Respawn::default() };
            self.seats.insert(Slot(last.0 + 1), seat);
        } else if change < 0 && count > 1 {
            self.retire_slot(now, last);
        } else {
            return self.say(Note::NotScaled { workers: count });
        }
        self.say(Note::Scaled { workers: self.seats.len() });
    }

    /// What was asked for during the reload.
    pub(super) fn scale_deferred(&mut self, now: Instant) {
        let change = std::mem::take(&mut self.scale_later);
        for _ in 0..change.unsigned_abs() {
            self.scale(now, change.signum());
        }
    }

    /// Takes a slot out of service; its sockets stay and its siblings serve them.
    pub(super) fn retire_slot(&mut self, now: Instant, slot: Slot) {
        self.seats.remove(&slot);
        self.pending.remove(&slot);
        for pid in self.crew.select(|worker| worker.slot == slot) {
            self.dismiss(now, pid);
        }
    }
}
