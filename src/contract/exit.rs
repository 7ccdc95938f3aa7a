//! How a worker ends, and what its exit status says of it.

use crate::sys::wait::{Core, WaitOutcome};
use std::fmt;

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

/// The end of a worker in words: "killed by SIGSEGV, core dumped", "exit status 3: the app did not load".
pub fn describe(outcome: &WaitOutcome) -> String {
    match outcome {
        WaitOutcome::Exited(status) => match ExitReason::from_status(*status) {
            Some(reason) => format!("exit status {status}: {reason}"),
            None => format!("exit status {status}: the app ended the process"),
        },
        WaitOutcome::Signalled { signal, core: Core::Dumped } => format!("killed by {signal}, core dumped"),
        // The commonest cause of a SIGKILL that nobody remembers sending.
        WaitOutcome::Signalled { signal: "SIGKILL", core: Core::NotDumped } => {
            "killed by SIGKILL (by hand, or out of memory)".into()
        }
        WaitOutcome::Signalled { signal, core: Core::NotDumped } => format!("killed by {signal}"),
    }
}

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
    fn ends_are_put_in_words() {
        let signalled = |signal, core| WaitOutcome::Signalled { signal, core };
        let rows = [
            (WaitOutcome::Exited(0), "exit status 0: left in order"),
            (WaitOutcome::Exited(3), "exit status 3: the app did not load"),
            (WaitOutcome::Exited(1), "exit status 1: the app ended the process"),
            (signalled("SIGSEGV", Core::Dumped), "killed by SIGSEGV, core dumped"),
            (signalled("SIGABRT", Core::NotDumped), "killed by SIGABRT"),
            (signalled("SIGKILL", Core::NotDumped), "killed by SIGKILL (by hand, or out of memory)"),
        ];
        for (outcome, expected) in rows {
            assert_eq!(describe(&outcome), expected);
        }
    }
}
