//! The master's log lines: one per event, in lower case. Scripts and tests wait for them.

use crate::contract::control::Pace;
use crate::contract::entry::{Entry, Stage};
use crate::contract::exit::{Cause, DID_NOT_START};
use crate::contract::message::RetireReason;
use crate::contract::slot::{Generation, Slot};
use crate::master::decide::adapt::Why;
use crate::master::decide::recycle::Surfeit;
use crate::master::event::{CanaryNote, KillReason, MoldNote, Note, UpgradeNote, Who};
use crate::telemetry::parts;
use std::time::Duration;
use tracing::{error, info, warn};

/// Writes a note to the log.
pub(super) fn write(note: &Note) {
    match note {
        Note::Ready(who) => {
            let Who { slot, pid, generation } = who;
            info!(%slot, %pid, %generation, "worker ready");
        }
        Note::AllReady { workers, generation } => {
            info!("ready: {workers} worker{}, generation {generation}", plural(*workers));
        }
        Note::Crashed { who: Who { slot, pid, generation }, how } => {
            error!(%slot, %pid, %generation, "worker crashed: {how}");
        }
        Note::BootFailed { slot, generation, text } => write_boot_failed((*slot, *generation), text),
        Note::Left(Who { slot, pid, generation }) => info!(%slot, %pid, %generation, "worker left"),
        Note::Retires { who, reason } => write_retirement(*who, *reason),
        Note::Recycled { who, why } => write_recycled(*who, *why),
        Note::Killed { who, reason } => write_killed(*who, *reason),
        Note::StillThere(Who { slot, pid, generation }) => {
            warn!(%slot, %pid, %generation, "worker is still there after SIGKILL: it is stuck in the kernel");
        }
        Note::StandsStill(Who { slot, pid, generation }) => {
            error!(%slot, %pid, %generation, id = "FC-W14", "worker's event loop stands still (timeouts.heartbeat): its app blocks the thread that serves connections; a successor comes, then it has timeouts.graceful to leave");
        }
        Note::RecyclingWaits(Who { slot, pid, generation }) => {
            warn!(%slot, %pid, %generation, "worker serves on: its successor would load the code that has just failed to start");
        }
        Note::Mold { generation, note } => write_mold(*generation, note),
        Note::CodeStarts => info!("the code on disk starts again; waiting successors follow"),
        Note::NobodyServes => {
            error!("nobody serves: connections wait in the queue until the code on disk starts again");
        }
        Note::ReloadPostponed => info!("reload follows when the present start is done"),
        Note::ReloadStarted { generation } => info!("reload started: generation {generation}"),
        Note::ReloadDone { generation } => info!("reload done: generation {generation}"),
        Note::ReloadFailed { reason, serving } => {
            let (first, traceback) = parts(reason);
            error!(traceback, "reload failed: generation {serving} goes on serving; {first}");
        }
        Note::ReloadStopped { reason, old, new } => {
            let serving = format!("{new} new and {old} old workers go on serving");
            let (first, traceback) = parts(reason);
            error!(traceback, "reload stopped half-way: {serving}; {first}");
        }
        Note::Scaled { workers } => info!("scaled to {workers} worker{}", plural(*workers)),
        Note::Adapted { workers, before, why } => write_adapted(*workers, *before, *why),
        Note::NotScaled { workers, bound } => {
            warn!("stays at {workers} worker{}: {bound}", plural(*workers));
        }
        Note::Announced(time) => {
            info!("stopping in {} s: serving on, not ready any more", time.as_secs_f32())
        }
        Note::Stopping(Pace::Graceful) => info!("stopping: running requests may end"),
        Note::Stopping(Pace::Quick) => info!("stopping at once"),
        Note::LogsNotReopened(reason) => error!("the error log could not be opened anew: {reason}"),
        Note::AdminNotStarted(reason) => {
            warn!("the admin process does not start, another try follows: {reason}")
        }
        Note::AdminEnded(how) => warn!("the admin process ended, another one follows: {how}"),
        Note::ControlSocketGone => info!("the control socket was removed; it is made anew"),
        Note::Upgrade(note) => write_upgrade(note),
        Note::Canary(note) => write_canary(note),
    }
}

fn write_adapted(workers: u16, before: u16, why: Why) {
    let why = match why {
        Why::Busy => "nearly all app threads are busy",
        Why::Waiting => "requests wait",
        Why::Spare => "one less has been enough for workers.shrink_after",
    };
    info!(before, "{workers} worker{}: {why}", plural(usize::from(workers)));
}

fn write_upgrade(note: &UpgradeNote) {
    match note {
        UpgradeNote::InsteadOfReload => {
            info!("the program on disk has changed: the reload becomes an upgrade");
        }
        UpgradeNote::Postponed => info!("upgrade follows when the present change is done"),
        UpgradeNote::Busy => info!("an upgrade is under way already"),
        UpgradeNote::Started { generation } => info!("upgrade started: generation {generation}"),
        UpgradeNote::Failed { reason } => {
            let (first, traceback) = parts(reason);
            error!(traceback, "upgrade failed: this program goes on; {first}");
        }
        UpgradeNote::Done { generation } => info!("upgrade done: generation {generation}"),
    }
}

fn write_canary(note: &CanaryNote) {
    match note {
        CanaryNote::Begun { who: Who { slot, pid, generation }, time } => {
            info!(%slot, %pid, %generation, "canary: one new worker serves for {time:?} beside the old ones, and is compared with them");
        }
        CanaryNote::Passed(text) => info!("canary passed: {text}"),
        CanaryNote::Unproven(text) => {
            warn!("canary: too few requests to tell, the reload goes on: {text}");
        }
        CanaryNote::Alone => {
            warn!("canary: no old worker is left to compare with, the reload goes on");
        }
    }
}

fn write_mold(generation: Generation, note: &MoldNote) {
    match note {
        MoldNote::Ready => info!(%generation, "mold ready: the apps are loaded, workers are forked from it"),
        MoldNote::Failed(text) => {
            let (first, traceback) = parts(text);
            error!(%generation, traceback, "mold did not load the apps, another try follows: {first}");
        }
        MoldNote::Ended(how) => {
            warn!(%generation, "mold ended: {how}; its workers serve on, and the next mold loads what lies on disk then");
        }
        MoldNote::Stuck => {
            error!(%generation, "mold killed: it did not fork a worker in time (timeouts.boot)");
        }
    }
}

fn write_boot_failed((slot, generation): (Slot, Generation), text: &str) {
    let (id, (first, traceback)) = (DID_NOT_START, parts(text));
    error!(%slot, %generation, id, traceback, "worker did not start, another try follows: {first}");
}

/// Writes why a worker ended that nobody had told to, and how sure that is.
pub(super) fn write_crashed(Who { slot, pid, generation }: Who, cause: &Cause) {
    let Cause { id, text, certainty } = cause;
    error!(%slot, %pid, %generation, id, %certainty, "worker crashed: {text}");
}

/// Writes what a worker that was killed or has crashed had; `now_ns` is the time of the table of requests.
pub(super) fn write_served(Who { slot, pid, generation }: Who, entries: &[Entry], now_ns: u64) {
    let of = |stage| entries.iter().filter(move |entry| entry.stage == stage);
    for entry in of(Stage::App) {
        error!(%slot, %pid, %generation, "worker was serving {}", entry.describe(now_ns));
    }
    // An app that blocks no thread may have been making the rest of one of these.
    let mut answered: Vec<_> = of(Stage::Writing).collect();
    answered.sort_by_key(|entry| std::cmp::Reverse(entry.since_ns));
    for entry in answered.iter().take(ANSWERED_NAMED) {
        error!(%slot, %pid, %generation, "worker was answering {}", entry.describe(now_ns));
    }
    let (reading, queued) = (of(Stage::Reading).count(), of(Stage::Queued).count());
    let writing = answered.len().saturating_sub(ANSWERED_NAMED);
    if reading + queued + writing > 0 {
        error!(
            %slot, %pid, %generation,
            "worker also had requests that were not in the app: {reading} {}, {queued} {}, {writing} {}",
            Stage::Reading, Stage::Queued, Stage::Writing
        );
    }
}

/// Writes that a request is refused from now on.
pub(super) fn write_quarantined(request: &Entry, time: Duration, now_ns: u64) {
    let request = request.describe(now_ns);
    error!(
        id = "FC-Q01",
        "request quarantined: it has ended as many workers as workers.quarantine says, and is refused for {time:?}: {request}"
    );
}

fn write_retirement(Who { slot, pid, generation }: Who, reason: RetireReason) {
    match reason {
        RetireReason::MaxRequests => {
            info!(%slot, %pid, %generation, "worker retires: it has served workers.max_requests");
        }
        RetireReason::RequestTimeout => {
            warn!(%slot, %pid, %generation, "worker retires: a request was past its time limit; the lines before name it and have its stack (workers.recycle_after_timeout)");
        }
        RetireReason::Terminated => {
            info!(%slot, %pid, %generation, "worker retires: it was sent SIGTERM; a successor comes first (to stop the server, signal the master)");
        }
    }
}

fn write_recycled(Who { slot, pid, generation }: Who, why: Surfeit) {
    let mib = |bytes: u64| bytes >> 20;
    match why {
        Surfeit::Age => {
            info!(%slot, %pid, %generation, "worker retires: it has served for workers.max_age");
        }
        Surfeit::Memory { bytes, served } if served < SOON => {
            let (mib, seconds) = (mib(bytes), served.as_secs());
            warn!(%slot, %pid, %generation, "worker retires: it has {mib} MiB after {seconds} s already, and its successor will as well; raise workers.max_memory");
        }
        Surfeit::Memory { bytes, .. } => {
            info!(%slot, %pid, %generation, "worker retires: it has {} MiB, more than workers.max_memory", mib(bytes));
        }
        Surfeit::Pressure { bytes, percent } => {
            let mib = mib(bytes);
            warn!(%slot, %pid, %generation, "worker retires: it is the largest, with {mib} MiB, and {percent}% of the cgroup's memory are in use (workers.memory_pressure)");
        }
    }
}

/// What an app needs after so short a time is no leak.
const SOON: Duration = Duration::from_secs(60);

/// Requests named of those whose responses were on their way: slow downloads may be many.
const ANSWERED_NAMED: usize = 16;

fn write_killed(Who { slot, pid, generation }: Who, reason: KillReason) {
    match reason {
        KillReason::Overdue => {
            error!(%slot, %pid, %generation, id = "FC-W11", "worker killed: it had not left in time (timeouts.graceful, timeouts.drain_streaming, timeouts.drain_websocket; 2 s when told to leave at once); raise that if it is expected");
        }
        KillReason::BootOverdue => {
            error!(%slot, %pid, %generation, id = "FC-W12", "worker killed: it was not ready in time (timeouts.boot)");
        }
        KillReason::NotNeeded => {
            info!(%slot, %pid, %generation, id = "FC-W13", "worker killed: it had not begun to serve and is not needed any more");
        }
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
