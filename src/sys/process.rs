//! Processes: who they are and what they were started as.

use nix::errno::Errno;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// The number of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub i32);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether somebody has a process number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existence {
    /// A process with this number runs, or waits to be reaped.
    Exists,
    /// None does.
    Gone,
}

/// Whether a process has ended and only waits to be reaped.
pub fn is_zombie(pid: Pid) -> bool {
    // proc(5), stat: the state follows the last parenthesis.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// This process.
pub fn own_pid() -> Pid {
    Pid(nix::unistd::getpid().as_raw())
}

/// Processes that top(1) calls so ([`title::set`](super::title::set)), as far as they can be seen.
pub fn called(short: &str) -> Vec<Pid> {
    let is_so = |pid: &Pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == short)
    };
    all().filter(is_so).collect()
}

/// All processes, as far as they can be seen.
pub(super) fn all() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid))
}

/// Numbers of the sockets that a process has open; none where that may not be known.
pub fn sockets(pid: Pid) -> Vec<u64> {
    // proc(5): the directory is open to the process's user and root, and its links are `socket:[NUMBER]`.
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets
        .filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

/// The calling thread's number, by which the kernel knows it (gettid(2)).
pub fn thread_id() -> i32 {
    thread_local! {
        // Asked for once per thread: every call of an app notes it.
        static OWN: i32 = nix::unistd::gettid().as_raw();
    }
    OWN.with(|own| *own)
}

/// Whether a process with this number is there (kill(2) with signal 0).
pub fn existence(pid: Pid) -> Existence {
    // kill(2): 0 and negative numbers would ask about process groups.
    if pid.0 <= 0 {
        return Existence::Gone;
    }
    match nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.0), None) {
        Err(Errno::ESRCH) => Existence::Gone,
        // EPERM: it exists and is somebody else's.
        Ok(()) | Err(_) => Existence::Exists,
    }
}

/// The command line of a process, parts joined by spaces; `None` when it may not be read.
pub fn command_line(pid: Pid) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let parts: Vec<_> = bytes
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty())
        .map(|part| String::from_utf8_lossy(part))
        .collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Memory of a process that is in RAM now, what it shares with others included; `None` when it may not be known.
pub fn resident_bytes(pid: Pid) -> Option<u64> {
    // proc(5), statm: the second number counts pages.
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    pages.checked_mul(u64::try_from(size).ok()?)
}

/// A descriptor of our own for what is open under a number that other code gave us; closed on exec.
///
/// # Errors
/// `EBADF` when nothing is open under it (fcntl(2)).
pub fn duplicate(number: i32) -> io::Result<OwnedFd> {
    // -1 is the one number that a BorrowedFd must not hold.
    if number < 0 {
        return Err(Errno::EBADF.into());
    }
    // SAFETY: the borrow ends with this call; a number that is not open makes fcntl(2) fail and does no harm.
    unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()
}

/// Makes this process the parent of its orphaned descendants, as PID 1 is anyway (prctl(2)).
///
/// # Errors
/// On kernels before 3.4.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Number of threads of this process.
///
/// # Errors
/// When /proc is not there.
pub fn thread_count() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}

/// Sets the file mode creation mask and returns the one before (umask(2)).
pub fn set_umask(mask: u32) -> u32 {
    let mask = nix::sys::stat::Mode::from_bits_truncate(mask);
    nix::sys::stat::umask(mask).bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_exists_and_has_a_command_line() {
        assert_eq!(existence(own_pid()), Existence::Exists);
        assert!(command_line(own_pid()).is_some());
        assert!(thread_count().unwrap() >= 1);
        assert!(resident_bytes(own_pid()).unwrap() > 1 << 20);
        assert_eq!(resident_bytes(Pid(-1)), None);
    }

    #[test]
    fn what_a_process_is_called_and_holds_can_be_seen() {
        use std::os::fd::AsRawFd;
        let own = own_pid();
        let comm = fs::read_to_string("/proc/self/comm").unwrap();
        assert!(called(comm.trim_end()).contains(&own));
        assert!(called("nothing is called so").is_empty());
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let link = fs::read_link(format!("/proc/self/fd/{}", ours.as_raw_fd())).unwrap();
        assert!(sockets(own).iter().any(|number| link.ends_with(format!("socket:[{number}]"))));
        assert!(sockets(Pid(-1)).is_empty());
    }

    #[test]
    fn process_groups_are_not_processes() {
        assert_eq!(existence(Pid(0)), Existence::Gone);
        assert_eq!(existence(Pid(-1)), Existence::Gone);
        assert_eq!(existence(Pid(i32::MAX)), Existence::Gone);
    }
}
