//! Answers that leave together.
//!
//! A client that waits for an answer longer than a moment sleeps, and whoever sends the answer has to wake it: on the same
//! machine, as with a proxy in front, that costs the sender 5 to 7 µs of its own processor for each answer. Several of them, sent in
//! a row, find the client awake from the second on. So where answers take long to make, though not so long that waiting for
//! each other would be felt, one waits until the tasks that are ready have had their turn, and leaves with what they have
//! answered.
//!
//! A handler that keeps its thread keeps such answers, too, as it keeps whatever comes after it anyway. Threads that are not told of
//! turns hold nothing back: runtimes of several threads, of blocking apps, of programs that embed the server in their own.

use crate::sys::send::send_now;
use bytes::BytesMut;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Answers made in less time, the kernel's included, find the client awake more often than not.
const LONG: Duration = Duration::from_micros(20);
/// What the first of those that leave together waits for the last, at the pace of those before.
const WAIT: Duration = Duration::from_micros(500);
/// After so many the pace is looked at, also where the thread finds no sleep.
const MANY: u32 = 64;

thread_local! {
    static TURN: RefCell<Turn> = RefCell::default();
}

/// What a thread does from being woken to its next sleep.
#[derive(Default)]
struct Turn {
    /// Since when its answers are counted.
    since: Option<Instant>,
    answers: u32,
    /// How many answers are held back; none where they leave at once.
    room: usize,
    held: Vec<Arc<Mutex<Held>>>,
}

struct Held {
    /// `None` once nobody waits for it any more.
    socket: Option<RawFd>,
    bytes: BytesMut,
    sent: Option<io::Result<usize>>,
    waker: Option<Waker>,
}

/// The runtime's thread has been woken.
pub fn turn_begins() {
    TURN.with_borrow_mut(|turn| {
        turn.since.get_or_insert_with(Instant::now);
    });
}

/// The runtime's thread is about to sleep.
pub fn turn_ends() {
    TURN.with_borrow_mut(|turn| {
        if let Some(since) = turn.since.take() {
            turn.take_stock(since.elapsed());
        }
    });
}

/// Holds an answer back, if that pays; where it does not, it is the caller's to send.
pub fn hold(socket: RawFd, bytes: &mut BytesMut) -> Option<Leaving> {
    let (leaving, is_full) = TURN.with_borrow_mut(|turn| {
        turn.answers += 1;
        if turn.answers >= MANY {
            turn.look_at_pace();
        }
        if turn.room == 0 {
            return None;
        }
        let bytes = std::mem::take(bytes);
        let held = Arc::new(Mutex::new(Held { socket: Some(socket), bytes, sent: None, waker: None }));
        let leads = turn.held.is_empty();
        turn.held.push(Arc::clone(&held));
        let is_full = turn.held.len() >= turn.room;
        Some((Leaving { held, leads }, is_full))
    })?;
    if is_full {
        send_all();
    }
    Some(leaving)
}

impl Turn {
    fn look_at_pace(&mut self) {
        let Some(since) = self.since else { return };
        let now = Instant::now();
        self.since = Some(now);
        self.take_stock(now - since);
    }

    fn take_stock(&mut self, took: Duration) {
        self.room = room_after(took, std::mem::take(&mut self.answers));
    }
}

/// How many answers are held back after some that took so long to make.
fn room_after(took: Duration, answers: u32) -> usize {
    let each = took.checked_div(answers).unwrap_or_default();
    if each < LONG {
        return 0;
    }
    let room = usize::try_from(WAIT.as_nanos() / each.as_nanos()).unwrap_or(0);
    // One has nothing to leave together with.
    if room > 1 { room } else { 0 }
}

/// Sends what this thread holds back.
fn send_all() {
    let mut all = TURN.with_borrow_mut(|turn| std::mem::take(&mut turn.held));
    for held in all.drain(..) {
        let waker = {
            let mut held = lock(&held);
            let Some(socket) = held.socket else { continue };
            held.sent = Some(send_now(socket, &held.bytes));
            held.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
    // Its room is used again, unless a waker has been quick.
    TURN.with_borrow_mut(|turn| {
        if turn.held.is_empty() {
            turn.held = all;
        }
    });
}

/// An answer that leaves with others: ready once it has, with how many of its bytes the socket took.
#[derive(Debug)]
pub struct Leaving {
    held: Arc<Mutex<Held>>,
    /// The first: polled once more after all tasks that are ready now, it sends the others, too.
    leads: bool,
}

impl Leaving {
    /// The bytes that were held back.
    pub fn take_bytes(&self) -> BytesMut {
        std::mem::take(&mut lock(&self.held).bytes)
    }

    /// What has become of it, and whether it has been waited for.
    fn outcome(&self, cx: &Context<'_>) -> Result<io::Result<usize>, bool> {
        let mut held = lock(&self.held);
        match held.sent.take() {
            Some(sent) => Ok(sent),
            None => Err(held.waker.replace(cx.waker().clone()).is_some()),
        }
    }
}

impl Future for Leaving {
    type Output = io::Result<usize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.outcome(cx) {
            Ok(sent) => return Poll::Ready(sent),
            Err(false) if self.leads => cx.waker().wake_by_ref(),
            Err(true) if self.leads => {
                lock(&self.held).waker = None;
                send_all();
                if let Ok(sent) = self.outcome(cx) {
                    return Poll::Ready(sent);
                }
            }
            Err(_) => {}
        }
        Poll::Pending
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let was_sent = {
            let mut held = lock(&self.held);
            // The socket may be closed now, and its number another one's.
            held.socket = None;
            held.sent.is_some() || held.bytes.is_empty()
        };
        if self.leads && !was_sent {
            send_all();
        }
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("socket", &self.socket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::pin::pin;
    use tokio::runtime::Builder;

    /// Runs a future on a runtime of one thread, which holds back as many answers.
    fn run<T>(room: usize, future: impl Future<Output = T>) -> T {
        TURN.with_borrow_mut(|turn| *turn = Turn { room, ..Turn::default() });
        Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn pair() -> (UnixStream, UnixStream) {
        let (server, client) = UnixStream::pair().unwrap();
        client.set_nonblocking(true).unwrap();
        (server, client)
    }

    fn held(server: &UnixStream, answer: &str) -> Leaving {
        hold(server.as_raw_fd(), &mut BytesMut::from(answer)).expect("is held back")
    }

    fn received(mut client: &UnixStream) -> String {
        let mut text = [0; 64];
        let length = client.read(&mut text).unwrap_or(0);
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    #[test]
    fn only_what_takes_long_and_not_too_long_is_held_back() {
        let room = |micros: u64, answers| room_after(Duration::from_micros(micros), answers);
        assert_eq!(room(0, 0), 0);
        assert_eq!(room(1_000, 0), 0);
        assert_eq!(room(630, 32), 0, "quick ones");
        assert_eq!(room(40, 1), 12);
        assert_eq!(room(400, 10), 12);
        assert_eq!(room(640, 32), 25);
        assert_eq!(room(250, 1), 2);
        assert_eq!(room(251, 1), 0, "slow ones");
    }

    #[test]
    fn answers_wait_for_the_tasks_that_are_ready() {
        let pairs: Arc<Vec<_>> = Arc::new((0..3).map(|_| pair()).collect());
        run(16, async {
            let answer = |number: usize| {
                let pairs = Arc::clone(&pairs);
                tokio::spawn(async move {
                    let leaving = held(&pairs[number].0, "answer");
                    let early: String = pairs.iter().map(|(_, client)| received(client)).collect();
                    (early, leaving.await.unwrap())
                })
            };
            for task in [answer(0), answer(1), answer(2)] {
                assert_eq!(task.await.unwrap(), (String::new(), 6));
            }
        });
        assert!(pairs.iter().all(|(_, client)| received(client) == "answer"));
    }

    #[test]
    fn a_thread_that_finds_no_sleep_sends_them_too() {
        let (server, client) = pair();
        run(16, async {
            let mut turns = 0;
            let busy = tokio::spawn(poll_fn(move |cx| {
                turns += 1;
                let is_over = turns == 1000 || received(&client) == "answer";
                if !is_over {
                    cx.waker().wake_by_ref();
                }
                if is_over { Poll::Ready(turns) } else { Poll::Pending }
            }));
            tokio::spawn(async move { held(&server, "answer").await }).await.unwrap().unwrap();
            assert!(busy.await.unwrap() < 10);
        });
    }

    #[test]
    fn a_full_room_is_emptied_at_once() {
        let pairs = [pair(), pair(), pair()];
        run(2, async {
            let _first = held(&pairs[0].0, "one");
            assert_eq!(received(&pairs[0].1), "");
            let _second = held(&pairs[1].0, "two");
            assert_eq!(pairs.each_ref().map(|(_, client)| received(client)), ["one", "two", ""]);
            let third = held(&pairs[2].0, "three");
            assert_eq!(received(&pairs[2].1), "");
            assert_eq!(third.await.unwrap(), 5);
        });
        assert_eq!(received(&pairs[2].1), "three");
    }

    #[test]
    fn what_nobody_waits_for_is_not_sent_and_keeps_no_other() {
        let pairs = [pair(), pair()];
        run(16, async {
            let first = held(&pairs[0].0, "gone");
            let mut second = pin!(held(&pairs[1].0, "two"));
            let waiting = poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx).is_pending())).await;
            assert!(waiting);
            drop(first);
            assert_eq!(second.await.unwrap(), 3);
        });
        assert_eq!(pairs.each_ref().map(|(_, client)| received(client)), ["", "two"]);
    }

    #[test]
    fn a_full_socket_gives_the_answer_back() {
        let (server, _client) = pair();
        assert!(send_now(server.as_raw_fd(), &vec![b'x'; 8 << 20]).unwrap() < 8 << 20);
        run(16, async {
            let mut leaving = held(&server, "late");
            assert_eq!((&mut leaving).await.unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert_eq!(leaving.take_bytes(), "late");
        });
    }

    #[test]
    fn a_thread_that_is_told_of_turns_learns_its_pace_and_no_other_does() {
        let (server, _client) = pair();
        let is_held = || hold(server.as_raw_fd(), &mut BytesMut::new()).is_some();
        TURN.set(Turn::default());
        assert!((0..3 * MANY).all(|_| !is_held()));
        // 30 µs each, and far from being too slow if this thread has to wait for its processor.
        let some = || Turn {
            since: Instant::now().checked_sub(Duration::from_secs(3)),
            answers: 100_000,
            ..Turn::default()
        };
        TURN.set(some());
        turn_ends();
        assert!(is_held());
        // In a turn that does not end.
        TURN.set(some());
        assert!(is_held());
    }
}
