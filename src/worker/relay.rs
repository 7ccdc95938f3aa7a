//! Connections that change hands between workers.
//!
//! A message is the length of a request's head (u32), of its content (u64), since when it waits (u64, nanoseconds of the
//! clock of all processes), the head, the content where it fits, and
//! whatever was received after it; without a head it is an idle connection. Two descriptors come with it: the connection's, and that of a file with the content
//! where it does not fit. Numbers are in the byte order of the machine, which both sides share.

use crate::app::calls::CallQueue;
use crate::contract::message::Report;
use crate::net::{Connection, Drain, accept};
use crate::protocol::{Begun, Content, Opening, Parcel, Relayed, Request};
use crate::sys::channel::{self, MESSAGE_MAX, Received, Sent};
use crate::sys::clock;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::fs::File;
use std::future::Future;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Offers a connection, and the request that waits on it, to whoever is idle.
pub(super) fn post(relay: BorrowedFd<'_>, connection: BorrowedFd<'_>, parcel: Parcel<'_>) -> Relayed {
    let sent = match parcel {
        Parcel::Idle | Parcel::Loan => channel::send(relay, &[0; LENGTHS], &[connection]),
        Parcel::Request(request, rest) => send(relay, connection, request, rest),
    };
    match sent {
        Ok(Sent::Sent) => Relayed::Gone,
        Ok(Sent::WouldBlock | Sent::Closed) => Relayed::Stayed,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be handed to another worker; it waits here");
            Relayed::Stayed
        }
    }
}

/// Has the master choose another worker, which serves an idle connection for a while.
pub(super) fn lend(master: BorrowedFd<'_>, connection: BorrowedFd<'_>) -> Relayed {
    match channel::send(master, &Report::Lends.encode(), &[connection]) {
        Ok(Sent::Sent) => Relayed::Gone,
        // It is as well served here.
        Ok(Sent::WouldBlock | Sent::Closed) | Err(_) => Relayed::Stayed,
    }
}

/// Takes connections for as long as an app thread is free, one at a time, so that the others get theirs.
///
/// What nobody has been free for during [`STALE`] is taken all the same: here it is seen how long it has waited.
pub(super) async fn take(
    relay: OwnedFd,
    calls: Arc<CallQueue>,
    serve: impl Fn(Connection, Opening),
) -> io::Result<()> {
    let relay = crate::sys::watch::readable(relay)?;
    loop {
        let mut ready = relay.readable().await?;
        let is_free = tokio::time::timeout(STALE, calls.wait_free()).await.is_ok();
        // One that gives its calls away, as it is about to be replaced, would have them back at once.
        if !is_free && calls.is_overdue() {
            calls.wait_free().await;
        }
        loop {
            if !has_room(relay.get_ref().as_fd()) {
                // They wait well where they are, until some connection ends.
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
                break;
            }
            match take_one(relay.get_ref().as_fd()) {
                Taken::Connection(connection, opening) => serve(connection, *opening),
                Taken::Nothing => {
                    ready.clear_ready();
                    break;
                }
                Taken::Unusable => {}
            }
            if is_free {
                break;
            }
        }
        drop(ready);
        tokio::task::yield_now().await;
    }
}

/// Takes connections of siblings, but not those that a worker with successors has itself just handed over.
pub(super) async fn until_replaced(
    taking: impl Future<Output = io::Result<()>>,
    drain: Arc<Drain>,
) -> io::Result<()> {
    let replaced = async {
        drain.wait_begun().await;
        if !drain.hands_over() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        taken = taking => taken,
        () = replaced => Ok(()),
    }
}

/// Takes whatever waits now.
pub(super) fn sweep(relay: BorrowedFd<'_>) -> Vec<(Connection, Opening)> {
    let mut connections = Vec::new();
    loop {
        match take_one(relay) {
            Taken::Connection(connection, opening) => connections.push((connection, *opening)),
            Taken::Unusable => {}
            Taken::Nothing => return connections,
        }
    }
}

/// Whether a connection and a file with content can be received: recvmsg(2) drops descriptors that find no room, and with
/// them the connections.
fn has_room(relay: BorrowedFd<'_>) -> bool {
    let copies = [relay.try_clone_to_owned(), relay.try_clone_to_owned()];
    copies.iter().all(Result::is_ok)
}

enum Taken {
    Connection(Connection, Box<Opening>),
    Unusable,
    Nothing,
}

fn send(
    relay: BorrowedFd<'_>,
    connection: BorrowedFd<'_>,
    request: &Request,
    rest: &[u8],
) -> io::Result<Sent> {
    let head = &request.head.raw;
    let without_content = LENGTHS + head.len() + rest.len();
    let written;
    let (inline, file) = match &request.content {
        Content::Empty => (None, None),
        Content::Memory(bytes) if without_content + bytes.len() <= MESSAGE_MAX => (Some(bytes), None),
        Content::Memory(bytes) => {
            written = write(bytes)?;
            (None, Some(&written))
        }
        Content::File { file, .. } => (None, Some(file)),
    };
    let mut message = Vec::with_capacity(without_content + inline.map_or(0, Bytes::len));
    // A head too long for its number is too long for a message, which `channel::send` refuses.
    message.put_u32_ne(u32::try_from(head.len()).unwrap_or(u32::MAX));
    message.put_u64_ne(request.content.len());
    message.put_u64_ne(since_ns(request));
    message.put_slice(head);
    message.put_slice(inline.map_or(&[], |bytes| bytes));
    message.put_slice(rest);
    let descriptors: Vec<BorrowedFd<'_>> = std::iter::once(connection).chain(file.map(AsFd::as_fd)).collect();
    channel::send(relay, &message, &descriptors)
}

fn since_ns(request: &Request) -> u64 {
    let waited = || u64::try_from(request.context.received.elapsed().as_nanos()).unwrap_or(u64::MAX);
    request.context.waits_since.unwrap_or_else(|| clock::monotonic_ns().saturating_sub(waited()))
}

fn write(bytes: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

fn take_one(relay: BorrowedFd<'_>) -> Taken {
    match channel::receive(relay) {
        Ok(Received::Message(message, descriptors)) => {
            let mut descriptors = descriptors.into_iter();
            let connection = descriptors.next().map(accept::adopt);
            match (connection, unpack(message.into(), descriptors.next())) {
                (Some(Ok(connection)), Some(opening)) => Taken::Connection(connection, Box::new(opening)),
                // The client has left meanwhile.
                (Some(Err(_)), _) => Taken::Unusable,
                (None, _) | (_, None) => {
                    tracing::error!("a connection handed over by another worker could not be understood");
                    Taken::Unusable
                }
            }
        }
        Ok(Received::WouldBlock | Received::Closed) => Taken::Nothing,
        Err(error) => {
            tracing::error!(%error, "a connection handed over by another worker could not be taken");
            Taken::Nothing
        }
    }
}

fn unpack(mut message: Bytes, content: Option<OwnedFd>) -> Option<Opening> {
    let head = usize::try_from(message.try_get_u32_ne().ok()?).ok()?;
    let length = message.try_get_u64_ne().ok()?;
    let since_ns = message.try_get_u64_ne().ok()?;
    if head > message.len() {
        return None;
    }
    if head == 0 {
        return (length == 0 && message.is_empty()).then_some(Opening::Idle);
    }
    let head = message.split_to(head);
    let content = match (content, length) {
        (Some(file), length) => Content::File { file: file.into(), length },
        (None, 0) => Content::Empty,
        (None, length) => {
            let length = usize::try_from(length).ok().filter(|length| *length <= message.len())?;
            Content::Memory(message.split_to(length))
        }
    };
    Some(Opening::Begun(Begun { head, content, rest: BytesMut::from(message), since_ns }))
}

/// How long to wait when descriptors have run out, as for those who accept.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of the three numbers.
const LENGTHS: usize = 20;

/// Longer than a worker that is free takes to notice, and short for who waits.
const STALE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn request(head: &'static [u8], content: Content) -> Request {
        let mut request = Request::get("/");
        request.head.raw = Bytes::from_static(head);
        request.content = content;
        request
    }

    fn check(content: Content, rest: &[u8]) {
        let expected = match &content {
            Content::Empty => Vec::new(),
            Content::Memory(bytes) => bytes.to_vec(),
            Content::File { file, .. } => {
                let mut bytes = Vec::new();
                let mut file = file.try_clone().unwrap();
                file.read_to_end(&mut bytes).unwrap();
                file.rewind().unwrap();
                bytes
            }
        };
        let (relay, taker) = channel::pair().unwrap();
        let (connection, _client) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut request = request(b"POST / HTTP/1.1\r\n\r\n", content);
        request.context.waits_since = Some(77);
        let parcel = Parcel::Request(&request, rest);
        assert_eq!(post(relay.as_fd(), connection.as_fd(), parcel), Relayed::Gone);

        let Received::Message(message, descriptors) = channel::receive(taker.as_fd()).unwrap() else {
            panic!("no message")
        };
        let Some(Opening::Begun(begun)) = unpack(message.into(), descriptors.into_iter().nth(1)) else {
            panic!("no request")
        };
        assert_eq!(begun.head, request.head.raw);
        assert_eq!(begun.since_ns, 77);
        assert_eq!(&begun.rest[..], rest);
        assert_eq!(begun.content.len(), expected.len() as u64);
        let mut arrived = Vec::new();
        match begun.content {
            Content::Empty => {}
            Content::Memory(bytes) => arrived = bytes.to_vec(),
            Content::File { mut file, .. } => {
                file.read_to_end(&mut arrived).unwrap();
            }
        }
        assert!(arrived == expected, "the content arrives as it was");
    }

    #[test]
    fn requests_arrive_whole_whatever_their_size() {
        check(Content::Empty, b"");
        check(Content::Empty, b"GET /next HTTP/1.1\r\n");
        for size in [1, MESSAGE_MAX - 64, MESSAGE_MAX, 1 << 20] {
            check(Content::Memory(Bytes::from(vec![7; size])), b"rest");
        }
        let file = write(&vec![9; 3 << 20]).unwrap();
        check(Content::File { file, length: 3 << 20 }, b"rest");
    }

    #[test]
    fn what_does_not_fit_stays() {
        let (relay, _taker) = channel::pair().unwrap();
        let (connection, _client) = std::os::unix::net::UnixStream::pair().unwrap();
        let request = request(b"GET / HTTP/1.1\r\n\r\n", Content::Empty);
        let rest = vec![b'x'; MESSAGE_MAX];
        assert_eq!(
            post(relay.as_fd(), connection.as_fd(), Parcel::Request(&request, &rest)),
            Relayed::Stayed
        );
    }

    #[test]
    fn an_idle_connection_is_told_from_one_with_a_request() {
        let (relay, taker) = channel::pair().unwrap();
        let (connection, _client) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(post(relay.as_fd(), connection.as_fd(), Parcel::Idle), Relayed::Gone);
        let Received::Message(message, descriptors) = channel::receive(taker.as_fd()).unwrap() else {
            panic!("no message")
        };
        assert_eq!(descriptors.len(), 1);
        assert!(matches!(unpack(message.into(), None), Some(Opening::Idle)));
    }

    #[test]
    fn damaged_messages_are_told_from_whole_ones() {
        for message in [
            &b""[..],
            &[0; LENGTHS - 1],
            &[0; LENGTHS + 1],
            &[0xff; LENGTHS],
            &[0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        ] {
            assert!(unpack(Bytes::copy_from_slice(message), None).is_none(), "{message:?}");
        }
    }
}
