//! How a worker ends, and what its exit status says of it.

use crate::sys::wait::{Core, WaitOutcome};
use std::fmt;
use std::time::Duration;

/// Why a worker ended, as it says itself by its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// It was told to leave, and has.
    Done,
    /// An app could not be loaded.
    AppLoadFailed,
    /// It could not start for another reason.
    BootFailed,
    /// The master is gone; it has drained.
    MasterGone,
    /// A bug in the server itself.
    Panicked,
}

impl ExitReason {
    /// Its exit status.
    pub fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::AppLoadFailed => 3,
            Self::BootFailed => 11,
            Self::MasterGone => 12,
            // What a panic of the main thread gives in Rust.
            Self::Panicked => 101,
        }
    }

    /// The reason behind an exit status; `None` for one that the server never gives.
    pub fn from_status(status: i32) -> Option<Self> {
        [Self::Done, Self::AppLoadFailed, Self::BootFailed, Self::MasterGone, Self::Panicked]
            .into_iter()
            .find(|reason| i32::from(reason.status()) == status)
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "left in order",
            Self::AppLoadFailed => "the app did not load",
            Self::BootFailed => "the worker could not start",
            Self::MasterGone => "the master was gone",
            Self::Panicked => "a bug in the server: it panicked",
        })
    }
}

/// Why a worker ended, as far as its end tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Stands for this kind of end in every version: `FC-W02`. docs/troubleshooting.md says what to do about each.
    pub id: &'static str,
    /// In words: "killed by SIGSEGV, core dumped".
    pub text: String,
    /// How sure it is.
    pub certainty: Certainty,
}

/// How sure something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// The kernel or the process has said so.
    Known,
    /// Everything else has been ruled out, or is less likely.
    Inferred,
}

/// How far a worker had come when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It was not ready.
    Starting,
    /// It served, or was told to leave.
    Serving,
}

/// Why a worker ended that was not killed by its master.
pub fn cause(outcome: &WaitOutcome, progress: Progress) -> Cause {
    use Certainty::{Inferred, Known};
    let (id, text, certainty) = match (outcome, progress) {
        (WaitOutcome::Exited(status), Progress::Starting) => match ExitReason::from_status(*status) {
            Some(reason) => (DID_NOT_START, format!("{outcome}: {reason}"), Known),
            None => (ENDED_BY_APP, format!("{outcome}: the app ended the process"), Known),
        },
        (WaitOutcome::Exited(101), Progress::Serving) => {
            ("FC-W06", format!("{outcome}: {}", ExitReason::Panicked), Inferred)
        }
        // The server gives some of these numbers, too, but not to a worker that serves.
        (WaitOutcome::Exited(status), Progress::Serving) => {
            let certainty = ExitReason::from_status(*status).map_or(Known, |_| Inferred);
            (ENDED_BY_APP, format!("{outcome}: the app ended the process"), certainty)
        }
        (WaitOutcome::OutOfMemory, _) => ("FC-W03", outcome.to_string(), Known),
        (WaitOutcome::Signalled { signal, core }, _) => {
            let dumped = if *core == Core::Dumped { ", core dumped" } else { "" };
            let text = format!("{outcome}{dumped}");
            match *signal {
                "SIGSEGV" | "SIGBUS" | "SIGILL" | "SIGFPE" | "SIGABRT" | "SIGTRAP" | "SIGSYS" => {
                    ("FC-W02", text, Known)
                }
                // The kernel counts whom it kills for want of memory, where there is a cgroup to count in.
                "SIGKILL" => ("FC-W04", format!("{text}, by somebody outside"), Inferred),
                _ => ("FC-W07", text, Known),
            }
        }
    };
    Cause { id, text, certainty }
}

/// Whether a worker that served was ended by what it did: a fault, an exit, memory. Who was killed from outside was not.
pub fn is_of_its_own(outcome: &WaitOutcome) -> bool {
    match outcome {
        WaitOutcome::Exited(status) => *status != i32::from(ExitReason::Done.status()),
        WaitOutcome::OutOfMemory => true,
        WaitOutcome::Signalled { .. } => cause(outcome, Progress::Serving).id == "FC-W02",
    }
}

/// A worker that is not ready and ends, or says that it cannot start.
pub const DID_NOT_START: &str = "FC-W05";

const ENDED_BY_APP: &str = "FC-W01";

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Known => "known",
            Self::Inferred => "inferred",
        })
    }
}

/// What a worker that leaves has beyond its limits (`timeouts.graceful` and the like) to end its apps and itself; then it is killed.
pub const LEAVING: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_as_a_status() {
        for reason in [
            ExitReason::Done,
            ExitReason::AppLoadFailed,
            ExitReason::BootFailed,
            ExitReason::MasterGone,
            ExitReason::Panicked,
        ] {
            assert_eq!(ExitReason::from_status(reason.status().into()), Some(reason));
        }
        assert_eq!(ExitReason::from_status(1), None);
    }

    #[test]
    fn ends_are_told_apart() {
        use Certainty::{Inferred, Known};
        use Progress::{Serving, Starting};
        let signalled = |signal, core| WaitOutcome::Signalled { signal, core };
        let rows = [
            (WaitOutcome::Exited(3), Starting, "FC-W05", "exit status 3: the app did not load", Known),
            (WaitOutcome::Exited(1), Starting, "FC-W01", "exit status 1: the app ended the process", Known),
            (WaitOutcome::Exited(7), Serving, "FC-W01", "exit status 7: the app ended the process", Known),
            (WaitOutcome::Exited(0), Serving, "FC-W01", "exit status 0: the app ended the process", Inferred),
            (
                WaitOutcome::Exited(101),
                Serving,
                "FC-W06",
                "exit status 101: a bug in the server: it panicked",
                Inferred,
            ),
            (signalled("SIGSEGV", Core::Dumped), Serving, "FC-W02", "killed by SIGSEGV, core dumped", Known),
            (signalled("SIGABRT", Core::NotDumped), Starting, "FC-W02", "killed by SIGABRT", Known),
            (signalled("SIGALRM", Core::NotDumped), Serving, "FC-W07", "killed by SIGALRM", Known),
            (WaitOutcome::OutOfMemory, Serving, "FC-W03", "killed by SIGKILL: out of memory", Known),
            (
                signalled("SIGKILL", Core::NotDumped),
                Serving,
                "FC-W04",
                "killed by SIGKILL, by somebody outside",
                Inferred,
            ),
        ];
        for (outcome, progress, id, text, certainty) in rows {
            assert_eq!(cause(&outcome, progress), Cause { id, text: text.to_owned(), certainty });
        }
    }
}
