//! Short calls that follow one another, none of which the relief would notice.

use super::*;
use crate::sys::clock;

/// A request that has waited for so many seconds.
fn old(path: &'static str, seconds: u64) -> Request {
    let mut request = Request::get(path);
    request.context.waits_since = Some(clock::monotonic_ns() - seconds * 1_000_000_000);
    request
}

#[test]
fn connections_have_their_turn_between_short_calls() {
    let worker = Worker::without_relief(1, RULES, Alone);
    let first = worker.wait("/gate");
    worker.entered.recv_timeout(PATIENCE).unwrap();
    // These wait in the runtime until the first call has ended.
    let brief = [worker.wait("/brief"), worker.wait("/brief")];
    let last = worker.wait("/gate");
    worker.pass.send(()).unwrap();
    assert_eq!(answer(&first).unwrap(), "/gate");
    worker.entered.recv_timeout(PATIENCE).unwrap();
    // The last one is under way, and these are told all the same.
    assert_eq!(brief.map(|brief| answer(&brief).unwrap()), ["/brief", "/brief"]);
    worker.pass.send(()).unwrap();
    assert_eq!(answer(&last).unwrap(), "/gate");
}

#[test]
fn who_waits_behind_short_calls_for_long_goes_to_a_sibling() {
    let idle = Idle::default();
    let worker = Worker::without_relief(1, RULES, idle.clone());
    let queue = Arc::clone(&worker.queue);
    worker.runtime.spawn(async move {
        queue.wait_backlog().await;
        queue.give();
    });
    let first = worker.wait("/gate");
    worker.entered.recv_timeout(PATIENCE).unwrap();
    let brief = [2, 2].map(|seconds| worker.make(old("/brief", seconds), WAITS));
    let moved = worker.make(old("/gate", 1), MOVES);
    worker.pass.send(()).unwrap();
    assert!(matches!(answer(&moved), Err(AppError::Busy(_))));
    assert_eq!(answer(&first).unwrap(), "/gate");
    assert_eq!(brief.map(|brief| answer(&brief).unwrap()), ["/brief", "/brief"]);
    let told = idle.told.lock().unwrap().clone();
    assert_eq!((told.first().unwrap().busy, told.last()), (1000, Some(&Load::default())));
    assert!(worker.entered.try_recv().is_err(), "the call was made here");
}
