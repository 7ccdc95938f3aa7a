//! Whether the event loops of the workers turn.
//!
//! Each worker counts while its loop turns; the master looks several times within `timeouts.heartbeat`. What counts is
//! its own looks and not the time: after a pause of the whole server (a suspended machine, a stopped container) nobody
//! is taken for stuck.

use super::crew::{Life, Worker};
use super::supervisor::{Phase, Supervisor};
use super::trouble::Blame;
use crate::contract::message::DrainReason;
use crate::master::event::{Action, Note};
use crate::sys::process::Pid;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What has been seen of the workers.
#[derive(Debug, Clone, Default)]
pub(super) struct Heartbeat {
    /// The next look.
    due: Option<Instant>,
    seen: BTreeMap<Pid, Seen>,
}

/// What a worker's counter was, and how often it has been found so again.
#[derive(Debug, Clone, Copy)]
struct Seen {
    beat: u64,
    looks: u32,
}

impl Supervisor {
    /// When somebody looks.
    pub(super) fn heartbeat_due(&self) -> Option<Instant> {
        self.crew.heartbeat.due
    }

    /// Looks, when it is time; behind all that is answered, too, which must come first. A server that stops has other
    /// limits.
    pub(super) fn look(&mut self, now: Instant) {
        let Some(limit) = self.pool.heartbeat.filter(|_| self.phase == Phase::Serving) else {
            self.crew.heartbeat = Heartbeat::default();
            return;
        };
        if self.crew.heartbeat.due.is_some_and(|due| now < due) {
            return;
        }
        if self.crew.heartbeat.due.is_some() {
            self.act(Action::Look);
        }
        self.crew.heartbeat.due = Some(now + (limit / LOOKS).max(SHORTEST));
    }

    /// The answer to `Look`.
    pub(super) fn looked(&mut self, now: Instant, beats: Vec<(Pid, u64)>) {
        let before = std::mem::take(&mut self.crew.heartbeat.seen);
        for (pid, beat) in beats {
            if !self.crew.workers.get(&pid).is_some_and(|worker| worker.life.serves()) {
                continue;
            }
            let unchanged = before.get(&pid).filter(|seen| seen.beat == beat);
            let looks = unchanged.map_or(0, |seen| seen.looks.saturating_add(1));
            self.crew.heartbeat.seen.insert(pid, Seen { beat, looks });
            if looks == LOOKS {
                self.stands_still(now, pid);
            }
        }
    }

    /// A successor comes first. It cannot be told to leave, so its time to do so is what it has left.
    fn stands_still(&mut self, now: Instant, pid: Pid) {
        let Some(who) = self.crew.who(pid) else { return };
        self.out.push(Action::Say(Note::StandsStill(who)));
        if self.canary() == Some(pid) {
            let text =
                format!("canary: the event loop of worker pid {pid} stands still (timeouts.heartbeat)");
            return self.fail_reload(now, text, Blame::Canary);
        }
        let Some(worker) = self.crew.workers.get_mut(&pid) else { return };
        if let Life::Ready { since } = worker.life {
            worker.life = Life::Retiring { since };
        }
        // None will come; others take what waits in its queues.
        let others = |other: &Worker| other.slot != who.slot && other.life.serves();
        if self.lacks_code(who.generation) && self.crew.workers.values().any(others) {
            self.drain(now, pid, DrainReason::Replaced);
        }
    }
}

/// Looks within the limit; a worker that was found the same so often in a row stands still.
const LOOKS: u32 = 4;

/// Between two looks, however short the limit.
const SHORTEST: Duration = Duration::from_millis(10);
