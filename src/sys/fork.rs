//! fork(2), for a process that has one thread.

use super::app_fork;
use super::process::{self, Pid};
use super::wait::{self, WaitOutcome};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{ForkResult, fork};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a host (CPython) must do around a fork; see `PyOS_BeforeFork`.
#[derive(Debug, Clone, Copy)]
pub struct ForkHooks {
    /// In the parent, just before.
    pub before: fn(),
    /// In the parent, just after, also when the fork failed.
    pub parent: fn(),
    /// In the child, first of all.
    pub child: fn(),
    /// Runs something that waits, so that the host's other threads can go on meanwhile.
    pub waiting: fn(&mut (dyn FnMut() + Send)),
    /// What is done about further threads of this process, which a child would not have.
    pub other_threads: OtherThreads,
}

/// What is done about threads besides the one that forks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherThreads {
    /// It is not forked: a lock that one of them holds would stay locked in the child for ever.
    Refused,
    /// It is: the host's hooks see to the host's locks, libc to its own (pthread_atfork(3)), and whoever began them has been told
    /// what becomes of them.
    Tolerated,
}

impl ForkHooks {
    /// Hooks that do nothing, for a program without a host.
    pub const NONE: Self = Self {
        before: nothing,
        parent: nothing,
        child: nothing,
        waiting: at_once,
        other_threads: OtherThreads::Refused,
    };
}

/// Forks; the child runs `child` and ends with the exit status it returns.
///
/// The child never returns from here: a panic in it ends it with `panicked`. Exit handlers and the buffers of
/// C streams are left alone, as they are copies of the parent's. Signals stay blocked from before the fork until
/// [`restore_signals`] is called in the child.
///
/// # Errors
/// When this process has several threads and that is not tolerated, or when the system has no room for a further process.
pub fn fork_worker(hooks: ForkHooks, panicked: u8, child: impl FnOnce() -> u8) -> io::Result<Pid> {
    let threads = process::thread_count()?;
    if threads != 1 && hooks.other_threads == OtherThreads::Refused {
        return Err(io::Error::other(format!("cannot fork: this process has {threads} threads, not one")));
    }
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    (hooks.before)();
    // SAFETY: this process has one thread, checked above, so the child is a whole copy and may run any code; or the host answers
    // for its other threads.
    let forked = unsafe { fork() };
    if let Ok(ForkResult::Child) = forked {
        let status = catch_unwind(AssertUnwindSafe(|| {
            (hooks.child)();
            child()
        }));
        leave(status.unwrap_or(panicked));
    }
    (hooks.parent)();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    match forked? {
        ForkResult::Parent { child } => Ok(Pid(child.as_raw())),
        ForkResult::Child => unreachable!("the child has left above"),
    }
}

/// Forks a process that becomes a child not of this one but of the nearest ancestor that is a subreaper (prctl(2)):
/// its own parent, which lies between, leaves at once.
///
/// Otherwise like [`fork_worker`], except that `first` runs in the new process before the hooks, which may be the app's, and
/// gives `child` what it returns; and that this process may have further threads: an app's, which has been told what becomes of them. (With
/// CLONE_PARENT in place of the process between, neither libc's nor the host's hooks would run.)
///
/// # Errors
/// When the system has no room for a further process.
pub fn fork_orphan<T>(
    hooks: ForkHooks,
    panicked: u8,
    first: impl FnOnce() -> T,
    child: impl FnOnce(T) -> u8,
) -> io::Result<()> {
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    (hooks.before)();
    app_fork::set_own_fork(true);
    // SAFETY: this thread runs no other code of ours meanwhile, libc keeps its allocator usable in the child (pthread_atfork(3)),
    // and the host's hooks do the same for the host.
    let forked = unsafe { fork() };
    if let Ok(ForkResult::Child) = forked {
        // SAFETY: a process with one thread; as above.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                let status = catch_unwind(AssertUnwindSafe(|| {
                    let given = first();
                    (hooks.child)();
                    child(given)
                }));
                leave(status.unwrap_or(panicked));
            }
            Ok(ForkResult::Parent { .. }) => leave(0),
            Err(error) => leave(u8::try_from(error as i32).unwrap_or(u8::MAX)),
        }
    }
    app_fork::set_own_fork(false);
    (hooks.parent)();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    match forked? {
        ForkResult::Parent { child } => match wait::wait_for(Pid(child.as_raw()))? {
            WaitOutcome::Exited(0) => Ok(()),
            WaitOutcome::Exited(errno) => Err(io::Error::from_raw_os_error(errno)),
            outcome @ WaitOutcome::Signalled { .. } => Err(io::Error::other(outcome.to_string())),
            WaitOutcome::OutOfMemory => Err(io::ErrorKind::OutOfMemory.into()),
        },
        ForkResult::Child => unreachable!("the child has left above"),
    }
}

/// Lets every signal through again; for the child, once it is ready for them.
///
/// # Errors
/// None that sigprocmask(2) can give for these arguments.
pub fn restore_signals() -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// Ends this process at once, without exit handlers (_exit(2)).
pub fn leave(status: u8) -> ! {
    // SAFETY: _exit(2) touches no memory of this process and cannot fail.
    unsafe { nix::libc::_exit(i32::from(status)) }
}

fn nothing() {}

fn at_once(run: &mut (dyn FnMut() + Send)) {
    run();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_not_forked() {
        // The harness runs each test in a thread of its own.
        let error = fork_worker(ForkHooks::NONE, 101, || 0).unwrap_err().to_string();
        assert!(error.starts_with("cannot fork: this process has "), "{error}");
    }
}
