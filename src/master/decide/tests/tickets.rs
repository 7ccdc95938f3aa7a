//! Who asked for something gets one verdict: that of what has their change.

use super::*;

const DONE: &str = "say ReloadDone { generation: Generation(2) }";
const STARTED: [&str; 2] = ["say ReloadStarted { generation: Generation(2) }", "fork 102 slot 1 gen 2"];

#[test]
fn a_reload_is_answered_when_the_new_generation_serves() {
    check_one(
        &[(5, asks(1, Command::Reload { canary: None })), (6, ready(102))],
        &[&STARTED[..], &["drain 101", "ticket 1: generation 2", DONE]].concat(),
    );
}

#[test]
fn a_failed_reload_is_answered_with_its_reason() {
    let note = "say ReloadFailed { reason: \"no module x\", serving: Generation(1) }";
    check_one(
        &[(5, asks(1, Command::Reload { canary: None })), (6, failed(102))],
        &[&STARTED[..], &["ticket 1 fails: no module x", note]].concat(),
    );
    check(
        1,
        &Err("line 3: unknown key".into()),
        &[(1, ready(101)), (5, asks(1, Command::Reload { canary: None }))],
        &[
            &ONE[..],
            &[
                "ticket 1 fails: line 3: unknown key",
                "say ReloadFailed { reason: \"line 3: unknown key\", serving: Generation(1) }",
            ],
        ]
        .concat(),
    );
}

#[test]
fn who_asks_during_a_reload_gets_the_verdict_of_the_next() {
    check_one(
        &[
            (5, asks(1, Command::Reload { canary: None })),
            (5, asks(2, Command::Reload { canary: None })),
            (5, asks(3, Command::Reload { canary: None })),
            (6, ready(102)),
            (7, left(101)),
            (8, failed(103)),
        ],
        &[
            &STARTED[..],
            &[
                "say ReloadPostponed",
                "say ReloadPostponed",
                "drain 101",
                "ticket 1: generation 2",
                DONE,
                "say ReloadStarted { generation: Generation(3) }",
                "fork 103 slot 1 gen 3",
                "ticket 2 fails: no module x",
                "ticket 3 fails: no module x",
                "say ReloadFailed { reason: \"no module x\", serving: Generation(2) }",
            ],
        ]
        .concat(),
    );
}

#[test]
fn term_aborts_a_reload_and_says_so() {
    check_one(
        &[
            (5, asks(1, Command::Reload { canary: None })),
            (5, asks(2, Command::Reload { canary: None })),
            (6, TERM),
            (6, asks(3, Command::Reload { canary: None })),
            (6, dies(102)),
            (7, left(101)),
        ],
        &[
            &STARTED[..],
            &[
                "say ReloadPostponed",
                "ticket 1 fails: the server is stopping",
                "ticket 2 fails: the server is stopping",
                "drain 101 for stop",
                "kill 102",
                "ticket 3 fails: the server is stopping",
                "exit Ended",
            ],
        ]
        .concat(),
    );
}

#[test]
fn a_scaling_is_answered_when_all_are_ready() {
    check_one(
        &[(5, asks(1, Command::Scale(Scale::To(3)))), (6, ready(102)), (7, ready(103))],
        &[
            "say Scaled { workers: 3 }",
            "fork 102 slot 2 gen 1",
            "fork 103 slot 3 gen 1",
            "slot 2 served",
            "ticket 1: 3 workers",
            "slot 3 served",
        ],
    );
    check_two(
        &[(5, asks(1, Command::Scale(Scale::By(-1)))), (6, left(102))],
        &["drain 102", "say Scaled { workers: 1 }", "ticket 1: 1 worker", "slot 2 vacant"],
    );
}

#[test]
fn who_is_overruled_before_it_is_ready_learns_it() {
    let overruled = "someone else has asked for another number since: 2 now; ask again to change that";
    check_one(
        &[
            (5, asks(1, Command::Scale(Scale::To(3)))),
            (6, asks(2, Command::Scale(Scale::To(5000)))),
            (7, asks(3, Command::Scale(Scale::To(3)))),
            (8, LESS),
            (9, asks(4, Command::Scale(Scale::To(2)))),
            (10, ready(102)),
        ],
        &[
            "say Scaled { workers: 3 }",
            "fork 102 slot 2 gen 1",
            "fork 103 slot 3 gen 1",
            "say NotScaled { workers: 3, bound: Room(8) }",
            "ticket 2 fails: 5000 workers are not possible, only 1 to 8; there are 3 now",
            "kill 103",
            "say Scaled { workers: 2 }",
            &format!("ticket 3 fails: {overruled}"),
            &format!("ticket 1 fails: {overruled}"),
            "ticket 4: 2 workers",
            "slot 2 served",
        ],
    );
}

#[test]
fn a_scaling_that_changes_nothing_is_done() {
    check_two(&[(5, asks(1, Command::Scale(Scale::To(2))))], &["ticket 1: 2 workers"]);
}

#[test]
fn a_scaling_past_the_limits_fails_and_changes_nothing() {
    let impossible = "workers are not possible, only 1 to 8; there are";
    check_one(
        &[
            (5, asks(1, Command::Scale(Scale::To(0)))),
            (6, asks(2, Command::Scale(Scale::By(-5)))),
            (7, asks(3, Command::Scale(Scale::To(5000)))),
        ],
        &[
            "say NotScaled { workers: 1, bound: One }",
            &format!("ticket 1 fails: 0 {impossible} 1 now"),
            "say NotScaled { workers: 1, bound: One }",
            &format!("ticket 2 fails: -4 {impossible} 1 now"),
            "say NotScaled { workers: 1, bound: Room(8) }",
            &format!("ticket 3 fails: 5000 {impossible} 1 now"),
        ],
    );
}

#[test]
fn a_scaling_whose_worker_does_not_start_fails() {
    let note = "say BootFailed { slot: Slot(2), generation: Generation(1), text: \"no module x\" }";
    check_one(
        &[(5, asks(1, Command::Scale(Scale::By(1)))), (6, failed(102)), (6, left(102))],
        &[
            "say Scaled { workers: 2 }",
            "fork 102 slot 2 gen 1",
            "ticket 1 fails: no module x",
            note,
            "fork 103 slot 2 gen 1",
        ],
    );
}

#[test]
fn a_scaling_that_a_reload_undoes_fails() {
    check_one(
        &[
            (5, asks(1, Command::Scale(Scale::To(2)))),
            (5, asks(2, Command::Reload { canary: None })),
            (6, ready(103)),
            (7, left(101)),
            (7, left(102)),
        ],
        &[
            "say Scaled { workers: 2 }",
            "fork 102 slot 2 gen 1",
            "say ReloadStarted { generation: Generation(2) }",
            "fork 103 slot 1 gen 2",
            "drain 101",
            "kill 102",
            "ticket 2: generation 2",
            "say ReloadDone { generation: Generation(2) }",
            "ticket 1 fails: a reload came first, and has made it 1 again instead of 2",
        ],
    );
}

#[test]
fn a_scaling_during_a_reload_waits_for_its_end() {
    check_one(
        &[
            (5, asks(1, Command::Reload { canary: None })),
            (5, asks(2, Command::Scale(Scale::To(3)))),
            (5, asks(3, Command::Scale(Scale::By(-1)))),
            (6, ready(102)),
            (7, ready(103)),
        ],
        &[
            &STARTED[..],
            &[
                "drain 101",
                "ticket 1: generation 2",
                DONE,
                "say Scaled { workers: 2 }",
                "fork 103 slot 2 gen 2",
                "ticket 2: 2 workers",
                "ticket 3: 2 workers",
                "slot 2 served",
            ],
        ]
        .concat(),
    );
}

#[test]
fn logs_and_stop_are_answered() {
    check_one(
        &[
            (5, asks(1, Command::ReopenLogs)),
            (7, asks(3, Command::Stop(Pace::Graceful))),
            (8, asks(4, Command::Stop(Pace::Quick))),
            (9, left(101)),
        ],
        &[
            "ReopenLogs",
            "ReopenLogs 101",
            "ticket 1: the log files are open anew",
            "drain 101 for stop",
            "Stop 101",
            "ticket 3: the server has ended",
            "ticket 4: the server has ended",
            "exit Ended",
        ],
    );
}
