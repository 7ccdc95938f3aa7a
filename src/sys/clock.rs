//! The clock that all processes of a machine share.

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Nanoseconds of CLOCK_MONOTONIC, the same in every process until the machine starts anew (clock_gettime(2)).
pub fn monotonic_ns() -> u64 {
    // The clock is always there (Linux 2.6), and not negative.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, nanoseconds)
}

/// Whole seconds since 1970 (UTC), a few milliseconds late: the reading costs a fourth of a precise one.
pub fn unix_seconds() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_REALTIME_COARSE);
    now.map_or(0, |now| u64::try_from(now.tv_sec()).unwrap_or(0))
}

/// The present, a few milliseconds late: the reading costs a fourth of a precise one. For limits of seconds.
pub fn about_now() -> Instant {
    static START: LazyLock<Anchor> = LazyLock::new(Anchor::now);
    let start = &*START;
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, nanoseconds);
    start.instant + Duration::from_nanos(now.saturating_sub(start.ns))
}

fn nanoseconds(time: TimeSpec) -> u64 {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec()).unwrap_or(0))
}

/// What an `Instant`, which means nothing to other processes, is on that clock.
#[derive(Debug, Clone, Copy)]
pub struct Anchor {
    instant: Instant,
    ns: u64,
}

/// What two readings of a clock take of time where nothing comes between, and much more than that.
const AT_ONCE: Duration = Duration::from_micros(50);
/// So often, on a machine without a moment's peace, the clocks are read anew.
const READINGS_MAX: usize = 64;

impl Anchor {
    /// Reads both clocks at one moment: anew where something has come between.
    pub fn now() -> Self {
        let readings = || (Self { instant: Instant::now(), ns: monotonic_ns() }, Instant::now());
        let is_apart = |(read, after): &(Self, Instant)| *after - read.instant > AT_ONCE;
        let mut read = readings();
        for _ in 0..READINGS_MAX {
            if !is_apart(&read) {
                break;
            }
            read = readings();
        }
        read.0
    }

    /// The nanoseconds of an instant that does not lie before this anchor.
    pub fn ns(&self, instant: Instant) -> u64 {
        let after = instant.saturating_duration_since(self.instant);
        // Not by `as_nanos`, whose 128 bits every request would pay for.
        self.ns + after.as_secs() * 1_000_000_000 + u64::from(after.subsec_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_put_on_the_shared_clock() {
        let anchor = Anchor::now();
        let second = Duration::from_secs(1);
        assert_eq!(anchor.ns(anchor.instant + second), anchor.ns + 1_000_000_000);
        assert_eq!(anchor.ns(anchor.instant), anchor.ns);
        assert!(monotonic_ns() >= anchor.ns);
    }

    #[test]
    fn the_present_is_known_to_a_few_milliseconds() {
        let before = Instant::now();
        // The first reading says where the clocks begin; what is asked is the second.
        about_now();
        let (about, after) = (about_now(), Instant::now());
        let late = Duration::from_millis(50);
        assert!(about + late >= before && about <= after + late, "{before:?} {about:?} {after:?}");
    }
}
