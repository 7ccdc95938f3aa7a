//! How the workers are: a fixed table of words in shared memory, one writer per word.
//!
//! No pointers, no locks, no growth. A dying worker may have written anything, so values are checked when read.

use crate::contract::entry::Entry;
use crate::contract::figures::FIGURES;
use crate::contract::inflight::{self, OwnCells};
use crate::contract::key_table::KeyTable;
use crate::contract::slot::{Generation, Slot};
use crate::sys::process::Pid;
use crate::sys::shared_memory::SharedWords;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The shared table: one word per slot, one record per worker process, and what the master counts.
#[derive(Debug, Clone)]
pub struct Scoreboard {
    words: Arc<SharedWords>,
    /// The requests in flight of each record.
    flights: Arc<SharedWords>,
    keys: KeyTable,
    slots_max: u16,
}

/// Which record is a process's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordIndex(usize);

/// What a process of a record does, as the master sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerState {
    /// There is no process.
    Free,
    /// It starts.
    Starting,
    /// It serves.
    Ready,
    /// It leaves.
    Draining,
}

/// One worker process.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub(super) fields: &'a [AtomicU64],
}

impl RecordIndex {
    /// For a message.
    pub(super) fn to_number(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }

    /// From a message of this very program.
    pub(super) fn of_number(number: u32) -> Self {
        Self(usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// Its number, from 0; [`Scoreboard::index`] takes it.
    pub fn number(self) -> usize {
        self.0
    }
}

impl Scoreboard {
    /// A table for slots 1 to `slots_max`, each with a worker and its successor.
    ///
    /// # Errors
    /// When memory has run out.
    pub fn new(slots_max: u16) -> io::Result<Self> {
        let [words, flights] = sizes(slots_max).map(SharedWords::new);
        Ok(Self { words: Arc::new(words?), flights: Arc::new(flights?), keys: KeyTable::new()?, slots_max })
    }

    /// The table that another program has made, by its [`files`](Self::files).
    ///
    /// # Errors
    /// When it is another table: that program keeps it differently.
    pub fn inherited(slots_max: u16, files: Vec<OwnedFd>) -> io::Result<Self> {
        let [words, flights, keys] = <[OwnedFd; 3]>::try_from(files)
            .map_err(|files| io::Error::other(format!("{} files instead of three", files.len())))?;
        let [size, flights_size] = sizes(slots_max);
        let words = Arc::new(SharedWords::inherited(size, words)?);
        let flights = Arc::new(SharedWords::inherited(flights_size, flights)?);
        Ok(Self { words, flights, keys: KeyTable::inherited(keys)?, slots_max })
    }

    /// The files behind it, for the program that takes this one's place.
    pub fn files(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.words.file(), self.flights.file(), self.keys.file()]
    }

    /// The key sets that are fetched for all workers.
    pub fn keys(&self) -> &KeyTable {
        &self.keys
    }

    /// The highest slot there is room for.
    pub fn slots_max(&self) -> u16 {
        self.slots_max
    }

    /// The slots that have sockets but no worker to serve them; for workers, who then do.
    pub fn vacant_slots(&self) -> impl Iterator<Item = Slot> + '_ {
        (1..=self.slots_max).map(Slot).filter(|slot| self.slot_word(*slot).load(Ordering::Acquire) == VACANT)
    }

    /// Whether a slot has sockets, and a ready worker for them. Written by the master.
    pub fn set_service(&self, slot: Slot, service: Service) {
        let value = match service {
            Service::Vacant => VACANT,
            Service::Served => SERVED,
        };
        self.slot_word(slot).store(value, Ordering::Release);
    }

    /// Number of records that there are.
    pub fn record_count(&self) -> usize {
        usize::from(self.slots_max) * WORKERS_PER_SLOT
    }

    /// A record.
    pub fn record(&self, index: RecordIndex) -> Record<'_> {
        let start = 1 + usize::from(self.slots_max) + index.0 * FIELDS;
        Record { fields: &self.words.words()[start..start + FIELDS] }
    }

    /// The record of this number, if there is one; for those who were told its number.
    pub fn index(&self, number: usize) -> Option<RecordIndex> {
        self.indices().nth(number)
    }

    /// A record that no process has; `None` when all are taken.
    pub fn free_record(&self) -> Option<RecordIndex> {
        self.indices().find(|index| self.record(*index).state() == WorkerState::Free)
    }

    /// The records of all processes there are.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.indices().map(|index| self.record(index)).filter(|record| record.state() != WorkerState::Free)
    }

    /// The words behind the records, which hold the master's figures.
    pub(super) fn figure_words(&self) -> &[AtomicU64] {
        &self.words.words()[1 + usize::from(self.slots_max) * (1 + WORKERS_PER_SLOT * FIELDS)..]
    }

    /// The records of all processes there are, and which they are.
    pub fn indexed_records(&self) -> impl Iterator<Item = (RecordIndex, Record<'_>)> {
        let all = self.indices().map(|index| (index, self.record(index)));
        all.filter(|(_, record)| record.state() != WorkerState::Free)
    }

    /// The cells for the requests of this process, empty. Once, for the worker whose record it is.
    pub fn own_cells(&self, index: RecordIndex) -> OwnCells {
        OwnCells::new(Arc::clone(&self.flights), index.0 * inflight::WORDS)
    }

    /// The requests that a worker has, or had when it died; the oldest first.
    pub fn in_flight(&self, index: RecordIndex) -> Vec<Entry> {
        inflight::entries(self.flight_words(index))
    }

    /// How many requests of a worker were not noted, as it had too many at once.
    pub fn unnoted(&self, index: RecordIndex) -> u64 {
        inflight::unnoted(self.flight_words(index))
    }

    /// Forgets the requests of a worker that is dead. For the master.
    pub fn forget_flights(&self, index: RecordIndex) {
        inflight::clear(self.flight_words(index));
    }

    /// What `quarantine` keeps in one of its places, of which there are as many as records.
    pub(super) fn quarantine_words(&self, place: usize) -> &[AtomicU64] {
        inflight::spare(self.flight_words(RecordIndex(place)))
    }

    fn flight_words(&self, index: RecordIndex) -> &[AtomicU64] {
        let start = index.0 * inflight::WORDS;
        &self.flights.words()[start..start + inflight::WORDS]
    }

    fn indices(&self) -> impl Iterator<Item = RecordIndex> + use<> {
        (0..usize::from(self.slots_max) * WORKERS_PER_SLOT).map(RecordIndex)
    }

    /// The word of a slot; one that is out of range shares word 0, which nobody reads.
    fn slot_word(&self, slot: Slot) -> &AtomicU64 {
        let index = if slot.0 <= self.slots_max { usize::from(slot.0) } else { 0 };
        &self.words.words()[index]
    }
}

/// Whether anybody serves the sockets of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// It has sockets and no ready worker.
    Vacant,
    /// A ready worker serves it.
    Served,
}

impl<'a> Record<'a> {
    /// Process number. Written by the master.
    pub fn pid(self) -> Pid {
        Pid(i32::try_from(self.load(PID)).unwrap_or(0))
    }

    /// Slot. Written by the master.
    pub fn slot(self) -> Slot {
        Slot(u16::try_from(self.load(SLOT)).unwrap_or(0))
    }

    /// Generation. Written by the master.
    pub fn generation(self) -> Generation {
        Generation(u32::try_from(self.load(GENERATION)).unwrap_or(0))
    }

    /// What the process does. Written by the master.
    pub fn state(self) -> WorkerState {
        match self.load(STATE) {
            1 => WorkerState::Starting,
            2 => WorkerState::Ready,
            3 => WorkerState::Draining,
            _ => WorkerState::Free,
        }
    }

    /// Requests answered. Written by the worker.
    pub fn requests_total(self) -> &'a AtomicU64 {
        &self.fields[REQUESTS_TOTAL]
    }

    /// Connections open now. Written by the worker.
    pub fn connections_open(self) -> &'a AtomicU64 {
        &self.fields[CONNECTIONS_OPEN]
    }

    /// Connections taken. Written by the worker.
    pub fn connections_total(self) -> &'a AtomicU64 {
        &self.fields[CONNECTIONS_TOTAL]
    }

    /// Counted up while its event loop turns, [`BEATS`] times within `timeouts.heartbeat`. Written by the worker.
    pub fn beats(self) -> &'a AtomicU64 {
        &self.fields[BEAT]
    }

    /// What `tally` keeps.
    pub(super) fn tally_words(self) -> &'a [AtomicU64] {
        &self.fields[TALLY..LOAD]
    }

    /// When the process was started, in seconds since 1970. Written by the master.
    pub fn started(self) -> u64 {
        self.load(STARTED)
    }

    /// Makes the record that of a process about to be forked. For the master, while there is no such process.
    pub fn claim(self, slot: Slot, generation: Generation) {
        for field in self.fields {
            field.store(0, Ordering::Relaxed);
        }
        self.fields[SLOT].store(slot.0.into(), Ordering::Relaxed);
        self.fields[GENERATION].store(generation.0.into(), Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.fields[STARTED].store(now.as_secs(), Ordering::Relaxed);
        self.set_state(WorkerState::Starting);
    }

    /// Notes the process number. For the master.
    pub fn set_pid(self, pid: Pid) {
        self.fields[PID].store(u64::try_from(pid.0).unwrap_or(0), Ordering::Release);
    }

    /// Notes what the process does. For the master.
    pub fn set_state(self, state: WorkerState) {
        let value = match state {
            WorkerState::Free => 0,
            WorkerState::Starting => 1,
            WorkerState::Ready => 2,
            WorkerState::Draining => 3,
        };
        self.fields[STATE].store(value, Ordering::Release);
    }

    fn load(self, field: usize) -> u64 {
        self.fields[field].load(Ordering::Acquire)
    }
}

/// Words of the table, and of the requests in flight.
fn sizes(slots_max: u16) -> [NonZeroUsize; 2] {
    let slots = usize::from(slots_max);
    let words = slots + slots * WORKERS_PER_SLOT * FIELDS + FIGURES;
    [words, slots * WORKERS_PER_SLOT * inflight::WORDS].map(|words| NonZeroUsize::MIN.saturating_add(words))
}

/// How often a worker counts within `timeouts.heartbeat`: more often than the master looks.
pub const BEATS: u32 = 8;

/// The worker of a slot and its successor.
const WORKERS_PER_SLOT: usize = 2;

const PID: usize = 0;
const SLOT: usize = 1;
const GENERATION: usize = 2;
const STATE: usize = 3;
const REQUESTS_TOTAL: usize = 4;
const CONNECTIONS_OPEN: usize = 5;
const CONNECTIONS_TOTAL: usize = 6;
const STARTED: usize = 7;
const BEAT: usize = 8;
/// From here on they are `tally`'s. A program that has none of that leaves zeros.
const TALLY: usize = 9;
/// From here on they are `load`'s.
pub(super) const LOAD: usize = 16;
/// Three cache lines, so that workers do not write into each other's.
const FIELDS: usize = 24;

/// Values of a slot's word; 0: it has no sockets.
const VACANT: u64 = 1;
const SERVED: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_vacant_from_its_sockets_to_its_worker() {
        let board = Scoreboard::new(4).unwrap();
        let vacant = |board: &Scoreboard| board.vacant_slots().collect::<Vec<_>>();
        assert_eq!(vacant(&board), []);
        board.set_service(Slot(2), Service::Vacant);
        board.set_service(Slot(4), Service::Vacant);
        board.set_service(Slot(9), Service::Vacant);
        assert_eq!(vacant(&board), [Slot(2), Slot(4)]);
        board.set_service(Slot(2), Service::Served);
        assert_eq!(vacant(&board.clone()), [Slot(4)]);
    }

    #[test]
    fn records_are_claimed_filled_and_freed() {
        let board = Scoreboard::new(1).unwrap();
        let index = board.free_record().unwrap();
        board.record(index).claim(Slot(1), Generation(7));
        board.record(index).set_pid(Pid(42));
        board.record(index).requests_total().fetch_add(3, Ordering::Relaxed);
        let other = board.free_record().unwrap();
        assert_ne!(index, other);
        board.record(other).claim(Slot(1), Generation(8));
        assert_eq!(board.free_record(), None);
        let record = board.records().next().unwrap();
        assert_eq!((record.pid(), record.slot(), record.generation()), (Pid(42), Slot(1), Generation(7)));
        assert_eq!(record.state(), WorkerState::Starting);
        record.set_state(WorkerState::Free);
        assert_eq!(board.records().count(), 1);
        board.record(index).claim(Slot(1), Generation(9));
        assert_eq!(board.record(index).requests_total().load(Ordering::Relaxed), 0);
    }

    #[test]
    fn nonsense_in_the_table_is_read_as_nothing() {
        let board = Scoreboard::new(1).unwrap();
        let record = board.record(board.free_record().unwrap());
        for field in record.fields {
            field.store(u64::MAX, Ordering::Relaxed);
        }
        assert_eq!((record.pid(), record.slot(), record.generation()), (Pid(0), Slot(0), Generation(0)));
        assert_eq!(record.state(), WorkerState::Free);
    }
}
