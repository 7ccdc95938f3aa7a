//! Start, stop, crash, retirement, scaling.

use super::*;

#[test]
fn term_drains_and_a_second_one_stops() {
    check_two(
        &[(5, TERM), (6, left(101)), (7, left(102))],
        &["drain 101 for stop", "drain 102 for stop", "exit Ended"],
    );
    check_one(
        &[(5, TERM), (6, TERM), (7, Event::Tick), (8, Event::Tick), (8, dies(101))],
        &["drain 101 for stop", "Stop 101", "kill 101", "say 101 Overdue", "exit Ended"],
    );
}

#[test]
fn a_drain_has_a_limit() {
    check_one(
        &[(5, TERM), (36, Event::Tick), (37, Event::Tick), (37, dies(101))],
        &["drain 101 for stop", "kill 101", "say 101 Overdue", "exit Ended"],
    );
}

#[test]
fn a_lame_duck_is_kept_alive_until_its_time_is_over() {
    let lame_duck = Duration::from_secs(20);
    let announced = "say Announced(20s)";
    let serving = [(1, ready(101)), (5, TERM)];
    check_pool(
        Pool { lame_duck, ..pool(1) },
        &Ok(pool(1)),
        &[
            &serving[..],
            &[(6, RELOAD), (6, MORE), (7, dies(101)), (8, ready(102)), (25, Event::Tick), (26, left(102))],
        ]
        .concat(),
        &[
            &ONE[..],
            &[
                announced,
                "Announce 101",
                "say 101 crashed: killed by SIGSEGV",
                "slot 1 vacant",
                "fork 102 slot 1 gen 1",
                "Announce 102",
                "slot 1 served",
                "drain 102 for stop",
                "exit Ended",
            ],
        ]
        .concat(),
    );
    check_pool(
        Pool { lame_duck, ..pool(1) },
        &Ok(pool(1)),
        &[&serving[..], &[(6, TERM), (7, left(101))]].concat(),
        &[&ONE[..], &[announced, "Announce 101", "Stop 101", "exit Ended"]].concat(),
    );
}

#[test]
fn a_reload_does_not_outlive_the_announcement_of_a_stop() {
    check_pool(
        Pool { lame_duck: Duration::from_secs(20), ..pool(1) },
        &Ok(pool(1)),
        &[(1, ready(101)), (5, RELOAD), (6, TERM), (6, dies(102)), (26, Event::Tick), (27, left(101))],
        &[
            &ONE[..],
            &[
                "say ReloadStarted { generation: Generation(2) }",
                "fork 102 slot 1 gen 2",
                "say Announced(20s)",
                "kill 102",
                "Announce 101",
                "drain 101 for stop",
                "exit Ended",
            ],
        ]
        .concat(),
    );
}

#[test]
fn int_stops_at_once_and_further_signals_change_nothing() {
    check_one(
        &[(5, QUIT), (5, TERM), (5, QUIT), (5, RELOAD), (5, MORE), (6, left(101))],
        &["Stop 101", "exit Ended"],
    );
}

#[test]
fn term_before_anybody_is_ready_ends_the_start() {
    check(
        2,
        &Ok(pool(2)),
        &[(1, TERM), (1, dies(101)), (1, dies(102))],
        &["fork 101 slot 1 gen 1", "fork 102 slot 2 gen 1", "kill 101", "kill 102", "exit Ended"],
    );
}

#[test]
fn a_start_that_fails_is_not_repeated() {
    check(
        2,
        &Ok(pool(2)),
        &[(1, failed(101)), (1, dies(102)), (2, dies(101))],
        &[
            "fork 101 slot 1 gen 1",
            "fork 102 slot 2 gen 1",
            "kill 102",
            "exit StartFailed { reason: AppLoadFailed, text: \"no module x\" }",
        ],
    );
    check(
        1,
        &Ok(pool(1)),
        &[(BOOT, Event::Tick), (BOOT, dies(101))],
        &[
            "fork 101 slot 1 gen 1",
            "kill 101",
            "say 101 BootOverdue",
            "exit StartFailed { reason: BootFailed, text: \"worker pid 101 was not ready in time (timeouts.boot)\" }",
        ],
    );
}

#[test]
fn once_somebody_has_served_a_failing_slot_is_tried_again_and_again() {
    let note = "say BootFailed { slot: Slot(2), generation: Generation(1), text: \"no module x\" }";
    check(
        2,
        &Ok(pool(2)),
        &[
            (1, ready(101)),
            (1, failed(102)),
            (1, left(102)),
            (2, failed(103)),
            (2, left(103)),
            (3, Event::Tick),
        ],
        &[&TWO[..3], &[note, "fork 103 slot 2 gen 1", note, "fork 104 slot 2 gen 1"]].concat(),
    );
}

#[test]
fn a_crashed_worker_is_replaced_in_its_slot_at_once() {
    check_two(
        &[(50, dies(102)), (51, ready(103))],
        &["say 102 crashed: killed by SIGSEGV", "slot 2 vacant", "fork 103 slot 2 gen 1", "slot 2 served"],
    );
}

#[test]
fn crashes_in_a_row_are_slowed_down() {
    check_one(
        &[(2, dies(101)), (2, ready(102)), (2, dies(102)), (2, Event::Tick), (3, Event::Tick)],
        &[
            "say 101 crashed: killed by SIGSEGV",
            "slot 1 vacant",
            "fork 102 slot 1 gen 1",
            "slot 1 served",
            "say 102 crashed: killed by SIGSEGV",
            "slot 1 vacant",
            "fork 103 slot 1 gen 1",
        ],
    );
}

#[test]
fn who_retires_serves_until_the_successor_is_ready() {
    check_one(
        &[(5, retires(101)), (6, ready(102)), (7, left(101))],
        &["say 101 MaxRequests", "fork 102 slot 1 gen 1", "drain 101"],
    );
}

#[test]
fn a_successor_that_fails_leaves_the_retiring_one_serving() {
    let note = "say BootFailed { slot: Slot(1), generation: Generation(1), text: \"no module x\" }";
    check_one(
        &[(5, retires(101)), (6, failed(102)), (6, left(102)), (7, ready(103))],
        &["say 101 MaxRequests", "fork 102 slot 1 gen 1", note, "fork 103 slot 1 gen 1", "drain 101"],
    );
}

#[test]
fn ttin_and_ttou_change_the_pool_by_one() {
    check_one(
        &[(5, MORE), (6, ready(102)), (7, LESS), (8, left(102)), (9, LESS)],
        &[
            "say Scaled { workers: 2 }",
            "fork 102 slot 2 gen 1",
            "slot 2 served",
            "drain 102",
            "say Scaled { workers: 1 }",
            "slot 2 vacant",
            "say NotScaled { workers: 1, bound: One }",
        ],
    );
}

#[test]
fn ttou_while_one_is_starting_takes_that_one() {
    check_one(
        &[(5, MORE), (5, LESS), (5, dies(102))],
        &["say Scaled { workers: 2 }", "fork 102 slot 2 gen 1", "kill 102", "say Scaled { workers: 1 }"],
    );
}

#[test]
fn usr1_reaches_everybody_and_usr2_harms_nobody() {
    check_two(
        &[(5, REOPEN), (6, UPGRADE)],
        &[
            "ReopenLogs",
            "ReopenLogs 101",
            "ReopenLogs 102",
            "say Upgrade(Started { generation: Generation(2) })",
            "prove gen 2 in 1",
        ],
    );
}
