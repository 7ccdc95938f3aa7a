//! What the service manager is told, in virtual time.

use super::*;

/// Plays to a pool of so many workers under a manager with a watchdog of 8 seconds; of what comes of it, what is told.
fn check_told(workers: u16, reload: &Result<Pool, String>, script: &[(u64, Event)], expected: &[&str]) {
    let notifier = Notifier::new(Some(Duration::from_secs(8)));
    let mut supervisor = Supervisor::new(pool(workers), 8).with_notifier(Some(notifier));
    let start = Instant::now();
    let mut next_pid = 101;
    let mut lines = Vec::new();
    for (second, event) in std::iter::once(&(0, Event::Tick)).chain(script) {
        let now = start + Duration::from_secs(*second);
        let mut events = VecDeque::from([event.clone()]);
        while let Some(event) = events.pop_front() {
            for action in supervisor.step(now, event) {
                if let Action::Fork { slot, generation } = action {
                    events.push_back(Event::Forked { slot, generation, pid: Pid(next_pid) });
                    next_pid += 1;
                } else if action == Action::LoadConfig {
                    events.push_back(Event::ConfigLoaded(reload.clone()));
                } else if let Action::Tell(notification) = action {
                    lines.push(told(&notification));
                }
            }
        }
    }
    assert_eq!(lines, expected, "\n{}", lines.join("\n"));
}

const STARTED: [&str; 2] = ["Starting! 0/1 gen 1 extend 110", "Serving! 1/1 gen 1"];

fn check_one_told(script: &[(u64, Event)], expected: &[&str]) {
    let script = [&[(1, ready(101))], script].concat();
    check_told(1, &Ok(pool(1)), &script, &[&STARTED, expected].concat());
}

#[test]
fn ready_is_said_once_all_are_ready() {
    check_told(
        2,
        &Ok(pool(2)),
        &[(1, ready(101)), (2, ready(102))],
        &["Starting! 0/2 gen 1 extend 110", "Starting 1/2 gen 1", "Serving! 2/2 gen 1"],
    );
}

#[test]
fn the_pulse_is_felt_at_half_of_the_watchdogs_time() {
    check_one_told(
        &[(4, Event::Tick), (5, Event::Tick), (8, Event::Tick), (9, Event::Tick)],
        &["Serving 1/1 gen 1", "Serving 1/1 gen 1"],
    );
}

#[test]
fn a_pool_in_which_nobody_serves_or_starts_has_no_pulse() {
    // The first successor is started at once, the second after one second, the third after two.
    let second = [(4, dies(101)), (5, dies(102)), (6, Event::Tick), (7, dies(103))];
    let third = [(8, Event::Tick), (9, Event::Tick), (10, ready(104))];
    check_one_told(
        &[&second[..], &third].concat(),
        &["Serving 0/1 gen 1", "Serving 0/1 gen 1 no pulse", "Serving 1/1 gen 1"],
    );
}

#[test]
fn a_reload_is_announced_and_ended() {
    check_one_told(
        &[(2, RELOAD), (3, ready(102)), (4, left(101))],
        &["Reloading! 1/1 gen 1", "Reloading 1/1 gen 1 extend 110", "Serving! 1/1 gen 2"],
    );
}

#[test]
fn why_a_reload_failed_is_told_until_one_succeeds() {
    let reason = "(degraded: reload failed: no module x)";
    check_one_told(
        &[(2, RELOAD), (3, failed(102)), (3, dies(102)), (4, RELOAD), (4, ready(103))],
        &[
            "Reloading! 1/1 gen 1",
            "Reloading 1/1 gen 1 extend 110",
            &format!("Serving! 1/1 gen 1 {reason}"),
            &format!("Reloading! 1/1 gen 1 {reason}"),
            &format!("Reloading 1/1 gen 1 extend 110 {reason}"),
            "Serving! 1/1 gen 3",
        ],
    );
    let script = [(1, ready(101)), (2, RELOAD)];
    let told = ["Reloading! 1/1 gen 1", "Serving! 1/1 gen 1 (reload failed: a.toml:1: bad:   key)"];
    let broken = Err("a.toml:1: bad:\n  \n\u{1b}\tkey\n".into());
    check_told(1, &broken, &script, &[&STARTED[..], &told].concat());
}

#[test]
fn a_stop_says_how_long_it_may_take() {
    check_one_told(&[(2, TERM), (3, left(101))], &["Stopping! 0/1 gen 1 extend 40"]);
}

#[test]
fn a_failed_start_says_why() {
    check_told(
        1,
        &Ok(pool(1)),
        &[(1, failed(101)), (2, dies(101))],
        &["Starting! 0/1 gen 1 extend 110", "Stopping! 0/1 gen 1 extend 40 (start failed: no module x)"],
    );
}

#[test]
fn nobody_is_told_where_nobody_asks() {
    check(1, &Ok(pool(1)), &[(1, ready(101)), (60, Event::Tick)], &ONE);
}

#[test]
fn a_mixed_pool_is_called_that_until_a_reload_replaces_all() {
    let half_way = [(2, RELOAD), (3, ready(103)), (3, left(101)), (4, failed(104)), (4, left(104))];
    let later = [(5, RELOAD), (5, ready(105)), (5, left(103)), (6, ready(106))];
    let reason = "(mixed: reload stopped half-way: no module x)";
    check_told(
        2,
        &Ok(pool(2)),
        &[&[(1, ready(101)), (1, ready(102))], &half_way[..], &later].concat(),
        &[
            "Starting! 0/2 gen 1 extend 110",
            "Starting 1/2 gen 1",
            "Serving! 2/2 gen 1",
            "Reloading! 2/2 gen 1",
            "Reloading 2/2 gen 1 extend 110",
            "Reloading 2/2 gen 1 extend 110",
            &format!("Serving! 2/2 gen 2 {reason}"),
            &format!("Reloading! 2/2 gen 2 {reason}"),
            &format!("Reloading 2/2 gen 2 extend 110 {reason}"),
            "Reloading 2/2 gen 2",
            "Reloading 2/2 gen 2 extend 110",
            "Serving! 2/2 gen 3",
        ],
    );
}
