//! A bit for each cell of a worker.

use crate::contract::inflight::CELLS;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which of the cells have something.
#[derive(Debug, Default)]
pub(super) struct CellBits([AtomicU64; CELLS / BITS]);

impl CellBits {
    /// Sets the first bit that is not set; `None` when all are.
    pub(super) fn take_first(&self) -> Option<usize> {
        let words = self.0.iter().enumerate();
        words.filter_map(|(index, word)| Some(index * BITS + take_first(word)?)).next()
    }

    pub(super) fn free(&self, index: usize) {
        self.0[index / BITS].fetch_and(!(1 << (index % BITS)), Ordering::Release);
    }

    /// How many are set.
    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.load(Ordering::Relaxed).count_ones()).sum()
    }
}

fn take_first(word: &AtomicU64) -> Option<usize> {
    let mut taken = word.load(Ordering::Relaxed);
    loop {
        let free = (!taken).trailing_zeros();
        if free == u64::BITS {
            return None;
        }
        let wanted = taken | 1 << free;
        match word.compare_exchange_weak(taken, wanted, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return usize::try_from(free).ok(),
            Err(now) => taken = now,
        }
    }
}

/// Those of a word.
const BITS: usize = u64::BITS as usize;
