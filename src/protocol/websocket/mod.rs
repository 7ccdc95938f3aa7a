//! WebSocket (RFC 6455) with compression (RFC 7692), from the handshake to the last frame.
//!
//! Written here, since the kept libraries either have no compression, or inflate a message before they know that it is
//! too long, or hold a window of 256 KiB for each connection. Compression keeps nothing between two messages, so that
//! a thousand idle connections hold no window at all.

mod connection;
mod deflate;
mod frame;
mod handshake;
#[cfg(any(test, fuzzing))]
pub(crate) mod laws;
mod reader;

pub use connection::{Ended, Outgoing, Port, serve};
pub use deflate::Deflate;
pub use handshake::{Accepted, Handshake, NoWebSocket, subprotocols};

use bytes::Bytes;
use std::time::Duration;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Of text: bytes that are valid UTF-8.
    Text(Bytes),
    /// Of bytes.
    Binary(Bytes),
}

impl Message {
    /// Its bytes.
    pub fn content(&self) -> &Bytes {
        match self {
            Self::Text(content) | Self::Binary(content) => content,
        }
    }
}

/// Why a connection ends: a status code and a reason (RFC 6455 7.1.5, 7.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// 1000 to 4999.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: String,
}

impl Close {
    /// A reason in words is cut where a frame has no room for it.
    pub fn new(code: u16, reason: &str) -> Self {
        let mut end = reason.len().min(REASON_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        Self { code, reason: reason[..end].to_owned() }
    }
}

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Longest message, inflated, in bytes. Past it: 1009.
    pub max_message: usize,
    /// Pause between two pings; zero: none are sent.
    pub ping_interval: Duration,
    /// How long an answer to a ping may take; zero: for ever.
    pub ping_timeout: Duration,
    /// Whether messages may be compressed.
    pub deflate: Deflate,
}

/// What a client must not do; each has its status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// 1002
    #[error("{0}")]
    Protocol(&'static str),
    /// 1007
    #[error("text that is no UTF-8, or content that cannot be inflated")]
    Content,
    /// 1009
    #[error("a message that is too long")]
    TooBig,
}

impl Violation {
    fn code(self) -> u16 {
        match self {
            Self::Protocol(_) => 1002,
            Self::Content => 1007,
            Self::TooBig => 1009,
        }
    }
}

/// RFC 6455 5.5: a control frame has 125 bytes, two of which are the code.
const REASON_MAX: usize = 123;
