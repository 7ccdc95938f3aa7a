//! What a process is called in ps(1) and top(1).

use nix::libc;
use std::ffi::{CString, c_ulong};
use std::fs;
use std::io;

/// Calls this forked process `title` for ps(1), and `short` (15 bytes at most) for top(1).
///
/// The strings of the program's start are left where they are, as `environ` and CPython may point to them: the kernel is told
/// of another place to read the command line from.
///
/// # Errors
/// On kernels without `PR_SET_MM_MAP` (Linux 3.18, CONFIG_CHECKPOINT_RESTORE); the short name is set all the same.
pub fn set(short: &str, title: &str) -> io::Result<()> {
    nix::sys::prctl::set_name(&CString::new(short)?)?;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let text = CString::new(title)?.into_bytes_with_nul();
    // For as long as the process lives: the kernel reads it whenever somebody looks.
    let text: &'static [u8] = Box::leak(text.into_boxed_slice());
    let start = text.as_ptr().addr() as u64;
    let layout = Layout::parse(&stat, (start, start + text.len() as u64), program_break())
        .ok_or_else(|| io::Error::other("the addresses in /proc/self/stat are not to be had"))?;
    let pointer = &raw const layout;
    // SAFETY: prctl(2), PR_SET_MM_MAP: the kernel copies the structure during the call. It changes nothing but what /proc shows: all
    // places are those of before, except for the command line, whose new place is never freed.
    let done = unsafe {
        libc::prctl(
            libc::PR_SET_MM,
            c_ulong::from(MM_MAP),
            pointer,
            size_of::<Layout>() as c_ulong,
            0 as c_ulong,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `struct prctl_mm_map` of linux/prctl.h.
#[repr(C)]
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

impl Layout {
    /// As it is now, with another command line; `None` where the kernel hides it.
    fn parse(stat: &str, (arg_start, arg_end): (u64, u64), brk: u64) -> Option<Self> {
        // proc(5), stat: the name in parentheses may hold anything; the third field follows it.
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| {
            let address: u64 = fields.get(number - 3)?.parse().ok()?;
            (address > 1).then_some(address)
        };
        Some(Self {
            start_code: field(26)?,
            end_code: field(27)?,
            start_data: field(45)?,
            end_data: field(46)?,
            start_brk: field(47)?,
            brk,
            start_stack: field(28)?,
            arg_start,
            arg_end,
            env_start: field(50)?,
            env_end: field(51)?,
            // None: the kernel keeps the one that it has; and the executable.
            auxv: 0,
            auxv_size: 0,
            exe_fd: u32::MAX,
        })
    }
}

/// Where the heap ends now: it must not be changed.
fn program_break() -> u64 {
    // SAFETY: brk(2): the kernel answers an impossible address with the present one, and changes nothing.
    let end = unsafe { libc::syscall(libc::SYS_brk, 0 as c_ulong) };
    end.cast_unsigned()
}

/// PR_SET_MM_MAP of linux/prctl.h.
const MM_MAP: u32 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_the_process_with_another_command_line() {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let layout = Layout::parse(&stat, (7, 8), 9).unwrap();
        assert_eq!((layout.arg_start, layout.arg_end, layout.brk), (7, 8, 9));
        assert!(layout.start_code < layout.end_code && layout.env_start < layout.env_end, "{layout:?}");
        assert!(layout.start_stack < layout.env_start, "{layout:?}");
        let hidden = format!("1 (a) b) S {}", ["0"; 49].join(" "));
        assert_eq!(Layout::parse(&hidden, (7, 8), 9), None);
        assert_eq!(Layout::parse("1 (a) S 1", (7, 8), 9), None);
        assert_eq!(program_break(), program_break());
    }
}
