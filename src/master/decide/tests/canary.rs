//! One new worker that is compared with the old ones before anything else happens.

use super::*;
use crate::contract::slot::Generation;
use crate::contract::tally::Tally;
use crate::master::decide::supervisor::Supervisor;

/// Ten seconds, and a hundred answers.
fn tried(workers: u16) -> Pool {
    Pool { canary: Canary { time: Duration::from_secs(10), ..Canary::default() }, ..pool(workers) }
}

/// Workers that have given so many answers, with so many errors, in milliseconds each.
fn compared(counts: &[(i32, u64, u64, u64)]) -> Event {
    let tally = |answers: u64, errors: u64, milliseconds: u64| {
        let mut tally = Tally::default();
        (0..answers).for_each(|answer| tally.add(Duration::from_millis(milliseconds), answer < errors));
        tally
    };
    Event::Compared(counts.iter().map(|(pid, a, e, ms)| (Pid(*pid), tally(*a, *e, *ms))).collect())
}

/// Two workers that are ready, a reload, and its canary 103 that is ready at second 6 and has been looked at once.
fn check_canary(script: &[(u64, Event)], expected: &[&str]) {
    let begun = [
        (1, ready(101)),
        (1, ready(102)),
        (5, asks(1, Command::Reload { canary: None })),
        (6, ready(103)),
        (6, compared(&[(101, 7, 7, 10), (102, 0, 0, 0), (103, 0, 0, 0)])),
    ];
    let said = [
        "say ReloadStarted { generation: Generation(2) }",
        "fork 103 slot 1 gen 2",
        "say Canary(Begun { who: Who { slot: Slot(1), pid: Pid(103), generation: Generation(2) }, time: 10s })",
        "compare 103",
    ];
    check(2, &Ok(tried(2)), &[&begun, script].concat(), &[&TWO[..], &said, expected].concat());
}

#[test]
fn a_canary_that_does_as_well_is_followed_by_the_others() {
    check_canary(
        &[
            (10, Event::Tick),
            (10, compared(&[(101, 107, 7, 10), (102, 100, 0, 10), (103, 90, 0, 10)])),
            (16, Event::Tick),
            (16, compared(&[(101, 207, 7, 10), (102, 200, 0, 10), (103, 200, 0, 10)])),
            (17, left(101)),
            (18, ready(104)),
        ],
        &[
            "compare 103",
            "compare 103",
            "say Canary(Passed(\"0.0 % of 200 answers were 5xx, old workers 0.0 % of 400; they took 10.0ms, the old workers' 10.0ms (geometric means)\"))",
            "drain 101",
            "end comparison",
            "fork 104 slot 2 gen 2",
            "drain 102",
            "ticket 1: generation 2",
            "say ReloadDone { generation: Generation(2) }",
        ],
    );
}

/// What a refusal for this reason is.
fn refused(reason: &str) -> [String; 4] {
    [
        "drain 103".into(),
        format!("ticket 1 fails: {reason}"),
        format!("say ReloadFailed {{ reason: {reason:?}, serving: Generation(1) }}"),
        "end comparison".into(),
    ]
}

#[test]
fn a_canary_that_fails_more_often_is_refused_and_nobody_else_was_touched() {
    let lines = refused("canary: 20.0 % of 100 answers were 5xx, old workers 0.0 %");
    let lines: Vec<&str> = std::iter::once("compare 103").chain(lines.iter().map(String::as_str)).collect();
    check_canary(
        &[(8, Event::Tick), (8, compared(&[(101, 107, 7, 10), (102, 100, 0, 10), (103, 100, 20, 10)]))],
        &lines,
    );
}

#[test]
fn a_canary_that_takes_three_times_as_long_is_refused() {
    let lines = refused(
        "canary: its answers took 30.0ms (geometric mean of 100), the old workers' 10.0ms; up to 200% are allowed",
    );
    let lines: Vec<&str> = std::iter::once("compare 103").chain(lines.iter().map(String::as_str)).collect();
    check_canary(
        &[(16, Event::Tick), (16, compared(&[(101, 107, 7, 10), (102, 100, 0, 10), (103, 100, 0, 30)]))],
        &lines,
    );
}

#[test]
fn one_that_gets_few_requests_has_more_time_and_then_passes() {
    check_canary(
        &[
            (16, Event::Tick),
            (16, compared(&[(101, 10, 7, 10), (102, 3, 0, 10), (103, 3, 0, 10)])),
            (36, Event::Tick),
            (36, compared(&[(101, 10, 7, 10), (102, 3, 0, 10), (103, 4, 0, 10)])),
        ],
        &[
            "compare 103",
            "compare 103",
            "say Canary(Unproven(\"0.0 % of 4 answers were 5xx, old workers 0.0 % of 6\"))",
            "drain 101",
            "end comparison",
        ],
    );
}

#[test]
fn few_requests_that_all_fail_are_enough_at_its_end() {
    let lines = refused("canary: 100.0 % of 12 answers were 5xx, old workers 0.0 %");
    let lines: Vec<&str> =
        ["compare 103", "compare 103"].into_iter().chain(lines.iter().map(String::as_str)).collect();
    check_canary(
        &[
            (16, Event::Tick),
            (16, compared(&[(101, 20, 7, 10), (103, 9, 9, 10)])),
            (36, Event::Tick),
            (36, compared(&[(101, 20, 7, 10), (103, 12, 12, 10)])),
        ],
        &lines,
    );
}

#[test]
fn a_canary_that_crashes_is_refused() {
    let lines = refused("canary: worker pid 103 ended while it was tried: killed by SIGSEGV");
    let lines =
        ["say 103 crashed: killed by SIGSEGV"].into_iter().chain(lines[1..].iter().map(String::as_str));
    check_canary(&[(8, dies(103))], &lines.collect::<Vec<_>>());
}

#[test]
fn code_that_was_refused_replaces_nobody_until_nobody_is_left() {
    let lines = refused("canary: worker pid 103 ended while it was tried: killed by SIGSEGV");
    let crashed =
        ["say 103 crashed: killed by SIGSEGV"].into_iter().chain(lines[1..].iter().map(String::as_str));
    let lines = crashed.chain([
        "say 101 crashed: killed by SIGSEGV",
        "slot 1 vacant",
        "say 102 crashed: killed by SIGSEGV",
        "slot 2 vacant",
        "say NobodyServes",
        "fork 104 slot 1 gen 1",
        "say CodeStarts",
        "fork 105 slot 2 gen 1",
        "slot 1 served",
    ]);
    check_canary(
        &[(8, dies(103)), (20, dies(101)), (30, Event::Tick), (40, dies(102)), (41, ready(104))],
        &lines.collect::<Vec<_>>(),
    );
}

#[test]
fn an_old_worker_that_crashes_meanwhile_is_not_replaced_by_untried_code() {
    check_canary(
        &[(6, dies(102)), (10, Event::Tick), (10, compared(&[(101, 8, 7, 10), (103, 1, 0, 10)]))],
        &["say 102 crashed: killed by SIGSEGV", "slot 2 vacant", "compare 103"],
    );
}

#[test]
fn without_old_workers_there_is_nothing_to_wait_for() {
    check_canary(
        &[(6, dies(102)), (6, dies(101))],
        &[
            "say 102 crashed: killed by SIGSEGV",
            "slot 2 vacant",
            "say 101 crashed: killed by SIGSEGV",
            "say Canary(Alone)",
            "fork 104 slot 2 gen 2",
            "end comparison",
        ],
    );
}

#[test]
fn term_ends_the_trial() {
    check_canary(
        &[(8, TERM), (9, left(101)), (9, left(102)), (9, left(103))],
        &[
            "ticket 1 fails: the server is stopping",
            "drain 101 for stop",
            "drain 102 for stop",
            "drain 103 for stop",
            "end comparison",
            "exit Ended",
        ],
    );
}

#[test]
fn a_reload_that_is_asked_for_meanwhile_follows() {
    let lines = refused("canary: worker pid 103 ended while it was tried: killed by SIGSEGV");
    let lines = ["say ReloadPostponed", "say 103 crashed: killed by SIGSEGV"]
        .into_iter()
        .chain(lines[1..3].iter().map(String::as_str))
        .chain([
            "end comparison",
            "say ReloadStarted { generation: Generation(3) }",
            "fork 104 slot 1 gen 3",
        ]);
    check_canary(
        &[(6, asks(2, Command::Reload { canary: Some(Duration::ZERO) })), (6, dies(103))],
        &lines.collect::<Vec<_>>(),
    );
}

#[test]
fn a_canary_is_had_by_asking_for_it() {
    let canary = Some(Duration::from_secs(3));
    check_one(
        &[(5, asks(1, Command::Reload { canary })), (6, ready(102)), (6, compared(&[]))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "fork 102 slot 1 gen 2",
            "say Canary(Begun { who: Who { slot: Slot(1), pid: Pid(102), generation: Generation(2) }, time: 3s })",
            "compare 102",
        ],
    );
    // Or not.
    check(
        1,
        &Ok(tried(1)),
        &[(1, ready(101)), (5, asks(1, Command::Reload { canary: Some(Duration::ZERO) })), (6, ready(102))],
        &[
            &ONE[..],
            &[
                "say ReloadStarted { generation: Generation(2) }",
                "fork 102 slot 1 gen 2",
                "drain 101",
                "ticket 1: generation 2",
                "say ReloadDone { generation: Generation(2) }",
            ],
        ]
        .concat(),
    );
}

#[test]
fn with_a_mold_the_old_generation_keeps_its_strength_meanwhile() {
    let preloads = |pool: Pool| Pool { preload: Preload::Yes, ..pool };
    let mold = |generation, news| Event::Mold { generation: Generation(generation), news };
    play(
        Supervisor::new(preloads(pool(2)), 8),
        &Ok(preloads(tried(2))),
        &[
            (1, mold(1, MoldNews::Loaded)),
            (2, ready(101)),
            (2, ready(102)),
            (5, RELOAD),
            (6, mold(2, MoldNews::Loaded)),
            (7, ready(103)),
            (7, compared(&[])),
            (7, dies(102)),
        ],
        &[
            "mold gen 1",
            "say Mold { generation: Generation(1), note: Ready }",
            "cast 101 slot 1 gen 1",
            "cast 102 slot 2 gen 1",
            "slot 1 served",
            "say AllReady { workers: 2, generation: Generation(1) }",
            "slot 2 served",
            "say ReloadStarted { generation: Generation(2) }",
            "mold gen 2",
            "say Mold { generation: Generation(2), note: Ready }",
            "cast 103 slot 1 gen 2",
            "say Canary(Begun { who: Who { slot: Slot(1), pid: Pid(103), generation: Generation(2) }, time: 10s })",
            "compare 103",
            "say 102 crashed: killed by SIGSEGV",
            "slot 2 vacant",
            "cast 104 slot 2 gen 1",
        ],
    );
}
