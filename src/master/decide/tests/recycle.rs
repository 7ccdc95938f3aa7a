//! Recycling: successor first, not too many at once, waiting while the code on disk is broken.

use super::*;
use crate::master::decide::recycle::Weights;

const MIB: u64 = 1 << 20;

/// For scripts that last some minutes.
pub(super) fn any_plan(at_once: u16) -> Plan {
    let (max_age, age_jitter) = (Duration::from_secs(60), Duration::from_secs(30));
    let memory = MemoryLimits { each: Some(100 * MIB), pressure: Some(90) };
    Plan { at_once, max_age, age_jitter, memory }
}

/// Some have too much, and sometimes all together.
pub(super) fn any_weights<'a>(pids: impl Iterator<Item = &'a Pid>, dice: u64) -> Event {
    let size =
        |pid: &Pid| (*pid, if (dice >> (pid.0 % 50)).is_multiple_of(8) { 101 * MIB } else { 50 * MIB });
    Event::Weighed(Weights {
        sizes: pids.map(size).collect(),
        pressure: dice.is_multiple_of(16).then_some(95),
    })
}

fn check_recycling(workers: u16, recycling: Plan, script: &[(u64, Event)], expected: &[&str]) {
    let reload = Err("not asked for".into());
    check_pool(Pool { recycling, ..pool(workers) }, &reload, script, expected);
}

fn weighed(sizes: &[(i32, u64)], pressure: Option<u64>) -> Event {
    let sizes = sizes.iter().map(|(pid, mib)| (Pid(*pid), mib * MIB)).collect();
    Event::Weighed(Weights { sizes, pressure })
}

fn all_start() -> [(u64, Event); 2] {
    [(1, ready(101)), (1, ready(102))]
}

#[test]
fn those_who_have_served_enough_are_replaced_one_after_the_other() {
    check_two(
        &[
            (10, retires(101)),
            (10, retires(102)),
            (11, ready(103)),
            (12, Event::Tick),
            (13, left(101)),
            (14, ready(104)),
            (15, left(102)),
        ],
        &[
            "say 101 MaxRequests",
            "fork 103 slot 1 gen 1",
            "say 102 MaxRequests",
            "drain 101",
            "fork 104 slot 2 gen 1",
            "drain 102",
        ],
    );
}

#[test]
fn so_many_are_replaced_at_once_as_may_be() {
    check_recycling(
        2,
        Plan { at_once: 2, ..RECYCLING },
        &[&all_start()[..], &[(10, retires(101)), (10, retires(102))]].concat(),
        &[
            &TWO[..],
            &["say 101 MaxRequests", "fork 103 slot 1 gen 1", "say 102 MaxRequests", "fork 104 slot 2 gen 1"],
        ]
        .concat(),
    );
}

#[test]
fn who_crashes_while_it_waits_is_replaced_at_once() {
    check_two(
        &[(10, retires(101)), (10, retires(102)), (11, dies(102))],
        &[
            "say 101 MaxRequests",
            "fork 103 slot 1 gen 1",
            "say 102 MaxRequests",
            "say 102 crashed: killed by SIGSEGV",
            "slot 2 vacant",
            "fork 104 slot 2 gen 1",
        ],
    );
}

#[test]
fn a_stuck_worker_does_not_wait_for_its_turn() {
    let stuck =
        |pid| Event::Reported { pid: Pid(pid), report: Report::Retiring(RetireReason::RequestTimeout) };
    check_two(
        &[(10, retires(101)), (10, stuck(102))],
        &["say 101 MaxRequests", "fork 103 slot 1 gen 1", "say 102 RequestTimeout", "fork 104 slot 2 gen 1"],
    );
}

#[test]
fn age_is_counted_from_being_ready_and_differs_by_the_jitter() {
    let age = Plan { max_age: Duration::from_secs(100), ..RECYCLING };
    check_recycling(
        2,
        age,
        &[
            (1, ready(101)),
            (5, ready(102)),
            (100, Event::Tick),
            (101, Event::Tick),
            (102, ready(103)),
            (103, left(101)),
            (105, Event::Tick),
        ],
        &[
            &TWO[..],
            &["say 101 Age", "fork 103 slot 1 gen 1", "drain 101", "say 102 Age", "fork 104 slot 2 gen 1"],
        ]
        .concat(),
    );
    let mut supervisor = Supervisor::new(
        Pool { recycling: Plan { age_jitter: Duration::from_secs(100), ..age }, ..pool(2) },
        8,
    );
    let start = Instant::now();
    supervisor.step(start, Event::Tick);
    for pid in [101, 102] {
        let slot = crate::contract::slot::Slot(u16::try_from(pid - 100).unwrap());
        let generation = crate::contract::slot::Generation(1);
        supervisor.step(start, Event::Forked { slot, generation, pid: Pid(pid) });
        supervisor.step(start, ready(pid));
    }
    let first = supervisor.deadline().unwrap() - start;
    assert!(first > Duration::from_secs(100) && first < Duration::from_secs(200), "{first:?}");
    let actions = supervisor.step(start + first, Event::Tick);
    let recycled = |action: &&Action| matches!(action, Action::Say(Note::Recycled { .. }));
    assert_eq!(actions.iter().filter(recycled).count(), 1, "both at the same time: {actions:?}");
}

#[test]
fn memory_is_looked_at_every_five_seconds_and_too_much_means_a_successor() {
    let memory = MemoryLimits { each: Some(100 * MIB), pressure: None };
    check_recycling(
        2,
        Plan { memory, ..RECYCLING },
        &[
            &all_start()[..],
            &[
                (4, Event::Tick),
                (5, Event::Tick),
                (5, weighed(&[(101, 100), (102, 101)], None)),
                (6, ready(103)),
                (7, left(102)),
            ],
        ]
        .concat(),
        &[
            &TWO[..],
            &[
                "weigh",
                "say 102 Memory { bytes: 105906176, served: 4s }",
                "fork 103 slot 2 gen 1",
                "drain 102",
            ],
        ]
        .concat(),
    );
}

#[test]
fn under_pressure_the_largest_goes_and_the_others_wait_for_what_that_gives() {
    let memory = MemoryLimits { each: None, pressure: Some(90) };
    check_recycling(
        2,
        Plan { memory, at_once: 2, ..RECYCLING },
        &[
            &all_start()[..],
            &[
                (5, weighed(&[(101, 30), (102, 20)], Some(95))),
                (6, weighed(&[(101, 30), (102, 20)], Some(95))),
                (7, ready(103)),
                (8, left(101)),
                (9, weighed(&[(102, 20), (103, 10)], Some(91))),
            ],
        ]
        .concat(),
        &[
            &TWO[..],
            &[
                "say 101 Pressure { bytes: 31457280, percent: 95 }",
                "weigh",
                "fork 103 slot 1 gen 1",
                "drain 101",
                "say 102 Pressure { bytes: 20971520, percent: 91 }",
                "fork 104 slot 2 gen 1",
            ],
        ]
        .concat(),
    );
}
