//! Content that an ASGI app sends piece by piece, at the pace of its client.

use super::course::InTask;
use super::http::{End, Http};
use crate::protocol::{Piece, Pieces, StreamAborted};
use http::HeaderMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The connection's side of a response that goes on.
pub(super) struct Stream(pub(super) Arc<Http>);

impl Pieces for Stream {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let mut state = self.0.lock();
        if let Some(piece) = state.pieces.pop_front() {
            state.held -= piece.len();
            let has_room = !state.senders.is_empty() && state.held < self.0.ties().response_buffer / 2;
            drop(state);
            if has_room {
                self.0.ties().ask_to_attend(Arc::clone(&self.0) as Arc<dyn InTask>);
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        match &state.end {
            End::Whole(_) => Poll::Ready(None),
            End::Broken => Poll::Ready(Some(Err(StreamAborted))),
            End::Open => {
                if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
                    state.reader = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn trailers(self: Pin<&mut Self>) -> HeaderMap {
        match &mut self.0.lock().end {
            End::Whole(trailers) => std::mem::take(trailers),
            End::Open | End::Broken => HeaderMap::new(),
        }
    }
}

impl Drop for Stream {
    /// Also at the end of a response: then there is nobody left to tell.
    fn drop(&mut self) {
        Arc::clone(&self.0).client_left();
    }
}
