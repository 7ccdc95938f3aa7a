//! Request content on its way to an app that takes it while it arrives: a limit in bytes, and nobody waits in a thread.

use bytes::{Bytes, BytesMut};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The app's end.
#[derive(Clone)]
pub struct Upload(Arc<Queue>);

/// The connection's end. Dropping it before the content is whole breaks the content off.
pub(super) struct UploadSender(Arc<Queue>);

/// What an app finds when it looks for more.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Everything that had arrived.
    Piece(Bytes, More),
    /// Nothing yet.
    Nothing,
    /// There will be nothing more, and the content is not whole: the client has left, or sent what is no content.
    Broken,
}

/// Whether the content goes on behind a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// It may.
    Follows,
    /// This was the last one.
    Ends,
}

type Told = Box<dyn FnOnce() + Send>;

struct Queue {
    /// Bytes that may wait before nothing more is read from the client.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pieces: Vec<Bytes>,
    /// Bytes that wait.
    waiting: usize,
    end: End,
    /// The app waits for something.
    told: Option<Told>,
    /// The connection waits for room.
    sender: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum End {
    #[default]
    Open,
    Whole,
    Broken,
}

/// Both ends; nothing more is read while `limit` bytes wait.
pub(super) fn upload(limit: usize) -> (UploadSender, Upload) {
    let queue = Arc::new(Queue { limit, state: Mutex::default() });
    (UploadSender(Arc::clone(&queue)), Upload(queue))
}

impl Upload {
    /// What has arrived.
    pub fn take(&self) -> Taken {
        let mut state = self.0.lock();
        let more = if state.end == End::Whole { More::Ends } else { More::Follows };
        if state.waiting == 0 && more == More::Follows {
            return if state.end == End::Broken { Taken::Broken } else { Taken::Nothing };
        }
        let pieces = std::mem::take(&mut state.pieces);
        let length = std::mem::take(&mut state.waiting);
        let sender = state.sender.take();
        drop(state);
        if let Some(sender) = sender {
            sender.wake();
        }
        Taken::Piece(join(pieces, length), more)
    }

    /// Calls `told` once there is something to take, or will never be: at once if that is so already. Only the last one who
    /// asks is told.
    pub fn when_some(&self, told: impl FnOnce() + Send + 'static) {
        let mut state = self.0.lock();
        if state.waiting == 0 && state.end == End::Open {
            state.told = Some(Box::new(told));
            return;
        }
        drop(state);
        told();
    }
}

impl UploadSender {
    /// Adds what has arrived.
    pub(super) fn push(&self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        let mut state = self.0.lock();
        state.waiting += piece.len();
        state.pieces.push(piece);
        tell(state);
    }

    /// Ready while more may be read.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.waiting < self.0.limit {
            return Poll::Ready(());
        }
        state.sender = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The content is whole.
    pub(super) fn finish(self) {
        let mut state = self.0.lock();
        state.end = End::Whole;
        tell(state);
    }
}

impl Drop for UploadSender {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.end == End::Open {
            state.end = End::Broken;
            tell(state);
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the app, outside of the lock.
fn tell(mut state: MutexGuard<'_, State>) {
    let told = state.told.take();
    drop(state);
    if let Some(told) = told {
        told();
    }
}

fn join(mut pieces: Vec<Bytes>, length: usize) -> Bytes {
    if pieces.len() < 2 {
        return pieces.pop().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(length);
    pieces.iter().for_each(|piece| all.extend_from_slice(piece));
    all.freeze()
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("waiting", &self.0.lock().waiting).finish_non_exhaustive()
    }
}

impl fmt::Debug for UploadSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadSender").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn piece(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn pieces_that_have_arrived_are_taken_as_one() {
        let (sender, upload) = upload(8);
        assert_eq!(upload.take(), Taken::Nothing);
        sender.push(piece("one"));
        sender.push(piece("two"));
        assert_eq!(upload.take(), Taken::Piece(piece("onetwo"), More::Follows));
        sender.push(piece("end"));
        sender.finish();
        assert_eq!(upload.take(), Taken::Piece(piece("end"), More::Ends));
    }

    #[test]
    fn nothing_more_is_read_while_the_limit_waits() {
        let (sender, upload) = upload(4);
        let cx = Context::from_waker(Waker::noop());
        sender.push(piece("123"));
        assert_eq!(sender.poll_room(&cx), Poll::Ready(()));
        sender.push(piece("4"));
        assert_eq!(sender.poll_room(&cx), Poll::Pending);
        assert_eq!(upload.take(), Taken::Piece(piece("1234"), More::Follows));
        assert_eq!(sender.poll_room(&cx), Poll::Ready(()));
    }

    #[test]
    fn content_that_was_not_finished_is_broken_behind_what_has_arrived() {
        let (sender, upload) = upload(4);
        sender.push(piece("a"));
        drop(sender);
        assert_eq!(upload.take(), Taken::Piece(piece("a"), More::Follows));
        assert_eq!(upload.take(), Taken::Broken);
    }

    #[test]
    fn who_waits_is_told_once() {
        let times = Arc::new(AtomicUsize::new(0));
        let (sender, upload) = upload(4);
        let count = || {
            let times = Arc::clone(&times);
            move || {
                times.fetch_add(1, Ordering::Relaxed);
            }
        };
        upload.when_some(count());
        assert_eq!(times.load(Ordering::Relaxed), 0);
        sender.push(piece("a"));
        sender.push(piece("b"));
        assert_eq!(times.load(Ordering::Relaxed), 1);
        upload.when_some(count());
        assert_eq!(times.load(Ordering::Relaxed), 2);
        upload.take();
        upload.when_some(count());
        drop(sender);
        assert_eq!(times.load(Ordering::Relaxed), 3);
    }
}
