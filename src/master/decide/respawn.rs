//! When a slot whose worker has died gets the next one.

use std::time::{Duration, Instant};

/// The delays of one slot: none at first, longer with each failure, never giving up.
#[derive(Debug, Clone, Default)]
pub(super) struct Respawn {
    failures: usize,
    due: Option<Instant>,
}

impl Respawn {
    /// A worker that became ready has died, `served` after that.
    pub(super) fn crashed(&mut self, now: Instant, served: Duration) {
        if served >= STABLE {
            self.failures = 0;
        }
        self.failed(now);
    }

    /// A worker has not become ready.
    pub(super) fn failed(&mut self, now: Instant) {
        let delay = DELAYS.get(self.failures).or(DELAYS.last()).copied().unwrap_or_default();
        self.failures = (self.failures + 1).min(DELAYS.len());
        self.due = Some(now + Duration::from_secs(delay));
    }

    /// Whether the next one may be started.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }

    /// When the next one may be started.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

/// Seconds before each attempt; the last for ever after.
const DELAYS: [u64; 7] = [0, 1, 2, 4, 8, 16, 30];

/// A worker that has served for so long did not die of being started.
const STABLE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_limit_and_start_anew_after_a_while_of_service() {
        let start = Instant::now();
        let mut respawn = Respawn::default();
        assert!(respawn.is_due(start));
        let mut delay = |served: Option<u64>| {
            match served {
                Some(seconds) => respawn.crashed(start, Duration::from_secs(seconds)),
                None => respawn.failed(start),
            }
            (respawn.due().unwrap() - start).as_secs()
        };
        let delays: Vec<_> = (0..9).map(|_| delay(None)).collect();
        assert_eq!(delays, [0, 1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(delay(Some(1)), 30);
        assert_eq!(delay(Some(2)), 0);
        assert_eq!(delay(Some(1)), 1);
    }
}
