//! Descriptors watched by the runtime (epoll(7)).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches a non-blocking descriptor for reading. To be called within the runtime.
///
/// # Errors
/// When the runtime cannot watch it, as with a regular file.
pub fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd names one open descriptor until it is dropped, and nobody can change which.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?)
}

/// The same for a listening UNIX socket.
///
/// # Errors
/// As [`readable`].
pub fn acceptable(listener: UnixListener) -> io::Result<AsyncFd<UnixListener>> {
    // SAFETY: as above; a listener owns its descriptor.
    Ok(unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) }?)
}
