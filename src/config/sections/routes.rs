//! `[[route]]`: limits for parts of the URL space.

use crate::config::ByteSize;
use std::time::Duration;

/// `[[route]]`: limits for part of the URL space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Path prefix, on path segment boundaries.
    pub prefix: String,
    /// Methods it holds for; empty = all.
    pub methods: Vec<String>,
    /// Replaces `limits.body`.
    pub body: Option<ByteSize>,
    /// Replaces `timeouts.request`.
    pub timeout: Option<Duration>,
    /// Replaces `timeouts.queue`.
    pub queue: Option<Duration>,
    /// Requests with content must say its length beforehand, else 411.
    pub length_required: bool,
}
