//! Every signal and race as a script in virtual time.

mod adapt;
mod canary;
mod check;
mod degraded;
mod heartbeat;
mod inquiries;
mod life;
mod model;
mod mold;
mod notify;
mod property;
mod recycle;
mod reload;
mod successor;
mod tickets;
mod upgrade;

use crate::config::Canary;
use crate::contract::control::{Command, Pace, Scale, Ticket, Verdict};
use crate::contract::exit::ExitReason;
use crate::contract::inquiry::{Inquiry, Wish};
use crate::contract::message::{DrainReason, Order, Report, RetireReason};
use crate::contract::scoreboard::Service;
use crate::master::decide::mold::Preload;
use crate::master::decide::notify::{Notification, Notifier, Novelty, Pulse};
use crate::master::decide::recycle::{MemoryLimits, Plan};
use crate::master::decide::supervisor::Supervisor;
use crate::master::event::{Action, Event, KillReason, MoldNews, Note, ProofNews, UpgradeStep};
use crate::master::pool::Pool;
use crate::sys::process::Pid;
use crate::sys::wait::{Core, WaitOutcome};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const GRACEFUL: u64 = 30;
const BOOT: u64 = 100;
const RELOAD_LIMIT: u64 = 500;

const TERM: Event = by_signal(Command::Stop(Pace::Graceful));
const QUIT: Event = by_signal(Command::Stop(Pace::Quick));
const RELOAD: Event = by_signal(Command::Reload { canary: None });
const REOPEN: Event = by_signal(Command::ReopenLogs);
const UPGRADE: Event = by_signal(Command::Upgrade);
const MORE: Event = by_signal(Command::Scale(Scale::By(1)));
const LESS: Event = by_signal(Command::Scale(Scale::By(-1)));

/// A worker is to end one of its requests.
const fn cancel(pid: Pid) -> Command {
    Command::Inquire { pid, inquiry: Inquiry { request: 5, wish: Wish::Cancel } }
}

/// Nobody waits for the outcome.
const fn by_signal(command: Command) -> Event {
    Event::Asked { ticket: None, command }
}

/// Somebody does.
fn asks(ticket: u64, command: Command) -> Event {
    Event::Asked { ticket: Some(Ticket(ticket)), command }
}

/// One at a time, and only those who ask for it.
const RECYCLING: Plan = Plan {
    at_once: 1,
    max_age: Duration::ZERO,
    age_jitter: Duration::ZERO,
    memory: MemoryLimits { each: None, pressure: None },
};

fn pool(workers: u16) -> Pool {
    let (graceful, boot) = (Duration::from_secs(GRACEFUL), Duration::from_secs(BOOT));
    let (lame_duck, reload) = (Duration::ZERO, Duration::from_secs(RELOAD_LIMIT));
    let recycling = RECYCLING;
    Pool {
        workers,
        span: None,
        surge: 1,
        drain: graceful,
        lame_duck,
        boot,
        canary: Canary::default(),
        preload: Preload::No,
        check: None,
        reload,
        recycling,
        heartbeat: None,
    }
}

/// Plays a script of (second, event) to a pool of so many workers; what must come of it, one line per action.
///
/// Forked workers get the pids 101, 102, …; a reload reads a configuration of `reload` workers.
fn check(workers: u16, reload: &Result<Pool, String>, script: &[(u64, Event)], expected: &[&str]) {
    check_pool(pool(workers), reload, script, expected);
}

/// The same with a pool of its own.
fn check_pool(pool: Pool, reload: &Result<Pool, String>, script: &[(u64, Event)], expected: &[&str]) {
    play(Supervisor::new(pool, 8), reload, script, expected);
}

/// The same to any supervisor.
fn play(
    mut supervisor: Supervisor,
    reload: &Result<Pool, String>,
    script: &[(u64, Event)],
    expected: &[&str],
) {
    let start = Instant::now();
    let mut next_pid = 101;
    let mut lines = Vec::new();
    for (second, event) in std::iter::once(&(0, Event::Tick)).chain(script) {
        let now = start + Duration::from_secs(*second);
        let mut events = VecDeque::from([event.clone()]);
        while let Some(event) = events.pop_front() {
            let mut answers = VecDeque::new();
            for action in supervisor.step(now, event) {
                if let Action::Fork { slot, generation } | Action::Cast { slot, generation } = action {
                    let how = if matches!(action, Action::Fork { .. }) { "fork" } else { "cast" };
                    lines.push(format!("{how} {next_pid} slot {slot} gen {generation}"));
                    answers.push_back(Event::Forked { slot, generation, pid: Pid(next_pid) });
                    next_pid += 1;
                } else if let Action::MakeMold { generation } = action {
                    lines.push(format!("mold gen {generation}"));
                    answers.push_back(Event::Mold { generation, news: MoldNews::Forked });
                } else if action == Action::LoadConfig {
                    answers.push_back(Event::ConfigLoaded(reload.clone()));
                } else if action == Action::ReopenLogs {
                    lines.push("ReopenLogs".into());
                    answers.push_back(Event::LogsReopened(Ok(())));
                } else if let Action::Upgrade(UpgradeStep::Prove { .. }) = action {
                    lines.extend(line(&action));
                    answers.push_back(Event::Proof(ProofNews::Begun(Ok(()))));
                } else {
                    lines.extend(line(&action));
                }
            }
            answers.extend(events);
            events = answers;
        }
    }
    assert_eq!(lines, expected, "\n{}", lines.join("\n"));
}

/// An action in short; what goes without saying is left out.
fn line(action: &Action) -> Option<String> {
    match action {
        Action::Send { order: Order::Vacancies, .. }
        | Action::Mark { .. }
        | Action::Adopt { .. }
        | Action::Abandon { .. }
        | Action::Settle { .. }
        | Action::Picture(_)
        | Action::Publish(_) => None,
        Action::Answer { ticket, verdict: Verdict::Done(text) } => {
            Some(format!("ticket {}: {text}", ticket.0))
        }
        Action::Answer { ticket, verdict: Verdict::Failed(text) } => {
            Some(format!("ticket {} fails: {text}", ticket.0))
        }
        Action::Send { pid, order: Order::Drain(DrainReason::Replaced) } => Some(format!("drain {pid}")),
        Action::Send { pid, order: Order::Drain(DrainReason::ServerStop) } => {
            Some(format!("drain {pid} for stop"))
        }
        Action::Send { pid, order } => Some(format!("{order:?} {pid}")),
        Action::Check { generation } => Some(format!("check gen {generation}")),
        Action::Weigh(_) => Some("weigh".into()),
        Action::BreakMold { generation } => Some(format!("break mold gen {generation}")),
        Action::EndCheck => Some("end check".into()),
        Action::Kill { pid } => Some(format!("kill {pid}")),
        Action::Serve { slot, service: Service::Served } => Some(format!("slot {slot} served")),
        Action::Serve { slot, service: Service::Vacant } => Some(format!("slot {slot} vacant")),
        Action::Say(Note::Ready(_) | Note::Left(_) | Note::Stopping(_)) | Action::RefuseClients => None,
        Action::Say(Note::Killed { reason: KillReason::NotNeeded, .. }) => None,
        Action::Say(Note::Crashed { who, how }) => Some(format!("say {} crashed: {how}", who.pid)),
        Action::Say(Note::Killed { who, reason }) => Some(format!("say {} {reason:?}", who.pid)),
        Action::Say(Note::Retires { who, reason }) => Some(format!("say {} {reason:?}", who.pid)),
        Action::Say(Note::Recycled { who, why }) => Some(format!("say {} {why:?}", who.pid)),
        Action::Say(Note::StandsStill(who)) => Some(format!("say {} stands still", who.pid)),
        Action::Say(Note::RecyclingWaits(who)) => Some(format!("say {} waits", who.pid)),
        Action::Say(note) => Some(format!("say {note:?}")),
        Action::Tell(notification) => Some(format!("tell {}", told(notification))),
        Action::Exit(finish) => Some(format!("exit {finish:?}")),
        Action::Compare { canary } => Some(format!("compare {canary}")),
        Action::EndComparison => Some("end comparison".into()),
        Action::Fork { .. }
        | Action::Cast { .. }
        | Action::MakeMold { .. }
        | Action::ForkAdmin
        | Action::Look
        | Action::Survey
        | Action::LoadConfig
        | Action::ReopenLogs => Some(format!("{action:?}")),
        Action::Upgrade(UpgradeStep::Prove { generation, slots }) => {
            let slots: Vec<String> = slots.iter().map(ToString::to_string).collect();
            Some(format!("prove gen {generation} in {}", slots.join(" ")))
        }
        Action::Upgrade(UpgradeStep::EndProof(pace)) => Some(format!("end proof {pace:?}")),
        Action::Upgrade(UpgradeStep::Replace(_)) => Some("replace".into()),
        Action::DismissAdmin | Action::KillAdmin => Some(format!("{action:?}")),
    }
}

fn told(notification: &Notification) -> String {
    let Notification { status, stage, extend, pulse } = notification;
    let news = if *stage == Novelty::New { "!" } else { "" };
    let extend = extend.map_or_else(String::new, |extend| format!(" extend {}", extend.as_secs()));
    let pulse = if *pulse == Pulse::Alive { "" } else { " no pulse" };
    let condition = status.condition;
    let failure =
        status.failure.as_ref().map_or_else(String::new, |failure| format!(" ({condition}{failure})"));
    let (ready, wanted, generation) = (status.ready, status.wanted, status.generation.0);
    format!("{:?}{news} {ready}/{wanted} gen {generation}{extend}{pulse}{failure}", status.stage)
}

fn ready(pid: i32) -> Event {
    Event::Reported { pid: Pid(pid), report: Report::Ready }
}

fn failed(pid: i32) -> Event {
    let report = Report::Failed { reason: ExitReason::AppLoadFailed, text: "no module x".into() };
    Event::Reported { pid: Pid(pid), report }
}

fn retires(pid: i32) -> Event {
    Event::Reported { pid: Pid(pid), report: Report::Retiring(RetireReason::MaxRequests) }
}

fn left(pid: i32) -> Event {
    Event::Exited { pid: Pid(pid), outcome: WaitOutcome::Exited(0) }
}

fn dies(pid: i32) -> Event {
    let outcome = WaitOutcome::Signalled { signal: "SIGSEGV", core: Core::NotDumped };
    Event::Exited { pid: Pid(pid), outcome }
}

/// A pool of one that is ready after a second.
const ONE: [&str; 3] =
    ["fork 101 slot 1 gen 1", "say AllReady { workers: 1, generation: Generation(1) }", "slot 1 served"];

/// A pool of two that is ready after a second.
const TWO: [&str; 5] = [
    "fork 101 slot 1 gen 1",
    "fork 102 slot 2 gen 1",
    "slot 1 served",
    "say AllReady { workers: 2, generation: Generation(1) }",
    "slot 2 served",
];

fn check_one(script: &[(u64, Event)], expected: &[&str]) {
    let script = [&[(1, ready(101))], script].concat();
    check(1, &Ok(pool(1)), &script, &[&ONE, expected].concat());
}

fn check_two(script: &[(u64, Event)], expected: &[&str]) {
    let script = [&[(1, ready(101)), (1, ready(102))], script].concat();
    check(2, &Ok(pool(2)), &script, &[&TWO, expected].concat());
}
