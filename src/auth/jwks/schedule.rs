//! When a key set is fetched. Pure: times are milliseconds on a clock that only goes on.

use super::source::Source;
use std::time::Duration;

/// The times of one source.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    /// When the next fetch is due.
    due: u64,
    /// Before that no fetch begins because of an unknown key.
    next_wish: u64,
    /// When the set that there is must no longer be used.
    stale: Option<u64>,
    failures: u32,
}

impl Schedule {
    /// Due at once.
    pub(super) fn new(now: u64) -> Self {
        Self { due: now, next_wish: now, stale: None, failures: 0 }
    }

    /// Due at once; the set that there is already must not be used from `stale` on.
    pub(super) fn resumed(now: u64, stale: u64) -> Self {
        Self { stale: Some(stale), ..Self::new(now) }
    }

    pub(super) fn is_due(&self, now: u64) -> bool {
        self.due <= now
    }

    /// When something is to be done: a fetch, or a set put away.
    pub(super) fn next(&self) -> u64 {
        self.stale.map_or(self.due, |stale| stale.min(self.due))
    }

    /// When a fetch may begin because of an unknown key.
    pub(super) fn next_wish(&self) -> u64 {
        self.next_wish
    }

    /// Somebody asks: an unknown key, of which there may be as many as attackers like. The first one is heard at once,
    /// whenever the last regular fetch was, and the next one after `min_refetch`.
    pub(super) fn wish(&mut self, now: u64, source: &Source) {
        // One that is due or under way will bring what is there; it must not cost the next new key its turn.
        if self.due > now && self.next_wish <= now {
            self.next_wish = now + millis(source.min_refetch);
            self.due = now;
        }
    }

    /// An operator asks.
    pub(super) fn order(&mut self, now: u64) {
        self.due = now;
    }

    /// A good set has come. `random` is from 0 to 1: many servers started together should not ask together for ever.
    pub(super) fn succeeded(&mut self, now: u64, source: &Source, fresh: Option<Duration>, random: f64) {
        let lasts = fresh.map_or(source.refresh, |fresh| fresh.clamp(FRESH_LEAST, FRESH_MOST));
        self.due = now + jittered(lasts, random);
        self.stale = Some(stale_after(now, lasts, source));
        self.failures = 0;
    }

    /// When the set that there is must no longer be used.
    pub(super) fn stale(&self) -> Option<u64> {
        self.stale
    }

    /// Nothing good has come.
    pub(super) fn failed(&mut self, now: u64, source: &Source, random: f64) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10));
        self.due = now + jittered(pause.min(LONGEST_PAUSE).min(source.refresh), random);
        self.failures = self.failures.saturating_add(1);
    }

    /// How many fetches have failed since the last good one.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether the set has just become too old to be used.
    pub(super) fn take_stale(&mut self, now: u64) -> bool {
        self.stale.take_if(|stale| *stale <= now).is_some()
    }
}

/// When a set must no longer be used of which only this is known: that it was there then.
pub(super) fn stale_at_the_latest(then: u64, source: &Source) -> u64 {
    stale_after(then, source.refresh, source)
}

fn stale_after(now: u64, lasts: Duration, source: &Source) -> u64 {
    now + millis(lasts) + millis(source.stale_if_error)
}

/// Ten per cent more or less.
fn jittered(duration: Duration, random: f64) -> u64 {
    millis(duration.mul_f64(0.9 + 0.2 * random.clamp(0.0, 1.0)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}

/// What an answer's Cache-Control can bring about.
const FRESH_LEAST: Duration = Duration::from_secs(60);
const FRESH_MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// After the first failure, and at most, as it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::super::source::Place;
    use super::*;

    fn source() -> Source {
        Source {
            place: Place::Set("https://idp.example/jwks".into()),
            refresh: Duration::from_secs(600),
            min_refetch: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            stale_if_error: Duration::from_secs(3600),
            max_bytes: 1 << 18,
            max_keys: 64,
            ca_file: None,
        }
    }

    #[test]
    fn good_set_is_renewed_as_it_says_within_bounds() {
        for (fresh, least, most) in
            [(None, 540, 660), (Some(300), 270, 330), (Some(0), 54, 66), (Some(1 << 30), 77_760, 95_040)]
        {
            for random in [0.0, 0.5, 1.0] {
                let mut schedule = Schedule::new(0);
                schedule.succeeded(0, &source(), fresh.map(Duration::from_secs), random);
                assert!(
                    (least * 1000..=most * 1000).contains(&schedule.due),
                    "{fresh:?} {random} {}",
                    schedule.due
                );
            }
        }
    }

    #[test]
    fn failures_are_repeated_with_growing_pauses_and_the_old_set_lasts() {
        let mut schedule = Schedule::new(0);
        schedule.succeeded(0, &source(), None, 0.5);
        let mut now = schedule.due;
        let pauses: Vec<u64> = (0..9)
            .map(|_| {
                schedule.failed(now, &source(), 0.5);
                let pause = schedule.due - now;
                now = schedule.due;
                pause / 1000
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(!schedule.take_stale(4_199_999), "refresh and an hour");
        assert!(schedule.take_stale(4_200_000) && !schedule.take_stale(4_200_001));
    }

    #[test]
    fn unknown_keys_are_asked_for_at_once_and_then_not_for_a_while() {
        let mut schedule = Schedule::new(0);
        schedule.succeeded(0, &source(), None, 0.5);
        schedule.wish(1, &source());
        assert!(schedule.is_due(1), "however young the set is");
        schedule.succeeded(2, &source(), None, 0.5);
        schedule.wish(3, &source());
        assert!(!schedule.is_due(29_999));
        schedule.wish(30_001, &source());
        assert!(schedule.is_due(30_001));
        let mut first = Schedule::new(0);
        first.wish(0, &source());
        first.succeeded(1, &source(), None, 0.5);
        first.wish(2, &source());
        assert!(first.is_due(2), "the first fetch was due anyway");
    }
}
