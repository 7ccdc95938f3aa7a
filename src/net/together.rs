//! Answers that leave together.
//!
//! A client that waits for an answer longer than a moment sleeps, and whoever sends the answer has to wake it: on the same
//! machine, as with a proxy in front, that costs the sender 5 to 7 µs of its own processor for each answer. Those of one turn of the
//! runtime, sent in a row at its end, find the client awake from the second on. So where the answers of the last turn took long
//! to make, though not so long that waiting for each other would be felt, a few of the next one leave together.
//!
//! What is held back waits for the tasks that are ready, too, and so behind a handler that keeps its thread: as whatever comes
//! after such a one does anyway. Threads that are not told of turns hold nothing back: runtimes of several threads, of blocking
//! apps, of programs that embed the server in their own.

use crate::sys::send::send_now;
use bytes::BytesMut;
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Answers made in less time find the client awake.
const LONG: Duration = Duration::from_micros(10);
/// What the first of those that leave together waits for the last, at the pace of the turn before.
const WAIT: Duration = Duration::from_micros(500);
/// How many are held back at most.
const MOST: usize = 32;

thread_local! {
    static TURN: RefCell<Turn> = RefCell::default();
}

/// What a thread does from being woken to its next sleep.
#[derive(Default)]
struct Turn {
    began: Option<Instant>,
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
        turn.began.get_or_insert_with(Instant::now);
    });
}

/// The runtime's thread is about to sleep: what is held back leaves.
pub fn turn_ends() {
    let held = TURN.with_borrow_mut(|turn| {
        if turn.held.is_empty() {
            turn.take_stock();
        }
        std::mem::take(&mut turn.held)
    });
    send_all(held);
}

/// Holds an answer back, if that pays; where it does not, it is the caller's to send.
pub fn hold(socket: RawFd, bytes: &mut BytesMut) -> Option<Leaving> {
    let (leaving, held) = TURN.with_borrow_mut(|turn| {
        turn.answers += 1;
        if turn.room == 0 {
            return None;
        }
        let bytes = std::mem::take(bytes);
        let held = Arc::new(Mutex::new(Held { socket: Some(socket), bytes, sent: None, waker: None }));
        turn.held.push(Arc::clone(&held));
        let is_full = turn.held.len() >= turn.room;
        Some((Leaving { held }, if is_full { std::mem::take(&mut turn.held) } else { Vec::new() }))
    })?;
    send_all(held);
    Some(leaving)
}

impl Turn {
    fn take_stock(&mut self) {
        let took = self.began.take().map_or(Duration::ZERO, |began| began.elapsed());
        self.room = room_after(took, std::mem::take(&mut self.answers));
    }
}

/// How many answers of the next turn are held back, after one that took so long for so many.
fn room_after(took: Duration, answers: u32) -> usize {
    let each = took.checked_div(answers).unwrap_or_default();
    if each < LONG {
        return 0;
    }
    match usize::try_from(WAIT.as_nanos() / each.as_nanos()) {
        // Nothing to leave together with.
        Ok(0 | 1) => 0,
        room => room.map_or(MOST, |room| room.min(MOST)),
    }
}

fn send_all(held: Vec<Arc<Mutex<Held>>>) {
    for held in held {
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
}

/// An answer that leaves with others: ready once it has, with how many of its bytes the socket took.
#[derive(Debug)]
pub struct Leaving {
    held: Arc<Mutex<Held>>,
}

impl Leaving {
    /// The bytes that were held back.
    pub fn take_bytes(&self) -> BytesMut {
        std::mem::take(&mut lock(&self.held).bytes)
    }
}

impl Future for Leaving {
    type Output = io::Result<usize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut held = lock(&self.held);
        match held.sent.take() {
            Some(sent) => Poll::Ready(sent),
            None => {
                held.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        // The socket may be closed now, and its number another one's.
        lock(&self.held).socket = None;
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("socket", &self.socket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use tokio::runtime::{Builder, Runtime};

    /// A runtime with these hooks; the first turn holds back as many answers.
    fn runtime(room: usize) -> Runtime {
        TURN.with_borrow_mut(|turn| turn.room = room);
        Builder::new_current_thread().on_thread_unpark(turn_begins).on_thread_park(turn_ends).build().unwrap()
    }

    fn pair() -> (UnixStream, UnixStream) {
        let (server, client) = UnixStream::pair().unwrap();
        client.set_nonblocking(true).unwrap();
        (server, client)
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
        assert_eq!(room(300, 32), 0, "quick ones");
        assert_eq!(room(40, 1), 12);
        assert_eq!(room(400, 10), 12);
        assert_eq!(room(320, 32), MOST);
        assert_eq!(room(250, 1), 2);
        assert_eq!(room(251, 1), 0, "slow ones");
    }

    #[test]
    fn answers_leave_once_nothing_else_is_ready() {
        let pairs = [pair(), pair(), pair()];
        runtime(16).block_on(async {
            let mut tasks = Vec::new();
            for (number, (server, _)) in pairs.iter().enumerate() {
                let socket = server.as_raw_fd();
                tasks.push(tokio::spawn(async move {
                    let leaving = hold(socket, &mut BytesMut::from(&b"answer"[..])).expect("is held");
                    (number, leaving.await.unwrap())
                }));
            }
            // Each has been made now.
            tokio::task::yield_now().await;
            assert!(pairs.iter().all(|(_, client)| received(client).is_empty()));
            for (number, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.unwrap(), (number, 6));
            }
        });
        assert!(pairs.iter().all(|(_, client)| received(client) == "answer"));
    }

    #[test]
    fn a_full_room_is_emptied_at_once() {
        let pairs = [pair(), pair(), pair()];
        let _runtime = runtime(2);
        let mut answers = Vec::new();
        let mut said = |(server, _): &(UnixStream, UnixStream)| {
            answers.push(hold(server.as_raw_fd(), &mut BytesMut::from(&b"one"[..])).unwrap());
        };
        said(&pairs[0]);
        assert_eq!(received(&pairs[0].1), "");
        said(&pairs[1]);
        assert_eq!((received(&pairs[0].1), received(&pairs[1].1)), ("one".to_owned(), "one".to_owned()));
        said(&pairs[2]);
        assert_eq!(received(&pairs[2].1), "");
        turn_ends();
        assert_eq!(received(&pairs[2].1), "one");
    }

    #[test]
    fn what_nobody_waits_for_is_not_sent() {
        let (server, client) = pair();
        let _runtime = runtime(16);
        drop(hold(server.as_raw_fd(), &mut BytesMut::from(&b"gone"[..])).unwrap());
        turn_ends();
        assert_eq!(received(&client), "");
    }

    #[tokio::test]
    async fn a_full_socket_gives_the_answer_back() {
        let (server, client) = pair();
        server.set_nonblocking(true).unwrap();
        let room = send_now(server.as_raw_fd(), &vec![b'x'; 8 << 20]).unwrap();
        assert!(room < 8 << 20);
        TURN.with_borrow_mut(|turn| turn.room = 16);
        let mut leaving = hold(server.as_raw_fd(), &mut BytesMut::from(&b"late"[..])).unwrap();
        turn_ends();
        assert_eq!((&mut leaving).await.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(leaving.take_bytes(), "late");
        drop(client);
    }

    #[test]
    fn without_turns_nothing_is_held_back() {
        let (server, _client) = pair();
        std::thread::spawn(move || {
            for _ in 0..1000 {
                assert!(hold(server.as_raw_fd(), &mut BytesMut::new()).is_none());
            }
        })
        .join()
        .unwrap();
    }
}
