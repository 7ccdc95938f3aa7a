//! The registry in shared memory: a fixed table of words, no pointers, no locks, no growth.
//!
//! An *entry* says what a series is (its text) and which *numbers* are its own: the same places in every row. An index finds an
//! entry by its text. Entries and numbers are given out one after another, so that memory is used by what there is only.

use super::text::{self, ENTRY_TEXT, Text};
use super::{MetricError, MetricKind, Metrics};
use crate::contract::scoreboard::RecordIndex;
use crate::sys::shared_memory::SharedWords;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// All figures of all processes.
#[derive(Debug, Clone)]
pub struct MetricTable {
    words: Arc<SharedWords>,
    records: usize,
}

/// The numbers of a series, in each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) count: usize,
}

/// An entry as it is read.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) text: Text,
    pub(super) span: Span,
    /// Of a histogram: the bounds of its buckets.
    pub(super) bounds: Vec<f64>,
}

impl MetricTable {
    /// An empty registry for so many records of the scoreboard.
    ///
    /// # Errors
    /// When memory has run out.
    pub fn new(records: usize) -> io::Result<Self> {
        Ok(Self { words: Arc::new(SharedWords::new(size(records))?), records })
    }

    /// The registry that another program has made, by its [`file`](Self::file).
    ///
    /// # Errors
    /// When it is another registry: that program keeps it differently.
    pub fn inherited(records: usize, file: OwnedFd) -> io::Result<Self> {
        Ok(Self { words: Arc::new(SharedWords::inherited(size(records), file)?), records })
    }

    /// The file behind it, for the program that takes this one's place.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.words.file()
    }

    /// The figures of a process.
    pub fn of(&self, record: RecordIndex) -> Metrics {
        let row = (1 + record.number()).min(self.records);
        self.word(ROWS_USED).fetch_max(row as u64 + 1, Ordering::AcqRel);
        Metrics::new(self.clone(), row, None)
    }

    /// The figures of a mold: what it counts has happened once, for all; its gauges are drafts for the workers that it forks.
    ///
    /// # Errors
    /// When memory has run out.
    pub fn of_mold(&self) -> io::Result<Metrics> {
        Ok(Metrics::new(self.clone(), ENDED, Some(Self::new(0)?)))
    }

    /// Keeps what a process has counted, when it has ended. For the master.
    pub fn retire(&self, record: RecordIndex) {
        let row = (1 + record.number()).min(self.records);
        // Odd while the same counts stand in two places.
        self.word(VERSION).fetch_add(1, Ordering::AcqRel);
        let entries = (0..self.used(ENTRIES_USED, ENTRIES)).map(|index| self.entry_words(index));
        for (kind, span) in entries.filter_map(text::shape) {
            for part in 0..span.count {
                let value = self.value(row, span.start + part).swap(0, Ordering::AcqRel);
                let number = kind.number(part, span.count);
                if value != 0 && number.outlives() {
                    number.merge_into(self.value(ENDED, span.start + part), value);
                }
            }
        }
        self.word(VERSION).fetch_add(1, Ordering::AcqRel);
    }

    /// Runs `read` until the table has been at rest meanwhile, or a few times.
    pub(super) fn at_rest<T>(&self, read: impl Fn() -> T) -> T {
        for _ in 0..READING_TRIES {
            let before = self.word(VERSION).load(Ordering::Acquire);
            let found = read();
            if before.is_multiple_of(2) && before == self.word(VERSION).load(Ordering::Acquire) {
                return found;
            }
            std::hint::spin_loop();
        }
        read()
    }

    /// A number of a series over all rows, and whether any process that may still live has it.
    pub(super) fn merged(&self, kind: MetricKind, span: Span, part: usize) -> (u64, bool) {
        let number = kind.number(part, span.count);
        let at = span.start + part;
        let mut sum = self.value(ENDED, at).load(Ordering::Acquire);
        let mut lives = false;
        for row in ENDED + 1..self.rows_used() {
            let value = self.value(row, at).load(Ordering::Acquire);
            lives |= value != 0;
            sum = number.merge(sum, value);
        }
        (sum, lives)
    }

    /// Every entry, in the order in which they were made.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        (0..self.used(ENTRIES_USED, ENTRIES)).filter_map(|index| self.entry(index))
    }

    /// How often a series has been refused for want of room.
    pub fn refused(&self) -> u64 {
        self.word(REFUSED).load(Ordering::Relaxed)
    }

    /// The numbers of a series, which is made if need be.
    pub(super) fn find_or_insert(&self, text: &Text, bounds: &[f64]) -> Result<Span, MetricError> {
        let first = text.hash();
        for slot in (0..INDEX).map(|step| self.index((first + step) % INDEX)) {
            let mut found = slot.compare_exchange(FREE, CLAIMED, Ordering::AcqRel, Ordering::Acquire);
            if found.is_ok() {
                return self.insert(slot, text, bounds);
            }
            // Somebody makes it just now, perhaps the same one; or has died over it.
            for _ in 0..WAITING_TRIES {
                if found != Err(CLAIMED) {
                    break;
                }
                std::thread::yield_now();
                found = Err(slot.load(Ordering::Acquire));
            }
            let entry = match found {
                // A failed claim was taken back: there is no room.
                Ok(_) | Err(FREE | CLAIMED) => continue,
                Err(number) => self.entry(usize::try_from(number - FIRST).unwrap_or(usize::MAX)),
            };
            if let Some(entry) = entry.filter(|entry| entry.text.is_series_of(text) && entry.bounds == bounds)
            {
                return Ok(entry.span);
            }
        }
        self.refuse()
    }

    fn insert(&self, slot: &AtomicU64, text: &Text, bounds: &[f64]) -> Result<Span, MetricError> {
        let count = text.kind.numbers(bounds.len());
        let taken = self.take(VALUES_USED, count, VALUES).and_then(|start| {
            // What is left of numbers without an entry is lost; there are many times more of them.
            Some((start, self.take(ENTRIES_USED, 1, ENTRIES)?))
        });
        let Some((start, entry)) = taken else {
            slot.store(FREE, Ordering::Release);
            return self.refuse();
        };
        for (offset, bound) in bounds.iter().enumerate() {
            self.bound(start + offset).store(bound.to_bits(), Ordering::Relaxed);
        }
        let span = Span { start, count };
        text.write(self.entry_words(entry), span);
        slot.store(FIRST + entry as u64, Ordering::Release);
        Ok(span)
    }

    fn refuse<T>(&self) -> Result<T, MetricError> {
        self.word(REFUSED).fetch_add(1, Ordering::Relaxed);
        Err(MetricError::Full)
    }

    /// Takes so many of what is given out one after another; the first.
    fn take(&self, counter: usize, count: usize, limit: usize) -> Option<usize> {
        let taken = self.word(counter).fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            let end = usize::try_from(used).ok()?.checked_add(count)?;
            (end <= limit).then_some(end as u64)
        });
        taken.ok().and_then(|used| usize::try_from(used).ok())
    }

    /// What an entry says; `None` for one that is not made, or not yet.
    fn entry(&self, index: usize) -> Option<Entry> {
        if index >= ENTRIES {
            return None;
        }
        let (text, span) = text::read(self.entry_words(index))?;
        let bounds = (span.start..span.start + text.kind.bounds(span.count))
            .map(|at| f64::from_bits(self.bound(at).load(Ordering::Relaxed)))
            .collect();
        Some(Entry { text, span, bounds })
    }

    fn used(&self, counter: usize, limit: usize) -> usize {
        usize::try_from(self.word(counter).load(Ordering::Acquire)).unwrap_or(limit).min(limit)
    }

    /// Rows that any process has had; those behind are not even looked at, so that they take no memory.
    fn rows_used(&self) -> usize {
        self.used(ROWS_USED, self.records + 1)
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        &self.words.words()[at]
    }

    fn index(&self, at: usize) -> &AtomicU64 {
        self.word(HEADER + at)
    }

    fn entry_words(&self, index: usize) -> &[AtomicU64] {
        &self.words.words()[HEADER + INDEX + index * ENTRY_TEXT..][..ENTRY_TEXT]
    }

    fn bound(&self, at: usize) -> &AtomicU64 {
        self.word(HEADER + INDEX + ENTRIES * ENTRY_TEXT + at)
    }

    pub(super) fn value(&self, row: usize, at: usize) -> &AtomicU64 {
        self.word(HEADER + INDEX + ENTRIES * ENTRY_TEXT + VALUES + row * VALUES + at)
    }

    #[cfg(test)]
    pub(super) fn claim_for_nobody(&self, text: &Text) -> &AtomicU64 {
        let slot = self.index(text.hash());
        slot.store(CLAIMED, Ordering::Release);
        slot
    }

    #[cfg(test)]
    pub(super) fn all_words(&self) -> &[AtomicU64] {
        self.words.words()
    }
}

/// Words of a registry.
fn size(records: usize) -> NonZeroUsize {
    let rows = 1 + records + 1;
    NonZeroUsize::MIN.saturating_add(HEADER - 1 + INDEX + ENTRIES * ENTRY_TEXT + rows * VALUES)
}

/// Series that there is room for: ten times what a large site has, in memory that is used as they come.
pub(super) const ENTRIES: usize = 2048;

/// Numbers that there is room for, in each row. A counter has two, a histogram two more than it has bounds.
pub(super) const VALUES: usize = 16 * 1024;

/// Twice the entries, so that searches are short.
pub(super) const INDEX: usize = 2 * ENTRIES;

/// The row of those who have ended, and of what belongs to nobody.
pub(super) const ENDED: usize = 0;

// The words at the beginning.
const VERSION: usize = 0;
const ENTRIES_USED: usize = 1;
const VALUES_USED: usize = 2;
const ROWS_USED: usize = 3;
const REFUSED: usize = 4;
const HEADER: usize = 5;

// A word of the index: nothing, something that is being made, or an entry's number.
const FREE: u64 = 0;
const CLAIMED: u64 = 1;
const FIRST: u64 = 2;

/// How often a reader tries to find the table at rest.
const READING_TRIES: usize = 100;

/// How often somebody who finds a claim lets others run; making an entry takes a microsecond.
const WAITING_TRIES: usize = 100;
