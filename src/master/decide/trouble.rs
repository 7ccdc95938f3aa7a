//! What a failed reload leaves behind: its reason, and what waits because the code on disk does not start.

use super::respawn::Respawn;
use super::supervisor::Supervisor;
use crate::contract::slot::{Generation, Slot};
use crate::master::event::Note;
use std::time::Instant;

/// Why the last reload did not succeed; kept until one does.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    extent: Extent,
    reason: String,
    code: Code,
}

/// How far the failed reload had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// It has changed nothing.
    Undone,
    /// Some of the workers are new.
    HalfWay,
    /// It was an upgrade, and this program goes on.
    NotUpgraded,
}

/// What a failed reload tells of the code that a new worker would load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// It does not start, or has not passed its check.
    Code,
    /// It starts, and does worse than that which serves.
    Canary,
    /// Nothing: something else was wrong.
    Circumstances,
}

/// What is known of the code on disk.
#[derive(Debug, Clone)]
enum Code {
    Unsuspected,
    /// Known not to start. Who wants a successor serves on; slots without a worker are tried one at a time, as the code
    /// may have been mended meanwhile.
    Broken {
        attempts: Respawn,
    },
    /// Known to do worse. Nobody is replaced by it, and slots without a worker wait, as long as anybody serves.
    Refused,
}

impl Supervisor {
    /// A reload has failed.
    pub(super) fn note_trouble(&mut self, now: Instant, extent: Extent, reason: &str, blame: Blame) {
        let before = self.trouble.take().map(|trouble| trouble.code);
        let code = match (extent, blame, before) {
            (Extent::Undone, Blame::Code, _) => {
                let mut attempts = Respawn::default();
                attempts.failed(now);
                Code::Broken { attempts }
            }
            (Extent::Undone, Blame::Canary, _) => Code::Refused,
            // Of another program nothing is known here.
            (Extent::NotUpgraded, _, before) => before.unwrap_or(Code::Unsuspected),
            (Extent::Undone, Blame::Circumstances, Some(code)) => code,
            // Half-way: some of it has just started.
            (Extent::HalfWay, _, _) | (Extent::Undone, Blame::Circumstances, None) => Code::Unsuspected,
        };
        self.trouble = Some(Trouble { extent, reason: reason.into(), code });
    }

    /// A worker has become ready, so the code on disk starts.
    pub(super) fn code_has_started(&mut self) {
        if let Some(trouble) = &mut self.trouble
            && matches!(trouble.code, Code::Broken { .. } | Code::Refused)
        {
            trouble.code = Code::Unsuspected;
            self.say(Note::CodeStarts);
        }
    }

    /// A worker outside a reload has not become ready; whether the delay that follows is everybody's.
    pub(super) fn attempt_failed(&mut self, now: Instant) -> Delayed {
        match &mut self.trouble {
            Some(Trouble { code: Code::Broken { attempts }, .. }) => {
                attempts.failed(now);
                Delayed::All
            }
            Some(Trouble { code: Code::Unsuspected | Code::Refused, .. }) | None => Delayed::Slot,
        }
    }

    /// Whether the code on disk is known not to start, or to do worse than that which serves.
    pub(super) fn is_degraded(&self) -> bool {
        matches!(&self.trouble, Some(Trouble { code: Code::Broken { .. } | Code::Refused, .. }))
    }

    /// Whether a slot without a worker may have one of this generation, whatever code that would load.
    ///
    /// Code that may not start is tried one slot at a time. Code that does worse, or of which nobody knows yet what it does,
    /// is better than nothing, and worse than siblings that serve the slot's sockets.
    pub(super) fn may_load(&self, slot: Slot, generation: Generation) -> bool {
        if self.doubts_code() && !self.molds.is_ready(generation) {
            return self.crew.select(|worker| worker.life.serves()).is_empty() && !self.is_trying();
        }
        // Nobody is replaced who serves, and one attempt is enough to tell.
        !self.lacks_code(generation) || (!self.crew.serves(slot) && !self.is_trying())
    }

    /// Whether the code on disk does worse than that which serves, or is being tried just now: it starts, which says nothing
    /// for it.
    pub(super) fn doubts_code(&self) -> bool {
        let is_refused = matches!(&self.trouble, Some(Trouble { code: Code::Refused, .. }));
        self.canary().is_some() || is_refused
    }

    /// Whether a worker of this generation would load code that is known not to start.
    pub(super) fn lacks_code(&self, generation: Generation) -> bool {
        self.is_degraded() && !self.molds.is_ready(generation)
    }

    /// When a slot may be tried with code that is known not to start.
    pub(super) fn next_attempt(&self) -> Option<Instant> {
        match &self.trouble {
            Some(Trouble { code: Code::Broken { attempts }, .. }) => attempts.due(),
            Some(Trouble { code: Code::Unsuspected | Code::Refused, .. }) | None => None,
        }
    }

    /// Whether slots are of several generations.
    pub(super) fn is_mixed(&self) -> bool {
        self.seats.values().any(|seat| seat.generation != self.generation)
    }

    /// How the pool is because of it: "mixed: ", "degraded: ", both, or nothing.
    pub(super) fn condition(&self) -> &'static str {
        match (&self.trouble, self.is_mixed(), self.is_degraded()) {
            (None, _, _) | (Some(_), false, false) => "",
            (Some(_), true, false) => "mixed: ",
            (Some(_), false, true) => "degraded: ",
            (Some(_), true, true) => "mixed: degraded: ",
        }
    }

    /// What the operator should know of, in full: "reload failed: …".
    pub(super) fn trouble_text(&self) -> Option<String> {
        let Trouble { extent, reason, .. } = self.trouble.as_ref()?;
        let what = match extent {
            Extent::Undone => "reload failed",
            Extent::HalfWay => "reload stopped half-way",
            Extent::NotUpgraded => "upgrade failed",
        };
        Some(format!("{what}: {reason}"))
    }
}

/// Whose next start waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delayed {
    /// That of the one slot.
    Slot,
    /// That of every slot.
    All,
}
