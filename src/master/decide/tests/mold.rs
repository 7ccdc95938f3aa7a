//! Molds: one per generation that preloads, and what it makes of a pool whose code on disk is broken.

use super::*;
use crate::contract::slot::Generation;

fn preloaded(workers: u16) -> Pool {
    Pool { preload: Preload::Yes, ..pool(workers) }
}

fn mold(generation: u32, news: MoldNews) -> Event {
    Event::Mold { generation: Generation(generation), news }
}

fn loaded(generation: u32) -> Event {
    mold(generation, MoldNews::Loaded)
}

fn broken(generation: u32) -> Event {
    mold(generation, MoldNews::Failed { reason: ExitReason::AppLoadFailed, text: "no module x".into() })
}

fn ended(generation: u32) -> Event {
    let outcome = WaitOutcome::Signalled { signal: "SIGKILL", core: Core::NotDumped };
    mold(generation, MoldNews::Ended(outcome))
}

/// A pool of one that is ready after a second.
const ONE_CAST: [&str; 5] = [
    "mold gen 1",
    "say Mold { generation: Generation(1), note: Ready }",
    "cast 101 slot 1 gen 1",
    "say AllReady { workers: 1, generation: Generation(1) }",
    "slot 1 served",
];

fn check_cast(reload: &Result<Pool, String>, script: &[(u64, Event)], expected: &[&str]) {
    let script = [&[(1, loaded(1)), (1, ready(101))], script].concat();
    check_pool(preloaded(1), reload, &script, &[&ONE_CAST, expected].concat());
}

#[test]
fn a_crashed_worker_comes_from_the_mold_again() {
    check_cast(
        &Ok(preloaded(1)),
        &[(2, dies(101)), (2, ready(102))],
        &["say 101 crashed: killed by SIGSEGV", "slot 1 vacant", "cast 102 slot 1 gen 1", "slot 1 served"],
    );
}

#[test]
fn a_start_whose_mold_does_not_load_fails() {
    check_pool(
        preloaded(2),
        &Ok(preloaded(2)),
        &[(1, broken(1)), (1, ended(1))],
        &["mold gen 1", "exit StartFailed { reason: AppLoadFailed, text: \"no module x\" }"],
    );
    check_pool(
        preloaded(2),
        &Ok(preloaded(2)),
        &[(BOOT, Event::Tick), (BOOT, ended(1))],
        &[
            "mold gen 1",
            "break mold gen 1",
            "exit StartFailed { reason: BootFailed, text: \"the apps were not loaded in time (timeouts.boot)\" }",
        ],
    );
}

#[test]
fn a_reload_makes_a_new_mold_and_the_old_one_goes_last() {
    check_cast(
        &Ok(preloaded(1)),
        &[(5, RELOAD), (6, loaded(2)), (6, ready(102)), (7, left(101)), (8, ended(1))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "mold gen 2",
            "say Mold { generation: Generation(2), note: Ready }",
            "cast 102 slot 1 gen 2",
            "drain 101",
            "say ReloadDone { generation: Generation(2) }",
            "break mold gen 1",
        ],
    );
}

#[test]
fn with_broken_code_on_disk_the_old_mold_keeps_the_pool_at_full_strength() {
    check_cast(
        &Ok(preloaded(1)),
        &[
            (5, RELOAD),
            (6, broken(2)),
            (6, mold(2, MoldNews::Ended(WaitOutcome::Exited(3)))),
            (7, dies(101)),
            (7, ready(102)),
            (9, retires(102)),
            (9, ready(103)),
            (9, left(102)),
        ],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "mold gen 2",
            "say ReloadFailed { reason: \"no module x\", serving: Generation(1) }",
            "say 101 crashed: killed by SIGSEGV",
            "slot 1 vacant",
            "cast 102 slot 1 gen 1",
            "slot 1 served",
            "say 102 MaxRequests",
            "cast 103 slot 1 gen 1",
            "drain 102",
        ],
    );
}

#[test]
fn a_mold_that_died_is_made_anew_before_a_worker_needs_it() {
    check_cast(
        &Ok(preloaded(1)),
        &[(5, ended(1)), (6, dies(101)), (7, loaded(1)), (7, ready(102))],
        &[
            "say Mold { generation: Generation(1), note: Ended(\"killed by SIGKILL, by somebody outside\") }",
            "mold gen 1",
            "say 101 crashed: killed by SIGSEGV",
            "slot 1 vacant",
            "say Mold { generation: Generation(1), note: Ready }",
            "cast 102 slot 1 gen 1",
            "slot 1 served",
        ],
    );
}

#[test]
fn no_app_is_loaded_before_the_check_has_passed() {
    let checking = Pool { check: Some(Duration::from_secs(60)), ..preloaded(1) };
    let passed = |generation| Event::Checked { generation: Generation(generation), outcome: Ok(()) };
    check_pool(
        checking,
        &Ok(checking),
        &[(1, passed(1)), (2, loaded(1)), (2, ready(101)), (5, RELOAD), (6, passed(2))],
        &[
            "check gen 1",
            "mold gen 1",
            "say Mold { generation: Generation(1), note: Ready }",
            "cast 101 slot 1 gen 1",
            "say AllReady { workers: 1, generation: Generation(1) }",
            "slot 1 served",
            "say ReloadStarted { generation: Generation(2) }",
            "check gen 2",
            "mold gen 2",
        ],
    );
}

#[test]
fn a_mold_that_died_is_not_made_of_code_that_a_canary_tries() {
    let canary = Canary { time: Duration::from_secs(10), ..Canary::default() };
    check_cast(
        &Ok(Pool { canary, ..preloaded(1) }),
        &[(5, RELOAD), (6, loaded(2)), (6, ready(102)), (7, ended(1))],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "mold gen 2",
            "say Mold { generation: Generation(2), note: Ready }",
            "cast 102 slot 1 gen 2",
            "say Canary(Begun { who: Who { slot: Slot(1), pid: Pid(102), generation: Generation(2) }, time: 10s })",
            "compare 102",
            "say Mold { generation: Generation(1), note: Ended(\"killed by SIGKILL, by somebody outside\") }",
            "compare 102",
        ],
    );
}

#[test]
fn without_a_mold_broken_code_makes_recycling_wait() {
    check_cast(
        &Ok(preloaded(1)),
        &[
            (5, RELOAD),
            (6, broken(2)),
            (6, mold(2, MoldNews::Ended(WaitOutcome::Exited(3)))),
            (7, ended(1)),
            (8, retires(101)),
            (9, dies(101)),
            (9, broken(1)),
            (9, ended(1)),
            (9, Event::Tick),
            (10, Event::Tick),
            (11, loaded(1)),
            (11, ready(102)),
        ],
        &[
            "say ReloadStarted { generation: Generation(2) }",
            "mold gen 2",
            "say ReloadFailed { reason: \"no module x\", serving: Generation(1) }",
            "say Mold { generation: Generation(1), note: Ended(\"killed by SIGKILL, by somebody outside\") }",
            "mold gen 1",
            "say 101 MaxRequests",
            "say 101 waits",
            "say 101 crashed: killed by SIGSEGV",
            "slot 1 vacant",
            "say NobodyServes",
            "say Mold { generation: Generation(1), note: Failed(\"no module x\") }",
            "mold gen 1",
            "say Mold { generation: Generation(1), note: Ready }",
            "say CodeStarts",
            "cast 102 slot 1 gen 1",
            "slot 1 served",
        ],
    );
}

#[test]
fn a_stop_ends_the_mold_with_the_workers() {
    check_cast(
        &Ok(preloaded(1)),
        &[(5, TERM), (6, left(101)), (6, ended(1))],
        &["drain 101 for stop", "break mold gen 1", "exit Ended"],
    );
}
