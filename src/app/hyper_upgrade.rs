//! Upgrades in the type that axum and others look for: `hyper::upgrade::OnUpgrade`.
//!
//! Only hyper can make one, and only for a connection that it serves itself. So it is given one: a connection that
//! has a single request to read, made up here, and a service that changes the protocol at once. What it then
//! holds as the upgraded connection is a [`LateStream`], which becomes the real one when the server hands that over. hyper
//! parses no byte of a client.

use super::Body;
use crate::protocol::{Content, OnUpgrade, Upgraded};
use http::{Response, StatusCode};
use hyper::rt::ReadBufCursor;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::future::{Future, ready};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A handle of hyper's for the same connection; `None` if hyper should ever do otherwise than it does today.
///
/// It is ready at once. Reading and writing then wait for the 101, and fail when there is none.
pub(super) fn handle(upgrade: OnUpgrade) -> Option<hyper::upgrade::OnUpgrade> {
    let changed = Arc::new(AtomicBool::new(false));
    let stream =
        LateStream { request: REQUEST, changed: Arc::clone(&changed), state: State::Awaited(upgrade) };
    let made = Arc::new(Mutex::new(None));
    let take = Arc::clone(&made);
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        *made.lock().unwrap_or_else(PoisonError::into_inner) = Some(hyper::upgrade::on(&mut request));
        let mut response = Response::new(Body::from(Content::Empty));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        ready(Ok::<_, Infallible>(response))
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    let mut connection =
        pin!(server.header_read_timeout(None).serve_connection(stream, service).with_upgrades());
    let mut cx = Context::from_waker(Waker::noop());
    let ended = (0..POLLS).any(|_| connection.as_mut().poll(&mut cx).is_ready());
    changed.store(true, Ordering::Release);
    let handle = take.lock().unwrap_or_else(PoisonError::into_inner).take();
    handle.filter(|_| ended)
}

/// A connection that hyper may have before it is there.
struct LateStream {
    /// What is left of the request that hyper reads.
    request: &'static [u8],
    /// Set once hyper has written its own 101, which is nobody's.
    changed: Arc<AtomicBool>,
    state: State,
}

enum State {
    Awaited(OnUpgrade),
    Here(Upgraded),
}

impl LateStream {
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut Upgraded>>> {
        if let State::Awaited(upgrade) = &mut self.state {
            let arrived = ready!(Pin::new(upgrade).poll(cx));
            let error = |error| io::Error::new(io::ErrorKind::ConnectionAborted, error);
            self.state = State::Here(arrived.map_err(error)?);
        }
        match &mut self.state {
            State::Here(stream) => Poll::Ready(Ok(Pin::new(stream))),
            State::Awaited(_) => Poll::Pending,
        }
    }

    fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }
}

impl hyper::rt::Read for LateStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if !stream.has_changed() {
            let (now, later) = stream.request.split_at(stream.request.len().min(into.remaining()));
            into.put_slice(now);
            stream.request = later;
            // Nothing more is to come until hyper has answered.
            return if now.is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) };
        }
        let upgraded = ready!(stream.poll_stream(cx))?;
        let mut room = [0; PIECE];
        let length = room.len().min(into.remaining());
        let mut piece = ReadBuf::new(&mut room[..length]);
        ready!(upgraded.poll_read(cx, &mut piece))?;
        into.put_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for LateStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        if !stream.has_changed() {
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(stream.poll_stream(cx))?.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if !stream.has_changed() {
            return Poll::Ready(Ok(()));
        }
        ready!(stream.poll_stream(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if !stream.has_changed() {
            return Poll::Ready(Ok(()));
        }
        ready!(stream.poll_stream(cx))?.poll_shutdown(cx)
    }
}

/// What hyper is asked, so that there is something to answer 101 to.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: any\r\n\r\n";
/// hyper is done at the first; more only in case it should yield.
const POLLS: usize = 8;
/// Read at a time on the way into hyper's buffer, which safe code cannot lend to tokio.
const PIECE: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyper_gives_a_handle_at_once() {
        let (_handover, upgrade) = crate::protocol::upgrade::tests::offered();
        let mut handle = handle(upgrade).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(Pin::new(&mut handle).poll(&mut cx), Poll::Ready(Ok(_))));
    }
}
