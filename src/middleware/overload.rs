//! Requests that are not served because there are too many: counted, answered, and said without flooding the log.

use crate::app::Shed;
use crate::protocol::Substitute;
use http::StatusCode;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tells of overload.
pub struct Overload {
    count: Box<dyn Fn(Shed) + Send + Sync>,
    period: Mutex<Period>,
}

/// What is not in the log yet.
#[derive(Debug, Default)]
struct Period {
    said: Option<Instant>,
    full: u64,
    late: u64,
    gone: u64,
}

impl Overload {
    /// `count` is called for each request that is not served.
    pub fn new(count: Box<dyn Fn(Shed) + Send + Sync>) -> Self {
        Self { count, period: Mutex::default() }
    }

    /// Notes a request that is not served.
    pub fn note(&self, why: Shed) {
        (self.count)(why);
        let mut period = self.period.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Period { full, late, gone, .. }) = period.note(why, Instant::now()) {
            drop(period);
            tracing::warn!(
                full,
                late,
                gone,
                "overload: requests are answered 503 without entering the app, as too many wait for it"
            );
        }
    }

    /// What its client gets: when there is hope again, judging by how long others have waited.
    pub fn answer(wait: Duration) -> Substitute {
        let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let seconds = whole.clamp(1, LONGEST_SECONDS);
        Substitute::new(StatusCode::SERVICE_UNAVAILABLE, "The server has more to do than it can.")
            .retry_after(seconds)
    }
}

impl Period {
    /// Counts one; what is to be said now, if something is: the first after a pause, then all of each period.
    fn note(&mut self, why: Shed, now: Instant) -> Option<Self> {
        match why {
            Shed::Full => self.full += 1,
            Shed::Late => self.late += 1,
            Shed::Gone => self.gone += 1,
        }
        if self.said.is_some_and(|said| now.duration_since(said) < PERIOD) {
            return None;
        }
        let told = Self { said: None, ..*self };
        *self = Self { said: Some(now), ..Self::default() };
        Some(told)
    }
}

impl fmt::Debug for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overload").field("period", &self.period).finish_non_exhaustive()
    }
}

/// At most one line in this time.
const PERIOD: Duration = Duration::from_secs(10);

/// Nobody is sent away for longer than this: overload seldom lasts.
const LONGEST_SECONDS: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use http::header;

    #[test]
    fn the_first_is_said_and_then_how_many_in_each_period() {
        let (mut period, start) = (Period::default(), Instant::now());
        let first = period.note(Shed::Full, start).unwrap();
        assert_eq!((first.full, first.late, first.gone), (1, 0, 0));
        for _ in 0..7 {
            assert!(period.note(Shed::Late, start + PERIOD / 2).is_none());
        }
        let later = period.note(Shed::Gone, start + PERIOD).unwrap();
        assert_eq!((later.full, later.late, later.gone), (0, 7, 1));
    }

    #[test]
    fn clients_are_told_when_to_come_again() {
        for (wait_ms, expected) in [(0, "1"), (1000, "1"), (1001, "2"), (30_000, "30"), (1_000_000, "60")] {
            let response = Overload::answer(Duration::from_millis(wait_ms)).plain();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::RETRY_AFTER], expected);
        }
    }
}
