//! Names for requests.
//!
//! A client's own `X-Request-ID` is not taken: whoever could choose the name of a request could
//! make its lines pass for those of another.

use crate::protocol::RequestId;
use crate::sys::random;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A name that no other request of this server has.
///
/// The sequence starts at random when a process first asks, so a process must not ask before it
/// forks others that do: workers make ids, the master never does.
pub fn next() -> RequestId {
    let sequence = SEQUENCE.get_or_init(|| AtomicU64::new(start()));
    RequestId(scatter(sequence.fetch_add(1, Ordering::Relaxed)))
}

/// Where this process begins: two that begin within the same billion meet with a probability of 2^-33.
fn start() -> u64 {
    // Without getrandom(2) std's own hashing keys are as good a start as there is.
    random::number().unwrap_or_else(|_| RandomState::new().hash_one(std::process::id()))
}

/// Spreads neighbouring numbers over all 64 bits, so that ids are told apart at a glance.
///
/// Each step can be undone (odd factors; a shift by half the width), so no two numbers get the same id.
fn scatter(number: u64) -> u64 {
    let number = number.wrapping_mul(FACTOR);
    let number = (number ^ (number >> 32)).wrapping_mul(FACTOR);
    number ^ (number >> 32)
}

/// Where the ids of this process have got to.
static SEQUENCE: OnceLock<AtomicU64> = OnceLock::new();
/// 2^64 divided by the golden ratio, made odd.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_differ_also_between_threads() {
        let threads: Vec<_> =
            (0..4).map(|_| std::thread::spawn(|| (0..10_000).map(|_| next()).collect::<Vec<_>>())).collect();
        let ids: HashSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(ids.len(), 40_000);
    }

    #[test]
    fn neighbours_look_different() {
        for number in [0, 1, u64::MAX - 1] {
            let changed = (scatter(number) ^ scatter(number.wrapping_add(1))).count_ones();
            assert!((16..=48).contains(&changed), "{changed}");
        }
        assert_eq!(next().to_string().len(), 16);
    }

    #[test]
    fn processes_start_apart() {
        assert_ne!(start(), start());
    }
}
