//! What is not served, and what goes to siblings.

use super::*;
use crate::sys::clock;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

type Answer = Receiver<Result<String, AppError>>;

impl Worker {
    /// A call that has the only app thread until it is let through; the relief has stepped in.
    pub(super) fn block(&self) -> Answer {
        let blocked = self.wait("/gate");
        self.entered.recv_timeout(PATIENCE).unwrap();
        until(|| !self.queue.is_free(), "the relief has not stepped in");
        blocked
    }

    /// Returns once so many calls wait.
    pub(super) fn until_waiting(&self, count: usize) {
        until(|| self.queue.lock().waiting.len() == count, "others wait than should");
    }
}

/// Waits for what nobody tells.
fn until(is_so: impl Fn() -> bool, problem: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{problem}");
        std::thread::yield_now();
    }
}

fn why(answer: &Answer) -> Shed {
    match super::answer(answer) {
        Err(AppError::Shed(why, _)) => why,
        other => panic!("not shed: {other:?}"),
    }
}

/// A connection: the client's end, and ours.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// A request on a connection that has waited for a second, so that it is looked whether its client is there.
fn old_request(path: &'static str, connection: &impl AsRawFd) -> Request {
    let mut request = Request::get(path);
    request.context.socket = Some(connection.as_raw_fd());
    request.context.waits_since = Some(clock::monotonic_ns() - 1_000_000_000);
    request
}

#[test]
fn what_is_too_much_is_refused_at_once_and_the_app_not_entered() {
    let worker = Worker::with(1, QueueRules { length: 2, ..RULES }, Alone);
    let blocked = worker.block();
    let waiting = [worker.wait("/a"), worker.wait("/b")];
    worker.until_waiting(2);
    assert_eq!(why(&worker.wait("/gate")), Shed::Full);
    worker.pass.send(()).unwrap();
    assert_eq!(answer(&blocked).unwrap(), "/gate");
    assert_eq!(waiting.map(|waiting| answer(&waiting).unwrap()), ["/a", "/b"]);
    assert!(worker.entered.try_recv().is_err(), "a refused call was made");
    // And at once all is as before.
    assert_eq!(answer(&worker.wait("/a")).unwrap(), "/a");
}

#[test]
fn where_none_may_wait_calls_are_made_as_long_as_a_thread_is_free() {
    let worker = Worker::with(2, QueueRules { length: 0, ..RULES }, Alone);
    let first = worker.block_one();
    assert_eq!(answer(&worker.wait("/a")).unwrap(), "/a");
    let second = worker.wait("/gate");
    worker.entered.recv_timeout(PATIENCE).unwrap();
    assert_eq!(why(&worker.wait("/a")), Shed::Full);
    worker.pass.send(()).unwrap();
    worker.pass.send(()).unwrap();
    assert_eq!([answer(&first).unwrap(), answer(&second).unwrap()], ["/gate", "/gate"]);
}

impl Worker {
    /// A call that has one of several app threads.
    fn block_one(&self) -> Answer {
        let blocked = self.wait("/gate");
        self.entered.recv_timeout(PATIENCE).unwrap();
        until(|| self.queue.lock().driver != Driver::Main, "the relief has not stepped in");
        blocked
    }
}

#[test]
fn who_waits_for_too_long_is_refused_while_the_app_goes_on() {
    let worker = Worker::new(1);
    let blocked = worker.block();
    let stays = worker.wait("/a");
    let late = worker.call("/gate", CallLimits { queue: Duration::from_millis(2), ..WAITS });
    assert_eq!(why(&late), Shed::Late);
    worker.pass.send(()).unwrap();
    assert_eq!([answer(&blocked).unwrap(), answer(&stays).unwrap()], ["/gate", "/a"]);
    assert!(worker.entered.try_recv().is_err(), "a refused call was made");
}

#[test]
fn the_age_from_another_worker_counts() {
    let worker = Worker::new(1);
    let blocked = worker.block();
    let mut request = Request::get("/gate");
    request.context.waits_since = Some(clock::monotonic_ns() - 60_000_000_000);
    let late = worker.make(request, CallLimits { queue: Duration::from_secs(59), ..WAITS });
    assert_eq!(why(&late), Shed::Late);
    worker.pass.send(()).unwrap();
    assert_eq!(answer(&blocked).unwrap(), "/gate");
}

#[test]
fn clients_who_have_left_are_not_served_but_those_who_have_nothing_more_to_say_are() {
    let worker = Worker::new(1);
    let blocked = worker.block();
    let (closed, first) = UnixStream::pair().unwrap();
    let [(left, second), (half, third), (there, fourth)] = [(); 3].map(|()| connection());
    half.shutdown(Shutdown::Write).unwrap();
    let closed_call = worker.make(old_request("/gate", &first), WAITS);
    let left_call = worker.make(old_request("/gate", &second), WAITS);
    let [half_call, there_call] = [&third, &fourth].map(|own| worker.make(old_request("/a", own), WAITS));
    worker.until_waiting(4);
    worker.queue.give();
    drop((closed, left));
    worker.pass.send(()).unwrap();
    assert_eq!(answer(&blocked).unwrap(), "/gate");
    assert_eq!([why(&closed_call), why(&left_call)], [Shed::Gone, Shed::Gone]);
    assert_eq!([answer(&half_call).unwrap(), answer(&there_call).unwrap()], ["/a", "/a"]);
    assert!(worker.entered.try_recv().is_err(), "a call was made that nobody waits for");
    drop((half, there));
}

#[test]
fn calls_wait_here_while_no_sibling_is_free_and_go_when_one_is() {
    let idle = Idle::default();
    idle.room.store(0, Ordering::SeqCst);
    let worker = Worker::with(1, RULES, idle.clone());
    let blocked = worker.block();
    let calls: Vec<_> = (0..3).map(|_| worker.call("/a", MOVES)).collect();
    let stays = worker.wait("/b");
    worker.until_waiting(4);
    assert_eq!(worker.queue.give(), Room::None);
    idle.room.store(2, Ordering::SeqCst);
    assert_eq!(worker.queue.give(), Room::Some);
    let given = calls.iter().filter(|call| matches!(call.recv_timeout(PATIENCE), Ok(Err(AppError::Busy(_)))));
    assert_eq!(given.take(2).count(), 2);
    worker.until_waiting(2);
    assert_eq!(idle.told.lock().unwrap().last(), Some(&Load { busy: 1000, waiting: 2 }));
    worker.pass.send(()).unwrap();
    assert_eq!([answer(&blocked).unwrap(), answer(&stays).unwrap()], ["/gate", "/b"]);
}

#[test]
fn a_worker_that_is_done_shows_it_and_asks() {
    let idle = Idle::default();
    let worker = Worker::with(1, RULES, idle.clone());
    let blocked = worker.block();
    worker.pass.send(()).unwrap();
    assert_eq!(answer(&blocked).unwrap(), "/gate");
    until(|| idle.asked.load(Ordering::SeqCst) != 0, "it has not asked");
    let told = idle.told.lock().unwrap().clone();
    assert_eq!(told, [Load { busy: 1000, waiting: 0 }, Load::default()]);
}
