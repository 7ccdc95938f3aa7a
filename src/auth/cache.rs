//! Tokens that were verified before: a signature by RSA or on a curve costs 20 to 60 µs, a hash 0.5 µs.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// SHA-256 of a whole token, signature included: what was verified, and nothing near to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

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
/// keys: other keys come with a new one. Whoever takes something out judges its time anew.
pub struct Cache<T> {
    /// Of each shard.
    capacity: usize,
    shards: Box<[Mutex<Shard<T>>]>,
}

struct Shard<T> {
    by_token: HashMap<Fingerprint, Kept<T>, BuildHasherDefault<FirstBytes>>,
    /// Insertion order.
    order: VecDeque<Fingerprint>,
    bytes: usize,
}

struct Kept<T> {
    value: T,
    bytes: usize,
}

impl<T: Clone> Cache<T> {
    /// An empty cache for about `capacity` tokens, and for at most 16 MiB; 0 turns it off.
    pub fn new(capacity: usize) -> Self {
        let shard = || Shard { by_token: HashMap::default(), order: VecDeque::new(), bytes: 0 };
        let shards = (0..SHARDS.min(capacity)).map(|_| Mutex::new(shard())).collect();
        Self { capacity: capacity.div_ceil(SHARDS), shards }
    }

    /// Whether anything can be kept.
    pub fn is_enabled(&self) -> bool {
        !self.shards.is_empty()
    }

    /// What that token proved, if it is known.
    pub fn get(&self, token: &Fingerprint) -> Option<T> {
        self.shard(token)?.by_token.get(token).map(|kept| kept.value.clone())
    }

    /// Keeps what that token proved, which takes about so many bytes.
    pub fn put(&self, token: Fingerprint, value: T, bytes: usize) {
        let Some(mut shard) = self.shard(&token) else { return };
        shard.bytes += bytes;
        match shard.by_token.insert(token, Kept { value, bytes }) {
            Some(before) => shard.bytes -= before.bytes,
            None => shard.order.push_back(token),
        }
        while shard.by_token.len() > self.capacity || shard.bytes > MAX_BYTES / self.shards.len() {
            let Some(oldest) = shard.order.pop_front() else { break };
            if let Some(gone) = shard.by_token.remove(&oldest) {
                shard.bytes -= gone.bytes;
            }
        }
    }

    /// Number of tokens kept.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).by_token.len()).sum()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, token: &Fingerprint) -> Option<MutexGuard<'_, Shard<T>>> {
        // The map takes the first bytes.
        let shard = usize::from(token.0[31]).checked_rem(self.shards.len())?;
        self.shards.get(shard).map(locked)
    }
}

/// A panic while the lock was held cannot leave a wrong entry, at worst a missing one.
fn locked<T>(shard: &Mutex<Shard<T>>) -> MutexGuard<'_, Shard<T>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The hash of a hash is its beginning; nobody chooses those of tokens whose signature is good.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// So that threads seldom wait for each other.
const SHARDS: usize = 16;
/// Of all that is kept.
const MAX_BYTES: usize = 16 << 20;

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
        let cache = Cache::new(32);
        let names: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        for name in &names {
            cache.put(Fingerprint::of(name), name.clone(), 10);
            cache.put(Fingerprint::of(name), name.clone(), 10);
            assert_eq!(cache.get(&Fingerprint::of(name)).as_ref(), Some(name));
        }
        assert!((16..=32).contains(&cache.len()), "{}", cache.len());
        assert_eq!(cache.get(&Fingerprint::of("0")), None);
    }

    #[test]
    fn cache_is_bounded_in_bytes() {
        let cache = Cache::new(1_000_000);
        for number in 0..100 {
            cache.put(Fingerprint::of(&number.to_string()), number, 1 << 20);
        }
        assert!(cache.len() <= 16, "{}", cache.len());
        cache.put(Fingerprint::of("huge"), 1, 100 << 20);
        assert_eq!(cache.get(&Fingerprint::of("huge")), None);
    }

    #[test]
    fn cache_of_size_nothing_keeps_nothing() {
        let cache = Cache::new(0);
        cache.put(Fingerprint::of("a"), 1, 1);
        assert!(cache.is_empty() && !cache.is_enabled());
        assert_eq!(cache.get(&Fingerprint::of("a")), None);
    }
}
