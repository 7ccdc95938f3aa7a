//! What happens to the master, what it does about it, and what it says.

use super::decide::adapt::{Picture, Why, Work};
use super::decide::notify::Notification;
use super::decide::recycle::{MemoryLimits, Surfeit, Weights};
use super::decide::scale::Bound;
use super::decide::written::WrittenPool;
use super::pool::Pool;
use crate::contract::control::{Command, Pace, State, Ticket, Verdict};
use crate::contract::exit::ExitReason;
use crate::contract::message::{Order, Report, RetireReason};
use crate::contract::scoreboard::{Service, WorkerState};
use crate::contract::slot::{Generation, Slot};
use crate::contract::tally::Tally;
use crate::sys::process::Pid;
use crate::sys::wait::WaitOutcome;
use std::collections::BTreeMap;
use std::time::Duration;

/// Something that has happened.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// Time has passed, or nothing has happened yet.
    Tick,
    /// Somebody wants something, by a signal (nobody waits) or a command (whose ticket gets exactly one verdict).
    Asked { ticket: Option<Ticket>, command: Command },
    /// The answer to [`Action::LoadConfig`].
    ConfigLoaded(Result<Pool, String>),
    /// The other answer to `LoadConfig`: another program would be started now.
    ProgramChanged,
    /// The answer to [`Action::ReopenLogs`].
    LogsReopened(Result<(), String>),
    /// An answer to [`Action::Fork`].
    Forked { slot: Slot, generation: Generation, pid: Pid },
    /// An answer to [`Action::Fork`].
    ForkFailed { slot: Slot, generation: Generation, text: String },
    /// The answer to [`Action::ForkAdmin`].
    AdminForked(Result<(), String>),
    /// The admin process has been reaped.
    AdminExited(WaitOutcome),
    /// Something has become of a generation's mold.
    Mold { generation: Generation, news: MoldNews },
    /// The check command of [`Action::Check`] has ended: well, or with this text.
    Checked { generation: Generation, outcome: Result<(), String> },
    /// What has become of the next program so far.
    Proof(ProofNews),
    /// The answer to [`Action::Weigh`].
    Weighed(Weights),
    /// The answer to [`Action::Compare`]: what each worker has counted.
    Compared(BTreeMap<Pid, Tally>),
    /// The answer to [`Action::Survey`].
    Surveyed(Work),
    /// The answer to [`Action::Look`]: what each worker has counted to.
    Looked(Vec<(Pid, u64)>),
    /// A worker says something.
    Reported { pid: Pid, report: Report },
    /// A worker has been reaped; all its reports came before.
    Exited { pid: Pid, outcome: WaitOutcome },
}

/// What becomes of the child in which the next program is proven.
#[derive(Debug, Clone)]
pub(super) enum ProofNews {
    /// The answer to [`UpgradeStep::Prove`].
    Begun(Result<(), String>),
    /// Nothing will come of it, because of this; its end follows.
    Failed(String),
    /// It has been reaped, and has left these workers, who serve.
    Ended { workers: Vec<(Pid, Slot)>, failure: Option<String> },
    /// The answer to [`UpgradeStep::Replace`], where this program is still there to hear it.
    NotReplaced(String),
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Start a worker; answered by `Forked` or `ForkFailed`.
    Fork { slot: Slot, generation: Generation },
    /// Have the generation's mold fork a worker; `Forked` or `ForkFailed` follows.
    Cast { slot: Slot, generation: Generation },
    /// Start the mold of a generation; answered by `MoldNews::Forked` or `NotForked`.
    MakeMold { generation: Generation },
    /// SIGKILL to a mold.
    BreakMold { generation: Generation },
    /// Start the admin process; answered by `AdminForked`.
    ForkAdmin,
    /// Look whether the event loops of the workers turn; answered by `Looked`.
    Look,
    /// Tell a worker something.
    Send { pid: Pid, order: Order },
    /// SIGKILL.
    Kill { pid: Pid },
    /// Have the listening sockets answer no further client.
    RefuseClients,
    /// Read the configuration anew; answered by `ConfigLoaded` or `ProgramChanged`.
    LoadConfig,
    /// The configuration that was loaded last is that of this generation.
    Adopt { generation: Generation },
    /// Run the check command of a generation; `Checked` follows when it has ended.
    Check { generation: Generation },
    /// Kill the check command that runs.
    EndCheck,
    /// The reload to this generation is done.
    Settle { generation: Generation },
    /// Nobody will be of this generation any more.
    Abandon { generation: Generation },
    /// Do something for an upgrade.
    Upgrade(UpgradeStep),
    /// Have the admin process leave.
    DismissAdmin,
    /// SIGKILL for the admin process.
    KillAdmin,
    /// See how much memory workers have; answered by `Weighed`.
    Weigh(MemoryLimits),
    /// See what this canary and the other workers have counted; answered by `Compared`.
    Compare { canary: Pid },
    /// No canary is tried any more.
    EndComparison,
    /// See how much the workers have to do; answered by `Surveyed`.
    Survey,
    /// Show how the adapting of their number is.
    Picture(Picture),
    /// Open the master's own logs anew; answered by `LogsReopened`.
    ReopenLogs,
    /// Write a worker's state into the scoreboard.
    Mark { pid: Pid, state: WorkerState },
    /// Write into the scoreboard whether a slot is served.
    Serve { slot: Slot, service: Service },
    /// Write to the log.
    Say(Note),
    /// Tell the service manager.
    Tell(Notification),
    /// Tell who asked what has become of it.
    Answer { ticket: Ticket, verdict: Verdict },
    /// Tell the admin process how the server is.
    Publish(State),
    /// Nothing is left to do.
    Exit(Finish),
}

/// What is done for an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UpgradeStep {
    /// Start the next program as a child, with workers of this generation in these slots; answered by `ProofNews::Begun`.
    Prove { generation: Generation, slots: Vec<Slot> },
    /// Have that child leave.
    EndProof(Pace),
    /// Put the next program in the place of this one; answered only if that fails.
    Replace(Box<WrittenPool>),
}

/// What has become of a mold.
#[derive(Debug, Clone)]
pub(super) enum MoldNews {
    /// It exists, and loads the apps.
    Forked,
    /// It could not be forked.
    NotForked(String),
    /// It can fork workers.
    Loaded,
    /// It says itself that it cannot load the apps.
    Failed { reason: ExitReason, text: String },
    /// It has been reaped.
    Ended(WaitOutcome),
}

/// What the log says of a mold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MoldNote {
    Ready,
    Failed(String),
    Ended(String),
    Stuck,
}

/// How the master ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finish {
    /// As asked.
    Ended,
    /// No worker ever served, because of this.
    StartFailed { reason: ExitReason, text: String },
}

/// A worker as the log names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) slot: Slot,
    pub(super) pid: Pid,
    pub(super) generation: Generation,
}

/// Why a worker is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KillReason {
    /// It has not left within its time.
    Overdue,
    /// It has not been ready within its time.
    BootOverdue,
    /// It had not begun to serve, and is not needed any more.
    NotNeeded,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    Ready(Who),
    AllReady {
        workers: usize,
        generation: Generation,
    },
    Crashed {
        who: Who,
        how: String,
    },
    BootFailed {
        slot: Slot,
        generation: Generation,
        text: String,
    },
    Left(Who),
    Retires {
        who: Who,
        reason: RetireReason,
    },
    Recycled {
        who: Who,
        why: Surfeit,
    },
    Killed {
        who: Who,
        reason: KillReason,
    },
    StillThere(Who),
    /// Its event loop does.
    StandsStill(Who),
    RecyclingWaits(Who),
    CodeStarts,
    Mold {
        generation: Generation,
        note: MoldNote,
    },
    NobodyServes,
    ReloadPostponed,
    ReloadStarted {
        generation: Generation,
    },
    ReloadDone {
        generation: Generation,
    },
    ReloadFailed {
        reason: String,
        serving: Generation,
    },
    ReloadStopped {
        reason: String,
        old: usize,
        new: usize,
    },
    Canary(CanaryNote),
    Scaled {
        workers: usize,
    },
    /// The number has followed the load.
    Adapted {
        workers: u16,
        before: u16,
        why: Why,
    },
    NotScaled {
        workers: usize,
        bound: Bound,
    },
    Stopping(Pace),
    /// It will, after so long.
    Announced(Duration),
    LogsNotReopened(String),
    AdminNotStarted(String),
    AdminEnded(String),
    ControlSocketGone,
    Upgrade(UpgradeNote),
}

/// What is said of a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CanaryNote {
    Begun {
        who: Who,
        time: Duration,
    },
    /// It does as well as the others.
    Passed(String),
    /// It got too few requests to tell.
    Unproven(String),
    /// No old worker is left.
    Alone,
}

/// What is said of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UpgradeNote {
    InsteadOfReload,
    Postponed,
    Busy,
    Started { generation: Generation },
    Failed { reason: String },
    Done { generation: Generation },
}
