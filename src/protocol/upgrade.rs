//! Connections that change their protocol (RFC 9110 7.8): WebSocket, and others.

use super::RequestHead;
use crate::net::Stream;
use bytes::{Buf, BytesMut};
use http::Version;
use http::header::{CONNECTION, UPGRADE};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// A connection that will be the app's, if it answers 101 (Switching Protocols).
///
/// In the extensions of each request that asks for an upgrade. The app answers 101 with an `Upgrade` field, and
/// awaits this in a task of its own: it is ready once the client has been sent that answer. Clones stand for the same
/// connection; the first one that is awaited gets it.
#[derive(Clone)]
pub struct OnUpgrade(Arc<Mutex<oneshot::Receiver<Upgraded>>>);

/// The app did not answer 101, or the client left before that answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection did not change its protocol")]
pub struct NotUpgraded;

impl Future for OnUpgrade {
    type Output = Result<Upgraded, NotUpgraded>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut arrival = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if arrival.is_terminated() {
            return Poll::Ready(Err(NotUpgraded));
        }
        Pin::new(&mut *arrival).poll(cx).map_err(|_| NotUpgraded)
    }
}

impl fmt::Debug for OnUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnUpgrade").finish_non_exhaustive()
    }
}

/// A connection after its 101: every further byte is the app's business.
///
/// The server no longer limits how long it may be idle. Until it is dropped the worker counts it as open, and a worker
/// that leaves waits for it, up to `timeouts.drain_websocket`, after which it can neither be read nor written; [`Draining`](crate::net::Draining) says when that begins.
#[derive(Debug)]
pub struct Upgraded {
    stream: Stream,
    /// What the client sent before it had seen the 101.
    received: BytesMut,
    /// Tells the server by its end that the connection has ended.
    _open: oneshot::Sender<Infallible>,
    /// Tells by its end that the server waits no longer.
    allowed: oneshot::Receiver<Infallible>,
    /// Tells by its end that the connection must end.
    expired: Option<oneshot::Receiver<Infallible>>,
    /// Whether the app has asked to be told.
    heeds: Arc<AtomicBool>,
}

impl Upgraded {
    /// Ready when the connection must end, be it that the token has expired by which it was opened; `None` where nothing ends
    /// it, or the second time.
    ///
    /// Who asks has [`CLOSING`] from then on to take its leave; for others the connection is cut off at once.
    #[cfg_attr(
        not(any(feature = "python", test)),
        expect(dead_code, reason = "asked by the WebSockets of ASGI apps alone")
    )]
    pub(crate) fn expiry(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let expired = self.expired.take()?;
        self.heeds.store(true, Ordering::Relaxed);
        Some(async move { drop(expired.await) })
    }

    /// Whether the server has cut it off; else the task is woken when it does.
    fn is_cut_off(&mut self, cx: &mut Context<'_>) -> bool {
        self.allowed.is_terminated() || Pin::new(&mut self.allowed).poll(cx).is_ready()
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_cut_off(cx) {
            // As at the end of the connection.
            return Poll::Ready(Ok(()));
        }
        if self.received.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let length = self.received.len().min(into.remaining());
        into.put_slice(&self.received[..length]);
        self.received.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_cut_off(cx) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_cut_off(cx) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The server's side of an [`OnUpgrade`].
pub(crate) struct Handover {
    sender: oneshot::Sender<Upgraded>,
    /// When the server ends the connection; `None`: it does not.
    end: Option<End>,
}

/// Ready when a connection must end.
type End = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Handover {
    /// The same for a connection that must end at some time.
    pub(crate) fn until(self, end: Option<End>) -> Self {
        Self { end, ..self }
    }

    /// Gives the connection to the app, and waits until the app is done with it.
    pub(crate) async fn complete(self, stream: Stream, received: BytesMut) {
        let (open, closed) = oneshot::channel();
        // Dropped with this call, be it that the app is done or that the server ends the wait.
        let (_allows, allowed) = oneshot::channel();
        let (expires, expired) = oneshot::channel::<Infallible>();
        let (expired, heeds) = (self.end.is_some().then_some(expired), Arc::<AtomicBool>::default());
        let heeded = Arc::clone(&heeds);
        let upgraded = Upgraded { stream, received, _open: open, allowed, expired, heeds };
        // An app that does not want the connection any more ends it.
        if self.sender.send(upgraded).is_err() {
            return;
        }
        match self.end {
            // Nothing is ever sent: this ends when the other half does.
            None => drop(closed.await),
            Some(end) => tokio::select! {
                _ended = closed => {}
                () = end_of_stay(end, expires, &heeded) => {}
            },
        }
    }
}

/// Until a connection must have ended.
async fn end_of_stay(end: End, expires: oneshot::Sender<Infallible>, heeded: &AtomicBool) {
    end.await;
    drop(expires);
    if heeded.load(Ordering::Relaxed) {
        tokio::time::sleep(CLOSING).await;
    }
}

/// Time for both sides of a connection to take their leave.
const CLOSING: Duration = Duration::from_secs(2);

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").finish_non_exhaustive()
    }
}

/// Both sides of an upgrade, where the request asks for one.
pub(crate) fn offer(head: &RequestHead) -> Option<(Handover, OnUpgrade)> {
    asks(head).then(|| {
        let (sender, receiver) = oneshot::channel();
        (Handover { sender, end: None }, OnUpgrade(Arc::new(Mutex::new(receiver))))
    })
}

/// RFC 9110 7.8: the option "upgrade" names the field Upgrade; HTTP/1.0 has neither.
fn asks(head: &RequestHead) -> bool {
    let is_upgrade = |option: &[u8]| option.trim_ascii().eq_ignore_ascii_case(b"upgrade");
    head.version == Version::HTTP_11
        && head.fields.contains_key(UPGRADE)
        && head
            .fields
            .get_all(CONNECTION)
            .iter()
            .any(|value| value.as_bytes().split(|byte| *byte == b',').any(is_upgrade))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::protocol::Target;
    use bytes::Bytes;
    use http::{HeaderMap, Method};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn head(version: Version, fields: &[(&'static str, &'static str)]) -> RequestHead {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, value.parse().unwrap());
        }
        let target = Target::parse(Bytes::from_static(b"/")).unwrap();
        RequestHead { method: Method::GET, target, version, fields: map, raw: Bytes::new() }
    }

    /// Both sides of an upgrade.
    pub(crate) fn offered() -> (Handover, OnUpgrade) {
        offer(&head(Version::HTTP_11, &[("connection", "upgrade"), ("upgrade", "x")])).unwrap()
    }

    #[test]
    fn only_who_asks_in_both_fields_is_offered_an_upgrade() {
        for (version, fields, expected) in [
            (Version::HTTP_11, &[("connection", "Upgrade"), ("upgrade", "websocket")][..], true),
            (Version::HTTP_11, &[("connection", "keep-alive, upgrade"), ("upgrade", "x")], true),
            (Version::HTTP_11, &[("connection", "a"), ("connection", "upgrade"), ("upgrade", "x")], true),
            (Version::HTTP_11, &[("connection", "upgrades"), ("upgrade", "x")], false),
            (Version::HTTP_11, &[("connection", "upgrade")], false),
            (Version::HTTP_11, &[("upgrade", "websocket")], false),
            (Version::HTTP_10, &[("connection", "upgrade"), ("upgrade", "websocket")], false),
        ] {
            assert_eq!(offer(&head(version, fields)).is_some(), expected, "{version:?} {fields:?}");
        }
    }

    #[tokio::test]
    async fn bytes_that_came_early_are_read_first_and_the_end_is_told() {
        let (handover, upgrade) = offered();
        let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
        let serving = tokio::spawn(handover.complete(Stream::Unix(ours), BytesMut::from("early ")));
        let mut again = upgrade.clone();
        let mut upgraded = upgrade.await.unwrap();
        theirs.write_all(b"late").await.unwrap();
        let mut text = [0; 10];
        upgraded.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"early late");
        assert_eq!((&mut again).await.err(), Some(NotUpgraded), "there is one connection only");
        assert!(!serving.is_finished());
        drop(upgraded);
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn what_the_server_no_longer_waits_for_is_at_its_end() {
        let (handover, upgrade) = offered();
        let (ours, _theirs) = tokio::net::UnixStream::pair().unwrap();
        let serving = tokio::spawn(handover.complete(Stream::Unix(ours), BytesMut::new()));
        let mut upgraded = upgrade.await.unwrap();
        upgraded.write_all(b"still").await.unwrap();
        let reading = tokio::spawn(async move {
            let read = upgraded.read_u8().await.map_err(|error| error.kind());
            (read, upgraded.write_u8(1).await.map_err(|error| error.kind()))
        });
        serving.abort();
        let ended = (Err(io::ErrorKind::UnexpectedEof), Err(io::ErrorKind::BrokenPipe));
        assert_eq!(reading.await.unwrap(), ended);
    }

    #[tokio::test]
    async fn connection_ends_when_its_time_is_over() {
        let (handover, upgrade) = offered();
        let (expire, expired) = oneshot::channel::<()>();
        let handover = handover.until(Some(Box::pin(async move { drop(expired.await) })));
        let (ours, _theirs) = tokio::net::UnixStream::pair().unwrap();
        let serving = tokio::spawn(handover.complete(Stream::Unix(ours), BytesMut::new()));
        let mut upgraded = upgrade.await.unwrap();
        upgraded.write_all(b"still").await.unwrap();
        drop(expire);
        serving.await.unwrap();
        assert_eq!(upgraded.read_u8().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(upgraded.write_u8(1).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn who_asks_is_told_and_may_take_its_leave() {
        let (handover, upgrade) = offered();
        let (expire, expired) = oneshot::channel::<()>();
        let handover = handover.until(Some(Box::pin(async move { drop(expired.await) })));
        let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
        let serving = tokio::spawn(handover.complete(Stream::Unix(ours), BytesMut::new()));
        let mut upgraded = upgrade.await.unwrap();
        let expiry = upgraded.expiry().unwrap();
        assert!(upgraded.expiry().is_none());
        drop(expire);
        expiry.await;
        upgraded.write_all(b"bye").await.unwrap();
        drop(upgraded);
        serving.await.unwrap();
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "bye");
    }

    #[tokio::test]
    async fn without_a_101_there_is_no_connection() {
        let (handover, upgrade) = offered();
        drop(handover);
        assert_eq!(upgrade.await.err(), Some(NotUpgraded));
    }
}
