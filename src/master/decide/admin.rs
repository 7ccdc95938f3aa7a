//! The admin process: started before the workers, started anew when it dies, left out when the server stops.

use super::life::LEAVING;
use super::respawn::Respawn;
use super::supervisor::{Phase, Supervisor};
use crate::contract::exit::{self, Progress};
use crate::master::event::{Action, Note};
use crate::sys::wait::WaitOutcome;
use std::time::Instant;

/// Where the admin process is in its life.
#[derive(Debug, Clone)]
pub(super) struct Admin {
    presence: Presence,
    respawn: Respawn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Absent,
    /// It has been asked for.
    Awaited,
    Here {
        since: Instant,
    },
    /// It belongs to the program before, and leaves.
    Dismissed {
        deadline: Instant,
    },
}

/// Whether the server has an admin process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::master) enum HasAdmin {
    Yes,
    No,
}

impl Admin {
    fn due(&self) -> Option<Instant> {
        match self.presence {
            Presence::Absent => self.respawn.due(),
            Presence::Dismissed { deadline } => Some(deadline),
            Presence::Awaited | Presence::Here { .. } => None,
        }
    }
}

impl Supervisor {
    /// The same with an admin process, if there is to be one.
    pub(in crate::master) fn with_admin(mut self, has_admin: HasAdmin) -> Self {
        self.admin = match has_admin {
            HasAdmin::Yes => Some(Admin { presence: Presence::Absent, respawn: Respawn::default() }),
            HasAdmin::No => None,
        };
        self
    }

    /// The same with the admin process of the program before.
    pub(in crate::master) fn admin_inherited(mut self, now: Instant) -> Self {
        if let Some(admin) = &mut self.admin {
            admin.presence = Presence::Here { since: now };
        }
        self
    }

    /// Whether it has been asked for and the answer has not come.
    pub(super) fn admin_is_awaited(&self) -> bool {
        self.admin.as_ref().is_some_and(|admin| admin.presence == Presence::Awaited)
    }

    /// Has an admin process of this program take the place of that of the program before.
    pub(super) fn replace_admin(&mut self, now: Instant) {
        if let Some(admin) = &mut self.admin
            && let Presence::Here { .. } = admin.presence
        {
            admin.presence = Presence::Dismissed { deadline: now + LEAVING };
            self.act(Action::DismissAdmin);
        }
    }

    /// Starts the admin process where it is missing. A server that stops does without.
    pub(super) fn tend_admin(&mut self, now: Instant) {
        let Some(admin) = self.admin.as_mut().filter(|_| self.phase == Phase::Serving) else { return };
        if admin.presence == Presence::Absent && admin.respawn.is_due(now) {
            admin.presence = Presence::Awaited;
            // Before the workers: it is to be asked how the start goes.
            self.out.insert(0, Action::ForkAdmin);
        }
        if let Some(Admin { presence: Presence::Dismissed { deadline }, .. }) = &mut self.admin
            && *deadline <= now
        {
            *deadline = now + LEAVING;
            self.act(Action::KillAdmin);
        }
    }

    /// When it is started anew.
    pub(super) fn admin_due(&self) -> Option<Instant> {
        self.admin.as_ref().and_then(Admin::due).filter(|_| self.phase == Phase::Serving)
    }

    /// The answer to `ForkAdmin`.
    pub(super) fn admin_forked(&mut self, now: Instant, forked: Result<(), String>) {
        let Some(admin) = &mut self.admin else { return };
        match forked {
            Ok(()) => admin.presence = Presence::Here { since: now },
            Err(reason) => {
                admin.presence = Presence::Absent;
                admin.respawn.failed(now);
                self.say(Note::AdminNotStarted(reason));
            }
        }
    }

    /// It has been reaped.
    pub(super) fn admin_exited(&mut self, now: Instant, outcome: &WaitOutcome) {
        let Some(admin) = &mut self.admin else { return };
        if let Presence::Dismissed { .. } = admin.presence {
            // As it was told.
            admin.presence = Presence::Absent;
            return;
        }
        if let Presence::Here { since } = admin.presence {
            admin.respawn.crashed(now, now.saturating_duration_since(since));
        }
        admin.presence = Presence::Absent;
        match outcome {
            // Its socket had been removed: the next one gets another.
            WaitOutcome::Exited(0) => self.say(Note::ControlSocketGone),
            WaitOutcome::Exited(_) | WaitOutcome::Signalled { .. } | WaitOutcome::OutOfMemory => {
                self.say(Note::AdminEnded(exit::cause(outcome, Progress::Starting).text));
            }
        }
    }
}
