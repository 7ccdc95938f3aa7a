//! Figures of the apps: one registry in shared memory for all workers, added up when it is read.
//!
//! A series (a name with its labels) has a cell, found by its text. Each process counts in a row of its own, so nobody ever waits
//! for anybody; when a process ends, the master adds its counters to the row of those who have ended. A process that is killed
//! while it makes a cell leaves one that nobody uses; two that make the same series at once may get two cells, which are
//! added up as well.

mod text;

#[cfg(test)]
mod tests;

use crate::contract::scoreboard::RecordIndex;
use crate::sys::shared_memory::SharedWords;
use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use text::{CLAIMED, COUNTER, FREE, GAUGE, HELP_MAX, KEY_MAX, Text, key};

/// All figures of all processes.
#[derive(Debug, Clone)]
pub struct MetricTable {
    words: Arc<SharedWords>,
    records: usize,
}

/// The figures of one process, by which an app makes them.
#[derive(Debug, Clone)]
pub struct Metrics {
    table: MetricTable,
    row: usize,
}

/// A figure that only grows: the sum over all workers since the server was started.
#[derive(Debug, Clone)]
pub struct Counter(Place);

/// A figure that goes up and down: the sum over the workers that run now.
#[derive(Debug, Clone)]
pub struct Gauge(Place);

/// Why a figure cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// A name or label is not one of Prometheus's, or one of the server's own.
    #[error("{0:?} is no name for a metric or label; \"ferricorn_\" is the server's own")]
    Name(String),
    /// The name, the labels or the help are too long.
    #[error("the name with its labels may have {KEY_MAX} bytes, the help {HELP_MAX}")]
    TooLong,
    /// The series exists and is of the other kind.
    #[error("{0} exists as another kind of metric")]
    Kind(String),
    /// All cells are taken.
    #[error("there is room for {CELLS} series, and they are taken; labels should have few values")]
    Full,
}

/// One series, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The labels in braces; empty when there are none.
    pub labels: String,
    /// Its value.
    pub value: i64,
}

/// All series of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// What it is about.
    pub help: String,
    /// Whether it only grows.
    pub kind: MetricKind,
    /// In the order of their labels.
    pub series: Vec<Series>,
}

/// What a figure can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A cell, and the row to count in.
#[derive(Debug, Clone)]
struct Place {
    table: MetricTable,
    row: usize,
    cell: usize,
}

impl Metrics {
    /// A counter; the same one for the same name and labels, in every worker.
    ///
    /// Labels with many values, such as paths or users, fill the registry: it has room for 1024 series.
    ///
    /// # Errors
    /// [`MetricError`]: the name is bad, or there is no room.
    pub fn counter(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<Counter, MetricError> {
        self.place(MetricKind::Counter, (name, help), labels).map(Counter)
    }

    /// A gauge; otherwise like [`counter`](Self::counter).
    ///
    /// # Errors
    /// [`MetricError`]: the name is bad, or there is no room.
    pub fn gauge(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<Gauge, MetricError> {
        self.place(MetricKind::Gauge, (name, help), labels).map(Gauge)
    }

    /// For an app without a master: figures that nobody else sees.
    ///
    /// # Errors
    /// When memory has run out.
    pub(crate) fn alone() -> io::Result<Self> {
        Ok(Self { table: MetricTable::new(0)?, row: ENDED })
    }

    fn place(
        &self,
        kind: MetricKind,
        (name, help): (&str, &str),
        labels: &[(&str, &str)],
    ) -> Result<Place, MetricError> {
        let text = Text::new(kind, key(name, labels)?, help)?;
        let cell = self.table.find_or_insert(&text)?;
        Ok(Place { table: self.table.clone(), row: self.row, cell })
    }
}

impl Counter {
    /// Counts one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts so many.
    pub fn add(&self, count: u64) {
        self.0.word().fetch_add(count, Ordering::Relaxed);
    }
}

impl Gauge {
    /// This worker's part is now so much.
    pub fn set(&self, value: i64) {
        self.0.word().store(value.cast_unsigned(), Ordering::Relaxed);
    }

    /// This worker's part is so much more, or less.
    pub fn add(&self, change: i64) {
        self.0.word().fetch_add(change.cast_unsigned(), Ordering::Relaxed);
    }
}

/// Words of a registry.
fn size(records: usize) -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(CELLS * CELL_WORDS + (records + 1) * CELLS)
}

impl Place {
    fn word(&self) -> &AtomicU64 {
        self.table.value(self.row, self.cell)
    }
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
        Metrics { table: self.clone(), row: (1 + record.number()).min(self.records) }
    }

    /// Keeps what a process has counted, when it has ended. For the master.
    pub fn retire(&self, record: RecordIndex) {
        let row = (1 + record.number()).min(self.records);
        // Odd while the same counts stand in two places.
        self.version().fetch_add(1, Ordering::AcqRel);
        for cell in 0..CELLS {
            let value = self.value(row, cell).swap(0, Ordering::AcqRel);
            if value != 0 && self.text(cell).is_some_and(|text| text.kind == MetricKind::Counter) {
                self.value(ENDED, cell).fetch_add(value, Ordering::AcqRel);
            }
        }
        self.version().fetch_add(1, Ordering::AcqRel);
    }

    /// All figures, by their names.
    pub fn families(&self) -> BTreeMap<String, Family> {
        for _ in 0..READING_TRIES {
            let before = self.version().load(Ordering::Acquire);
            let families = self.read();
            if before.is_multiple_of(2) && before == self.version().load(Ordering::Acquire) {
                return families;
            }
            std::hint::spin_loop();
        }
        self.read()
    }

    fn read(&self) -> BTreeMap<String, Family> {
        let mut families: BTreeMap<String, (Text, BTreeMap<String, u64>)> = BTreeMap::new();
        for (cell, text) in (0..CELLS).filter_map(|cell| Some((cell, self.text(cell)?))) {
            let value = (0..=self.records).map(|row| self.value(row, cell).load(Ordering::Relaxed));
            let value = value.fold(0_u64, u64::wrapping_add);
            let at = text.key.find('{').unwrap_or(text.key.len());
            let (name, labels) = (text.key[..at].to_owned(), text.key[at..].to_owned());
            let (first, series) = families.entry(name).or_insert_with(|| (text.clone(), BTreeMap::new()));
            // Of a name that two kinds have been given the first counts.
            if first.kind == text.kind {
                let sum = series.entry(labels).or_default();
                *sum = sum.wrapping_add(value);
            }
        }
        let told = |(text, series): (Text, BTreeMap<String, u64>)| Family {
            help: text.help,
            kind: text.kind,
            series: series
                .into_iter()
                .map(|(labels, value)| Series { labels, value: value.cast_signed() })
                .collect(),
        };
        families.into_iter().map(|(name, family)| (name, told(family))).collect()
    }

    /// The cell of a series, made if need be.
    fn find_or_insert(&self, text: &Text) -> Result<usize, MetricError> {
        let first = text.hash();
        for cell in (0..CELLS).map(|step| (first + step) % CELLS) {
            let head = self.head(cell);
            if head.compare_exchange(FREE, CLAIMED, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                self.write(cell, text);
                return Ok(cell);
            }
            match self.text(cell) {
                Some(found) if found.key == text.key && found.kind == text.kind => return Ok(cell),
                Some(found) if found.key == text.key => return Err(MetricError::Kind(found.key)),
                // Somebody else's, or one that is being made, perhaps by nobody any more.
                Some(_) | None => {}
            }
        }
        Err(MetricError::Full)
    }

    fn write(&self, cell: usize, text: &Text) {
        let bytes = [text.key.as_bytes(), text.help.as_bytes()].concat();
        for (word, chunk) in self.cell(cell)[1..].iter().zip(bytes.chunks(size_of::<u64>())) {
            let mut part = [0; size_of::<u64>()];
            part[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(part), Ordering::Relaxed);
        }
        // Whoever sees the head sees the text before it.
        self.head(cell).store(text.head(), Ordering::Release);
    }

    /// What a cell is about; `None` for one that is not made, or not yet.
    fn text(&self, cell: usize) -> Option<Text> {
        let head = self.head(cell).load(Ordering::Acquire);
        let [kind, 0, k0, k1, h0, h1, 0, 0] = head.to_le_bytes() else { return None };
        let kind = match kind {
            COUNTER => MetricKind::Counter,
            GAUGE => MetricKind::Gauge,
            // A dying worker may have written anything.
            _ => return None,
        };
        let (key, help) =
            (usize::from(u16::from_le_bytes([k0, k1])), usize::from(u16::from_le_bytes([h0, h1])));
        if key > KEY_MAX || help > HELP_MAX {
            return None;
        }
        let words = self.cell(cell)[1..].iter().map(|word| word.load(Ordering::Relaxed).to_le_bytes());
        let bytes: Vec<u8> = words.flatten().take(key + help).collect();
        let text = String::from_utf8(bytes).ok().filter(|text| text.is_char_boundary(key))?;
        let (key, help) = text.split_at(key);
        Some(Text { kind, key: key.to_owned(), help: help.to_owned() })
    }

    fn version(&self) -> &AtomicU64 {
        &self.words.words()[0]
    }

    fn cell(&self, cell: usize) -> &[AtomicU64] {
        &self.words.words()[1 + cell * CELL_WORDS..][..CELL_WORDS]
    }

    fn head(&self, cell: usize) -> &AtomicU64 {
        &self.cell(cell)[0]
    }

    fn value(&self, row: usize, cell: usize) -> &AtomicU64 {
        &self.words.words()[1 + CELLS * CELL_WORDS + row * CELLS + cell]
    }
}

/// Series that there is room for.
const CELLS: usize = 1024;

/// A head, and the text.
const CELL_WORDS: usize = 1 + (KEY_MAX + HELP_MAX) / size_of::<u64>();

/// The row of those who have ended.
const ENDED: usize = 0;

/// How often a reader tries to find the table at rest.
const READING_TRIES: usize = 100;
