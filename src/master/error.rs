//! Why the server does not run, and with which status the program ends then.

use super::PidFileError;
use crate::net::bind::BindError;
use std::io;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// The configuration asks for something that is not there.
    #[error("{0}")]
    Config(String),
    /// An address is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The first workers could not load an app; the text is theirs, often a traceback.
    #[error("the app did not load: {0}")]
    AppDidNotLoad(String),
    /// The first workers did not start for another reason.
    #[error("the workers did not start: {0}")]
    StartFailed(String),
    /// The pid file is another's, or cannot be written.
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    /// The system refuses what a master needs.
    #[error("cannot {doing}: {source}; {cure}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the operator can do.
        cure: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl MasterError {
    /// What the system has refused, for `map_err`.
    pub(super) fn system(doing: &'static str, cure: &'static str) -> impl Fn(io::Error) -> Self + Copy {
        move |source| Self::System { doing, cure, source }
    }

    /// The exit status of the program.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::StartFailed(_) | Self::PidFile(_) | Self::System { .. } => 1,
            Self::Config(_) => 2,
            Self::AppDidNotLoad(_) => 3,
            Self::Bind(_) => 4,
        }
    }
}

/// What to do where the system refuses what a master needs: descriptors, a call, memory.
pub(super) const DESCRIPTORS: &str = "raise the limit of open descriptors (ulimit -n)";
pub(super) const FILTER: &str = "see whether a filter of system calls forbids it";
pub(super) const MEMORY: &str = "let it have more memory (ulimit -v, the cgroup's limit)";
