//! Memory in pages of 2 MiB, for work that jumps about in much of it.

use nix::sys::mman::{MmapAdvise, madvise};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// Asks for huge pages where memory is touched for the first time (madvise(2), MADV_HUGEPAGE). Where there are none it stays as it is.
pub fn prefer<T>(memory: &mut [MaybeUninit<T>]) {
    let start = memory.as_mut_ptr().cast::<u8>();
    // The allocator's own words may share the first and the last page.
    let skipped = start.align_offset(PAGE);
    let length = size_of_val(memory).saturating_sub(skipped) & !(PAGE - 1);
    if length < HUGE_PAGE {
        return;
    }
    let Some(first) = NonNull::new(start.wrapping_add(skipped)) else { return };
    // SAFETY: the pages lie within memory that is borrowed; the advice changes nothing of what is in them.
    let _kept_as_it_is = unsafe { madvise(first.cast(), length, MmapAdvise::MADV_HUGEPAGE) };
}

/// Where pages are larger the call fails, and nothing is lost.
const PAGE: usize = 4096;
/// What huge pages are reckoned with as.
pub(super) const HUGE_PAGE: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_can_be_used_as_before() {
        for size in [0, 1, PAGE, HUGE_PAGE, 5 * HUGE_PAGE + 77] {
            let mut memory: Vec<u8> = Vec::with_capacity(size);
            prefer(memory.spare_capacity_mut());
            memory.resize(size, 7);
            assert!(memory.iter().all(|byte| *byte == 7), "{size}");
        }
    }
}
