//! What the log says of an app that has not kept its time limit.

use crate::contract::entry::Entry;
use crate::protocol::RequestId;
use crate::sys::clock;
use std::time::Duration;

/// What the app was late with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// The head of its response.
    Head,
    /// A further piece of its content.
    Piece,
}

/// Says that a request is past its limit; `entry` is what is known of it, `stack` where its thread was.
pub fn say_too_slow(id: RequestId, limit: Duration, late: Late, entry: Option<&Entry>, stack: Option<&str>) {
    let request =
        entry.map_or_else(|| format!("request {id}"), |entry| entry.describe(clock::monotonic_ns()));
    let what = match late {
        Late::Head => request,
        Late::Piece => format!("the next piece of {request}"),
    };
    tracing::error!(
        request = %id,
        ?limit,
        stack,
        "the app took too long; raise timeouts.request or this route's timeout if that is expected: {what}"
    );
}
