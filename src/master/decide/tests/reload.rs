//! Reloads, and what may come in between.

use super::*;

#[test]
fn hup_proves_each_wave_before_the_old_ones_leave() {
    check_two(
        &[(5, RELOAD), (6, ready(103)), (7, left(101)), (8, ready(104)), (9, left(102))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "fork 103 slot 1 gen 2",
            "drain 101",
            "fork 104 slot 2 gen 2",
            "drain 102",
            "say ReloadDone { generation: Generation(2) }",
        ],
    );
}

#[test]
fn an_old_worker_drains_for_as_long_as_it_was_started_with() {
    let brief = Pool { drain: Duration::ZERO, ..pool(1) };
    check(
        1,
        &Ok(brief),
        // Its successor, started with less, is killed after less.
        &[
            (1, ready(101)),
            (5, RELOAD),
            (6, ready(102)),
            (37, Event::Tick),
            (38, Event::Tick),
            (38, dies(101)),
            (50, TERM),
            (52, Event::Tick),
            (52, dies(102)),
        ],
        &[
            &ONE[..],
            &[
                "say ReloadStarted { generation: Generation(2) }",
                "fork 102 slot 1 gen 2",
                "drain 101",
                "say ReloadDone { generation: Generation(2) }",
                "kill 101",
                "say 101 Overdue",
                "drain 102 for stop",
                "kill 102",
                "say 102 Overdue",
                "exit Ended",
            ],
        ]
        .concat(),
    );
}

#[test]
fn a_reload_that_fails_at_first_leaves_the_old_generation_alone() {
    let started = ["say ReloadStarted { generation: Generation(2) }", "fork 103 slot 1 gen 2"];
    let note = "say ReloadFailed { reason: \"no module x\", serving: Generation(1) }";
    check_two(&[(5, RELOAD), (6, failed(103)), (6, left(103))], &[&started[..], &[note]].concat());
    let overdue = "say ReloadFailed { reason: \"worker pid 103 was not ready in time (timeouts.boot)\", serving: Generation(1) }";
    check_two(
        &[(5, RELOAD), (5 + BOOT, Event::Tick)],
        &[&started[..], &["kill 103", "say 103 BootOverdue", overdue]].concat(),
    );
}

#[test]
fn a_reload_that_fails_takes_all_new_workers_with_it() {
    check(
        2,
        &Ok(Pool { surge: 2, ..pool(2) }),
        &[(1, ready(101)), (1, ready(102)), (5, RELOAD), (6, ready(103)), (7, failed(104))],
        &[
            &TWO[..],
            &[
                "say ReloadStarted { generation: Generation(2) }",
                "fork 103 slot 1 gen 2",
                "fork 104 slot 2 gen 2",
                "drain 103",
                "say ReloadFailed { reason: \"no module x\", serving: Generation(1) }",
            ],
        ]
        .concat(),
    );
}

#[test]
fn a_reload_that_fails_later_keeps_what_is_there() {
    check_two(
        &[(5, RELOAD), (6, ready(103)), (7, left(101)), (8, failed(104))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "fork 103 slot 1 gen 2",
            "drain 101",
            "fork 104 slot 2 gen 2",
            "say ReloadStopped { reason: \"no module x\", old: 1, new: 1 }",
        ],
    );
}

#[test]
fn a_bad_configuration_changes_nothing() {
    check(
        1,
        &Err("line 3: unknown key".into()),
        &[(1, ready(101)), (5, RELOAD)],
        &[&ONE[..], &["say ReloadFailed { reason: \"line 3: unknown key\", serving: Generation(1) }"]]
            .concat(),
    );
}

#[test]
fn after_a_failed_reload_a_crash_is_replaced_in_the_old_generation() {
    check_one(
        &[(5, RELOAD), (6, failed(102)), (6, left(102)), (50, dies(101))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "fork 102 slot 1 gen 2",
            "say ReloadFailed { reason: \"no module x\", serving: Generation(1) }",
            "say 101 crashed: killed by SIGSEGV",
            "slot 1 vacant",
            "say NobodyServes",
            "fork 103 slot 1 gen 1",
        ],
    );
}

#[test]
fn an_old_worker_that_crashes_during_a_reload_is_replaced_by_the_reload() {
    check_two(
        &[(5, RELOAD), (6, dies(102)), (7, ready(103)), (8, ready(104))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "fork 103 slot 1 gen 2",
            "say 102 crashed: killed by SIGSEGV",
            "slot 2 vacant",
            "drain 101",
            "fork 104 slot 2 gen 2",
            "say ReloadDone { generation: Generation(2) }",
            "slot 2 served",
        ],
    );
}

#[test]
fn hups_during_a_reload_are_followed_by_one_more() {
    check_one(
        &[(5, RELOAD), (5, RELOAD), (5, RELOAD), (6, ready(102)), (7, left(101)), (8, ready(103))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "fork 102 slot 1 gen 2",
            "say ReloadPostponed",
            "say ReloadPostponed",
            "drain 101",
            "say ReloadDone { generation: Generation(2) }",
            "say ReloadStarted { generation: Generation(3) }",
            "fork 103 slot 1 gen 3",
            "drain 102",
            "say ReloadDone { generation: Generation(3) }",
        ],
    );
}

#[test]
fn term_during_a_reload_ends_it() {
    check_one(
        &[(5, RELOAD), (6, TERM), (6, dies(102)), (7, left(101))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "fork 102 slot 1 gen 2",
            "drain 101 for stop",
            "kill 102",
            "exit Ended",
        ],
    );
}

#[test]
fn a_reload_grows_and_shrinks_the_pool() {
    check(
        1,
        &Ok(pool(2)),
        &[(1, ready(101)), (5, RELOAD), (6, ready(102)), (7, ready(103))],
        &[
            &ONE[..],
            &[
                "say ReloadStarted { generation: Generation(2) }",
                "fork 102 slot 1 gen 2",
                "drain 101",
                "fork 103 slot 2 gen 2",
                "say ReloadDone { generation: Generation(2) }",
                "slot 2 served",
            ],
        ]
        .concat(),
    );
    check(
        2,
        &Ok(pool(1)),
        &[(1, ready(101)), (1, ready(102)), (5, RELOAD), (6, ready(103))],
        &[
            &TWO[..],
            &[
                "say ReloadStarted { generation: Generation(2) }",
                "fork 103 slot 1 gen 2",
                "drain 101",
                "drain 102",
                "say ReloadDone { generation: Generation(2) }",
                "slot 2 vacant",
            ],
        ]
        .concat(),
    );
}

#[test]
fn ttin_during_a_reload_waits_for_its_end() {
    check_one(
        &[(5, RELOAD), (5, MORE), (6, ready(102))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "fork 102 slot 1 gen 2",
            "drain 101",
            "say ReloadDone { generation: Generation(2) }",
            "say Scaled { workers: 2 }",
            "fork 103 slot 2 gen 2",
        ],
    );
}

#[test]
fn a_slot_never_has_three_processes() {
    // The one that drains is still there when the reload comes: its place must be free first.
    check_one(
        &[(5, RELOAD), (6, ready(102)), (7, RELOAD), (8, left(101))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "fork 102 slot 1 gen 2",
            "drain 101",
            "say ReloadDone { generation: Generation(2) }",
            "say ReloadStarted { generation: Generation(3) }",
            "fork 103 slot 1 gen 3",
        ],
    );
}
