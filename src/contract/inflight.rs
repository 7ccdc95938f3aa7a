//! The requests that each worker has, in shared memory: what it was serving is known also when it dies.
//!
//! Each worker has [`CELLS`] cells, and writes into its own alone. A cell holds one request; its sequence number is odd
//! while it is written, so that readers in other processes never take halves of two requests for one. The stage is one
//! word and may change at any time. A dying worker may have written anything, so values are checked when read.

use crate::contract::cancellation::Cancellations;
use crate::contract::entry::{Client, Entry, Stage};
use crate::sys::clock::Anchor;
use crate::sys::shared_memory::SharedWords;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::oneshot;

/// Requests noted at once per worker. Further ones are served, and counted as not noted.
pub const CELLS: usize = 64;

/// Words of one worker.
pub(super) const WORDS: usize = HEADER + CELLS * CELL;

/// The cells of this worker, and who holds which.
pub struct Board {
    words: Arc<SharedWords>,
    /// Where this worker's words begin.
    start: usize,
    anchor: Anchor,
    /// A bit for each cell in use.
    taken: AtomicU64,
    /// How many hold each cell.
    holders: [AtomicU32; CELLS],
    cancellations: Cancellations,
}

/// What is noted of a request when it arrives.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Its name in the logs.
    pub id: u64,
    /// As sent.
    pub method: &'a str,
    /// As sent.
    pub target: &'a [u8],
    /// Who asks; `None` on UNIX sockets.
    pub client: Option<Client>,
    /// When its head was complete.
    pub received: Instant,
    /// Where it is.
    pub stage: Stage,
}

/// A request in the table. It stays there until the last clone is dropped.
pub struct Flight {
    /// `None` for a request that is not noted.
    place: Option<(Arc<Board>, usize)>,
}

impl Board {
    /// A board of its own, for a process that has no master.
    ///
    /// # Errors
    /// When memory has run out.
    pub fn alone() -> std::io::Result<Arc<Self>> {
        let words = std::num::NonZeroUsize::MIN.saturating_add(WORDS);
        Ok(Self::new(Arc::new(SharedWords::new(words)?), 0))
    }

    /// The board whose words begin there; they must be nobody else's to write.
    pub(super) fn new(words: Arc<SharedWords>, start: usize) -> Arc<Self> {
        clear(&words.words()[start..start + WORDS]);
        let holders = [const { AtomicU32::new(0) }; CELLS];
        let (anchor, cancellations) = (Anchor::now(), Cancellations::new());
        Arc::new(Self { words, start, anchor, taken: AtomicU64::new(0), holders, cancellations })
    }

    /// Notes a request; where there is no room, it is only counted.
    pub fn note(self: &Arc<Self>, arrival: &Arrival<'_>) -> Flight {
        let Some(index) = self.take() else {
            self.own_words()[UNNOTED].fetch_add(1, Ordering::Relaxed);
            return Flight::unnoted();
        };
        self.holders[index].store(1, Ordering::Relaxed);
        self.write(index, arrival);
        Flight { place: Some((Arc::clone(self), index)) }
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

    fn take(&self) -> Option<usize> {
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let free = (!taken).trailing_zeros();
            if free == u64::BITS {
                return None;
            }
            let wanted = taken | 1 << free;
            match self.taken.compare_exchange_weak(taken, wanted, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return usize::try_from(free).ok(),
                Err(now) => taken = now,
            }
        }
    }

    fn write(&self, index: usize, arrival: &Arrival<'_>) {
        let cell = self.cell(index);
        // A number that the worker before may have left odd is made even first.
        let sequence = cell[SEQUENCE].load(Ordering::Relaxed) & !1;
        cell[SEQUENCE].store(sequence.wrapping_add(1), Ordering::Relaxed);
        // Whoever sees any of what follows sees the odd number as well.
        fence(Ordering::Release);
        let put = |field: usize, value: u64| cell[field].store(value, Ordering::Relaxed);
        put(STAGE, stage_word(arrival.stage, 0));
        put(ID, arrival.id);
        put(SINCE, self.anchor.ns(arrival.received));
        let (high, low, port) = client_words(arrival.client);
        put(CLIENT_HIGH, high);
        put(CLIENT_LOW, low);
        // A target is no longer than `limits.target`; one past 4 GiB would only be said to be shorter.
        let length = u32::try_from(arrival.target.len()).unwrap_or(u32::MAX);
        let method = u64::try_from(arrival.method.len().min(METHOD_ROOM)).unwrap_or(0);
        put(PORT_AND_LENGTHS, u64::from(length) << 32 | method << METHOD_LENGTH | port);
        put_text(&cell[METHOD..TARGET], arrival.method.as_bytes());
        put_text(&cell[TARGET..], arrival.target);
        cell[SEQUENCE].store(sequence.wrapping_add(2), Ordering::Release);
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

    /// What a future comes to; `None` when the request is told to end before.
    pub async fn unless_cancelled<F: Future + Unpin>(&self, mut future: F) -> Option<F::Output> {
        poll_fn(|cx| match Pin::new(&mut future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_cancelled(cx).map(|()| None),
        })
        .await
    }

    /// Ready once the request is told to end; one that is not noted never is.
    fn poll_cancelled(&self, cx: &Context<'_>) -> Poll<()> {
        let Some((board, index)) = &self.place else { return Poll::Pending };
        let id = board.cell(*index)[ID].load(Ordering::Relaxed);
        board.cancellations.poll(*index, id, cx)
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
        Self { place: self.place.clone() }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some((board, index)) = &self.place
            && board.holders[*index].fetch_sub(1, Ordering::Release) == 1
        {
            board.cell(*index)[STAGE].store(0, Ordering::Release);
            board.cancellations.clear(*index);
            board.taken.fetch_and(!(1 << *index), Ordering::Release);
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

/// What a cell holds; `None` while it is empty or being written.
fn read(cell: &[AtomicU64]) -> Option<Entry> {
    let before = cell[SEQUENCE].load(Ordering::Acquire);
    if before % 2 == 1 {
        return None;
    }
    let get = |field: usize| cell[field].load(Ordering::Relaxed);
    let (stage, thread) = stage_of(get(STAGE))?;
    // While a thread is in the app, that says more than that its response has begun.
    let stage = if thread.is_some() { Stage::App } else { stage };
    let port_and_lengths = get(PORT_AND_LENGTHS);
    let length = usize::try_from(port_and_lengths >> 32).unwrap_or(usize::MAX);
    let target_room = (CELL - TARGET) * size_of::<u64>();
    let mut target = get_text(&cell[TARGET..]);
    target.truncate(length);
    let mut method = get_text(&cell[METHOD..TARGET]);
    method.truncate(usize::try_from(port_and_lengths >> METHOD_LENGTH & METHOD_LENGTH_MASK).unwrap_or(0));
    let entry = Entry {
        id: get(ID),
        method,
        target,
        is_cut: length > target_room,
        client: client_of(get(CLIENT_HIGH), get(CLIENT_LOW), port_and_lengths),
        stage,
        thread,
        since_ns: get(SINCE),
    };
    fence(Ordering::Acquire);
    (cell[SEQUENCE].load(Ordering::Relaxed) == before).then_some(entry)
}

fn stage_word(stage: Stage, thread: i32) -> u64 {
    let stage = match stage {
        Stage::Reading => 1,
        Stage::Queued => 2,
        Stage::App => 3,
        Stage::Writing => 4,
    };
    u64::from(u32::try_from(thread).unwrap_or(0)) << 32 | stage
}

fn stage_of(word: u64) -> Option<(Stage, Option<i32>)> {
    let stage = match word & STAGE_MASK {
        1 => Stage::Reading,
        2 => Stage::Queued,
        3 => Stage::App,
        4 => Stage::Writing,
        _ => return None,
    };
    Some((stage, i32::try_from(word >> 32).ok().filter(|thread| *thread > 0)))
}

/// The address as an IPv6 one in two words, and the port with its marks.
fn client_words(client: Option<Client>) -> (u64, u64, u64) {
    let Some(Client { address, port }) = client else { return (0, 0, 0) };
    let bits = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    let low = u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
    let high = u64::try_from(bits >> 64).unwrap_or(0);
    (high, low, HAS_CLIENT | port.map_or(0, |port| HAS_PORT | u64::from(port)))
}

fn client_of(high: u64, low: u64, word: u64) -> Option<Client> {
    let address = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).to_canonical();
    let port = u16::try_from(word & u64::from(u16::MAX)).ok().filter(|_| word & HAS_PORT != 0);
    (word & HAS_CLIENT != 0).then_some(Client { address, port })
}

/// As much of a text as there is room for; the last word used is filled up with zeros.
fn put_text(words: &[AtomicU64], text: &[u8]) {
    let (whole, rest) = text.as_chunks::<8>();
    let mut words = words.iter();
    // In this order: the iterator asked first loses what it gives when the other one has ended.
    for (chunk, word) in whole.iter().zip(words.by_ref()) {
        word.store(u64::from_le_bytes(*chunk), Ordering::Relaxed);
    }
    if !rest.is_empty()
        && let Some(word) = words.next()
    {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        word.store(u64::from_le_bytes(last), Ordering::Relaxed);
    }
}

fn get_text(words: &[AtomicU64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect()
}

/// Words of a worker before its cells: a cache line.
const HEADER: usize = 8;
/// Requests without room, since the worker began.
const UNNOTED: usize = 0;

/// Words of a cell: four cache lines.
const CELL: usize = 32;
const SEQUENCE: usize = 0;
/// 0: the cell is empty. The thread in the upper half.
const STAGE: usize = 1;
const STAGE_MASK: u64 = u32::MAX as u64;
const ID: usize = 2;
const SINCE: usize = 3;
const CLIENT_HIGH: usize = 4;
const CLIENT_LOW: usize = 5;
/// The length of the whole target in the upper half, and that of the method.
const PORT_AND_LENGTHS: usize = 6;
const METHOD: usize = 7;
const METHOD_ROOM: usize = (TARGET - METHOD) * size_of::<u64>();
/// 184 bytes of it.
const TARGET: usize = 9;

const HAS_PORT: u64 = 1 << 16;
const HAS_CLIENT: u64 = 1 << 17;
const METHOD_LENGTH: u32 = 24;
const METHOD_LENGTH_MASK: u64 = 0xff;

#[cfg(test)]
#[path = "inflight_tests.rs"]
mod tests;
