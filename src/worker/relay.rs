//! Connections that change hands between workers.

use crate::app::calls::CallQueue;
use crate::net::{Connection, accept};
use crate::protocol::Relayed;
use crate::sys::channel::{self, Received, Sent};
use bytes::BytesMut;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Offers a connection, and what was received on it, to whoever is idle.
pub(super) fn post(relay: BorrowedFd<'_>, connection: BorrowedFd<'_>, received: &[u8]) -> Relayed {
    match channel::send(relay, received, Some(connection)) {
        Ok(Sent::Sent) => Relayed::Gone,
        Ok(Sent::WouldBlock | Sent::Closed) => Relayed::Stayed,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be handed to another worker; it waits here");
            Relayed::Stayed
        }
    }
}

/// Takes connections for as long as an app thread is free, one at a time, so that the others get theirs.
pub(super) async fn take(
    relay: OwnedFd,
    calls: Arc<CallQueue>,
    serve: impl Fn(Connection),
) -> io::Result<()> {
    let relay = crate::sys::watch::readable(relay)?;
    loop {
        let mut ready = relay.readable().await?;
        calls.wait_free().await;
        match take_one(relay.get_ref().as_fd()) {
            Taken::Connection(connection) => serve(connection),
            Taken::Nothing => ready.clear_ready(),
            Taken::Unusable => {}
        }
        drop(ready);
        tokio::task::yield_now().await;
    }
}

/// Takes whatever waits now.
pub(super) fn sweep(relay: BorrowedFd<'_>) -> Vec<Connection> {
    let mut connections = Vec::new();
    loop {
        match take_one(relay) {
            Taken::Connection(connection) => connections.push(connection),
            Taken::Unusable => {}
            Taken::Nothing => return connections,
        }
    }
}

enum Taken {
    Connection(Connection),
    Unusable,
    Nothing,
}

fn take_one(relay: BorrowedFd<'_>) -> Taken {
    match channel::receive(relay) {
        Ok(Received::Message(received, Some(descriptor))) => {
            match accept::adopt(descriptor, BytesMut::from(&received[..])) {
                Ok(connection) => Taken::Connection(connection),
                // The client has left meanwhile.
                Err(_) => Taken::Unusable,
            }
        }
        Ok(Received::Message(_, None)) => Taken::Unusable,
        Ok(Received::WouldBlock | Received::Closed) => Taken::Nothing,
        Err(error) => {
            tracing::error!(%error, "a connection handed over by another worker could not be taken");
            Taken::Nothing
        }
    }
}
