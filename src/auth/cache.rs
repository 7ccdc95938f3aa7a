//! Tokens that were verified before: a signature by RSA or on a curve costs 20 to 60 µs, a hash 0.5 µs.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// SHA-256 of a whole token, signature included: what was verified, and nothing near to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of this token.
    pub fn of(token: &str) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

/// A bounded map from verified tokens to what they proved; the oldest entry leaves first.
///
/// It holds successes only, so that nobody fills it without a good token; and it belongs to one set of
/// keys: a reload makes a new one. Whoever takes something out judges its time anew.
pub struct Cache<T> {
    capacity: usize,
    entries: Mutex<Entries<T>>,
}

struct Entries<T> {
    by_token: HashMap<Fingerprint, T>,
    /// Insertion order.
    order: VecDeque<Fingerprint>,
}

impl<T: Clone> Cache<T> {
    /// An empty cache for at most `capacity` tokens; 0 turns it off.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::new(Entries { by_token: HashMap::new(), order: VecDeque::new() }) }
    }

    /// Whether anything can be kept.
    pub fn is_enabled(&self) -> bool {
        self.capacity > 0
    }

    /// What that token proved, if it is known.
    pub fn get(&self, token: &Fingerprint) -> Option<T> {
        // A panic while the lock was held cannot leave a wrong entry, at worst a missing one.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).by_token.get(token).cloned()
    }

    /// Keeps what that token proved.
    pub fn put(&self, token: Fingerprint, value: T) {
        if self.capacity == 0 {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.by_token.insert(token, value).is_none() {
            entries.order.push_back(token);
        }
        while entries.by_token.len() > self.capacity {
            let Some(oldest) = entries.order.pop_front() else { break };
            entries.by_token.remove(&oldest);
        }
    }

    /// Number of tokens kept.
    pub fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).by_token.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_keeps_its_bound_and_lets_the_oldest_go() {
        let cache = Cache::new(2);
        for token in ["a", "b", "b", "c"] {
            cache.put(Fingerprint::of(token), token);
        }
        assert_eq!(cache.len(), 2);
        assert_eq!(cache.get(&Fingerprint::of("a")), None);
        assert_eq!(cache.get(&Fingerprint::of("b")), Some("b"));
        assert_eq!(cache.get(&Fingerprint::of("c")), Some("c"));
    }

    #[test]
    fn cache_of_size_nothing_keeps_nothing() {
        let cache = Cache::new(0);
        cache.put(Fingerprint::of("a"), 1);
        assert!(cache.is_empty());
    }
}
