//! Another program in the place of this one: proven first, or nothing has happened.

use super::*;
use crate::contract::slot::Slot;
use crate::master::decide::written::WrittenPool;

const STARTED: [&str; 2] = ["say Upgrade(Started { generation: Generation(2) })", "prove gen 2 in 1"];

/// The child has ended and has left workers, pid and slot each.
fn proven(workers: &[(i32, u16)]) -> Event {
    let workers = workers.iter().map(|(pid, slot)| (Pid(*pid), Slot(*slot))).collect();
    Event::Proof(ProofNews::Ended { workers, failure: None })
}

/// The child has ended and has left nothing.
fn disproven(reason: &str) -> Event {
    Event::Proof(ProofNews::Ended { workers: Vec::new(), failure: Some(reason.into()) })
}

fn refused(reason: &str) -> [String; 2] {
    [format!("ticket 1 fails: {reason}"), format!("say Upgrade(Failed {{ reason: {reason:?} }})")]
}

/// A pool of two, an upgrade asked for in second 5, and what then happens.
fn check_upgrade(script: &[(u64, Event)], expected: &[&str]) {
    let script = [&[(5, asks(1, Command::Upgrade))], script].concat();
    check_two(&script, &[&STARTED, expected].concat());
}

#[test]
fn a_program_that_has_been_proven_takes_over() {
    check_upgrade(&[(6, proven(&[(201, 1)]))], &["replace"]);
}

#[test]
fn a_reload_that_finds_another_program_is_an_upgrade() {
    let becomes = "say Upgrade(InsteadOfReload)";
    let changed = |second| (second, Event::ProgramChanged);
    check_two(&[changed(5), (6, proven(&[(201, 1)]))], &[&[becomes], &STARTED[..], &["replace"]].concat());
    // Its child leaves, and the next one follows.
    let failed = Event::Proof(ProofNews::Failed("no module x".into()));
    let script = [changed(5), (6, failed), changed(7), (20, disproven("exit status 1"))];
    let [_, note] = refused("no module x");
    let next = ["say Upgrade(Started { generation: Generation(3) })", "prove gen 3 in 1"];
    let expected =
        [&[becomes], &STARTED[..], &[&note, becomes, "say Upgrade(Postponed)"], &next[..]].concat();
    check_two(&script, &expected);
}

#[test]
fn a_program_that_fails_changes_nothing() {
    let [answer, note] = refused("exit status 1");
    check_upgrade(&[(6, disproven("exit status 1"))], &[&answer, &note]);
}

#[test]
fn the_reason_is_told_before_the_childs_workers_have_drained() {
    let [answer, note] = refused("no module x");
    let failed = Event::Proof(ProofNews::Failed("no module x".into()));
    check_upgrade(&[(6, failed), (20, disproven("exit status 1"))], &[&answer, &note]);
}

#[test]
fn an_upgrade_asked_for_while_a_failed_ones_child_leaves_follows() {
    let [answer, note] = refused("no module x");
    let failed = Event::Proof(ProofNews::Failed("no module x".into()));
    check_upgrade(
        &[
            (6, failed.clone()),
            (7, asks(2, Command::Upgrade)),
            (7, asks(3, Command::Upgrade)),
            (20, disproven("exit status 1")),
            (21, proven(&[(201, 1)])),
        ],
        &[
            &answer,
            &note,
            "say Upgrade(Postponed)",
            "say Upgrade(Busy)",
            "ticket 3 fails: an upgrade is under way already",
            "say Upgrade(Started { generation: Generation(3) })",
            "prove gen 3 in 1",
            "replace",
        ],
    );
    // Not after a stop.
    check_upgrade(
        &[
            (6, failed),
            (7, asks(2, Command::Upgrade)),
            (8, TERM),
            (9, left(101)),
            (9, left(102)),
            (20, disproven("exit status 1")),
        ],
        &[
            &answer,
            &note,
            "say Upgrade(Postponed)",
            "ticket 2 fails: the server is stopping",
            "end proof Graceful",
            "drain 101 for stop",
            "drain 102 for stop",
            "exit Ended",
        ],
    );
}

#[test]
fn a_program_that_cannot_take_the_place_leaves_its_workers_to_drain() {
    let [answer, note] = refused("text file busy");
    let failed = Event::Proof(ProofNews::NotReplaced("text file busy".into()));
    check_upgrade(&[(6, proven(&[(201, 1)])), (6, failed)], &["replace", "drain 201", &answer, &note]);
}

#[test]
fn a_worker_that_dies_just_after_it_was_proven_ends_the_upgrade() {
    let [answer, note] = refused("worker pid 202 ended");
    let news =
        ProofNews::Ended { workers: vec![(Pid(201), Slot(1))], failure: Some("worker pid 202 ended".into()) };
    check_upgrade(&[(6, Event::Proof(news))], &["drain 201", &answer, &note]);
}

#[test]
fn a_child_that_only_runs_is_ended_in_time() {
    let [answer, note] =
        refused("the new program has proven nothing in time (timeouts.boot, and 10 s for its own start)");
    let due = 5 + BOOT + 10;
    check_upgrade(
        &[
            (due - 1, Event::Tick),
            (due, Event::Tick),
            (due + 10, Event::Tick),
            (due + 11, disproven("killed")),
        ],
        &["end proof Quick", &answer, &note, "end proof Quick"],
    );
}

#[test]
fn a_stop_waits_for_the_child() {
    check_upgrade(
        &[(6, TERM), (7, left(101)), (7, left(102)), (8, disproven("the upgrade was given up"))],
        &[
            "ticket 1 fails: the server is stopping",
            "end proof Graceful",
            "drain 101 for stop",
            "drain 102 for stop",
            "exit Ended",
        ],
    );
    // It was ready before it could be told, and its workers serve.
    check_upgrade(
        &[(6, TERM), (7, left(101)), (7, left(102)), (8, proven(&[(201, 1)])), (9, left(201))],
        &[
            "ticket 1 fails: the server is stopping",
            "end proof Graceful",
            "drain 101 for stop",
            "drain 102 for stop",
            "drain 201 for stop",
            "exit Ended",
        ],
    );
}

#[test]
fn what_is_asked_for_meanwhile_waits() {
    let [answer, note] = refused("exit status 1");
    check_upgrade(
        &[
            (6, asks(2, Command::Upgrade)),
            (6, asks(3, Command::Scale(Scale::By(1)))),
            (6, RELOAD),
            (7, disproven("exit status 1")),
        ],
        &[
            "say Upgrade(Busy)",
            "ticket 2 fails: an upgrade is under way already",
            "say ReloadPostponed",
            &answer,
            &note,
            "say Scaled { workers: 3 }",
            "fork 103 slot 3 gen 1",
            "say ReloadStarted { generation: Generation(3) }",
            "fork 104 slot 1 gen 3",
        ],
    );
}

#[test]
fn an_upgrade_waits_for_the_end_of_a_reload() {
    check_one(
        &[(5, RELOAD), (5, asks(1, Command::Upgrade)), (6, ready(102)), (7, left(101))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "fork 102 slot 1 gen 2",
            "say Upgrade(Postponed)",
            "drain 101",
            "say ReloadDone { generation: Generation(2) }",
            // Not before there is room in the slot.
            "say Upgrade(Started { generation: Generation(3) })",
            "prove gen 3 in 1",
        ],
    );
}

/// What the master of a pool of two leaves after this script, whose upgrade has proven worker 201 in slot 1.
fn written(script: &[Event], now: Instant) -> WrittenPool {
    let mut supervisor = Supervisor::new(pool(2), 8);
    let begin = [Event::Tick];
    let fork = |number, pid| Event::Forked {
        slot: Slot(number),
        generation: crate::contract::slot::Generation(1),
        pid: Pid(pid),
    };
    let forks = [fork(1, 101), fork(2, 102), ready(101), ready(102), asks(1, Command::Upgrade)];
    let all = begin.into_iter().chain(forks).chain(script.iter().cloned()).chain([proven(&[(201, 1)])]);
    let mut all_written = all.flat_map(|event| supervisor.step(now, event)).filter_map(|action| {
        if let Action::Upgrade(UpgradeStep::Replace(written)) = action { Some(*written) } else { None }
    });
    let written = all_written.next().unwrap();
    serde_json::from_str(&serde_json::to_string(&written).unwrap()).unwrap()
}

/// What the next program does first, and then.
fn check_next(written: &WrittenPool, now: Instant, script: &[(u64, Event)], expected: &[&str]) {
    let mut supervisor = Supervisor::from_written(now, pool(2), 8, written);
    let mut lines = Vec::new();
    for (second, event) in std::iter::once(&(0, Event::Tick)).chain(script) {
        let actions = supervisor.step(now + Duration::from_secs(*second), event.clone());
        lines.extend(actions.iter().filter_map(line));
    }
    assert_eq!(lines, expected, "\n{}", lines.join("\n"));
}

#[test]
fn the_next_program_replaces_the_workers_that_are_left() {
    let now = Instant::now();
    let forked = |slot, pid| Event::Forked {
        slot: Slot(slot),
        generation: crate::contract::slot::Generation(2),
        pid: Pid(pid),
    };
    check_next(
        &written(&[], now),
        now,
        &[(1, left(101)), (1, forked(2, 301)), (2, ready(301)), (3, left(102)), (9, dies(201))],
        &[
            "drain 101",
            "Fork { slot: Slot(2), generation: Generation(2) }",
            "drain 102",
            "ticket 1: generation 2",
            "say ReloadDone { generation: Generation(2) }",
            "say Upgrade(Done { generation: Generation(2) })",
            "say 201 crashed: killed by SIGSEGV",
            "slot 1 vacant",
            "Fork { slot: Slot(1), generation: Generation(2) }",
        ],
    );
}

#[test]
fn who_waits_is_answered_by_the_next_program() {
    let now = Instant::now();
    let waiting = [asks(2, Command::Reload { canary: None }), asks(3, Command::Scale(Scale::To(2)))];
    let forked = |slot, pid, generation| Event::Forked {
        slot: Slot(slot),
        generation: crate::contract::slot::Generation(generation),
        pid: Pid(pid),
    };
    check_next(
        &written(&waiting, now),
        now,
        &[
            (1, left(101)),
            (1, forked(2, 301, 2)),
            (2, ready(301)),
            (3, left(102)),
            (4, Event::ConfigLoaded(Err("line 3: unknown key".into()))),
        ],
        &[
            "drain 101",
            "Fork { slot: Slot(2), generation: Generation(2) }",
            "drain 102",
            "ticket 1: generation 2",
            "say ReloadDone { generation: Generation(2) }",
            "LoadConfig",
            "ticket 3: 2 workers",
            "ticket 2 fails: line 3: unknown key",
            "say ReloadFailed { reason: \"line 3: unknown key\", serving: Generation(2) }",
            "say Upgrade(Done { generation: Generation(2) })",
        ],
    );
}

#[test]
fn a_proven_worker_that_is_dead_by_then_is_missed() {
    let now = Instant::now();
    let written = written(&[], now);
    let mut supervisor = Supervisor::from_written(now, pool(2), 8, &written);
    let lines: Vec<_> = supervisor.step(now, dies(201)).iter().filter_map(line).collect();
    // Nobody has been told to leave.
    assert!(!lines.iter().any(|line| line.starts_with("drain")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("ticket 1 fails: ")), "{lines:?}");
}
