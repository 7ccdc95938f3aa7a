//! Memory that a process shares with the children it forks, and with the program that takes its place.

use super::memory_file;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::stat::fstat;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// A fixed table of words, zero at first, shared with every child forked after its making.
pub struct SharedWords {
    words: NonNull<AtomicU64>,
    count: NonZeroUsize,
    file: OwnedFd,
}

impl SharedWords {
    /// A table of `count` words.
    ///
    /// # Errors
    /// When memory has run out.
    pub fn new(count: NonZeroUsize) -> io::Result<Self> {
        let length = length(count)?;
        let file = memory_file::of_size(u64::try_from(length.get()).map_err(io::Error::other)?)?;
        Self::map(count, file)
    }

    /// The table of `count` words that another program has made.
    ///
    /// # Errors
    /// `InvalidData` when it is of another size.
    pub fn inherited(count: NonZeroUsize, file: OwnedFd) -> io::Result<Self> {
        let size = fstat(&file)?.st_size;
        if usize::try_from(size).ok() != Some(length(count)?.get()) {
            let text = format!("a shared table has {size} bytes, not those of {count} words");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Self::map(count, file)
    }

    fn map(count: NonZeroUsize, file: OwnedFd) -> io::Result<Self> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: no address is asked for, so no existing mapping is replaced; the file is as long as the mapping and
        // cannot be cut (its size is sealed), so that reading never faults.
        let address = unsafe { mmap(None, length(count)?, access, MapFlags::MAP_SHARED, &file, 0) }?;
        Ok(Self { words: address.cast(), count, file })
    }

    /// The file behind the table, for the program that takes this one's place.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
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

fn length(count: NonZeroUsize) -> io::Result<NonZeroUsize> {
    count.checked_mul(WORD).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

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

    #[test]
    fn a_table_is_the_same_for_whoever_inherits_its_file() {
        let count = NonZeroUsize::new(1000).unwrap();
        let table = SharedWords::new(count).unwrap();
        let copy = || table.file().try_clone_to_owned().unwrap();
        let other = SharedWords::inherited(count, copy()).unwrap();
        other.words()[7].store(42, Ordering::Relaxed);
        assert_eq!(table.words()[7].load(Ordering::Relaxed), 42);
        let wrong = SharedWords::inherited(NonZeroUsize::new(1001).unwrap(), copy());
        assert_eq!(wrong.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
