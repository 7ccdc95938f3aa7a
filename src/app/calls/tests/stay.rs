//! Short calls that follow one another, none of which the relief would notice.

use super::*;
use crate::app::calls::balance::{Gauge, LOOKS};
use crate::sys::clock;
use std::task::{Context, Waker};

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
fn who_waits_behind_short_calls_for_long_is_seen_from_outside() {
    let idle = Idle::default();
    let worker = Worker::without_relief(1, RULES, idle.clone());
    let queue = Arc::clone(&worker.queue);
    let (tell, told) = channel();
    worker.runtime.spawn(async move {
        queue.wait_backlog().await;
        queue.give();
        tell.send(()).unwrap();
    });
    let first = worker.wait("/gate");
    worker.entered.recv_timeout(PATIENCE).unwrap();
    let brief = [2, 2].map(|seconds| worker.make(old("/brief", seconds), WAITS));
    let last = worker.make(old("/gate", 1), MOVES);
    worker.pass.send(()).unwrap();
    told.recv_timeout(PATIENCE).unwrap();
    // It is not given to a sibling that may be behind as well.
    worker.pass.send(()).unwrap();
    assert_eq!([first, last].map(|call| answer(&call).unwrap()), ["/gate", "/gate"]);
    assert_eq!(brief.map(|brief| answer(&brief).unwrap()), ["/brief", "/brief"]);
    let told = idle.told.lock().unwrap().clone();
    assert_eq!((told.first().unwrap().busy, told.last()), (1000, Some(&Load::default())));
}

#[test]
fn the_runtime_comes_back_between_short_calls_after_one_that_lasted() {
    let worker = Worker::new(1);
    let first = worker.block();
    // Which the relief takes in.
    let short: Vec<_> = (0..900).map(|_| worker.wait("/driver")).collect();
    worker.until_waiting(900);
    worker.pass.send(()).unwrap();
    assert_eq!(answer(&first).unwrap(), "/gate");
    let answers: Vec<_> = short.iter().map(|short| answer(short).unwrap()).collect();
    assert_eq!(answers[0], "the relief");
    assert!(answers.iter().any(|driver| driver == "/driver"), "it drives while all of them are made");
}

#[test]
fn where_siblings_have_fewer_calls_for_a_while_some_move() {
    let idle = Idle::default();
    let queue = CallQueue::new(1, RULES, idle.clone());
    let (entered, _) = channel();
    let app = Arc::new(Gate { queue: Arc::downgrade(&queue), entered, pass: Mutex::new(channel().1) });
    let mut cx = Context::from_waker(Waker::noop());
    let mut calls = [("/a", WAITS), ("/b", MOVES), ("/c", MOVES)].map(|(path, limits)| {
        let app = Arc::clone(&app) as Arc<dyn BlockingApp>;
        let mut call = Box::pin(queue.call(app, Box::new(Request::get(path)), limits));
        assert!(call.as_mut().poll(&mut cx).is_pending());
        call
    });
    // As the relief looks on, with a further call that is being made.
    let even_out = |looks| {
        let mut gauge = Gauge::default();
        (0..looks).for_each(|_| queue.even_out(&mut gauge, true));
    };
    idle.share.store(1, Ordering::SeqCst);
    even_out(LOOKS - 1);
    assert!(calls[2].as_mut().poll(&mut cx).is_pending(), "a moment is not enough");
    even_out(LOOKS);
    let moved = calls[2].as_mut().poll(&mut cx);
    assert!(
        matches!(moved, Poll::Ready(Err(AppError::Busy(request))) if request.head.target.path() == b"/c")
    );
    // More than may move.
    idle.share.store(9, Ordering::SeqCst);
    even_out(LOOKS);
    assert!(matches!(calls[1].as_mut().poll(&mut cx), Poll::Ready(Err(AppError::Busy(_)))));
    assert!(calls[0].as_mut().poll(&mut cx).is_pending());
    assert_eq!(*idle.means.lock().unwrap(), [400, 300].map(|hundredths| MeanCalls { hundredths }));
}
