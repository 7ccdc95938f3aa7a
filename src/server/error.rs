//! Why a program's server does not run.

use crate::master::MasterError;
use std::fmt;
use std::io;

/// Why a server does not run, or no longer runs.
#[derive(thiserror::Error)]
pub enum ServerError {
    /// The process has several threads, and the master forks.
    #[error(
        "this process has {0} threads, and run() has to fork: call it from a plain `fn main`, not under \
         #[tokio::main], before anything starts a thread; or serve in a runtime of your own, with serve_on"
    )]
    Threads(usize),
    /// The caller runs in a tokio runtime, and the workers build theirs.
    #[error(
        "run() is called inside a tokio runtime, and has to fork workers that build their own: call it from a plain \
         `fn main`, not under #[tokio::main]; or serve in the runtime that is there, with serve_on"
    )]
    InRuntime,
    /// What was set, or the file, is wrong; all that is wrong, a line each.
    #[error("{0}")]
    Config(String),
    /// The app's constructor failed, with [`serve_on`](super::Server::serve_on).
    #[error("the app did not load: {0}")]
    App(String),
    /// The master could not start, or the first workers did not get ready.
    #[error(transparent)]
    Master(#[from] MasterError),
    /// The system refuses what is needed.
    #[error("the system refuses: {0}")]
    System(io::Error),
}

impl ServerError {
    /// The exit code for a program that ends with it: 1 failed, 2 configuration, 3 the app did not load, 4 an address
    /// was not bound.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Threads(_) | Self::InRuntime | Self::System(_) => 1,
            Self::Config(_) => 2,
            Self::App(_) => 3,
            Self::Master(error) => error.exit_code(),
        }
    }
}

/// As its text: this is what a `main` that returns it prints.
impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
