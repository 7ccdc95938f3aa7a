//! A response that has begun while its app goes on.

use super::start_response::Head;
use crate::app::calls::Answering;
use crate::protocol::{BodyStream, Interim, PieceSender, Request, Response, ResponseBody};
use http::{HeaderMap, Method, StatusCode};
use pyo3::exceptions::PyBrokenPipeError;
use pyo3::prelude::*;
use std::sync::{Mutex, PoisonError};

pyo3::create_exception!(
    ferricorn,
    ClientGone,
    PyBrokenPipeError,
    "Raised by write() once the client has gone: an app that goes on for ever must learn it."
);

/// How a response can begin before its app is done.
#[derive(Clone)]
pub(super) struct Way {
    call: Answering,
    /// Bytes held for a slow client before the app has to wait.
    buffer: usize,
    is_head: bool,
    /// Where early hints go; `None` for a client that does not understand them.
    interim: Option<Interim>,
}

/// A response that has begun: its head is on its way, and content follows.
pub(super) struct Outgoing {
    call: Answering,
    sender: PieceSender,
    declared: Option<u64>,
    left: Mutex<Left>,
}

/// What the client still takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// RFC 9110 6.4.1: there is no content in answers to HEAD, and none with 204 and 304.
    NoContent,
    /// So many bytes, as declared.
    Bytes(u64),
    /// All that come.
    Everything,
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// More may follow.
    Taken,
    /// The response cannot have more, whatever the app makes.
    Full,
    /// The client has gone, or the call was ended from outside.
    Gone,
}

impl Way {
    pub(super) fn new(call: &Answering, buffer: usize, request: &mut Request) -> Self {
        let (is_head, interim) = (request.head.method == Method::HEAD, request.interim.take());
        Self { call: call.clone(), buffer, is_head, interim }
    }

    /// Sends a 103 response, to a client that understands it.
    pub(super) fn hint(&self, fields: HeaderMap) {
        if let Some(interim) = &self.interim {
            self.call.hint(interim, fields);
        }
    }

    /// Sends the head on its way.
    pub(super) fn begin(&self, head: Head) -> Outgoing {
        let has_content =
            !self.is_head && head.status != StatusCode::NO_CONTENT && head.status != StatusCode::NOT_MODIFIED;
        let left = match head.length {
            _ if !has_content => Left::NoContent,
            Some(length) => Left::Bytes(length),
            None => Left::Everything,
        };
        let (sender, stream) = BodyStream::queue(self.buffer);
        let declared = head.length;
        self.call.begin(response(head, ResponseBody::Stream(stream)), sender.aborter());
        Outgoing { call: self.call.clone(), sender, declared, left: Mutex::new(left) }
    }
}

impl Outgoing {
    /// Sends a piece, at the pace of the client once the buffer is full.
    pub(super) fn send(&self, py: Python<'_>, piece: &[u8]) -> Sent {
        let piece = match self.take(piece.len()) {
            Some(room) => &piece[..room],
            None => return Sent::Full,
        };
        let sent = self.sender.try_send(piece).and_then(|rest| {
            if rest.is_empty() {
                return Ok(());
            }
            // The client is waited for; that time is not the app's.
            self.call.pause();
            py.detach(|| self.sender.send(rest))
        });
        // The time for the next piece begins.
        self.call.resume();
        if sent.is_ok() { Sent::Taken } else { Sent::Gone }
    }

    /// Ends it so that the client does not take what it has for the whole.
    pub(super) fn abort(&self) {
        self.sender.abort();
    }

    /// How much of a piece of this length the response has room for; `None`: of no piece any more.
    fn take(&self, length: usize) -> Option<usize> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let room = match *left {
            Left::NoContent => return None,
            Left::Everything => return Some(length),
            Left::Bytes(room) => usize::try_from(room).unwrap_or(usize::MAX).min(length),
        };
        if room < length {
            *left = Left::NoContent;
            drop(left);
            say_longer(&self.call, self.declared);
            return Some(room).filter(|room| *room > 0);
        }
        if let Left::Bytes(bytes) = &mut *left {
            *bytes -= room as u64;
        }
        Some(room)
    }
}

/// What an app gave beyond its Content-Length would be read as the next response: it is left out.
pub(super) fn say_longer(call: &Answering, declared: Option<u64>) {
    let declared = declared.unwrap_or_default();
    tracing::error!(
        request = %call.id(),
        declared,
        "the app gave more content than its Content-Length says; the rest is left out"
    );
}

/// The response of this head.
pub(super) fn response(head: Head, body: ResponseBody) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields;
    if let Some(reason) = head.reason {
        response.extensions_mut().insert(reason);
    }
    response
}
