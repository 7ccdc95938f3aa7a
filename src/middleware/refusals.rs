//! What the server refused, in the error log: enough of it to see, never so much that it drowns the rest.

use crate::protocol::RequestContext;
use http::StatusCode;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Lines in each [`PERIOD`]; those beyond are counted.
const LINES: u32 = 10;
const PERIOD: Duration = Duration::from_secs(1);

/// Logs refusals, a bounded number of lines a second.
#[derive(Debug, Default)]
pub struct RefusalLog {
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    unseen: u32,
}

impl RefusalLog {
    /// Notes one refusal, with a reason that holds nothing the client wrote.
    pub fn note(&self, status: StatusCode, reason: impl fmt::Display, context: &RequestContext) {
        let Some(unseen) = self.admit(Instant::now()) else { return };
        let status = status.as_u16();
        let forwarded = context.forwarded.as_ref().and_then(|forwarded| forwarded.client);
        let client = forwarded.map(|client| tracing::field::display(client.address));
        tracing::info!(request = %context.id, peer = %context.peer, client, status, unseen, "request refused: {reason}");
    }

    /// Whether a line may be written now, and how many were left out before it.
    fn admit(&self, now: Instant) -> Option<u32> {
        let mut window = self.window.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if window.began.is_none_or(|began| now.duration_since(began) >= PERIOD) {
            window.began = Some(now);
            window.lines = 0;
        }
        window.lines += 1;
        if window.lines > LINES {
            window.unseen += 1;
            return None;
        }
        Some(std::mem::take(&mut window.unseen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_the_rest_is_counted() {
        let log = RefusalLog::default();
        let start = Instant::now();
        let shown = (0..100).filter(|_| log.admit(start).is_some()).count();
        assert_eq!(shown, 10);
        assert_eq!(log.admit(start + PERIOD), Some(90));
    }
}
