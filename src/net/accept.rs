//! Accepting connections: as many as the limit allows, for as long as this worker should.

use super::{Connection, Drain, Local, Peer, Stream};
use crate::sys::watch;
use std::borrow::Borrow;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// How long to wait when descriptors have run out: until some connection ends.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// A listening socket as one worker accepts from it.
#[derive(Debug)]
pub enum Acceptor {
    /// TCP.
    Tcp(TcpListener),
    /// UNIX.
    Unix(AsyncFd<UnixListener>, Arc<PathBuf>),
    /// UNIX, a listener that a program has made for itself.
    UnixInPlace(tokio::net::UnixListener, Arc<PathBuf>),
}

impl Acceptor {
    /// Accepts from a TCP socket, which stays open elsewhere too.
    ///
    /// # Errors
    /// When descriptors have run out. Must be called within the runtime.
    pub fn tcp(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let listener = std::net::TcpListener::from(socket.try_clone_to_owned()?);
        Ok(Self::Tcp(TcpListener::from_std(listener)?))
    }

    /// Accepts from a UNIX socket, which stays open elsewhere too.
    ///
    /// # Errors
    /// When descriptors have run out. Must be called within the runtime.
    pub fn unix(socket: BorrowedFd<'_>, path: Arc<PathBuf>) -> io::Result<Self> {
        let listener = UnixListener::from(socket.try_clone_to_owned()?);
        Ok(Self::Unix(watch::acceptable(listener)?, path))
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// As accept(2); errors of a single connection are passed over.
    pub async fn accept(&self) -> io::Result<Connection> {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().await.and_then(|(stream, _)| from_tcp(stream)),
                Self::UnixInPlace(listener, path) => {
                    listener.accept().await.map(|(stream, _)| from_unix(stream, Arc::clone(path)))
                }
                Self::Unix(listener, path) => {
                    accept_unix(listener).await.map(|stream| from_unix(stream, Arc::clone(path)))
                }
            };
            match accepted {
                Err(error) if concerns_one_connection(&error) => {}
                other => return other,
            }
        }
    }

    /// Every connection that waits in the queue now.
    pub fn sweep(&self) -> Vec<Connection> {
        let mut connections = Vec::new();
        while let Some(connection) = self.accept_now() {
            connections.push(connection);
        }
        connections
    }

    /// Past tokio's readiness, which may lag behind the queue.
    fn accept_now(&self) -> Option<Connection> {
        match self {
            Self::Tcp(listener) => {
                let socket = std::net::TcpListener::from(listener.as_fd().try_clone_to_owned().ok()?);
                let (stream, _) = socket.accept().ok()?;
                stream.set_nonblocking(true).ok()?;
                from_tcp(TcpStream::from_std(stream).ok()?).ok()
            }
            Self::Unix(listener, path) => accept_unix_now(listener.get_ref(), path),
            Self::UnixInPlace(listener, path) => {
                accept_unix_now(&UnixListener::from(listener.as_fd().try_clone_to_owned().ok()?), path)
            }
        }
    }
}

impl From<TcpListener> for Acceptor {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<tokio::net::UnixListener> for Acceptor {
    fn from(listener: tokio::net::UnixListener) -> Self {
        let address = listener.local_addr().ok();
        let path = address.and_then(|address| address.as_pathname().map(PathBuf::from)).unwrap_or_default();
        Self::UnixInPlace(listener, Arc::new(path))
    }
}

/// tokio's own listener would try again and again once its socket refuses clients: that reads as an end.
async fn accept_unix(listener: &AsyncFd<UnixListener>) -> io::Result<UnixStream> {
    loop {
        let mut ready = listener.readable().await?;
        match listener.get_ref().accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                return UnixStream::from_std(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if ready.ready().is_read_closed() {
                    return std::future::pending().await;
                }
                ready.clear_ready();
            }
            Err(error) => return Err(error),
        }
    }
}

fn accept_unix_now(listener: &UnixListener, path: &Arc<PathBuf>) -> Option<Connection> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(from_unix(UnixStream::from_std(stream).ok()?, Arc::clone(path)))
}

/// What a worker may take from a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// The next connection, when it comes.
    Next,
    /// Those that wait, none that comes later.
    Waiting,
}

/// Accepts until the caller stops it, and gives each connection to `serve`; asks `gate` before.
pub async fn run<G: Future<Output = Gate>>(
    acceptor: impl Borrow<Acceptor>,
    limit: u32,
    drain: Arc<Drain>,
    gate: impl Fn() -> G,
    serve: impl Fn(Connection),
) {
    let mut exhausted = false;
    loop {
        drain.wait_below(limit).await;
        if gate().await == Gate::Waiting {
            while drain.open() < limit
                && let Some(connection) = acceptor.borrow().accept_now()
            {
                serve(connection);
            }
            continue;
        }
        match acceptor.borrow().accept().await {
            Ok(connection) => {
                exhausted = false;
                serve(connection);
            }
            Err(error) => {
                // accept(2): EMFILE, ENFILE, ENOBUFS, ENOMEM pass once something is closed.
                if !exhausted {
                    tracing::error!(%error, "cannot accept connections; they wait in the queue (see ulimit -n)");
                }
                exhausted = true;
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// A connection that another worker had accepted.
///
/// # Errors
/// When the descriptor is no connected socket, or the runtime cannot watch it.
pub fn adopt(descriptor: OwnedFd) -> io::Result<Connection> {
    let stream = std::net::TcpStream::from(descriptor);
    stream.set_nonblocking(true)?;
    match stream.peer_addr() {
        Ok(_) => from_tcp(TcpStream::from_std(stream)?),
        Err(_) => {
            let stream = UnixStream::from_std(OwnedFd::from(stream).into())?;
            let path = stream.local_addr()?.as_pathname().map(PathBuf::from).unwrap_or_default();
            Ok(from_unix(stream, Arc::new(path)))
        }
    }
}

fn from_tcp(stream: TcpStream) -> io::Result<Connection> {
    let peer = Peer::Address(stream.peer_addr()?);
    let local = Local::Address(stream.local_addr()?);
    // A response leaves at once: it is written whole.
    stream.set_nodelay(true)?;
    Ok(Connection { stream: Stream::Tcp(stream), peer, local })
}

fn from_unix(stream: UnixStream, path: Arc<PathBuf>) -> Connection {
    Connection { stream: Stream::Unix(stream), peer: Peer::Unix, local: Local::Unix(path) }
}

/// accept(2): the client left before it was accepted; the next one is none the worse for it.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
    )
}
