//! More workers, or fewer.

use super::crew::Seat;
use super::respawn::Respawn;
use super::supervisor::{Supervisor, UNWANTED};
use crate::contract::control::{Scale, Ticket, Verdict};
use crate::contract::slot::Slot;
use crate::master::event::Note;
use crate::master::pool::Pool;
use std::fmt;
use std::time::Instant;

/// What was asked for while a reload went on, in one number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Deferred {
    /// So many; `None`: as there are then.
    to: Option<u16>,
    /// And so many more, or less.
    by: i32,
}

impl Deferred {
    /// How many, and how many more.
    pub(super) fn parts(self) -> (Option<u16>, i32) {
        (self.to, self.by)
    }

    /// From its [`parts`](Self::parts).
    pub(super) fn of_parts((to, by): (Option<u16>, i32)) -> Self {
        Self { to, by }
    }

    fn add(&mut self, scale: Scale) {
        match scale {
            Scale::To(count) => *self = Self { to: Some(count), by: 0 },
            Scale::By(change) => self.by = self.by.saturating_add(change.into()),
        }
    }

    fn count(self, now: usize) -> i64 {
        let base = self.to.map_or_else(|| i64::try_from(now).unwrap_or(i64::MAX), i64::from);
        base.saturating_add(self.by.into())
    }
}

/// Why there cannot be more workers, or fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::master) enum Bound {
    /// Somebody has to serve.
    One,
    /// `workers.count` has a least number.
    Least(u16),
    /// `workers.count` has a most number.
    Most(u16),
    /// What is shared with workers was made for so many.
    Room(u16),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One => f.write_str("there is one at least"),
            Self::Least(least) => write!(f, "workers.count says {least} at least"),
            Self::Most(most) => write!(f, "workers.count says {most} at most"),
            Self::Room(room) => {
                write!(f, "there is room for {room}; for more set workers.count and restart the server")
            }
        }
    }
}

/// Whether there is room for a pool beside which no further slots can be made.
///
/// # Errors
/// For the operator.
pub(in crate::master) fn fits(pool: &Pool, room: u16) -> Result<(), String> {
    if pool.most() <= room {
        return Ok(());
    }
    Err(format!(
        "workers.count: there is room for {room} until the server is restarted; name fewer, or restart it"
    ))
}

impl Supervisor {
    /// SIGTTIN, SIGTTOU and commands; during a reload they wait for its end.
    pub(super) fn ask_scale(&mut self, now: Instant, ticket: Option<Ticket>, scale: Scale) {
        self.scale_later.get_or_insert_default().add(scale);
        if self.is_changing() {
            return self.await_scale(ticket);
        }
        // Those who wait until the workers are ready that they have asked for: this is another number, or it is none.
        let (earlier, before) = (self.take_scale(), self.seats.len());
        self.await_scale(ticket);
        self.scale_deferred(now);
        if self.seats.len() == before {
            self.await_scale_again(earlier);
        } else {
            let workers = self.seats.len();
            let text = format!(
                "someone else has asked for another number since: {workers} now; ask again to change that"
            );
            self.answer(earlier.tickets, &Verdict::Failed(text));
        }
    }

    /// What was asked for during the reload.
    pub(super) fn scale_deferred(&mut self, now: Instant) {
        let Some(deferred) = self.scale_later.take() else { return };
        let count = self.seats.len();
        let wanted = deferred.count(count);
        let (least, most) = self.bounds();
        let target = match wanted.clamp(least.into(), most.into()) {
            // A command that fails has done nothing; nobody can be told of a signal.
            possible if possible != wanted && !self.tickets.scale.is_empty() => self.size_now(),
            possible => possible,
        };
        for _ in 0..(target - self.size_now()).max(0) {
            self.add_slot();
        }
        for _ in 0..(self.size_now() - target).max(0) {
            if let Some((last, _)) = self.seats.last_key_value() {
                self.retire_slot(now, *last);
            }
        }
        let workers = self.seats.len();
        if workers != count {
            self.say(Note::Scaled { workers });
        } else if target != wanted {
            self.say(Note::NotScaled { workers, bound: self.bound(wanted) });
        }
        if target == wanted {
            self.scale_begins(now);
        } else {
            let text =
                format!("{wanted} workers are not possible, only {least} to {most}; there are {workers} now");
            self.answer_scale(&Verdict::Failed(text));
        }
    }

    /// What keeps the pool from having so many workers.
    fn bound(&self, wanted: i64) -> Bound {
        let (least, most) = self.bounds();
        match self.pool.span {
            _ if wanted > i64::from(self.slots_max) => Bound::Room(self.slots_max),
            None => Bound::One,
            Some(_) if wanted < i64::from(least) => Bound::Least(least),
            Some(_) => Bound::Most(most),
        }
    }

    /// Takes a slot out of service; its sockets stay and its siblings serve them.
    pub(super) fn retire_slot(&mut self, now: Instant, slot: Slot) {
        self.seats.remove(&slot);
        self.pending.entry(slot).and_modify(|generation| *generation = UNWANTED);
        for pid in self.crew.select(|worker| worker.slot == slot) {
            self.dismiss(now, pid);
        }
    }

    pub(super) fn add_slot(&mut self) {
        let seat = Seat { generation: self.generation, respawn: Respawn::default() };
        let last = self.seats.last_key_value().map_or(0, |(last, _)| last.0);
        self.seats.insert(Slot(last.saturating_add(1)), seat);
    }

    fn size_now(&self) -> i64 {
        i64::try_from(self.seats.len()).unwrap_or(i64::MAX)
    }
}
