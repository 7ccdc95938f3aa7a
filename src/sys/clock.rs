//! The clock that all processes of a machine share.

use nix::time::{ClockId, clock_gettime};
use std::time::Instant;

/// Nanoseconds of CLOCK_MONOTONIC, the same in every process until the machine starts anew (clock_gettime(2)).
pub fn monotonic_ns() -> u64 {
    // The clock is always there (Linux 2.6), and not negative.
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec()).unwrap_or(0))
}

/// What an `Instant`, which means nothing to other processes, is on that clock.
#[derive(Debug, Clone, Copy)]
pub struct Anchor {
    instant: Instant,
    ns: u64,
}

impl Anchor {
    /// Reads both clocks.
    pub fn now() -> Self {
        Self { instant: Instant::now(), ns: monotonic_ns() }
    }

    /// The nanoseconds of an instant, which may lie before this anchor.
    pub fn ns(&self, instant: Instant) -> u64 {
        let nanos = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        match instant.checked_duration_since(self.instant) {
            Some(after) => self.ns.saturating_add(nanos(after)),
            None => self.ns.saturating_sub(nanos(self.instant.saturating_duration_since(instant))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn instants_before_and_after_are_put_on_the_shared_clock() {
        let anchor = Anchor::now();
        let second = Duration::from_secs(1);
        assert_eq!(anchor.ns(anchor.instant + second), anchor.ns + 1_000_000_000);
        assert_eq!(anchor.ns(anchor.instant.checked_sub(second).unwrap()), anchor.ns - 1_000_000_000);
        assert!(monotonic_ns() >= anchor.ns);
    }
}
