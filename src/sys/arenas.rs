//! Blocks of memory of one size, next to one another, so that they fill huge pages (`collapse`).
//!
//! An allocator that maps each block by itself has them wherever there is room between libraries, and few of them lie at both ends
//! of a huge page. There is no lock: a thread that held it would not be there to let go of it in a child that another has forked.

use super::huge_pages::HUGE_PAGE;
use nix::libc::c_void;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A block of `size` bytes, all zero. None for a size that does not fill a huge page evenly or is not that of the first block, and
/// when there is no more room for such.
pub fn take(size: usize) -> Option<NonNull<c_void>> {
    ARENAS.take(size)
}

/// Gives a block back, and its memory to the system; false, and nothing is done, where it is none of [`take`].
///
/// # Safety
/// As with free(3): it is given back once, and nobody uses it any more.
pub unsafe fn give_back(block: NonNull<c_void>) -> bool {
    let Some((region, number)) = ARENAS.place(block) else { return false };
    // SAFETY: the block is within a region of ours, and nobody uses it, as the caller says. Memory that cannot be given to the
    // system is kept; whoever gets the block next may find in it what was there.
    let _kept = unsafe { madvise(block, ARENAS.size(), MmapAdvise::MADV_DONTNEED) };
    region.put(number);
    true
}

/// Where huge pages would be all of blocks that are in use.
pub(super) fn full_pages() -> Vec<usize> {
    ARENAS.full_pages()
}

static ARENAS: Arenas = Arenas::new();

struct Arenas {
    /// Of each block.
    size: OnceLock<usize>,
    /// In use from the first on.
    regions: [OnceLock<Region>; REGIONS],
}

/// Blocks side by side from the beginning of a huge page on, in [`REGION`] bytes.
struct Region {
    start: NonNull<c_void>,
    /// A bit for each block that nobody has.
    free: AtomicU64,
}

// SAFETY: `start` is an address, behind which nothing is read or written here.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Arenas {
    const fn new() -> Self {
        Self { size: OnceLock::new(), regions: [const { OnceLock::new() }; REGIONS] }
    }

    fn size(&self) -> usize {
        self.size.get().copied().unwrap_or_default()
    }

    fn take(&self, size: usize) -> Option<NonNull<c_void>> {
        let is_possible = size >= REGION / MOST_BLOCKS && HUGE_PAGE.is_multiple_of(size);
        if !is_possible || *self.size.get_or_init(|| size) != size {
            return None;
        }
        for place in &self.regions {
            let region = match place.get() {
                Some(region) => region,
                None => {
                    let mapped = Region::map(REGION / size)?;
                    // Of two threads that come here at once, one loses its addresses; no memory.
                    place.get_or_init(|| mapped)
                }
            };
            if let Some(number) = region.take() {
                // SAFETY: the block is within its region.
                return Some(unsafe { region.start.byte_add(number * size) });
            }
        }
        None
    }

    fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter().map_while(OnceLock::get)
    }

    /// The region and the number of a block in it.
    fn place(&self, block: NonNull<c_void>) -> Option<(&Region, usize)> {
        self.regions().find_map(|region| {
            let offset = block.addr().get().checked_sub(region.start.addr().get())?;
            (offset < REGION).then(|| (region, offset / self.size()))
        })
    }

    fn full_pages(&self) -> Vec<usize> {
        let blocks = HUGE_PAGE.checked_div(self.size()).unwrap_or_default();
        let pages_of = |region: &Region| {
            let (start, free) = (region.start.addr().get(), region.free.load(Ordering::Relaxed));
            let is_full =
                move |page: &usize| (page * blocks..(page + 1) * blocks).all(|block| free >> block & 1 == 0);
            (0..REGION / HUGE_PAGE).filter(is_full).map(move |page| start + page * HUGE_PAGE)
        };
        self.regions().flat_map(pages_of).collect()
    }
}

impl Region {
    fn map(blocks: usize) -> Option<Self> {
        let length = NonZeroUsize::new(REGION + HUGE_PAGE)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: no address is asked for, so no existing mapping is replaced.
        let mapped = unsafe { mmap_anonymous(None, length, access, flags) }.ok()?;
        let before = mapped.addr().get().next_multiple_of(HUGE_PAGE) - mapped.addr().get();
        // SAFETY: within what has been mapped, which has a huge page more than a region.
        let start = unsafe { mapped.byte_add(before) };
        // SAFETY: as above.
        let end = unsafe { start.byte_add(REGION) };
        for (place, length) in [(mapped, before), (end, HUGE_PAGE - before)] {
            if length > 0 {
                // SAFETY: a part of the mapping that nobody knows of yet. Where it stays, nothing but addresses is lost.
                let _stays = unsafe { munmap(place, length) };
            }
        }
        Some(Self { start, free: AtomicU64::new(u64::MAX >> (MOST_BLOCKS - blocks)) })
    }

    /// The number of a block that nobody has had: the first, so that few huge pages are used in part.
    fn take(&self) -> Option<usize> {
        let first = |free: u64| free & free.wrapping_neg();
        let without_first = |free| (free != 0).then(|| free & !first(free));
        let before = self.free.fetch_update(Ordering::Acquire, Ordering::Relaxed, without_first).ok()?;
        usize::try_from(before.trailing_zeros()).ok()
    }

    fn put(&self, number: usize) {
        self.free.fetch_or(1 << number, Ordering::Release);
    }
}

/// Addresses alone: memory is taken when it is touched.
const REGION: usize = 16 << 20;
/// As many as a word has bits.
const MOST_BLOCKS: usize = 64;
/// 4 GiB. An interpreter that has more gets what is beyond it from where it came from before.
const REGIONS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice;

    const SIZE: usize = 1 << 20;

    #[test]
    fn blocks_lie_side_by_side_from_the_beginning_of_a_huge_page() {
        for size in [SIZE, SIZE / 4] {
            let arenas = Arenas::new();
            let blocks: Vec<usize> =
                (0..REGION / size).map(|_| arenas.take(size).unwrap().addr().get()).collect();
            assert!(blocks[0].is_multiple_of(HUGE_PAGE));
            assert!(blocks.is_sorted_by(|one, next| one + size == *next));
            let further = arenas.take(size).unwrap().addr().get();
            assert!(
                further.is_multiple_of(HUGE_PAGE) && !blocks.contains(&further),
                "in a region of its own"
            );
        }
    }

    #[test]
    fn a_huge_page_is_full_when_nobody_can_have_a_block_of_it() {
        let arenas = Arenas::new();
        assert!(arenas.full_pages().is_empty());
        let first = arenas.take(SIZE).unwrap();
        assert!(arenas.full_pages().is_empty());
        arenas.take(SIZE).unwrap();
        arenas.take(SIZE).unwrap();
        assert_eq!(arenas.full_pages(), [first.addr().get()]);
        let (region, number) = arenas.place(first).unwrap();
        region.put(number);
        assert!(arenas.full_pages().is_empty());
    }

    #[test]
    fn other_sizes_are_for_others() {
        let arenas = Arenas::new();
        for size in [0, 3, REGION / MOST_BLOCKS / 2, SIZE + 1, 2 * HUGE_PAGE] {
            assert_eq!(arenas.take(size), None, "{size}");
        }
        arenas.take(SIZE).unwrap();
        assert_eq!(arenas.take(SIZE / 2), None);
        assert!(arenas.take(SIZE).is_some());
    }

    #[test]
    fn there_is_an_end_of_it() {
        let arenas = Arenas::new();
        let blocks = std::iter::from_fn(|| arenas.take(HUGE_PAGE)).count();
        assert_eq!(blocks, REGIONS * REGION / HUGE_PAGE);
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
        let own = Box::new([7_u8; 4096]);
        // SAFETY: nothing is given back of what is none of the blocks.
        assert!(!unsafe { give_back(NonNull::from(&*own).cast()) });
        assert!(own.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn nobody_has_a_block_that_somebody_else_has() {
        let arenas = Arenas::new();
        let take_some =
            || (0..REGION / SIZE).map(|_| arenas.take(SIZE).unwrap().addr().get()).collect::<Vec<_>>();
        let mut taken: Vec<usize> = std::thread::scope(|threads| {
            let makers: Vec<_> = (0..4).map(|_| threads.spawn(take_some)).collect();
            makers.into_iter().flat_map(|maker| maker.join().unwrap()).collect()
        });
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), 4 * REGION / SIZE);
    }
}
