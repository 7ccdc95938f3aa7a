//! `[websocket]`

use crate::config::ByteSize;
use std::time::Duration;

/// WebSockets of ASGI apps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocket {
    /// Longest message of a client, inflated. Default: 16 MiB. Past it: closed with 1009.
    pub max_message: ByteSize,
    /// Messages of a client that wait for the app. Default: 32. Past it: nothing more is read.
    pub queue: u32,
    /// Pause between two pings. Default: 20 s; 0: none are sent.
    pub ping_interval: Duration,
    /// How long the answer to a ping may take. Default: 20 s; 0: for ever. Past it: closed with 1011.
    pub ping_timeout: Duration,
    /// Whether messages may be compressed. Default: true.
    pub deflate: bool,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self {
            max_message: ByteSize(16 << 20),
            queue: 32,
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(20),
            deflate: true,
        }
    }
}
