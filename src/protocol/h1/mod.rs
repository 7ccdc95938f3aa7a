//! HTTP/1.0 and HTTP/1.1 (RFC 9112): heads, content and responses on one connection.

mod body;
mod chunked;
mod content;
mod deadline;
mod early;
mod ends;
mod faults;
mod field_line;
mod file;
mod head;
mod host;
#[cfg(all(feature = "cli", any(test, fuzzing)))]
pub(crate) mod laws;
mod next_head;
mod output;
#[cfg(test)]
mod recorded;
mod serve;
mod session;
mod upload;
mod write;

pub use head::head_of;
pub(in crate::protocol) use host::is_host;
pub use serve::serve;

use crate::config::{Limits, Timeouts};

/// What holds for every connection.
#[derive(Debug)]
pub struct Settings {
    /// Sizes and counts.
    pub limits: Limits,
    /// Times.
    pub timeouts: Timeouts,
}
