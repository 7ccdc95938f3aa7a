//! One request in flight as words in shared memory, which processes read that do not write them.
//!
//! The sequence number is odd while a cell is written, so that readers never take halves of two requests for one. The
//! stage, and the thread in the app, may change at any time: they are words of their own, since a connection writes the one while a thread
//! that is in the app writes the other. A dying worker may have written anything, so values are checked when
//! read.

use crate::contract::entry::{Client, Entry, Stage};
use crate::contract::inflight::Arrival;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Words of a cell: four cache lines.
pub(super) const CELL: usize = 32;
/// Where the stage is; 0: the cell is empty.
pub(super) const STAGE: usize = 1;
/// Where the name of the request is.
pub(super) const ID: usize = 2;
/// The thread that is in the app (gettid(2)); 0: none is.
pub(super) const THREAD: usize = 3;

/// Writes a request into a cell that is this process's; `since_ns` is when it came.
pub(super) fn write(cell: &[AtomicU64], arrival: &Arrival<'_>, since_ns: u64) {
    // A number that the worker before may have left odd is made even first.
    let sequence = cell[SEQUENCE].load(Ordering::Relaxed) & !1;
    cell[SEQUENCE].store(sequence.wrapping_add(1), Ordering::Relaxed);
    // Whoever sees any of what follows sees the odd number as well.
    fence(Ordering::Release);
    let put = |field: usize, value: u64| cell[field].store(value, Ordering::Relaxed);
    put(STAGE, stage_word(arrival.stage));
    put(THREAD, 0);
    put(ID, arrival.id);
    put(SINCE, since_ns);
    let (high, low, port) = client_words(arrival.client);
    put(CLIENT_HIGH, high);
    put(CLIENT_LOW, low);
    // A target is no longer than `limits.target`; one past 4 GiB would only be said to be shorter.
    let length = u32::try_from(arrival.target.len()).unwrap_or(u32::MAX);
    let method = u64::try_from(arrival.method.len().min(METHOD_ROOM)).unwrap_or(0);
    let goes_on = if arrival.is_cut { GOES_ON } else { 0 };
    put(PORT_AND_LENGTHS, u64::from(length) << 32 | method << METHOD_LENGTH | goes_on | port);
    put_text(&cell[METHOD..TARGET], arrival.method);
    put_text(&cell[TARGET..], arrival.target);
    cell[SEQUENCE].store(sequence.wrapping_add(2), Ordering::Release);
}

/// What a cell holds; `None` while it is empty or being written.
pub(super) fn read(cell: &[AtomicU64]) -> Option<Entry> {
    let before = cell[SEQUENCE].load(Ordering::Acquire);
    if before % 2 == 1 {
        return None;
    }
    let get = |field: usize| cell[field].load(Ordering::Relaxed);
    let stage = stage_of(get(STAGE))?;
    let thread = i32::try_from(get(THREAD)).ok().filter(|thread| *thread > 0);
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
        is_cut: length > target_room || port_and_lengths & GOES_ON != 0,
        client: client_of(get(CLIENT_HIGH), get(CLIENT_LOW), port_and_lengths),
        stage,
        thread,
        since_ns: get(SINCE),
    };
    fence(Ordering::Acquire);
    (cell[SEQUENCE].load(Ordering::Relaxed) == before).then_some(entry)
}

/// The word of a stage.
pub(super) fn stage_word(stage: Stage) -> u64 {
    match stage {
        Stage::Reading => 1,
        Stage::Queued => 2,
        Stage::App => 3,
        Stage::Writing => 4,
    }
}

/// What that word says; `None` for an empty cell.
pub(super) fn stage_of(word: u64) -> Option<Stage> {
    Some(match word {
        1 => Stage::Reading,
        2 => Stage::Queued,
        3 => Stage::App,
        4 => Stage::Writing,
        _ => return None,
    })
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

/// Odd while the cell is written.
pub(super) const SEQUENCE: usize = 0;
const SINCE: usize = 4;
const CLIENT_HIGH: usize = 5;
const CLIENT_LOW: usize = 6;
/// The length of the whole target in the upper half, and that of the method.
const PORT_AND_LENGTHS: usize = 7;
const METHOD: usize = 8;
const METHOD_ROOM: usize = (TARGET - METHOD) * size_of::<u64>();
/// 176 bytes of it.
const TARGET: usize = 10;

const HAS_PORT: u64 = 1 << 16;
const HAS_CLIENT: u64 = 1 << 17;
/// More of the target is to come.
const GOES_ON: u64 = 1 << 18;
const METHOD_LENGTH: u32 = 24;
const METHOD_LENGTH_MASK: u64 = 0xff;
