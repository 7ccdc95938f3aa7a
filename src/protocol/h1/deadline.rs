//! One timer per connection, moved far more often than it fires.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// The timer looks at the clock at least this often; a deadline beyond it costs nothing to move.
const GLANCE: Duration = Duration::from_secs(15);

/// When the present wait ends.
#[derive(Debug)]
pub(super) struct Deadline {
    sleep: Pin<Box<Sleep>>,
    at: Instant,
}

impl Deadline {
    pub(super) fn new() -> Self {
        let at = Instant::now() + GLANCE;
        Self { sleep: Box::pin(sleep_until(at)), at }
    }

    /// The present wait ends after `limit`.
    pub(super) fn set(&mut self, now: std::time::Instant, limit: Duration) {
        self.at = Instant::from_std(now) + limit;
        if self.at < self.sleep.deadline() {
            self.sleep.as_mut().reset(self.at);
        }
    }

    /// Ready once the deadline has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now >= self.at {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.at.min(now + GLANCE));
        }
        Poll::Pending
    }
}
