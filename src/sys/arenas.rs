//! Blocks of memory of one size, next to one another, so that they fill huge pages (`collapse`).
//!
//! An allocator that maps each block by itself has them wherever there is room between libraries, and few of them lie at both ends
//! of a huge page.

use super::collapse::HUGE_PAGE;
use nix::libc::c_void;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

/// A block of `size` bytes, all zero. None for a size that does not fill a huge page evenly or is not that of the first block, and
/// when memory has run out.
pub fn take(size: usize) -> Option<NonNull<c_void>> {
    with_arenas(|arenas| arenas.take(size))
}

/// Gives a block back, and its memory to the system; false, and nothing is done, where it is none of [`take`].
///
/// # Safety
/// As with free(3): it is given back once, and nobody uses it any more.
pub unsafe fn give_back(block: NonNull<c_void>) -> bool {
    with_arenas(|arenas| {
        let Some(place) = arenas.place(block) else { return false };
        // SAFETY: the block is within a region of ours, and nobody uses it, as the caller says. Memory that cannot be given to the
        // system is kept; whoever gets the block next may find in it what was there.
        let _kept = unsafe { madvise(block, arenas.size, MmapAdvise::MADV_DONTNEED) };
        arenas.free.insert(place);
        true
    })
}

/// Where huge pages would be all of blocks that are in use.
pub(super) fn full_pages() -> Vec<usize> {
    with_arenas(|arenas| arenas.full_pages())
}

fn with_arenas<T>(run: impl FnOnce(&mut Arenas) -> T) -> T {
    static ARENAS: Mutex<Arenas> = Mutex::new(Arenas { size: 0, regions: Vec::new(), free: BTreeSet::new() });
    run(&mut ARENAS.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Arenas {
    /// Of each block; 0: there has been none.
    size: usize,
    regions: Vec<Region>,
    /// Blocks that nobody has. The first is given first, so that few huge pages are used in part.
    free: BTreeSet<Place>,
}

/// Where a region begins, of [`REGION`] bytes, at the beginning of a huge page.
struct Region(NonNull<c_void>);

// SAFETY: an address, behind which nothing is read or written here.
unsafe impl Send for Region {}

/// A region and a block of it, by their numbers.
type Place = (usize, usize);

impl Arenas {
    fn take(&mut self, size: usize) -> Option<NonNull<c_void>> {
        if self.size == 0 && size > 0 && HUGE_PAGE.is_multiple_of(size) {
            self.size = size;
        }
        if size == 0 || size != self.size {
            return None;
        }
        if self.free.is_empty() {
            let number = self.regions.len();
            self.regions.push(Region::map()?);
            self.free.extend((0..REGION / size).map(|block| (number, block)));
        }
        let (region, block) = self.free.pop_first()?;
        // SAFETY: the block is within its region.
        Some(unsafe { self.regions.get(region)?.0.byte_add(block * size) })
    }

    fn full_pages(&self) -> Vec<usize> {
        let blocks = HUGE_PAGE.checked_div(self.size).unwrap_or_default();
        let is_full = |region: usize, page: usize| {
            self.free.range((region, page * blocks)..(region, (page + 1) * blocks)).next().is_none()
        };
        let pages_of = |(number, region): (usize, &Region)| {
            let start = region.0.addr().get();
            (0..REGION / HUGE_PAGE)
                .filter(move |page| is_full(number, *page))
                .map(move |page| start + page * HUGE_PAGE)
        };
        self.regions.iter().enumerate().flat_map(pages_of).collect()
    }

    fn place(&self, block: NonNull<c_void>) -> Option<Place> {
        let offset = |region: &Region| block.addr().get().checked_sub(region.0.addr().get());
        let is_within = |offset: usize| offset < REGION;
        self.regions.iter().enumerate().find_map(|(number, region)| {
            let offset = offset(region).filter(|offset| is_within(*offset))?;
            Some((number, offset / self.size))
        })
    }
}

impl Region {
    fn map() -> Option<Self> {
        let length = NonZeroUsize::new(REGION + HUGE_PAGE)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: no address is asked for, so no existing mapping is replaced.
        let start = unsafe { mmap_anonymous(None, length, access, flags) }.ok()?;
        let before = start.addr().get().next_multiple_of(HUGE_PAGE) - start.addr().get();
        let after = HUGE_PAGE - before;
        // SAFETY: within what has been mapped, which has a huge page more than a region.
        let first = unsafe { start.byte_add(before) };
        // SAFETY: as above.
        let end = unsafe { first.byte_add(REGION) };
        for (place, length) in [(start, before), (end, after)] {
            if length > 0 {
                // SAFETY: a part of the mapping that nobody knows of yet. Where it stays, nothing but addresses is lost.
                let _stays = unsafe { munmap(place, length) };
            }
        }
        Some(Self(first))
    }
}

/// Addresses alone: memory is taken when it is touched.
const REGION: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice;

    const SIZE: usize = 1 << 20;

    fn none() -> Arenas {
        Arenas { size: 0, regions: Vec::new(), free: BTreeSet::new() }
    }

    #[test]
    fn blocks_lie_side_by_side_from_the_beginning_of_a_huge_page() {
        let mut arenas = none();
        let blocks: Vec<usize> =
            (0..REGION / SIZE).map(|_| arenas.take(SIZE).unwrap().addr().get()).collect();
        assert!(blocks[0].is_multiple_of(HUGE_PAGE));
        assert!(blocks.is_sorted_by(|one, next| one + SIZE == *next));
        let further = arenas.take(SIZE).unwrap().addr().get();
        assert!(further.is_multiple_of(HUGE_PAGE), "in a region of its own");
    }

    #[test]
    fn a_huge_page_is_full_when_nobody_can_have_a_block_of_it() {
        let mut arenas = none();
        assert!(arenas.full_pages().is_empty());
        let first = arenas.take(SIZE).unwrap();
        assert!(arenas.full_pages().is_empty());
        arenas.take(SIZE).unwrap();
        arenas.take(SIZE).unwrap();
        assert_eq!(arenas.full_pages(), [first.addr().get()]);
        let place = arenas.place(first).unwrap();
        arenas.free.insert(place);
        assert!(arenas.full_pages().is_empty());
    }

    #[test]
    fn other_sizes_are_for_others() {
        let mut arenas = none();
        for size in [0, 3, SIZE + 1, 2 * HUGE_PAGE] {
            assert_eq!(arenas.take(size), None, "{size}");
        }
        arenas.take(SIZE).unwrap();
        assert_eq!(arenas.take(SIZE / 2), None);
        assert!(arenas.take(SIZE).is_some());
    }

    #[test]
    fn a_block_that_is_given_back_is_empty_and_the_next_one() {
        // The only test that has blocks of this process's arenas.
        let (first, second) = (take(SIZE).unwrap(), take(SIZE).unwrap());
        for block in [first, second] {
            // SAFETY: the block is `SIZE` bytes long, and ours.
            unsafe { block.cast::<u8>().write_bytes(7, SIZE) };
        }
        // SAFETY: it is not used any more.
        assert!(unsafe { give_back(first) });
        let again = take(SIZE).unwrap();
        assert_eq!(again, first);
        // SAFETY: the block is `SIZE` bytes long, and nobody writes to it.
        let bytes = unsafe { slice::from_raw_parts(again.cast::<u8>().as_ptr(), SIZE) };
        assert!(bytes.iter().all(|byte| *byte == 0));
        // SAFETY: as above.
        assert!(unsafe { second.cast::<u8>().read() } == 7);
    }

    #[test]
    fn what_is_none_of_the_blocks_is_left_alone() {
        take(SIZE).unwrap();
        let own = Box::new([7_u8; 4096]);
        // SAFETY: nothing is given back of what is none of the blocks.
        assert!(!unsafe { give_back(NonNull::from(&*own).cast()) });
        assert!(own.iter().all(|byte| *byte == 7));
    }
}
