//! After a reload has failed: what waits, what is tried, what goes on.

use super::*;

/// A reload that fails by its code.
const FAILS: [&str; 3] = [
    "say ReloadStarted { generation: Generation(2) }",
    "fork 103 slot 1 gen 2",
    "say ReloadFailed { reason: \"no module x\", serving: Generation(1) }",
];

fn check_degraded(script: &[(u64, Event)], expected: &[&str]) {
    let failing = [(5, RELOAD), (6, failed(103)), (6, left(103))];
    check_two(&[&failing, script].concat(), &[&FAILS, expected].concat());
}

fn boot_failed(slot: u16) -> String {
    format!("say BootFailed {{ slot: Slot({slot}), generation: Generation(1), text: \"no module x\" }}")
}

#[test]
fn planned_recycling_waits_until_a_reload_succeeds() {
    check_degraded(
        &[
            (10, retires(101)),
            (11, retires(102)),
            (1000, Event::Tick),
            (1001, RELOAD),
            (1002, ready(104)),
            (1003, left(101)),
            (1004, ready(105)),
        ],
        &[
            "say 101 MaxRequests",
            "say 101 waits",
            "say 102 MaxRequests",
            "say 102 waits",
            "say ReloadStarted { generation: Generation(3) }",
            "fork 104 slot 1 gen 3",
            "drain 101",
            "fork 105 slot 2 gen 3",
            "drain 102",
            "say ReloadDone { generation: Generation(3) }",
        ],
    );
}

#[test]
fn a_slot_without_a_worker_is_tried_with_growing_pauses() {
    let again = boot_failed(2);
    check_degraded(
        &[
            (10, dies(102)),
            (10, failed(104)),
            (10, left(104)),
            (11, Event::Tick),
            (11, failed(105)),
            (11, left(105)),
            (12, Event::Tick),
            (13, Event::Tick),
            (13, failed(106)),
            (13, left(106)),
            (16, Event::Tick),
            (17, Event::Tick),
        ],
        &[
            "say 102 crashed: killed by SIGSEGV",
            "slot 2 vacant",
            "fork 104 slot 2 gen 1",
            &again,
            "fork 105 slot 2 gen 1",
            &again,
            "fork 106 slot 2 gen 1",
            &again,
            "fork 107 slot 2 gen 1",
        ],
    );
}

#[test]
fn one_attempt_at_a_time_tells_enough_even_when_nobody_is_left() {
    let again = boot_failed(1);
    check_degraded(
        &[
            (10, dies(101)),
            (10, dies(102)),
            (11, failed(104)),
            (11, left(104)),
            (12, Event::Tick),
            (13, ready(105)),
            (14, ready(106)),
        ],
        &[
            "say 101 crashed: killed by SIGSEGV",
            "slot 1 vacant",
            "fork 104 slot 1 gen 1",
            "say 102 crashed: killed by SIGSEGV",
            "slot 2 vacant",
            "say NobodyServes",
            &again,
            "fork 105 slot 1 gen 1",
            "say CodeStarts",
            "fork 106 slot 2 gen 1",
            "slot 1 served",
            "slot 2 served",
        ],
    );
}

#[test]
fn a_worker_that_starts_again_lets_the_waiting_ones_be_replaced() {
    check_degraded(
        &[(10, retires(101)), (11, dies(102)), (12, ready(104)), (13, ready(105))],
        &[
            "say 101 MaxRequests",
            "say 101 waits",
            "say 102 crashed: killed by SIGSEGV",
            "slot 2 vacant",
            "fork 104 slot 2 gen 1",
            "say CodeStarts",
            "fork 105 slot 1 gen 1",
            "slot 2 served",
            "drain 101",
        ],
    );
}

#[test]
fn a_bad_configuration_says_nothing_of_the_code() {
    check(
        1,
        &Err("line 3: unknown key".into()),
        &[(1, ready(101)), (5, RELOAD), (6, retires(101)), (7, ready(102))],
        &[
            &ONE[..],
            &[
                "say ReloadFailed { reason: \"line 3: unknown key\", serving: Generation(1) }",
                "say 101 MaxRequests",
                "fork 102 slot 1 gen 1",
                "drain 101",
            ],
        ]
        .concat(),
    );
}

#[test]
fn a_stop_while_degraded_is_a_stop() {
    check_degraded(
        &[(10, dies(101)), (10, dies(102)), (11, TERM), (11, dies(104))],
        &[
            "say 101 crashed: killed by SIGSEGV",
            "slot 1 vacant",
            "fork 104 slot 1 gen 1",
            "say 102 crashed: killed by SIGSEGV",
            "slot 2 vacant",
            "say NobodyServes",
            "kill 104",
            "exit Ended",
        ],
    );
}

#[test]
fn a_mixed_pool_replaces_each_in_its_own_generation_until_a_reload_replaces_all() {
    check_two(
        &[
            (5, RELOAD),
            (6, ready(103)),
            (7, left(101)),
            (8, failed(104)),
            (8, left(104)),
            (20, dies(102)),
            (21, ready(105)),
            (30, dies(103)),
            (31, ready(106)),
            (40, RELOAD),
            (41, ready(107)),
            (42, left(106)),
            (43, ready(108)),
        ],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "fork 103 slot 1 gen 2",
            "drain 101",
            "fork 104 slot 2 gen 2",
            "say ReloadStopped { reason: \"no module x\", old: 1, new: 1 }",
            "say 102 crashed: killed by SIGSEGV",
            "slot 2 vacant",
            "fork 105 slot 2 gen 1",
            "slot 2 served",
            "say 103 crashed: killed by SIGSEGV",
            "slot 1 vacant",
            "fork 106 slot 1 gen 2",
            "slot 1 served",
            "say ReloadStarted { generation: Generation(3) }",
            "fork 107 slot 1 gen 3",
            "drain 106",
            "fork 108 slot 2 gen 3",
            "drain 105",
            "say ReloadDone { generation: Generation(3) }",
        ],
    );
}

#[test]
fn a_reload_that_takes_too_long_fails_and_blames_no_code() {
    // Each of these starts takes nearly as long as it may.
    let (first, second) = (5 + BOOT - 1, 5 + 2 * BOOT - 2);
    check(
        2,
        &Ok(Pool { reload: Duration::from_secs(BOOT + 10), ..pool(2) }),
        &[
            (1, ready(101)),
            (1, ready(102)),
            (5, RELOAD),
            (first, ready(103)),
            (first, left(101)),
            (second, Event::Tick),
            (second, dies(104)),
            (second, retires(102)),
        ],
        &[
            &TWO[..],
            &[
                "say ReloadStarted { generation: Generation(2) }",
                "fork 103 slot 1 gen 2",
                "drain 101",
                "fork 104 slot 2 gen 2",
                "kill 104",
                "say ReloadStopped { reason: \"it was not done in time (timeouts.reload)\", old: 1, new: 1 }",
                "say 102 MaxRequests",
                "fork 105 slot 2 gen 1",
            ],
        ]
        .concat(),
    );
}
