//! Descriptors that outlive execve(2), by their numbers.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// What becomes of a descriptor at the next execve(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtExec {
    /// The next program has it, under the same number.
    Kept,
    /// It is closed.
    Closed,
}

/// Decides what becomes of descriptors at the next execve(2).
///
/// # Errors
/// None that fcntl(2) can give for open descriptors.
pub fn set(descriptors: &[BorrowedFd<'_>], at_exec: AtExec) -> io::Result<()> {
    let flags = match at_exec {
        AtExec::Kept => FdFlag::empty(),
        AtExec::Closed => FdFlag::FD_CLOEXEC,
    };
    for descriptor in descriptors {
        fcntl(descriptor, FcntlArg::F_SETFD(flags))?;
    }
    Ok(())
}

/// Takes over a descriptor that the program before has left open under this number; closed on exec from now on.
///
/// Each number must be taken once only.
///
/// # Errors
/// `EBADF` when nothing is open under it (fcntl(2)).
pub fn take(number: i32) -> io::Result<OwnedFd> {
    // -1 is the one number that a BorrowedFd must not hold; below 3 are the standard streams, which are everybody's.
    if number < FIRST {
        return Err(Errno::EBADF.into());
    }
    // SAFETY: the borrow ends with this call; a number that is not open makes fcntl(2) fail and does no harm.
    set(&[unsafe { BorrowedFd::borrow_raw(number) }], AtExec::Closed)?;
    // SAFETY: it is open, as has just been seen, and the caller says that nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes standard error what this descriptor is (dup2(2)).
///
/// # Errors
/// None that dup2(2) can give for an open descriptor.
pub fn become_standard_error(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::unistd::dup2_stderr(descriptor)?)
}

/// A further descriptor for the present standard error; closed on exec.
///
/// # Errors
/// When it is closed, or descriptors have run out.
pub fn standard_error() -> io::Result<OwnedFd> {
    io::stderr().as_fd().try_clone_to_owned()
}

/// SD_LISTEN_FDS_START of sd_listen_fds(3) has the same reason.
const FIRST: i32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;

    #[test]
    fn a_descriptor_is_kept_by_its_number_and_closed_after() {
        let closes = |descriptor: &OwnedFd| {
            let flags = fcntl(descriptor, FcntlArg::F_GETFD).unwrap();
            FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC)
        };
        let (reader, _writer) = io::pipe().unwrap();
        let reader = OwnedFd::from(reader);
        assert!(closes(&reader));
        set(&[reader.as_fd()], AtExec::Kept).unwrap();
        assert!(!closes(&reader));
        let taken = take(reader.into_raw_fd()).unwrap();
        assert!(closes(&taken));
        for number in [-1, 0, 2, 1_000_000] {
            assert!(take(number).is_err(), "{number}");
        }
    }
}
