//! Key sets that one process fetches and all workers use: a fixed table in shared memory.
//!
//! A worker says which source it needs ([`KeyTable::claim`]), whoever fetches finds it there ([`KeyTable::sources`]) and
//! publishes what it has got. There is one who fetches; a worker may die at any moment, and writes nothing but what
//! every other worker of its configuration would write there, too.

use crate::config::FETCHED_SETS_MAX;
use crate::sys::clock;
use crate::sys::shared_memory::SharedWords;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The shared table.
#[derive(Debug, Clone)]
pub struct KeyTable {
    words: Arc<SharedWords>,
}

/// Where a source stands in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceIndex(usize);

/// What has been published of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Counts publications; 0: there has been none.
    pub version: u64,
    /// The set, JSON text; empty when it must no longer be used.
    pub text: Vec<u8>,
}

/// How old a set is, on the clock of [`now_ms`]. Whoever fetches may be another process tomorrow, of another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// When it was fetched last.
    pub fetched_ms: u64,
    /// When it must no longer be used.
    pub stale_ms: u64,
}

/// Longest description of a source.
pub const DESCRIPTION_MAX: usize = 8 * DESCRIPTION_WORDS;

/// Longest set.
pub const SET_MAX: usize = 8 * SET_WORDS;

impl KeyTable {
    /// An empty table. Memory is taken for what is stored in it.
    ///
    /// # Errors
    /// When memory has run out.
    pub fn new() -> io::Result<Self> {
        Ok(Self { words: Arc::new(SharedWords::new(WORDS)?) })
    }

    /// The table that another program has made.
    ///
    /// # Errors
    /// When it is another table: that program keeps it differently.
    pub fn inherited(file: OwnedFd) -> io::Result<Self> {
        Ok(Self { words: Arc::new(SharedWords::inherited(WORDS, file)?) })
    }

    /// The file behind it, for the program that takes this one's place.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.words.file()
    }

    /// Says that a worker needs the source of this description, now and for [`UNUSED_SECONDS`] from now on.
    ///
    /// `None` when the description is too long or there are too many sources.
    pub fn claim(&self, description: &[u8]) -> Option<SourceIndex> {
        if description.is_empty() || description.len() > DESCRIPTION_MAX {
            return None;
        }
        let name = name_of(description);
        let indices = || (0..SOURCES).map(SourceIndex);
        let is_its_own = |index: &SourceIndex| self.entry(*index)[CLAIM].load(Ordering::Acquire) == name;
        let take = |index: &SourceIndex| {
            let claim = &self.entry(*index)[CLAIM];
            let claimed = claim.compare_exchange(0, name, Ordering::AcqRel, Ordering::Acquire);
            // Another worker may have claimed it for the same source meanwhile.
            claimed.err().is_none_or(|other| other == name)
        };
        let found = indices().find(is_its_own).or_else(|| indices().find(take))?;
        let entry = self.entry(found);
        entry[USED].store(now_ms() / 1000, Ordering::Relaxed);
        if entry[DESCRIBED].load(Ordering::Acquire) == 0 {
            put(&entry[DESCRIPTION..DESCRIPTION + DESCRIPTION_WORDS], description);
            entry[DESCRIBED].store(description.len() as u64, Ordering::Release);
        }
        // Two descriptions of one name are not to be expected; the second one gets no keys rather than another's.
        (self.description(found)? == description).then_some(found)
    }

    /// All sources that are needed, with their descriptions; for whoever fetches.
    pub fn sources(&self) -> Vec<(SourceIndex, Vec<u8>)> {
        let indices = (0..SOURCES).map(SourceIndex);
        indices.filter_map(|index| Some((index, self.description(index)?))).collect()
    }

    /// Forgets a source that nobody has needed for long; whether it is gone. For whoever fetches.
    pub fn release_unused(&self, index: SourceIndex) -> bool {
        let entry = self.entry(index);
        let used = entry[USED].load(Ordering::Relaxed);
        let is_used = now_ms() / 1000 < used.saturating_add(UNUSED_SECONDS);
        if !is_used {
            // What is published stays away with the description, and the claim goes last.
            entry[1..DESCRIPTION].iter().for_each(|word| word.store(0, Ordering::Relaxed));
            entry[CLAIM].store(0, Ordering::Release);
        }
        !is_used
    }

    /// Publishes a set; an empty one ends the use of the one before. For whoever fetches.
    pub fn publish(&self, index: SourceIndex, set: &[u8]) {
        let entry = self.entry(index);
        let version = entry[VERSION].load(Ordering::Relaxed) + 1;
        let set = &set[..set.len().min(SET_MAX)];
        let (length, words) = place_of(entry, version);
        put(words, set);
        length.store(set.len() as u64, Ordering::Relaxed);
        entry[VERSION].store(version, Ordering::Release);
    }

    /// Notes how old the published set is. For whoever fetches.
    pub fn note_age(&self, index: SourceIndex, age: Age) {
        let entry = self.entry(index);
        entry[FETCHED].store(age.fetched_ms, Ordering::Relaxed);
        entry[STALE].store(age.stale_ms, Ordering::Relaxed);
    }

    /// How old the published set is; `None`: nobody has noted it, as programs before this one did not.
    pub fn age(&self, index: SourceIndex) -> Option<Age> {
        let entry = self.entry(index);
        let [fetched_ms, stale_ms] = [FETCHED, STALE].map(|word| entry[word].load(Ordering::Relaxed));
        (stale_ms != 0).then_some(Age { fetched_ms, stale_ms })
    }

    /// Notes that an attempt to fetch has ended, however, and when the next one for an unknown key may begin.
    pub fn attempted(&self, index: SourceIndex, next_ms: u64) {
        let entry = self.entry(index);
        entry[NEXT].store(next_ms, Ordering::Relaxed);
        entry[ATTEMPTS].fetch_add(1, Ordering::Release);
    }

    /// How many attempts to fetch have ended.
    pub fn attempts(&self, index: SourceIndex) -> u64 {
        self.entry(index)[ATTEMPTS].load(Ordering::Acquire)
    }

    /// How many publications there were.
    pub fn version(&self, index: SourceIndex) -> u64 {
        self.entry(index)[VERSION].load(Ordering::Acquire)
    }

    /// What was published last.
    pub fn read(&self, index: SourceIndex) -> Published {
        let entry = self.entry(index);
        loop {
            let version = entry[VERSION].load(Ordering::Acquire);
            if version == 0 {
                return Published { version, text: Vec::new() };
            }
            let (length, words) = place_of(entry, version);
            let length = usize::try_from(length.load(Ordering::Relaxed)).unwrap_or(0).min(SET_MAX);
            let text = get(words, length);
            std::sync::atomic::fence(Ordering::Acquire);
            // The next publication goes to the other place; only the one after it touches what was just read.
            if entry[VERSION].load(Ordering::Relaxed) == version {
                return Published { version, text };
            }
        }
    }

    /// Asks for another attempt because of a key that is not in the set. `false`: it is too early.
    pub fn want(&self, index: SourceIndex) -> bool {
        let entry = self.entry(index);
        if now_ms() < entry[NEXT].load(Ordering::Relaxed) {
            return false;
        }
        entry[WANTED].store(1, Ordering::Release);
        true
    }

    /// Whether somebody has asked since the last time. For whoever fetches.
    pub fn take_wish(&self, index: SourceIndex) -> bool {
        self.entry(index)[WANTED].swap(0, Ordering::AcqRel) != 0
    }

    fn description(&self, index: SourceIndex) -> Option<Vec<u8>> {
        let entry = self.entry(index);
        let length = usize::try_from(entry[DESCRIBED].load(Ordering::Acquire)).ok()?;
        let is_there = (1..=DESCRIPTION_MAX).contains(&length);
        is_there.then(|| get(&entry[DESCRIPTION..DESCRIPTION + DESCRIPTION_WORDS], length))
    }

    fn entry(&self, index: SourceIndex) -> &[AtomicU64] {
        &self.words.words()[index.0 * ENTRY..(index.0 + 1) * ENTRY]
    }
}

/// Milliseconds on the clock that all processes share.
pub fn now_ms() -> u64 {
    clock::monotonic_ns() / 1_000_000
}

/// Never 0.
fn name_of(description: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    description.hash(&mut hasher);
    hasher.finish().max(1)
}

/// Publications take turns in two places, so that one can be read while the next is written.
fn place_of(entry: &[AtomicU64], version: u64) -> (&AtomicU64, &[AtomicU64]) {
    let odd = usize::from(version % 2 == 1);
    let start = DESCRIPTION + DESCRIPTION_WORDS + odd * SET_WORDS;
    (&entry[LENGTHS + odd], &entry[start..start + SET_WORDS])
}

fn put(words: &[AtomicU64], bytes: &[u8]) {
    for (word, chunk) in words.iter().zip(bytes.chunks(8)) {
        let mut value = [0; 8];
        value[..chunk.len()].copy_from_slice(chunk);
        word.store(u64::from_le_bytes(value), Ordering::Relaxed);
    }
}

fn get(words: &[AtomicU64], length: usize) -> Vec<u8> {
    let words = words.iter().take(length.div_ceil(8));
    let mut bytes: Vec<u8> = words.flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
    bytes.truncate(length);
    bytes
}

/// After so many seconds without a claim a source is forgotten.
pub const UNUSED_SECONDS: u64 = 60;

/// Of two configurations, for a reload that changes all of them; each takes address space, and memory only when it is used.
const SOURCES: usize = 2 * FETCHED_SETS_MAX;

const CLAIM: usize = 0;
const DESCRIBED: usize = 1;
const USED: usize = 2;
const WANTED: usize = 3;
const VERSION: usize = 4;
/// Of both places.
const LENGTHS: usize = 5;
const ATTEMPTS: usize = 7;
const NEXT: usize = 8;
const FETCHED: usize = 9;
const STALE: usize = 10;
const DESCRIPTION: usize = 16;
const DESCRIPTION_WORDS: usize = 1024;
const SET_WORDS: usize = 32 << 10;
const ENTRY: usize = DESCRIPTION + DESCRIPTION_WORDS + 2 * SET_WORDS;
const WORDS: NonZeroUsize = NonZeroUsize::new(SOURCES * ENTRY).unwrap();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_is_claimed_once_and_its_sets_are_read_in_turn() {
        let table = KeyTable::new().unwrap();
        let index = table.claim(b"one").unwrap();
        assert_eq!(table.claim(b"one"), Some(index));
        let other = table.claim(b"other").unwrap();
        assert_ne!(index, other);
        assert_eq!(table.sources(), [(index, b"one".to_vec()), (other, b"other".to_vec())]);
        assert_eq!(table.read(index), Published { version: 0, text: Vec::new() });
        for (version, text) in [(1, &b"first"[..]), (2, &[7; SET_MAX]), (3, b""), (4, b"fourth")] {
            table.publish(index, text);
            assert_eq!(table.read(index), Published { version, text: text.to_vec() });
            assert_eq!(table.version(index), version);
        }
        assert_eq!(table.version(other), 0);
    }

    #[test]
    fn wishes_are_taken_once_and_not_too_early() {
        let table = KeyTable::new().unwrap();
        let index = table.claim(b"one").unwrap();
        assert!(!table.take_wish(index));
        assert!(table.want(index) && table.want(index));
        assert!(table.take_wish(index) && !table.take_wish(index));
        table.attempted(index, u64::MAX);
        assert_eq!(table.attempts(index), 1);
        assert!(!table.want(index) && !table.take_wish(index));
    }

    #[test]
    fn table_has_an_end_and_what_nobody_needs_makes_room() {
        let table = KeyTable::new().unwrap();
        let descriptions: Vec<String> = (0..SOURCES).map(|number| format!("source {number}")).collect();
        let indices: Vec<_> = descriptions.iter().map(|text| table.claim(text.as_bytes()).unwrap()).collect();
        assert_eq!(table.claim(b"one more"), None);
        assert!(!table.release_unused(indices[3]), "somebody has just needed it");
        table.publish(indices[3], b"set");
        table.note_age(indices[3], Age { fetched_ms: 1, stale_ms: 2 });
        table.entry(indices[3])[USED].store(0, Ordering::Relaxed);
        // The clock begins when the machine starts.
        if now_ms() / 1000 > UNUSED_SECONDS {
            assert!(table.release_unused(indices[3]));
            let last = descriptions[SOURCES - 1].as_bytes();
            assert_eq!(table.claim(last), Some(indices[SOURCES - 1]), "who has a place keeps it");
            assert_eq!(table.claim(b"one more"), Some(indices[3]));
            assert_eq!(table.read(indices[3]).version, 0, "another's set is not its own");
            assert_eq!(table.age(indices[3]), None);
        }
        assert_eq!(table.claim(&[b'x'; DESCRIPTION_MAX + 1]), None);
    }
}
