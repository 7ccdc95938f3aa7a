//! How often the relief looks whether a call lasts.
//!
//! A look takes the processor from the app for a moment, and costs it what its caches held; on a virtual machine, where
//! timers and switches of threads leave the guest, that is some ten microseconds. While one short call follows another,
//! little would be seen by looking often: the next call is over soon, too.

use super::TICK;
use std::time::Duration;

/// The pause before the next look, by what those before have found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rhythm {
    /// Looks that found one short call after another, less those that did not.
    steady: u32,
}

impl Rhythm {
    /// Until the next look.
    pub(super) fn pause(self) -> Duration {
        if self.steady >= STEADY { TICK * LONGER } else { TICK }
    }

    /// What a look has found: one short call after another, or not.
    pub(super) fn note(&mut self, are_short: bool) {
        self.steady = if are_short { (self.steady + 1).min(2 * STEADY) } else { self.steady / 2 };
    }
}

/// What waits behind the first call that lasts waits for so many ticks more: for no longer than behind a few short ones.
const LONGER: u32 = 4;

/// Looks in a row: requests that come one by one leave pauses between them.
const STEADY: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_slows_down_while_short_calls_follow_one_another() {
        let mut rhythm = Rhythm::default();
        for _ in 1..STEADY {
            rhythm.note(true);
            assert_eq!(rhythm.pause(), TICK);
        }
        rhythm.note(true);
        assert_eq!(rhythm.pause(), TICK * LONGER);
    }

    #[test]
    fn a_pause_now_and_then_changes_nothing_and_two_do() {
        let mut rhythm = Rhythm::default();
        (0..1000).for_each(|_| rhythm.note(true));
        rhythm.note(false);
        assert_eq!(rhythm.pause(), TICK * LONGER);
        rhythm.note(false);
        assert_eq!(rhythm.pause(), TICK);
    }

    #[test]
    fn calls_with_pauses_between_them_are_looked_at_often() {
        let mut rhythm = Rhythm::default();
        for look in 0..1000 {
            rhythm.note(look % 2 == 0);
            assert_eq!(rhythm.pause(), TICK);
        }
    }
}
