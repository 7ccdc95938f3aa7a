//! Waiting for descriptors, with a deadline.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Waits until one of the descriptors can be read or has ended, at most `limit`; the indices of those.
///
/// An interrupted wait returns an empty list: the caller looks at its clock anyway.
///
/// # Errors
/// Whatever poll(2) says.
pub fn wait_readable(descriptors: &[BorrowedFd<'_>], limit: Option<Duration>) -> io::Result<Vec<usize>> {
    let mut entries: Vec<_> = descriptors.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    let limit = limit.map_or(PollTimeout::NONE, |limit| {
        // Rounded up: a wait that ends a fraction of a millisecond early would be repeated with a limit of 0.
        let milliseconds = limit.as_micros().div_ceil(1000);
        PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
    });
    match nix::poll::poll(&mut entries, limit) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    }
    let answered = |entry: &PollFd<'_>| entry.revents().is_some_and(|events| !events.is_empty());
    Ok(entries.iter().enumerate().filter(|(_, entry)| answered(entry)).map(|(index, _)| index).collect())
}
