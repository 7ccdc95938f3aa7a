//! `[limits]`: sizes and counts that no client or app may exceed.

use crate::config::ByteSize;

/// `[limits]`
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Request line and fields together. Default: 32 KiB. Past it: 431.
    pub head: ByteSize,
    /// The request target. Default: 16 KiB. Past it: 414.
    pub target: ByteSize,
    /// Number of fields. Default: 100. Past it: 431.
    pub fields: u16,
    /// Request content. Default: 1 GiB. Past it: 413.
    pub body: ByteSize,
    /// Request content kept in memory; beyond it in a temporary file. Default: 1 MiB.
    pub body_memory: ByteSize,
    /// Response content that is held for a slow client before the app has to wait. Default: 1 MiB.
    pub response_buffer: ByteSize,
    /// Connections per worker. Default: 10000. Past it: connections wait in the queue.
    pub connections: u32,
    /// Requests per worker that wait for an app thread. Default: 10000. Past it: 503.
    pub queue: u32,
}
