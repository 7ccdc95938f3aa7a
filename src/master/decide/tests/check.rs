//! The check command: before the first start, and before each reload.

use super::*;
use crate::contract::slot::Generation;

const CHECK: u64 = 60;

fn checking(workers: u16) -> Pool {
    Pool { check: Some(Duration::from_secs(CHECK)), ..pool(workers) }
}

fn checked(generation: u32, outcome: Result<(), &str>) -> Event {
    Event::Checked { generation: Generation(generation), outcome: outcome.map_err(Into::into) }
}

/// Plays to a pool of one that has a check and has been ready since the second second.
fn check_served(script: &[(u64, Event)], expected: &[&str]) {
    let script = [&[(1, checked(1, Ok(()))), (2, ready(101))], script].concat();
    let expected = [&["check gen 1"], &ONE[..], expected].concat();
    play(Supervisor::new(checking(1), 8), &Ok(checking(1)), &script, &expected);
}

#[test]
fn nothing_is_forked_before_the_check_has_passed() {
    play(
        Supervisor::new(checking(1), 8),
        &Ok(checking(1)),
        &[(0, Event::Tick), (1, checked(1, Ok(())))],
        &["check gen 1", "fork 101 slot 1 gen 1"],
    );
    check_served(
        &[(5, RELOAD), (6, checked(2, Ok(()))), (7, ready(102))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "check gen 2",
            "fork 102 slot 1 gen 2",
            "drain 101",
            "say ReloadDone { generation: Generation(2) }",
        ],
    );
}

#[test]
fn a_check_that_fails_ends_the_start() {
    play(
        Supervisor::new(checking(2), 8),
        &Ok(checking(2)),
        &[(1, checked(1, Err("unapplied")))],
        &["check gen 1", "exit StartFailed { reason: BootFailed, text: \"unapplied\" }"],
    );
}

#[test]
fn a_check_that_fails_fails_the_reload_and_recycling_waits() {
    check_served(
        &[(5, RELOAD), (6, checked(2, Err("unapplied"))), (7, retires(101))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "check gen 2",
            "say ReloadFailed { reason: \"unapplied\", serving: Generation(1) }",
            "say 101 MaxRequests",
            "say 101 waits",
        ],
    );
}

#[test]
fn a_check_that_takes_too_long_is_killed_and_has_failed() {
    let reason = "the check command was not done in time (timeouts.check)\\nwaiting";
    let note = format!("say ReloadFailed {{ reason: \"{reason}\", serving: Generation(1) }}");
    check_served(
        &[
            (5, RELOAD),
            (4 + CHECK, Event::Tick),
            (5 + CHECK, Event::Tick),
            (6 + CHECK, checked(2, Err("waiting"))),
        ],
        &["say ReloadStarted { generation: Generation(2) }", "check gen 2", "end check", &note],
    );
}

#[test]
fn a_stop_waits_for_the_end_of_the_check() {
    play(
        Supervisor::new(checking(1), 8),
        &Ok(checking(1)),
        &[(1, TERM), (2, checked(1, Err("killed")))],
        &["check gen 1", "end check", "exit Ended"],
    );
    check_served(
        &[(5, RELOAD), (6, QUIT), (6, left(101)), (7, checked(2, Err("killed")))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "check gen 2",
            "end check",
            "Stop 101",
            "exit Ended",
        ],
    );
}

#[test]
fn the_check_of_a_reload_waits_for_the_end_of_an_older_one() {
    // The first reload has failed by its own limit while its check ran.
    let short = Pool { reload: Duration::from_secs(10), ..checking(1) };
    play(
        Supervisor::new(checking(1), 8),
        &Ok(short),
        &[
            (1, checked(1, Ok(()))),
            (2, ready(101)),
            (5, RELOAD),
            (15, Event::Tick),
            (16, RELOAD),
            (17, checked(2, Err("killed"))),
            (18, checked(3, Ok(()))),
        ],
        &[
            &["check gen 1"],
            &ONE[..],
            &[
                "say ReloadStarted { generation: Generation(2) }",
                "check gen 2",
                "end check",
                "say ReloadFailed { reason: \"it was not done in time (timeouts.reload)\", serving: Generation(1) }",
                "say ReloadStarted { generation: Generation(3) }",
                "check gen 3",
                "fork 102 slot 1 gen 3",
            ],
        ]
        .concat(),
    );
}
