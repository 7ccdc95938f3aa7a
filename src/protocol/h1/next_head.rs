//! The wait for a request on a connection, and what is known of it while it arrives.

use super::head::HeadScanner;
use super::session::{Fill, Session, Wait};
use crate::net::Occupation;
use crate::protocol::{Rejection, RequestContext};
use crate::sys::clock;
use bytes::Bytes;
use std::pin::pin;
use std::time::{Duration, Instant};

/// What a wait for a head brought.
pub(super) enum NextHead {
    Head(Bytes),
    Refused(Rejection),
    /// The client left, or was idle for too long.
    Gone,
    /// An operator wants the request to end that has begun to arrive.
    Cancelled,
    /// Nothing has come, and another worker should wait in this one's place.
    Moves,
}

/// What a request line says, as far as it has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a [u8],
    pub(super) target: &'a [u8],
    /// Whether the target is known to its end.
    pub(super) is_whole: bool,
}

impl<'a> RequestLine<'a> {
    /// Of a head, or of what there is of it.
    pub(super) fn beginning(head: &'a [u8]) -> Self {
        let mut words = head.splitn(3, |byte| matches!(byte, b' ' | b'\r'));
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        Self { method, target, is_whole: words.next().is_some() }
    }
}

/// How much of a request line has been told.
#[derive(Debug, Default)]
struct Told {
    seen: usize,
    is_whole: bool,
}

impl Told {
    /// Whether there is anything new to tell of what has arrived. Each byte is looked at once, and few are told one by one:
    /// a client may send them so.
    fn has_news(&mut self, head: &[u8]) -> bool {
        let before = std::mem::replace(&mut self.seen, head.len()).min(head.len());
        let ends_word = |new: &[u8]| new.iter().any(|byte| matches!(byte, b' ' | b'\r'));
        !self.is_whole && (before < TOLD_AT_ONCE || ends_word(&head[before..]))
    }
}

impl Session<'_> {
    /// The next head, complete but not yet judged as a whole.
    ///
    /// Where it does not arrive at once, `tell` hears of the request as it becomes known.
    pub(super) async fn read_head(
        &mut self,
        tell: impl Fn(&mut Option<Box<RequestContext>>, RequestLine<'_>),
    ) -> NextHead {
        let mut scanner = HeadScanner::default();
        let mut begun = false;
        let mut told = Told::default();
        self.occupied.with(Occupation::Idle);
        if self.drain.hands_over() && self.buffer.is_empty() && self.waits_until.is_none() {
            return NextHead::Moves;
        }
        self.set_idle_deadline();
        loop {
            match scanner.scan(&mut self.buffer, &self.settings.limits) {
                Ok(Some(length)) => {
                    self.first = false;
                    self.occupied.with(Occupation::Request);
                    return NextHead::Head(self.buffer.split_to(length).freeze());
                }
                Ok(None) => {}
                Err(rejection) => return NextHead::Refused(rejection),
            }
            if !begun && !self.buffer.is_empty() {
                begun = true;
                self.deadline.set(Instant::now(), self.settings.timeouts.head);
            }
            if begun && told.has_news(&self.buffer) {
                let line = RequestLine::beginning(&self.buffer);
                told.is_whole = line.is_whole;
                tell(&mut self.arriving, line);
            }
            let wait = if begun { Wait::Message } else { Wait::Idle };
            let Some(filled) = self.fill_unless_cancelled(wait).await else { return NextHead::Cancelled };
            match (filled, begun) {
                (Fill::Bytes, _) => {}
                (Fill::DrainBegan, _) if self.drain.hands_over() => return NextHead::Moves,
                (Fill::DrainBegan, _) => {
                    self.drain_seen = true;
                    self.deadline.set(Instant::now(), self.settings.timeouts.drain_idle);
                }
                (Fill::TimedOut, true) => return NextHead::Refused(Rejection::HeadTimeout),
                (Fill::TimedOut, false) if self.is_offered_again() => return NextHead::Moves,
                (Fill::TimedOut, false) | (Fill::End, _) => return NextHead::Gone,
            }
        }
    }

    async fn fill_unless_cancelled(&mut self, wait: Wait) -> Option<Fill> {
        let Some(arriving) = &self.arriving else { return Some(self.fill(wait).await) };
        let flight = arriving.flight.clone();
        let bell = std::mem::take(&mut self.bell);
        let filled = {
            let filling = pin!(self.fill(wait));
            flight.unless_cancelled(&bell, filling).await
        };
        self.bell = bell;
        filled
    }

    fn set_idle_deadline(&mut self) {
        let timeouts = &self.settings.timeouts;
        if let Some(until) = self.waits_until {
            self.drain_seen = true;
            let now = Instant::now();
            return self.deadline.set(now, until.saturating_duration_since(now).min(OFFER_AGAIN));
        }
        let limit = if self.drain.has_begun() {
            self.drain_seen = true;
            timeouts.drain_idle
        } else if self.first {
            timeouts.head
        } else {
            timeouts.keep_alive
        };
        self.deadline.set(clock::about_now(), limit);
    }

    fn is_offered_again(&self) -> bool {
        self.drain.hands_over() && self.waits_until.is_some_and(|until| Instant::now() < until)
    }
}

/// Pause before a connection that nobody has taken is offered again: the queue between workers was full.
const OFFER_AGAIN: Duration = Duration::from_millis(20);

/// About what the table has room for.
const TOLD_AT_ONCE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_target_is_told_when_it_ends() {
        let head = [&b"GET /"[..], &[b'a'; 1000], b" HTTP/1.1\r\nHost: a"].concat();
        let mut told = Told::default();
        let news: Vec<_> = (1..head.len()).filter(|length| told.has_news(&head[..*length])).collect();
        let at_once = 1..=TOLD_AT_ONCE;
        let expected: Vec<_> = at_once.chain([1006, 1015]).collect();
        assert_eq!(news[..expected.len()], expected);
        told.is_whole = true;
        assert!(!told.has_news(&head));
    }

    #[test]
    fn request_line_is_known_as_far_as_it_has_arrived() {
        for (head, method, target, is_whole) in [
            ("", "", "", false),
            ("GE", "GE", "", false),
            ("GET ", "GET", "", false),
            ("GET /a?b", "GET", "/a?b", false),
            ("GET /a ", "GET", "/a", true),
            ("GET /a HTTP/1.1\r\nHost: a b\r\n", "GET", "/a", true),
            ("GET /a\r\n", "GET", "/a", true),
        ] {
            let (method, target) = (method.as_bytes(), target.as_bytes());
            let expected = RequestLine { method, target, is_whole };
            assert_eq!(RequestLine::beginning(head.as_bytes()), expected, "{head:?}");
        }
    }
}
