//! Children that have ended.

use super::process::Pid;
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitOutcome {
    /// It left with this exit status.
    Exited(i32),
    /// A signal ended it.
    Signalled {
        /// Name of the signal: "SIGSEGV".
        signal: &'static str,
        /// Whether memory was written out.
        core: Core,
    },
    /// The kernel killed it, since there was no memory left. Not seen by [`reap`], to which it is a SIGKILL: see
    /// `sys::memory_cgroup`.
    OutOfMemory,
}

/// Whether a core dump was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Core {
    /// It was.
    Dumped,
    /// It was not.
    NotDumped,
}

/// Reaps one ended child of any origin; `None` when there is none.
///
/// Children that are not ours (a subreaper and PID 1 get them) are reaped as well.
pub fn reap() -> Option<(Pid, WaitOutcome)> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) => {
                return Some((Pid(pid.as_raw()), WaitOutcome::Exited(status)));
            }
            Ok(WaitStatus::Signaled(pid, signal, core)) => {
                let core = if core { Core::Dumped } else { Core::NotDumped };
                return Some((Pid(pid.as_raw()), WaitOutcome::Signalled { signal: signal.as_str(), core }));
            }
            Ok(WaitStatus::StillAlive) => return None,
            // Stops and continues are not asked for (no WUNTRACED, no ptrace); real-time signals are an
            // error of nix's and have been reaped by then.
            Ok(
                WaitStatus::Stopped(..)
                | WaitStatus::Continued(..)
                | WaitStatus::PtraceEvent(..)
                | WaitStatus::PtraceSyscall(..),
            )
            | Err(Errno::EINTR | Errno::EINVAL) => {}
            Err(_) => return None,
        }
    }
}
