//! Memory that a process shares with the children it forks.

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// A fixed table of words, zero at first, shared with every child forked after its making.
pub struct SharedWords {
    words: NonNull<AtomicU64>,
    count: NonZeroUsize,
}

impl SharedWords {
    /// A table of `count` words.
    ///
    /// # Errors
    /// When memory has run out.
    pub fn new(count: NonZeroUsize) -> io::Result<Self> {
        let length = count.checked_mul(WORD).ok_or(io::ErrorKind::OutOfMemory)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: no address is asked for, so no existing mapping is replaced.
        let address = unsafe { mmap_anonymous(None, length, access, MapFlags::MAP_SHARED) }?;
        Ok(Self { words: address.cast(), count })
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping holds `count` words, is page-aligned and zero-filled (mmap(2)), every bit pattern
        // is an `AtomicU64`, and it lives as long as `self`. Other processes touch it by atomics only.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.count.get()) }
    }
}

impl Drop for SharedWords {
    fn drop(&mut self) {
        // SAFETY: address and length are those of the mapping, and `words()` cannot outlive `self`.
        let unmapped = unsafe { munmap(self.words.cast(), self.count.get() * WORD.get()) };
        debug_assert!(unmapped.is_ok(), "munmap fails for wrong arguments only");
    }
}

impl fmt::Debug for SharedWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedWords").field("count", &self.count).finish()
    }
}

// SAFETY: the table is reached through atomics alone, and unmapping needs no particular thread.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

const WORD: NonZeroUsize = NonZeroUsize::new(size_of::<AtomicU64>()).unwrap();

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn words_are_zero_and_keep_what_is_stored() {
        let table = SharedWords::new(NonZeroUsize::new(1000).unwrap()).unwrap();
        assert!(table.words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
        table.words()[999].store(u64::MAX, Ordering::Relaxed);
        assert_eq!(table.words()[999].load(Ordering::Relaxed), u64::MAX);
        assert_eq!(table.words().len(), 1000);
    }
}
