//! Kept connections that are spread unevenly over the workers.
//!
//! The kernel gives connections to workers by chance, and those of a proxy stay for hours: where eight of ten fall to one
//! worker, it has all it can do while the other has pauses. Calls that last go to whoever has a thread free; short ones
//! are no burden that could be seen in any moment, but in the mean of many. The relief takes it while it looks on, and
//! where it is much more than a sibling's, one request moves there with its connection: this costs once.

use super::moves::give_back;
use super::{Call, CallQueue, Driver, State};
use crate::protocol::Patience;

/// The calls that a worker has at once, waiting or being made: the mean of a short time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MeanCalls {
    /// In hundredths of a call.
    pub hundredths: u32,
}

impl MeanCalls {
    /// How many calls should move to a sibling so that both come to have as many; 0 while the difference is no more than
    /// chance makes.
    pub fn share_of(self, sibling: Self) -> usize {
        let (own, other) = (u64::from(self.hundredths), u64::from(sibling.hundredths));
        if 2 * own < 3 * other + 2 * ONE_CALL {
            return 0;
        }
        // Calls that come at once are made one after another, so each adds half a call to the mean; those that wait without
        // an end, a whole one. Half of what would do for the former is right for the latter, and comes near in both.
        usize::try_from((own - other) / ONE_CALL / 2).unwrap_or(usize::MAX).max(1)
    }
}

/// What becomes a [`MeanCalls`].
#[derive(Debug, Default)]
pub(super) struct Gauge {
    looks: u32,
    calls: u32,
}

impl Gauge {
    /// So many calls were found there; the mean, when there have been looks enough.
    fn note(&mut self, calls: usize) -> Option<MeanCalls> {
        self.looks += 1;
        self.calls = self.calls.saturating_add(u32::try_from(calls).unwrap_or(u32::MAX));
        if self.looks < LOOKS {
            return None;
        }
        let sum = std::mem::take(self).calls;
        Some(MeanCalls { hundredths: sum.saturating_mul(100) / LOOKS })
    }
}

impl CallQueue {
    /// Looks how many calls there are, and moves some where a sibling has had much fewer for a while.
    pub(super) fn even_out(&self, gauge: &mut Gauge, in_call: bool) {
        let waiting = if in_call { self.lock().waiting.len() } else { 0 };
        let Some(mean) = gauge.note(waiting + usize::from(in_call)) else { return };
        self.siblings.tell(mean);
        let share = self.siblings.share(mean);
        if share == 0 {
            return;
        }
        let mut state = self.lock();
        let moved = if state.driver == Driver::Main { self.take_last(&mut state, share) } else { Vec::new() };
        drop(state);
        moved.into_iter().for_each(give_back);
    }

    /// Takes so many of those out that would wait the longest here; to be given back outside of the lock.
    fn take_last(&self, state: &mut State, count: usize) -> Vec<Call> {
        let may_move = |call: &Call| call.patience == Patience::Move;
        let taken = (0..count).map_while(|_| state.waiting.take_last(may_move)).collect();
        self.show(state);
        taken
    }
}

/// For one mean: so many that chance does not move connections to and fro, so few that a client notices no delay.
pub(super) const LOOKS: u32 = 16;

/// In hundredths.
const ONE_CALL: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_calls(hundredths: u32) -> MeanCalls {
        MeanCalls { hundredths }
    }

    #[test]
    fn the_mean_is_that_of_all_looks() {
        let mut gauge = Gauge::default();
        let calls = |look: u32| usize::from(look.is_multiple_of(2)) * 5;
        let means: Vec<_> = (0..2 * LOOKS).filter_map(|look| gauge.note(calls(look))).collect();
        assert_eq!(means, [mean_calls(250), mean_calls(250)]);
    }

    #[test]
    fn what_has_moved_does_not_move_back() {
        let mean = |connections: u32| mean_calls(if connections == 0 { 0 } else { 50 + connections * 50 });
        for all in 2..=64_u32 {
            let (mut here, mut there) = (all, 0);
            loop {
                let share = u32::try_from(mean(here).share_of(mean(there))).unwrap();
                if share == 0 {
                    break;
                }
                (here, there) = (here - share, there + share);
                assert_eq!(mean(there).share_of(mean(here)), 0, "{here} and {there}");
            }
            assert!(here <= 2 * there + 1, "{here} stay beside {there}");
        }
    }

    #[test]
    fn a_single_connection_stays() {
        assert_eq!(mean_calls(99).share_of(mean_calls(0)), 0, "nothing waits behind it");
        assert_eq!(mean_calls(150).share_of(mean_calls(75)), 0, "two beside one");
        assert_eq!(mean_calls(u32::MAX).share_of(mean_calls(u32::MAX)), 0);
    }
}
