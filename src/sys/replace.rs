//! Puts another open file behind a descriptor that others go on using.
#![expect(unsafe_code, reason = "nix wants the descriptor that is replaced to be borrowed mutably")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Makes `file` refer to what `by` refers to; the number of the descriptor stays.
///
/// Writers need no lock: dup2(2) closes and replaces in one step, so each write goes to the old
/// file or to the new one, whole. That also makes it safe in a process just forked.
///
/// # Errors
/// What dup3(2) says; `file` is then unchanged.
pub fn replace(file: &File, by: &File) -> io::Result<()> {
    loop {
        // SAFETY: both descriptors are open, as their borrowed owners prove; `file` stays their
        // owner's to close, whatever it refers to.
        let result = unsafe { nix::libc::dup3(by.as_raw_fd(), file.as_raw_fd(), nix::libc::O_CLOEXEC) };
        if result >= 0 {
            return Ok(());
        }
        // dup(2): EBUSY while another thread is between allocating and installing that number.
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(nix::libc::EINTR | nix::libc::EBUSY) => {}
            Some(_) | None => return Err(error),
        }
    }
}
