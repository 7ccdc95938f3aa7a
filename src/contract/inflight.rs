//! The requests that each worker has, in shared memory: what it was serving is known also when it dies.
//!
//! Each worker has [`CELLS`] cells, and writes into its own alone; `cell` says what is in them.

pub use crate::contract::cancellation::Bell;

use crate::contract::cancellation::Cancellations;
use crate::contract::cell::{self, CELL, ID, STAGE, STAGE_MASK, read, stage_of, stage_word};
use crate::contract::cell_bits::CellBits;
use crate::contract::entry::{Client, Entry, Stage};
use crate::sys::clock::Anchor;
use crate::sys::shared_memory::SharedWords;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::oneshot;

/// Requests noted at once per worker. Further ones are served, and counted as not noted.
pub const CELLS: usize = 256;

/// Cells that requests may take which are still arriving: however many clients take their time, those in apps find room.
const READING_CELLS: u32 = 192;

/// Words of one worker.
pub(super) const WORDS: usize = HEADER + CELLS * CELL;

/// The cells of this worker, and who holds which.
pub struct Board {
    words: Arc<SharedWords>,
    /// Where this worker's words begin.
    start: usize,
    anchor: Anchor,
    /// A bit for each cell in use.
    taken: CellBits,
    /// How many hold each cell.
    holders: [AtomicU32; CELLS],
    cancellations: Cancellations,
}

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

/// A request in the table. It stays there until the last clone is dropped.
pub struct Flight {
    /// `None` for a request that is not noted.
    place: Option<(&'static Board, usize)>,
}

impl Board {
    /// A board of its own, for a process that has no master.
    ///
    /// # Errors
    /// When memory has run out.
    pub fn alone() -> std::io::Result<&'static Self> {
        let words = std::num::NonZeroUsize::MIN.saturating_add(WORDS);
        Ok(Self::new(Arc::new(SharedWords::new(words)?), 0))
    }

    /// The board whose words begin there; they must be nobody else's to write.
    ///
    /// It stays for as long as the process: a worker has one, and each request would count who refers to it.
    pub(super) fn new(words: Arc<SharedWords>, start: usize) -> &'static Self {
        clear(&words.words()[start..start + WORDS]);
        let holders = [const { AtomicU32::new(0) }; CELLS];
        let (anchor, cancellations) = (Anchor::now(), Cancellations::new());
        Box::leak(Box::new(Self { words, start, anchor, taken: CellBits::default(), holders, cancellations }))
    }

    /// Notes a request; where there is no room, it is only counted.
    pub fn note(&'static self, arrival: &Arrival<'_>) -> Flight {
        let Some(index) = self.take(arrival.stage) else {
            self.own_words()[UNNOTED].fetch_add(1, Ordering::Relaxed);
            return Flight::unnoted();
        };
        self.holders[index].store(1, Ordering::Relaxed);
        self.write(index, arrival);
        Flight { place: Some((self, index)) }
    }

    /// Notes a request, or what more is known of one that is noted.
    pub fn note_in(&'static self, flight: &mut Flight, arrival: &Arrival<'_>) {
        match &flight.place {
            Some((board, index)) => board.write(*index, arrival),
            None => *flight = self.note(arrival),
        }
    }

    /// The requests of this process.
    pub fn entries(&self) -> Vec<Entry> {
        entries(self.own_words())
    }

    /// A request of this process.
    pub fn entry(&self, id: u64) -> Option<Entry> {
        self.cells().find_map(|(_, cell)| read(cell).filter(|entry| entry.id == id))
    }

    /// Whether the response to a request is on its way, be it that the app is still making the rest of it.
    pub fn is_being_answered(&self, id: u64) -> bool {
        let is_it = |cell: &[AtomicU64]| read(cell).is_some_and(|entry| entry.id == id);
        self.cells().any(|(_, cell)| {
            is_it(cell)
                && stage_of(cell[STAGE].load(Ordering::Relaxed))
                    .is_some_and(|(stage, _)| stage == Stage::Writing)
        })
    }

    /// Tells a request to end; `None` when there is no such request. What is given resolves when it has ended.
    pub fn cancel(&self, id: u64) -> Option<oneshot::Receiver<()>> {
        let (index, _) = self.cells().find(|(_, cell)| read(cell).is_some_and(|entry| entry.id == id))?;
        Some(self.cancellations.request(index, id))
    }

    fn cells(&self) -> impl Iterator<Item = (usize, &[AtomicU64])> {
        self.own_words()[HEADER..].chunks_exact(CELL).enumerate()
    }

    fn take(&self, stage: Stage) -> Option<usize> {
        if stage == Stage::Reading && self.taken.count() >= READING_CELLS {
            return None;
        }
        self.taken.take_first()
    }

    fn write(&self, index: usize, arrival: &Arrival<'_>) {
        cell::write(self.cell(index), arrival, self.anchor.ns(arrival.received));
    }

    fn own_words(&self) -> &[AtomicU64] {
        &self.words.words()[self.start..self.start + WORDS]
    }

    fn cell(&self, index: usize) -> &[AtomicU64] {
        let start = self.start + HEADER + index * CELL;
        &self.words.words()[start..start + CELL]
    }
}

impl Flight {
    /// A request that is not in any table.
    pub fn unnoted() -> Self {
        Self { place: None }
    }

    /// Whether the request is in no table.
    pub fn is_unnoted(&self) -> bool {
        self.place.is_none()
    }

    /// Notes where the request is now; the thread that is in the app stays noted.
    pub fn set_stage(&self, stage: Stage) {
        self.change_word(|word| word & !STAGE_MASK | stage_word(stage, 0));
    }

    /// Notes that the app has been entered, on this thread (gettid(2)).
    pub fn enter_app(&self, thread: i32) {
        self.change_word(|_| stage_word(Stage::App, thread));
    }

    /// Notes that the thread has come back; the response may still be on its way.
    pub fn leave_app(&self) {
        self.change_word(|word| word & STAGE_MASK);
    }

    /// What the table says of it.
    pub fn entry(&self) -> Option<Entry> {
        let (board, index) = self.place.as_ref()?;
        read(board.cell(*index))
    }

    /// What a future comes to; `None` when the request is told to end before. The bell is that of its connection.
    pub async fn unless_cancelled<F: Future + Unpin>(&self, bell: &Bell, mut future: F) -> Option<F::Output> {
        poll_fn(|cx| match Pin::new(&mut future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_cancelled(bell, cx).map(|()| None),
        })
        .await
    }

    /// Ready once the request is told to end; one that is not noted never is.
    fn poll_cancelled(&self, bell: &Bell, cx: &Context<'_>) -> Poll<()> {
        let Some((board, index)) = &self.place else { return Poll::Pending };
        let id = board.cell(*index)[ID].load(Ordering::Relaxed);
        board.cancellations.poll(*index, id, bell, cx)
    }

    /// Not one step: where two change it at once one change is lost, and the next one puts that right.
    fn change_word(&self, change: impl FnOnce(u64) -> u64) {
        if let Some((board, index)) = &self.place {
            let word = &board.cell(*index)[STAGE];
            word.store(change(word.load(Ordering::Relaxed)), Ordering::Release);
        }
    }
}

impl Clone for Flight {
    fn clone(&self) -> Self {
        if let Some((board, index)) = &self.place {
            board.holders[*index].fetch_add(1, Ordering::Relaxed);
        }
        Self { place: self.place }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some((board, index)) = &self.place
            && board.holders[*index].fetch_sub(1, Ordering::Release) == 1
        {
            board.cell(*index)[STAGE].store(0, Ordering::Release);
            board.cancellations.clear(*index);
            board.taken.free(*index);
        }
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("entry", &self.entry()).finish()
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("start", &self.start).finish_non_exhaustive()
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
#[path = "inflight_tests.rs"]
mod tests;
