//! Event loops that stand still, in virtual time.

use super::*;

/// Four looks within it.
const LIMIT: Duration = Duration::from_secs(40);

fn looked(beats: &[(i32, u64)]) -> Event {
    Event::Looked(beats.iter().map(|(pid, beat)| (Pid(*pid), *beat)).collect())
}

fn watched(workers: u16) -> Pool {
    Pool { heartbeat: Some(LIMIT), ..pool(workers) }
}

/// A pool of one; at each of the seconds the master looks, and finds this number.
fn check_looks(found: &[(u64, u64)], more: &[(u64, Event)], expected: &[&str]) {
    let looks = found.iter().map(|(second, beat)| (*second, looked(&[(101, *beat)])));
    let script: Vec<_> = [(1, ready(101))].into_iter().chain(looks).chain(more.iter().cloned()).collect();
    check_pool(watched(1), &Ok(watched(1)), &script, &[&ONE, expected].concat());
}

#[test]
fn the_master_looks_four_times_within_the_limit() {
    check_pool(
        watched(1),
        &Ok(pool(1)),
        &[
            (1, ready(101)),
            (9, Event::Tick),
            (10, Event::Tick),
            (19, Event::Tick),
            (20, Event::Tick),
            (30, TERM),
            (40, Event::Tick),
        ],
        &[&ONE[..], &["Look", "Look", "drain 101 for stop"]].concat(),
    );
}

#[test]
fn a_worker_whose_loop_stands_still_gets_a_successor_first() {
    check_looks(
        &[(2, 5), (3, 6), (4, 6), (5, 6), (6, 6), (7, 6)],
        &[(8, ready(102))],
        &["say 101 stands still", "fork 102 slot 1 gen 1", "drain 101"],
    );
}

#[test]
fn a_worker_that_counts_is_left_alone_however_slowly() {
    check_looks(&[(2, 5), (3, 5), (4, 5), (5, 5), (6, 6), (7, 6), (8, 6), (9, 6), (9, 7)], &[], &[]);
}

#[test]
fn a_worker_that_cannot_be_told_to_leave_is_killed() {
    let after = 8 + GRACEFUL + 2;
    let killed = WaitOutcome::Signalled { signal: "SIGKILL", core: Core::NotDumped };
    let script = [
        (8, ready(102)),
        (after, Event::Tick),
        (after + 1, Event::Exited { pid: Pid(101), outcome: killed }),
    ];
    check_looks(
        &[(2, 5), (3, 5), (4, 5), (5, 5), (6, 5)],
        &script,
        &[
            "say 101 stands still",
            "fork 102 slot 1 gen 1",
            "drain 101",
            "kill 101",
            "say 101 Overdue",
            "Look",
        ],
    );
}

#[test]
fn without_a_successor_others_take_its_connections() {
    let both = |first, second| looked(&[(101, first), (102, second)]);
    check_pool(
        watched(2),
        &Ok(watched(2)),
        &[
            (1, ready(101)),
            (1, ready(102)),
            (2, RELOAD),
            (3, failed(103)),
            (3, left(103)),
            (4, both(1, 1)),
            (4, both(1, 2)),
            (4, both(1, 3)),
            (4, both(1, 4)),
            (4, both(1, 5)),
        ],
        &[
            &TWO[..],
            &[
                "say ReloadStarted { generation: Generation(2) }",
                "fork 103 slot 1 gen 2",
                "say ReloadFailed { reason: \"no module x\", serving: Generation(1) }",
                "say 101 stands still",
                "drain 101",
                // No successor, but the one attempt that a slot without a worker is given.
                "fork 104 slot 1 gen 1",
                "slot 1 vacant",
            ],
        ]
        .concat(),
    );
}
