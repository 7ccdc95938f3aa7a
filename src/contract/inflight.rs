//! The requests that each worker has, in shared memory: what it was serving is known also when it dies.
//!
//! Each worker has [`CELLS`] cells, and writes into its own alone; `cell` says what is in them. How a worker hands them out to its
//! requests is its own business: `protocol/flight`.

use crate::contract::cell::{self, CELL, ID, STAGE, THREAD, read, stage_of, stage_word};
use crate::contract::entry::{Client, Entry, Stage};
use crate::sys::shared_memory::SharedWords;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Requests noted at once per worker. Further ones are served, and counted as not noted.
pub const CELLS: usize = 256;

/// Words of one worker.
pub(super) const WORDS: usize = HEADER + CELLS * CELL;

/// What is noted of a request.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Its name in the logs.
    pub id: u64,
    /// As sent.
    pub method: &'a [u8],
    /// As sent.
    pub target: &'a [u8],
    /// Whether the target goes on.
    pub is_cut: bool,
    /// Who asks; `None` on UNIX sockets.
    pub client: Option<Client>,
    /// When its head was complete; while it is not, when it began.
    pub received: Instant,
    /// Where it is.
    pub stage: Stage,
}

/// The cells of this worker, for it to write.
#[derive(Debug)]
pub struct OwnCells {
    words: Arc<SharedWords>,
    /// Where this worker's words begin.
    start: usize,
}

impl OwnCells {
    /// Cells that nobody else sees, for a process that has no master.
    ///
    /// # Errors
    /// When memory has run out.
    pub fn alone() -> std::io::Result<Self> {
        let words = std::num::NonZeroUsize::MIN.saturating_add(WORDS);
        Ok(Self::new(Arc::new(SharedWords::new(words)?), 0))
    }

    /// Those whose words begin there, empty; they must be nobody else's to write.
    pub(super) fn new(words: Arc<SharedWords>, start: usize) -> Self {
        clear(&words.words()[start..start + WORDS]);
        Self { words, start }
    }

    /// Writes a request into a cell; `since_ns` is when it came.
    pub fn write(&self, index: usize, arrival: &Arrival<'_>, since_ns: u64) {
        cell::write(self.cell(index), arrival, since_ns);
    }

    /// Empties a cell.
    pub fn empty(&self, index: usize) {
        self.cell(index)[STAGE].store(0, Ordering::Release);
    }

    /// Notes where a request is now; the thread that is in the app stays noted.
    pub fn set_stage(&self, index: usize, stage: Stage) {
        self.cell(index)[STAGE].store(stage_word(stage), Ordering::Release);
    }

    /// Notes that the app has been entered, on this thread (gettid(2)).
    pub fn enter_app(&self, index: usize, thread: i32) {
        self.cell(index)[THREAD].store(u64::try_from(thread).unwrap_or(0), Ordering::Relaxed);
        self.set_stage(index, Stage::App);
    }

    /// Notes that the thread has come back; the response may still be on its way.
    ///
    /// Whoever writes it may come to it later, after other calls: a worker that dies of one of those was not in this one.
    pub fn leave_app(&self, index: usize) {
        self.set_stage(index, Stage::Writing);
        self.cell(index)[THREAD].store(0, Ordering::Release);
    }

    /// Counts a request that found no room.
    pub fn count_unnoted(&self) {
        self.own_words()[UNNOTED].fetch_add(1, Ordering::Relaxed);
    }

    /// The name of the request in a cell.
    pub fn id(&self, index: usize) -> u64 {
        self.cell(index)[ID].load(Ordering::Relaxed)
    }

    /// The request in a cell.
    pub fn entry(&self, index: usize) -> Option<Entry> {
        read(self.cell(index))
    }

    /// The requests in all cells, the oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        entries(self.own_words())
    }

    /// The request of this name, and its cell.
    pub fn find(&self, id: u64) -> Option<(usize, Entry)> {
        let cells = self.own_words()[HEADER..].chunks_exact(CELL).enumerate();
        cells.filter_map(|(index, cell)| Some((index, read(cell)?))).find(|(_, entry)| entry.id == id)
    }

    /// Whether a cell's request is being answered, be it that a thread is still in the app.
    pub fn is_being_answered(&self, index: usize) -> bool {
        stage_of(self.cell(index)[STAGE].load(Ordering::Relaxed)) == Some(Stage::Writing)
    }

    fn own_words(&self) -> &[AtomicU64] {
        &self.words.words()[self.start..self.start + WORDS]
    }

    fn cell(&self, index: usize) -> &[AtomicU64] {
        let start = self.start + HEADER + index * CELL;
        &self.words.words()[start..start + CELL]
    }
}

/// The requests in a worker's words, the oldest first.
pub(super) fn entries(words: &[AtomicU64]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = words[HEADER..].chunks_exact(CELL).filter_map(read).collect();
    entries.sort_by_key(|entry| entry.since_ns);
    entries
}

/// Requests that found no room.
pub(super) fn unnoted(words: &[AtomicU64]) -> u64 {
    words[UNNOTED].load(Ordering::Relaxed)
}

/// Forgets all requests; for when there is no worker who writes.
pub(super) fn clear(words: &[AtomicU64]) {
    words[UNNOTED].store(0, Ordering::Relaxed);
    for cell in words[HEADER..].chunks_exact(CELL) {
        cell[STAGE].store(0, Ordering::Release);
    }
}

/// Words of a worker that say nothing of its requests; `quarantine` keeps something there, and nobody clears them.
pub(super) fn spare(words: &[AtomicU64]) -> &[AtomicU64] {
    &words[UNNOTED + 1..HEADER]
}

/// Words of a worker before its cells: a cache line.
const HEADER: usize = 8;
/// Requests without room, since the worker began.
const UNNOTED: usize = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::cell::SEQUENCE;

    #[test]
    fn nonsense_in_a_cell_is_read_as_nothing_or_as_text() {
        let cells = OwnCells::alone().unwrap();
        for word in &cells.own_words()[HEADER..] {
            word.store(u64::MAX, Ordering::Relaxed);
        }
        assert_eq!(cells.entries(), []);
        let cell = cells.cell(3);
        cell[SEQUENCE].store(8, Ordering::Relaxed);
        cell[STAGE].store(3, Ordering::Relaxed);
        assert_eq!(cells.entries().len(), 1);
        clear(cells.own_words());
        assert_eq!(cells.entries(), []);
        // What a worker that died while it wrote has left does not harm the next one.
        let (method, target) = (b"PUT".as_slice(), b"/y".as_slice());
        let (received, stage) = (Instant::now(), Stage::App);
        cells.write(0, &Arrival { id: 7, method, target, is_cut: false, client: None, received, stage }, 1);
        assert_eq!(cells.entry(0).unwrap().method, b"PUT");
    }

    #[test]
    fn requests_without_room_are_counted() {
        let cells = OwnCells::alone().unwrap();
        (0..3).for_each(|_| cells.count_unnoted());
        assert_eq!(unnoted(cells.own_words()), 3);
        clear(cells.own_words());
        assert_eq!(unnoted(cells.own_words()), 0);
    }
}
