//! A queue with its threads, as a worker has them, and an app that waits at a gate.

mod shed;
mod stay;

use super::*;
use crate::app::CutOff;
use crate::protocol::ResponseBody;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);

const RULES: QueueRules = QueueRules { length: 1000, overload: Duration::ZERO };
const WAITS: CallLimits =
    CallLimits { time: Duration::ZERO, queue: Duration::ZERO, patience: Patience::Wait };
const MOVES: CallLimits = CallLimits { patience: Patience::Move, ..WAITS };

/// Siblings that would take so many calls, and what they were told.
#[derive(Debug, Clone)]
struct Idle {
    room: Arc<AtomicU64>,
    told: Arc<Mutex<Vec<Load>>>,
    asked: Arc<AtomicU64>,
    /// How many of this worker's calls they should have.
    share: Arc<AtomicU64>,
    means: Arc<Mutex<Vec<MeanCalls>>>,
}

impl Default for Idle {
    fn default() -> Self {
        let room = Arc::new(AtomicU64::new(100));
        Self {
            room,
            told: Arc::default(),
            asked: Arc::default(),
            share: Arc::default(),
            means: Arc::default(),
        }
    }
}

impl Siblings for Idle {
    fn room(&self) -> usize {
        usize::try_from(self.room.load(Ordering::SeqCst)).unwrap()
    }

    fn show(&self, load: Load) {
        self.told.lock().unwrap().push(load);
    }

    fn tell(&self, own: MeanCalls) {
        self.means.lock().unwrap().push(own);
    }

    fn share(&self, _: MeanCalls) -> usize {
        usize::try_from(self.share.load(Ordering::SeqCst)).unwrap()
    }

    fn ask(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
    }
}

/// "/gate" waits to be let through, "/brief" is just long enough to end a stay, "/panic" panics, "/driver" tells who drives the
/// runtime meanwhile, anything else is answered with its path at once.
struct Gate {
    queue: Weak<CallQueue>,
    entered: Sender<()>,
    pass: Mutex<Receiver<()>>,
}

impl BlockingApp for Gate {
    fn call(&self, request: Box<Request>, answering: &Answering) -> Result<(), AppError> {
        let path = request.head.target.path();
        match path {
            b"/gate" => {
                self.entered.send(()).unwrap();
                self.pass.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            }
            b"/brief" => {
                let began = Instant::now();
                while began.elapsed() < Duration::from_nanos(super::stay::LONGEST_NS) {
                    std::thread::yield_now();
                }
            }
            b"/panic" => panic!("as asked"),
            _ => {}
        }
        let is_relieved = || self.queue.upgrade().is_some_and(|queue| queue.is_relieved());
        let content = if path == b"/driver" && is_relieved() { b"the relief" } else { path };
        answering.offer(Ok(Response::new(ResponseBody::Full(content.to_vec().into()))));
        Ok(())
    }
}

/// A queue with its threads, as a worker has them.
struct Worker {
    queue: Arc<CallQueue>,
    runtime: Arc<Runtime>,
    app: Arc<Gate>,
    entered: Receiver<()>,
    pass: Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Worker {
    fn new(app_threads: u16) -> Self {
        Self::with(app_threads, RULES, Alone)
    }

    fn with(app_threads: u16, rules: QueueRules, siblings: impl Siblings + 'static) -> Self {
        let mut worker = Self::without_relief(app_threads, rules, siblings);
        let (queue, runtime) = (Arc::clone(&worker.queue), Arc::clone(&worker.runtime));
        worker.threads.push(std::thread::spawn(move || queue.relieve(|future| runtime.block_on(future))));
        worker
    }

    /// No call lasts so long that the relief would notice it.
    fn without_relief(app_threads: u16, rules: QueueRules, siblings: impl Siblings + 'static) -> Self {
        let queue = CallQueue::new(app_threads, rules, siblings);
        let runtime = Arc::new(Builder::new_current_thread().enable_all().build().unwrap());
        let (entered_sender, entered) = channel();
        let (pass, pass_receiver) = channel();
        let app = Arc::new(Gate {
            queue: Arc::downgrade(&queue),
            entered: entered_sender,
            pass: Mutex::new(pass_receiver),
        });
        let mut threads = Vec::new();
        let (q, r) = (Arc::clone(&queue), Arc::clone(&runtime));
        threads.push(std::thread::spawn(move || {
            while !q.is_closed() {
                r.block_on(q.drive());
                q.run_waiting();
            }
        }));
        for _ in 1..app_threads {
            let q = Arc::clone(&queue);
            threads.push(std::thread::spawn(move || q.serve_calls()));
        }
        Self { queue, runtime, app, entered, pass, threads }
    }

    /// Makes a call from a task, as connections do.
    fn call(&self, path: &'static str, limits: CallLimits) -> Receiver<Result<String, AppError>> {
        self.make(Request::get(path), limits)
    }

    fn make(&self, request: Request, limits: CallLimits) -> Receiver<Result<String, AppError>> {
        let (sender, receiver) = channel();
        let (queue, app) = (Arc::clone(&self.queue), Arc::clone(&self.app));
        self.runtime.spawn(async move {
            let outcome = queue.call(app, Box::new(request), limits).await;
            let _ = sender.send(outcome.map(|response| {
                let ResponseBody::Full(bytes) = response.into_body() else { panic!("not what was given") };
                String::from_utf8_lossy(&bytes).into_owned()
            }));
        });
        receiver
    }

    fn wait(&self, path: &'static str) -> Receiver<Result<String, AppError>> {
        self.call(path, WAITS)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn answer(receiver: &Receiver<Result<String, AppError>>) -> Result<String, AppError> {
    receiver.recv_timeout(PATIENCE).expect("an answer in time")
}

#[test]
fn calls_are_answered_in_turn() {
    let worker = Worker::new(1);
    let answers: Vec<_> = (0..100).map(|_| worker.wait("/a")).collect();
    assert!(answers.iter().all(|receiver| answer(receiver).unwrap() == "/a"));
}

#[test]
fn tasks_run_on_while_a_call_blocks() {
    let worker = Worker::new(1);
    let blocked = worker.wait("/gate");
    worker.entered.recv_timeout(PATIENCE).unwrap();
    let (sender, receiver) = channel();
    worker.runtime.spawn(async move { sender.send(()).unwrap() });
    receiver.recv_timeout(PATIENCE).unwrap();
    let behind = worker.wait("/a");
    worker.pass.send(()).unwrap();
    assert_eq!(answer(&blocked).unwrap(), "/gate");
    assert_eq!(answer(&behind).unwrap(), "/a");
}

#[test]
fn tasks_run_on_while_a_call_blocks_after_thousands_that_did_not() {
    let worker = Worker::new(1);
    // For so long that the relief looks less often.
    let began = Instant::now();
    while began.elapsed() < TICK * 30 {
        let answers: Vec<_> = (0..100).map(|_| worker.wait("/a")).collect();
        assert!(answers.iter().all(|receiver| answer(receiver).unwrap() == "/a"));
    }
    let blocked = worker.wait("/gate");
    worker.entered.recv_timeout(PATIENCE).unwrap();
    let (sender, receiver) = channel();
    worker.runtime.spawn(async move { sender.send(()).unwrap() });
    receiver.recv_timeout(PATIENCE).unwrap();
    worker.pass.send(()).unwrap();
    assert_eq!(answer(&blocked).unwrap(), "/gate");
}

#[test]
fn a_call_that_may_move_comes_back_while_every_thread_is_busy() {
    let worker = Worker::with(1, RULES, Idle::default());
    let blocked = worker.wait("/gate");
    worker.entered.recv_timeout(PATIENCE).unwrap();
    let moved = worker.call("/a", MOVES);
    assert!(matches!(answer(&moved), Err(AppError::Busy(request)) if request.head.target.path() == b"/a"));
    worker.pass.send(()).unwrap();
    assert_eq!(answer(&blocked).unwrap(), "/gate");
    assert_eq!(answer(&worker.wait("/a")).unwrap(), "/a");
}

#[test]
fn a_further_thread_answers_while_the_main_one_blocks_and_after() {
    let worker = Worker::with(2, RULES, Idle::default());
    let first = worker.wait("/gate");
    worker.entered.recv_timeout(PATIENCE).unwrap();
    assert_eq!(answer(&worker.wait("/a")).unwrap(), "/a");
    let second = worker.wait("/gate");
    worker.entered.recv_timeout(PATIENCE).unwrap();
    // Whichever passes first: the other one ends while the main thread is idle or blocked.
    worker.pass.send(()).unwrap();
    worker.pass.send(()).unwrap();
    assert_eq!(answer(&first).unwrap(), "/gate");
    assert_eq!(answer(&second).unwrap(), "/gate");
}

#[test]
fn a_call_past_its_limit_is_answered_and_the_thread_goes_on() {
    let worker = Worker::new(1);
    let late = worker.call("/gate", CallLimits { time: Duration::from_millis(5), ..WAITS });
    worker.entered.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(answer(&late), Err(AppError::CutOff(CutOff::TimeLimit))));
    worker.pass.send(()).unwrap();
    assert_eq!(answer(&worker.wait("/a")).unwrap(), "/a");
}

#[test]
fn a_panic_costs_one_call() {
    let worker = Worker::new(1);
    assert!(matches!(answer(&worker.wait("/panic")), Err(AppError::Failed(_))));
    assert_eq!(answer(&worker.wait("/a")).unwrap(), "/a");
}

#[test]
fn a_call_nobody_waits_for_any_more_is_not_made() {
    let worker = Worker::new(1);
    let blocked = worker.wait("/gate");
    worker.entered.recv_timeout(PATIENCE).unwrap();
    // Polled once, so that it is in the queue, and dropped.
    let (queue, app) = (Arc::clone(&worker.queue), Arc::clone(&worker.app));
    let left = worker.runtime.spawn(async move {
        let request = Box::new(Request::get("/gate"));
        let mut call = std::pin::pin!(queue.call(app, request, WAITS));
        assert!(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await.is_pending());
    });
    let (sender, receiver) = channel();
    worker.runtime.spawn(async move { sender.send(left.await) });
    receiver.recv_timeout(PATIENCE).unwrap().unwrap();
    let behind = worker.wait("/a");
    worker.pass.send(()).unwrap();
    assert_eq!(answer(&blocked).unwrap(), "/gate");
    assert_eq!(answer(&behind).unwrap(), "/a");
    assert!(worker.entered.try_recv().is_err(), "the withdrawn call was made");
}
