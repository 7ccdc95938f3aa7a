//! Answers that leave together.
//!
//! A client that waits for an answer longer than a moment sleeps, and whoever sends the answer has to wake it: on the same
//! machine, as with a proxy in front, that costs the sender 5 to 7 µs of its own processor for each answer. Several of them, sent in
//! a row, find the client awake from the second on. So where answers take long to make, though not so long that waiting for
//! each other would be felt, one waits until the tasks that are ready have had their turn, and leaves with what they have
//! answered.
//!
//! The pace of those before says how many wait for each other, and with each answer the clock says whether they have waited long
//! enough; tasks that answer nothing meanwhile, as streams, have one turn each at most. Threads that are not told of turns hold
//! nothing back: runtimes of several threads, of blocking apps, of programs that embed the server in their own.

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
/// What the first of those that leave together waits for the last.
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
    /// Since when the first of them waits.
    held_since: Option<Instant>,
}

struct Held {
    /// `None` once nobody waits for it any more.
    socket: Option<RawFd>,
    bytes: BytesMut,
    sent: Option<io::Result<usize>>,
    waker: Option<Waker>,
}

impl Held {
    /// Sends it, if somebody waits for it; who is to be told.
    fn send(&mut self) -> Option<Waker> {
        self.sent = Some(send_now(self.socket.take()?, &self.bytes));
        self.waker.take()
    }
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
    let (leaving, is_time) = TURN.with_borrow_mut(|turn| {
        turn.count()?;
        let is_late = turn.held_since.is_some_and(|since| since.elapsed() >= WAIT);
        let leaving = (turn.room > 0).then(|| turn.hold(socket, std::mem::take(bytes)));
        let is_full = !turn.held.is_empty() && turn.held.len() >= turn.room;
        Some((leaving, is_late || is_full))
    })?;
    if is_time {
        send_all();
    }
    leaving
}

impl Turn {
    /// One answer more; `None` where nobody tells of turns.
    fn count(&mut self) -> Option<()> {
        let since = self.since?;
        self.answers += 1;
        if self.answers >= MANY {
            let now = Instant::now();
            self.since = Some(now);
            self.take_stock(now - since);
        }
        Some(())
    }

    fn hold(&mut self, socket: RawFd, bytes: BytesMut) -> Leaving {
        let held = Arc::new(Mutex::new(Held { socket: Some(socket), bytes, sent: None, waker: None }));
        let leads = self.held.is_empty();
        if leads {
            self.held_since = Some(Instant::now());
        }
        self.held.push(Arc::clone(&held));
        Leaving { held, leads, has_left: false }
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
    let mut all = TURN.with_borrow_mut(|turn| {
        turn.held_since = None;
        std::mem::take(&mut turn.held)
    });
    for held in all.drain(..) {
        let waker = lock(&held).send();
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
    has_left: bool,
}

impl Leaving {
    /// The bytes that were held back.
    pub fn take_bytes(&self) -> BytesMut {
        std::mem::take(&mut lock(&self.held).bytes)
    }

    /// What has become of it, and whether it is time for the others.
    fn look(&self, cx: &Context<'_>) -> (Option<io::Result<usize>>, bool) {
        let mut held = lock(&self.held);
        if let Some(sent) = held.sent.take() {
            return (Some(sent), false);
        }
        let is_first_poll = held.waker.replace(cx.waker().clone()).is_none();
        match (self.leads, is_first_poll) {
            (false, _) => (None, false),
            (true, true) => {
                cx.waker().wake_by_ref();
                (None, false)
            }
            (true, false) => {
                // Itself first, wherever the others wait by now; it need not be told.
                drop(held.send());
                (held.sent.take(), true)
            }
        }
    }
}

impl Future for Leaving {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (sent, others_leave) = self.look(cx);
        self.has_left = sent.is_some();
        if others_leave {
            send_all();
        }
        sent.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        // The socket may be closed now, and its number another one's.
        lock(&self.held).socket = None;
        if self.leads && !self.has_left {
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
        TURN.set(Turn { since: Some(Instant::now()), room, ..Turn::default() });
        Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn pair() -> (UnixStream, UnixStream) {
        let (server, client) = UnixStream::pair().unwrap();
        client.set_nonblocking(true).unwrap();
        (server, client)
    }

    /// Held back, and not late however long this thread waits for its processor.
    fn held(server: &UnixStream, answer: &str) -> Leaving {
        let leaving = hold(server.as_raw_fd(), &mut BytesMut::from(answer)).expect("is held back");
        let never = Instant::now() + Duration::from_secs(3600);
        TURN.with_borrow_mut(|turn| turn.held_since = turn.held_since.map(|_| never));
        leaving
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
    fn whoever_has_waited_for_long_waits_for_one_more_at_most() {
        let pairs = [pair(), pair(), pair()];
        let all = || pairs.each_ref().map(|(_, client)| received(client));
        run(16, async {
            let _first = held(&pairs[0].0, "one");
            TURN.with_borrow_mut(|turn| turn.held_since = Instant::now().checked_sub(WAIT));
            let _second = held(&pairs[1].0, "two");
            assert_eq!(all(), ["one", "two", ""]);
            // Nothing is held back from here on; what is, leaves.
            let _third = held(&pairs[2].0, "three");
            TURN.with_borrow_mut(|turn| turn.room = 0);
            assert!(hold(pairs[0].0.as_raw_fd(), &mut BytesMut::from("four")).is_none());
            assert_eq!(all(), ["", "", "three"]);
        });
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
        turn_begins();
        assert!(is_held());
        // In a turn that does not end.
        TURN.set(some());
        assert!(is_held());
    }
}
