//! Content that an app makes piece by piece, at the pace of its client.

use super::piece_queue::{PieceReceiver, PieceSender, piece_queue};
use bytes::Bytes;
use http::HeaderMap;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Pieces of a response, as the app makes them.
pub struct BodyStream(Source);

enum Source {
    /// Made by a thread, which waits where the client is slow.
    Queue(PieceReceiver),
    /// Made when the connection asks for them.
    Asked(Pin<Box<dyn Pieces>>),
}

/// One piece, or the end of all.
pub type Piece = Result<Bytes, StreamAborted>;

/// The app failed after its response had begun: the connection must not end as if it were complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the app failed after its response had begun")]
pub struct StreamAborted;

/// Makes pieces when it is asked.
pub trait Pieces: Send {
    /// The next piece; `None` at the end.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>>;

    /// The fields behind the content (RFC 9110 6.5), once there is no further piece.
    fn trailers(self: Pin<&mut Self>) -> HeaderMap {
        HeaderMap::new()
    }

    /// Told that the client has had all that it gets, by the declared length or since it has asked for the head alone: no
    /// further piece is asked for, and that is not because the client has left.
    fn suffices(self: Pin<&mut Self>) {}
}

impl BodyStream {
    /// A stream and where its pieces come from; `limit` bytes fit in between before who makes them has to wait.
    pub fn queue(limit: usize) -> (PieceSender, Self) {
        let (sender, receiver) = piece_queue(limit);
        (sender, Self(Source::Queue(receiver)))
    }

    /// A stream that makes each piece once the client has taken the ones before it.
    pub fn asked(pieces: impl Pieces + 'static) -> Self {
        Self(Source::Asked(Box::pin(pieces)))
    }

    /// The next piece; `None` at the end.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        match &mut self.0 {
            Source::Queue(receiver) => receiver.poll_next(cx),
            Source::Asked(pieces) => pieces.as_mut().poll_next(cx),
        }
    }

    /// The fields behind the content, once there is no further piece.
    pub(crate) fn trailers(&mut self) -> HeaderMap {
        match &mut self.0 {
            Source::Queue(_) => HeaderMap::new(),
            Source::Asked(pieces) => pieces.as_mut().trailers(),
        }
    }

    /// The client has had all that it gets; whoever makes pieces may go on for himself.
    pub(crate) fn suffices(&mut self) {
        match &mut self.0 {
            Source::Queue(_) => {}
            Source::Asked(pieces) => pieces.as_mut().suffices(),
        }
    }
}

impl fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyStream").finish_non_exhaustive()
    }
}
