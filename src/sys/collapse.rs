//! Memory that is in use already, moved into pages of 2 MiB.
//!
//! Each request follows thousands of references all over an interpreter's heap. Of so many pages of 4 KiB the processor remembers
//! but some, and finds the others through the page tables, on a virtual machine through two of them; and where the pages are in
//! memory, by which they compete for places in its caches, is chance.

use super::arenas;
use super::huge_pages::HUGE_PAGE;
use nix::errno::Errno;
use nix::libc;
use std::collections::BTreeSet;
use std::ffi::c_int;
use std::fs;
use std::io;
use std::ops::Range;
use std::ptr;

/// Memory of one of this process's heaps that fills a huge page and is nearly all in use.
#[derive(Debug, Clone, Copy)]
pub struct Candidate(usize);

/// What could be in huge pages; nothing where the system has switched them off or has none of 2 MiB.
pub fn candidates() -> Vec<Candidate> {
    if !are_allowed() {
        return Vec::new();
    }
    // mincore(2) would tell more, but filters of system calls (systemd's @system-service) kill for it.
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let places: BTreeSet<usize> =
        heaps(&smaps).into_iter().flat_map(huge_pages).chain(arenas::full_pages()).collect();
    places.into_iter().map(Candidate).collect()
}

impl Candidate {
    /// Moves it into a huge page (madvise(2), `MADV_COLLAPSE`), unless it is in one.
    ///
    /// Who reads or writes there meanwhile waits for as long as moving 2 MiB takes, less than a millisecond where the machine is not busy.
    ///
    /// # Errors
    /// `EINVAL` before Linux 6.1; `ENOMEM` where it is no memory any more, or no huge page can be had; `EAGAIN` and `EBUSY` when it
    /// is in use for something else, or the cgroup has no more.
    pub fn gather(self) -> io::Result<()> {
        // SAFETY: nothing of what is in the memory changes, whoever has it by now.
        let done = unsafe { libc::madvise(ptr::without_provenance_mut(self.0), HUGE_PAGE, MADV_COLLAPSE) };
        Errno::result(done).map(drop).map_err(Into::into)
    }
}

/// Whether the system has huge pages, of the size that is reckoned with here.
fn are_allowed() -> bool {
    let read = |name| fs::read_to_string(format!("/sys/kernel/mm/transparent_hugepage/{name}"));
    let is_size = |text: String| text.trim_end() == HUGE_PAGE.to_string();
    let is_on = |text: String| !text.contains("[never]");
    read("hpage_pmd_size").is_ok_and(is_size) && read("enabled").is_ok_and(is_on)
}

/// Where memory is, by smaps (proc(5)), that is of this process alone and of no file, may be written, and is nearly all in use: what
/// is not would be from then on.
fn heaps(smaps: &str) -> Vec<Range<usize>> {
    let (mut found, mut heap) = (Vec::new(), None);
    for line in smaps.lines() {
        let mut fields = line.split_ascii_whitespace();
        match fields.next().and_then(|field| field.strip_suffix(':')) {
            None => heap = heap_at(line),
            Some("Rss") => {
                let kib: usize = fields.next().and_then(|number| number.parse().ok()).unwrap_or_default();
                found.extend(heap.take().filter(|heap| kib << 10 >= heap.len() / 8 * 7));
            }
            Some(_) => {}
        }
    }
    found
}

/// The addresses that begin an entry, if it is such memory.
fn heap_at(line: &str) -> Option<Range<usize>> {
    let mut fields = line.split_ascii_whitespace();
    let (addresses, rights) = (fields.next()?, fields.next()?);
    // The offset and the device say nothing here.
    let (inode, name) = (fields.nth(2)?, fields.next());
    let is_heap = name.is_none_or(|name| name == "[heap]" || name.starts_with("[anon"));
    if rights != "rw-p" || inode != "0" || !is_heap {
        return None;
    }
    let (start, end) = addresses.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(number(start)?..number(end)?)
}

/// Where huge pages may begin in so much memory.
fn huge_pages(memory: Range<usize>) -> impl Iterator<Item = usize> {
    let first = memory.start.next_multiple_of(HUGE_PAGE);
    (first..memory.end).step_by(HUGE_PAGE).take_while(move |place| memory.end - place >= HUGE_PAGE)
}

/// madvise(2), since Linux 6.1; the libc crate has it for glibc alone.
const MADV_COLLAPSE: c_int = 25;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_keeps_what_is_in_it() {
        let word = |index: usize| index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let memory: Vec<usize> = (0..(6 << 20) / size_of::<usize>()).map(word).collect();
        let gathered = candidates().into_iter().filter(|candidate| candidate.gather().is_ok()).count();
        assert!(memory.iter().enumerate().all(|(index, found)| *found == word(index)));
        let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let huge = rollup.lines().find_map(|line| line.strip_prefix("AnonHugePages:")).unwrap();
        let kib: usize = huge.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        // 6 MiB hold at least two, wherever they begin.
        assert!(gathered == 0 || kib >= 4096, "{gathered} gathered, but {kib} KiB are in huge pages");
    }

    /// An entry of smaps, of which so much is in use.
    fn entry(head: &str, kib: usize) -> String {
        format!(
            "{head}\nSize:   4 kB\nKernelPageSize:  4 kB\nRss:  {kib} kB\nPss:  1 kB\nVmFlags: rd wr mr mw me ac\n"
        )
    }

    #[test]
    fn of_what_is_mapped_only_heaps_are_moved() {
        let moved = [
            (
                "562b9ac2c000-562b9b594000 rw-p 00000000 00:00 0                          [heap]",
                0x562b_9ac2_c000..0x562b_9b59_4000,
            ),
            ("7f4ff32f6000-7f4ff36f7000 rw-p 00000000 00:00 0 ", 0x7f4f_f32f_6000..0x7f4f_f36f_7000),
            (
                "7f4ff42f6000-7f4ff46f7000 rw-p 00000000 00:00 0      [anon:pymalloc]",
                0x7f4f_f42f_6000..0x7f4f_f46f_7000,
            ),
        ];
        let kept = [
            "7f4ff4e22000-7f4ff4e84000 rw-p 00421000 fe:00 15695879   /usr/lib/libcrypto.so.3",
            "7f4ff4e22000-7f4ff4e84000 rw-s 00000000 00:01 1042   /memfd:scoreboard (deleted)",
            "7f4ff4e22000-7f4ff4e84000 rw-s 00000000 00:00 0",
            "7f4ff4e22000-7f4ff4e84000 ---p 00000000 00:00 0",
            "7ffd5bd0e000-7ffd5bd30000 rw-p 00000000 00:00 0    [stack]",
            "",
            "rw-p",
        ];
        let heads = moved.iter().map(|(head, _)| *head);
        let smaps: String =
            kept.into_iter().chain(heads).chain(kept).map(|head| entry(head, 1 << 20)).collect();
        assert_eq!(heaps(&smaps), moved.map(|(_, place)| place));
    }

    #[test]
    fn memory_that_is_hardly_in_use_is_left_so() {
        let stack = "7f4ff3000000-7f4ff3800000 rw-p 00000000 00:00 0 ";
        assert!(heaps(&entry(stack, 8192 / 8 * 7 - 1)).is_empty());
        assert_eq!(heaps(&entry(stack, 8192 / 8 * 7)).len(), 1);
    }

    #[test]
    fn huge_pages_lie_within_the_memory() {
        let pages = |start, end| huge_pages(start..end).collect::<Vec<usize>>();
        let none: [usize; 0] = [];
        assert_eq!(pages(0, HUGE_PAGE), [0]);
        assert_eq!(pages(4096, HUGE_PAGE), none);
        assert_eq!(pages(4096, 3 * HUGE_PAGE - 4096), [HUGE_PAGE]);
        assert_eq!(pages(4096, 3 * HUGE_PAGE), [HUGE_PAGE, 2 * HUGE_PAGE]);
        assert_eq!(pages(HUGE_PAGE, HUGE_PAGE), none);
    }
}
