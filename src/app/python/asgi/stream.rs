//! Content that an ASGI app sends piece by piece, at the pace of its client.

use super::course::InTask;
use super::http::{End, Http, Phase, ToCome};
use crate::protocol::{Piece, Pieces, StreamAborted};
use http::HeaderMap;
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The connection's side of a response that goes on.
pub(super) struct Stream {
    http: Arc<Http>,
    /// A file that is the content, and what is left of it.
    file: Option<(File, u64)>,
}

impl Stream {
    /// What the app sends.
    pub(super) fn of_pieces(http: &Arc<Http>) -> Self {
        Self { http: Arc::clone(http), file: None }
    }

    /// A file, and what the app sends behind it.
    pub(super) fn of_file(http: &Arc<Http>, file: File, length: u64) -> Self {
        Self { http: Arc::clone(http), file: Some((file, length)) }
    }

    /// The next piece of the file; `None` when all of it has been sent.
    fn next_of_file(&mut self) -> Option<Piece> {
        let (file, left) = self.file.as_mut().filter(|(_, left)| *left > 0)?;
        match read_piece(file, *left) {
            Ok(piece) if !piece.is_empty() => {
                *left -= piece.len() as u64;
                Some(Ok(piece.into()))
            }
            outcome => {
                let (request, error) = (self.http.answering().id(), outcome.err());
                tracing::warn!(%request, ?error, "a file became shorter while it was sent; replace files by renaming new ones over them");
                Some(Err(StreamAborted))
            }
        }
    }
}

impl Pieces for Stream {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        if self.file.is_some()
            && !matches!(self.http.lock().end, End::Broken)
            && let Some(piece) = self.next_of_file()
        {
            return Poll::Ready(Some(piece));
        }
        let mut state = self.http.lock();
        if let Some(piece) = state.pieces.pop_front() {
            state.held -= piece.len();
            let has_room = !state.senders.is_empty() && state.held < self.http.ties().response_buffer / 2;
            drop(state);
            if has_room {
                self.http.ties().ask_to_attend(Arc::clone(&self.http) as Arc<dyn InTask>);
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
        match &mut self.http.lock().end {
            End::Whole(trailers) => std::mem::take(trailers),
            End::Open | End::Broken => HeaderMap::new(),
        }
    }

    /// An app that has declared a length is soon done, and finishes what it is at; one that has not might go on for ever, for nobody.
    fn suffices(self: Pin<&mut Self>) {
        let mut state = self.http.lock();
        let ToCome::Bytes(left) = state.to_come else { return };
        if state.is_gone || matches!(state.phase, Phase::Complete) {
            return;
        }
        state.to_come = ToCome::ForNobody(left);
        state.pieces.clear();
        state.held = 0;
        let has_senders = !state.senders.is_empty();
        // Before the app can end the response.
        self.http.retime_for_nobody(left);
        drop(state);
        if has_senders {
            self.http.ties().ask_to_attend(Arc::clone(&self.http) as Arc<dyn InTask>);
        }
    }
}

impl Drop for Stream {
    /// Also at the end of a response: then there is nobody left to tell.
    fn drop(&mut self) {
        Arc::clone(&self.http).client_left();
    }
}

/// The next piece of a file of which so many bytes are left; an empty one where it has become shorter.
pub(super) fn read_piece(file: &mut File, left: u64) -> io::Result<Vec<u8>> {
    let mut piece = Vec::new();
    file.take(left.min(PIECE)).read_to_end(&mut piece)?;
    Ok(piece)
}

/// Content from a file is read in pieces of this size.
const PIECE: u64 = 64 << 10;
