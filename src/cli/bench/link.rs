//! A client's connection: over TCP or a UNIX socket, made anew whenever the server has ended it.

use super::response::{BadResponse, Expects, Persistence, Reply, ResponseReader};
use bytes::BytesMut;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A UNIX socket's path.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Whom to ask, and what.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The server.
    pub(super) address: Address,
    /// The request as sent.
    pub(super) request: Vec<u8>,
    /// What its answer looks like.
    pub(super) expects: Expects,
}

/// A connection, and what has been received on it.
#[derive(Debug, Default)]
pub(super) struct Link {
    stream: Option<Stream>,
    buffer: BytesMut,
    /// Connections made since somebody looked.
    pub(super) made: u64,
}

/// Why there was no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Response(#[from] BadResponse),
}

impl Link {
    /// Sends a request and reads the response, on a new connection if need be.
    pub(super) async fn exchange(&mut self, target: &Target) -> Result<Reply, Broken> {
        if let Some(stream) = self.stream.take() {
            let mut reader = ResponseReader::new(target.expects);
            match self.exchange_on(stream, target, &mut reader).await {
                // RFC 9112 9.3.1: the server may end an idle connection just when a request is sent on it.
                Err(_) if !reader.has_begun() && self.buffer.is_empty() => {}
                answered => return answered,
            }
        }
        self.buffer.clear();
        let stream = Stream::connect(&target.address).await?;
        self.made += 1;
        self.exchange_on(stream, target, &mut ResponseReader::new(target.expects)).await
    }

    async fn exchange_on(
        &mut self,
        mut stream: Stream,
        target: &Target,
        reader: &mut ResponseReader,
    ) -> Result<Reply, Broken> {
        stream.write_all(&target.request).await?;
        let reply = loop {
            self.buffer.reserve(READ_SIZE);
            if stream.read_into(&mut self.buffer).await? == 0 {
                break reader.end()?;
            }
            if let Some(reply) = reader.take(&mut self.buffer)? {
                break reply;
            }
        };
        if reply.persistence == Persistence::Kept {
            self.stream = Some(stream);
        }
        Ok(reply)
    }
}

/// A byte stream of either kind.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    async fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Address::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
        }
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes).await,
            Self::Unix(stream) => stream.write_all(bytes).await,
        }
    }

    async fn read_into(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read_buf(buffer).await,
            Self::Unix(stream) => stream.read_buf(buffer).await,
        }
    }
}

const READ_SIZE: usize = 16 << 10;
