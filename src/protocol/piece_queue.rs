//! Pieces of a response between the thread that makes them and the connection that sends them: a limit in bytes.

use super::body_stream::{Piece, StreamAborted};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// The end that makes pieces, on a thread that may wait. Dropping it ends the response.
pub struct PieceSender(Arc<Queue>);

/// The end that sends them on. Dropping it tells the other end that nobody wants more.
pub(super) struct PieceReceiver(Arc<Queue>);

/// Ends a response from outside.
#[derive(Clone)]
pub struct Aborter(Weak<Queue>);

/// Nobody wants more: the client has gone, or has got all that it can get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes more of this response")]
pub struct NotWanted;

struct Queue {
    /// Bytes that may wait.
    limit: usize,
    state: Mutex<State>,
    /// Waited on by who makes pieces.
    room: Condvar,
}

struct State {
    whole: VecDeque<Bytes>,
    /// What has come since: small pieces are joined.
    last: BytesMut,
    /// Bytes that wait.
    waiting: usize,
    end: End,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may come.
    Open,
    /// There is no more.
    Complete,
    /// There would have been more.
    Aborted,
    /// Nobody wants more.
    NotWanted,
}

/// Both ends; `limit` bytes fit in between before who makes them has to wait.
pub(super) fn piece_queue(limit: usize) -> (PieceSender, PieceReceiver) {
    let state =
        State { whole: VecDeque::new(), last: BytesMut::new(), waiting: 0, end: End::Open, waker: None };
    let queue = Queue { limit: limit.max(1), state: Mutex::new(state), room: Condvar::new() };
    let queue = Arc::new(queue);
    (PieceSender(Arc::clone(&queue)), PieceReceiver(queue))
}

impl PieceSender {
    /// Takes what there is room for; what is left is to be given to [`send`](Self::send).
    ///
    /// # Errors
    /// [`NotWanted`]
    pub fn try_send<'a>(&self, piece: &'a [u8]) -> Result<&'a [u8], NotWanted> {
        let mut state = self.0.lock();
        let (left, waker) = state.push(piece, self.0.limit)?;
        drop(state);
        wake(waker);
        Ok(left)
    }

    /// Waits until all of it has been taken.
    ///
    /// # Errors
    /// [`NotWanted`]
    pub fn send(&self, mut piece: &[u8]) -> Result<(), NotWanted> {
        while !piece.is_empty() {
            let mut state = self.0.lock();
            while state.end == End::Open && state.waiting >= self.0.limit {
                state = self.0.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let (left, waker) = state.push(piece, self.0.limit)?;
            drop(state);
            wake(waker);
            piece = left;
        }
        Ok(())
    }

    /// Ends the response so that the client does not take what it has for the whole.
    pub fn abort(&self) {
        self.0.end(End::Aborted);
    }

    /// What ends the response from outside.
    pub fn aborter(&self) -> Aborter {
        Aborter(Arc::downgrade(&self.0))
    }
}

impl Drop for PieceSender {
    fn drop(&mut self) {
        self.0.end(End::Complete);
    }
}

impl Aborter {
    /// Ends the response so that the client does not take what it has for the whole.
    pub fn abort(&self) {
        if let Some(queue) = self.0.upgrade() {
            queue.end(End::Aborted);
        }
    }
}

impl PieceReceiver {
    /// The next piece; `None` at the end.
    pub(super) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<Piece>> {
        let mut state = self.0.lock();
        let piece = match state.whole.pop_front() {
            Some(piece) => piece,
            None if !state.last.is_empty() => state.last.split().freeze(),
            None => match state.end {
                End::Open => {
                    if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                        state.waker = Some(cx.waker().clone());
                    }
                    return Poll::Pending;
                }
                End::Complete | End::NotWanted => return Poll::Ready(None),
                End::Aborted => {
                    state.end = End::NotWanted;
                    return Poll::Ready(Some(Err(StreamAborted)));
                }
            },
        };
        state.waiting -= piece.len();
        drop(state);
        self.0.room.notify_all();
        Poll::Ready(Some(Ok(piece)))
    }
}

impl Drop for PieceReceiver {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.end = End::NotWanted;
        let waiting = (std::mem::take(&mut state.whole), std::mem::take(&mut state.last));
        drop(state);
        // Freed outside of the lock: it may be a lot.
        drop(waiting);
        self.0.room.notify_all();
    }
}

impl Queue {
    fn end(&self, end: End) {
        let mut state = self.lock();
        if state.end == End::Open {
            state.end = end;
            let waker = state.waker.take();
            drop(state);
            wake(waker);
            self.room.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; a poisoned lock would still hold a usable state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl State {
    /// Takes what there is room for; returns the rest, and whom to wake.
    fn push<'a>(&mut self, piece: &'a [u8], limit: usize) -> Result<(&'a [u8], Option<Waker>), NotWanted> {
        if self.end != End::Open {
            return Err(NotWanted);
        }
        let (mut taken, left) = piece.split_at(piece.len().min(limit.saturating_sub(self.waiting)));
        self.waiting += taken.len();
        while !taken.is_empty() {
            let (part, rest) = taken.split_at(taken.len().min(PIECE - self.last.len()));
            self.last.extend_from_slice(part);
            if self.last.len() == PIECE {
                self.whole.push_back(self.last.split().freeze());
            }
            taken = rest;
        }
        Ok((left, self.waker.take()))
    }
}

impl fmt::Debug for PieceSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceSender").finish_non_exhaustive()
    }
}

impl fmt::Debug for Aborter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aborter").finish_non_exhaustive()
    }
}

/// Longest piece: what a connection writes at once.
const PIECE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn next(receiver: &mut PieceReceiver) -> Poll<Option<Piece>> {
        receiver.poll_next(&Context::from_waker(Waker::noop()))
    }

    fn take_all(receiver: &mut PieceReceiver) -> Vec<u8> {
        let mut all = Vec::new();
        while let Poll::Ready(Some(Ok(piece))) = next(receiver) {
            assert!(!piece.is_empty() && piece.len() <= PIECE);
            all.extend_from_slice(&piece);
        }
        all
    }

    #[test]
    fn bytes_are_counted_and_not_pieces() {
        let (sender, mut receiver) = piece_queue(100_000);
        for _ in 0..100_000 {
            assert_eq!(sender.try_send(b"x"), Ok(&b""[..]));
        }
        assert_eq!(sender.try_send(b"yz"), Ok(&b"yz"[..]));
        assert_eq!(take_all(&mut receiver).len(), 100_000);
        assert_eq!(sender.try_send(b"yz"), Ok(&b""[..]));
        assert_eq!(take_all(&mut receiver), b"yz");
        assert!(next(&mut receiver).is_pending());
        drop(sender);
        assert_eq!(next(&mut receiver), Poll::Ready(None));
    }

    #[test]
    fn who_makes_pieces_waits_for_room_and_all_of_it_arrives() {
        let text: Vec<u8> = (0..=250).cycle().take(1 << 20).collect();
        let (sender, mut receiver) = piece_queue(50_000);
        let whole = text.clone();
        let making = std::thread::spawn(move || sender.send(&whole));
        let mut all = Vec::new();
        while all.len() < text.len() {
            let piece = take_all(&mut receiver);
            if piece.is_empty() {
                std::thread::yield_now();
            }
            all.extend(piece);
        }
        assert_eq!(making.join().unwrap(), Ok(()));
        assert_eq!(all, text);
    }

    #[test]
    fn what_was_made_before_a_failure_comes_before_it() {
        let (sender, mut receiver) = piece_queue(10);
        sender.send(b"begun").unwrap();
        sender.aborter().abort();
        assert_eq!(sender.send(b"more"), Err(NotWanted));
        assert_eq!(next(&mut receiver), Poll::Ready(Some(Ok(Bytes::from_static(b"begun")))));
        assert_eq!(next(&mut receiver), Poll::Ready(Some(Err(StreamAborted))));
        assert_eq!(next(&mut receiver), Poll::Ready(None));
    }

    #[test]
    fn nobody_waits_for_a_client_that_has_gone() {
        let (sender, receiver) = piece_queue(4);
        sender.send(b"full").unwrap();
        let making = std::thread::spawn(move || sender.send(b"more than there is room for"));
        drop(receiver);
        assert_eq!(making.join().unwrap(), Err(NotWanted));
    }
}
