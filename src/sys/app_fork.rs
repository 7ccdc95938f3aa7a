//! Processes that an app forks from a worker or a mold, which are neither.
#![expect(
    unsafe_code,
    reason = "descriptors are closed that other code of this process owns but will never use again"
)]

use super::process::{self, Pid};
use super::reserved_signals::ReservedSignals;
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::socket::{SockaddrIn, SockaddrIn6, SockaddrStorage, UnixAddr, getsockname};
use std::cell::Cell;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// What a worker or a mold has that nobody else may keep open.
struct Kept {
    owner: Pid,
    descriptors: Vec<RawFd>,
    /// The addresses of the listening sockets, and so of all connections.
    names: Vec<SockaddrStorage>,
    signals: ReservedSignals,
}

static KEPT: Mutex<Option<Kept>> = Mutex::new(None);
static IS_CHILD: AtomicBool = AtomicBool::new(false);
/// Whether the fork under way is one of the server's own.
static IS_OWN_FORK: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// What this thread let through before it began to fork.
    static MASK: Cell<Option<SigSet>> = const { Cell::new(None) };
}

/// Notes, in a worker or a mold, what processes that its app forks must not keep: the channels given, and all sockets that
/// are bound to the same address as one of the listeners.
///
/// A child that kept a listening socket would go on getting connections that it never serves, or keep the address when the
/// server has ended; one that kept a connection would keep it open when the worker closes it.
pub fn note<'a>(
    listeners: impl Iterator<Item = BorrowedFd<'a>>,
    channels: &[BorrowedFd<'_>],
    signals: ReservedSignals,
) {
    let names = listeners.filter_map(|listener| getsockname(listener.as_raw_fd()).ok()).collect();
    let descriptors = channels.iter().map(AsRawFd::as_raw_fd).collect();
    let kept = Kept { owner: process::own_pid(), descriptors, names, signals };
    *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
}

/// Before and after a fork of the server's own, whose child keeps everything: a mold's worker.
pub(super) fn set_own_fork(is_own: bool) {
    IS_OWN_FORK.store(is_own, Ordering::Relaxed);
}

/// Before a fork, on the thread that forks: signals wait, as a child that gets one before it has left its worker would lose it.
pub fn hold_signals() {
    MASK.set(SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).ok());
}

/// After a fork, in both processes and on the same thread.
pub fn let_signals_through() {
    if let Some(mask) = MASK.take() {
        // It was given by the kernel.
        let _ = mask.thread_set_mask();
    }
}

/// In a process that an app has forked: gives the server's signals back, and closes what is the server's.
pub fn leave_worker() {
    // Nobody holds it: it is written before there are threads of an app.
    let Ok(mut kept) = KEPT.try_lock() else { return };
    if IS_OWN_FORK.swap(false, Ordering::Relaxed) {
        // What was noted is the mold's; the worker notes what it has.
        *kept = None;
        return;
    }
    let Some(kept) = kept.as_ref().filter(|kept| kept.owner != process::own_pid()) else { return };
    // A child's own child has nothing left to leave: those numbers may be other descriptors by now.
    if IS_CHILD.swap(true, Ordering::Relaxed) {
        return;
    }
    // The server's handlers do nothing here, and whoever has forked this process may want to end it by a signal
    // (multiprocessing.Pool.terminate).
    kept.signals.leave();
    for descriptor in &kept.descriptors {
        close(*descriptor);
    }
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    // Read before any is closed: the directory itself has one.
    let open: Vec<RawFd> =
        open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open {
        if getsockname::<SockaddrStorage>(descriptor)
            .is_ok_and(|name| kept.names.iter().any(|kept| is_same(kept, &name)))
        {
            close(descriptor);
        }
    }
}

/// Whether this process was forked by an app.
pub fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

/// A wildcard listener's connections have other addresses than it has, but the same port.
fn is_same(one: &SockaddrStorage, other: &SockaddrStorage) -> bool {
    let port = |name: &SockaddrStorage| {
        let v4 = name.as_sockaddr_in().map(SockaddrIn::port);
        v4.or_else(|| name.as_sockaddr_in6().map(SockaddrIn6::port))
    };
    match (port(one), port(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => path_of(one).is_some() && path_of(one) == path_of(other),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn path_of(name: &SockaddrStorage) -> Option<&std::path::Path> {
    name.as_unix_addr().and_then(UnixAddr::path)
}

fn close(descriptor: RawFd) {
    // SAFETY: close(2) of a number. Its owner is code of a worker that does not run in this process: threads are not forked,
    // and the thread that was ends before it comes back to that code.
    unsafe { libc::close(descriptor) };
}
