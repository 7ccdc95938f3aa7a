//! Children that have ended.

use super::process::Pid;
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::fmt;
use std::io;

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

/// In words, behind which who knows more can say it.
impl fmt::Display for WaitOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit status {status}"),
            Self::Signalled { signal, .. } => write!(f, "killed by {signal}"),
            Self::OutOfMemory => f.write_str("killed by SIGKILL: out of memory"),
        }
    }
}

/// Reaps one ended child of any origin; `None` when there is none.
///
/// Children that are not ours (a subreaper and PID 1 get them) are reaped as well.
pub fn reap() -> Option<(Pid, WaitOutcome)> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return None,
            Ok(status) => {
                if let Some(ended) = ended(status) {
                    return Some(ended);
                }
            }
            // EINVAL: a real-time signal, which is an error of nix's; its victim has been reaped by then.
            Err(Errno::EINTR | Errno::EINVAL) => {}
            Err(_) => return None,
        }
    }
}

/// Waits for the end of one child, which is about to end.
///
/// # Errors
/// `ECHILD` when it is no child of this process, or has been reaped.
pub fn wait_for(pid: Pid) -> io::Result<WaitOutcome> {
    loop {
        match waitpid(nix::unistd::Pid::from_raw(pid.0), None) {
            Ok(status) => {
                if let Some((_, outcome)) = ended(status) {
                    return Ok(outcome);
                }
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn ended(status: WaitStatus) -> Option<(Pid, WaitOutcome)> {
    match status {
        WaitStatus::Exited(pid, status) => Some((Pid(pid.as_raw()), WaitOutcome::Exited(status))),
        WaitStatus::Signaled(pid, signal, core) => {
            let core = if core { Core::Dumped } else { Core::NotDumped };
            Some((Pid(pid.as_raw()), WaitOutcome::Signalled { signal: signal.as_str(), core }))
        }
        // Stops and continues are not asked for (no WUNTRACED, no ptrace).
        WaitStatus::StillAlive
        | WaitStatus::Stopped(..)
        | WaitStatus::Continued(..)
        | WaitStatus::PtraceEvent(..)
        | WaitStatus::PtraceSyscall(..) => None,
    }
}
