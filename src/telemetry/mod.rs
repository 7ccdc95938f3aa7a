//! What the server says about itself: the error log.
//!
//! Events come through `tracing`. Values from outside cannot forge a line; text that is meant to
//! have several lines goes into a field named `traceback` or `stack`:
//!
//! ```
//! tracing::error!(request = "05d1…", traceback = "Traceback …\n  File …", "the app failed");
//! ```
//!
//! Text shows such a field below its line, each of its lines marked with a bar; JSON keeps it a string. The journal gets
//! both in one entry.
//! Writing to a log blocks: a pipe that nobody empties stops whoever logs.
#![forbid(unsafe_code)]

mod clock;
#[cfg(feature = "cli")]
mod error_log;
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "part of it is the error log's"))]
mod escape;
#[cfg(feature = "cli")]
mod journal;
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "part of it is the error log's"))]
mod log_file;

pub(crate) use clock::Stamp;
#[cfg(feature = "cli")]
pub(crate) use escape::push_text;
pub(crate) use escape::{Within, push, push_bytes};
pub(crate) use log_file::LogFile;

#[cfg(feature = "cli")]
use crate::config::Log;
#[cfg(feature = "cli")]
use error_log::ErrorLog;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Begins the error log of this process and of those it forks. Needs the feature `cli`.
///
/// A program that embeds the server calls it or brings a `tracing` subscriber of its own.
///
/// Level and format stay for the life of the process; call it once, before the first fork.
///
/// # Errors
/// [`LogError`] when the log cannot be opened, or when the process already has a subscriber.
#[cfg(feature = "cli")]
pub fn init(log: &Log) -> Result<(), LogError> {
    let Some(error_log) = ErrorLog::open(log)? else { return Ok(()) };
    let file = Arc::clone(error_log.file());
    tracing::subscriber::set_global_default(error_log.into_subscriber())
        .map_err(|_| LogError::AlreadyBegun)?;
    // Only the one call that installed its subscriber gets here.
    FILE.get_or_init(|| file);
    Ok(())
}

/// Goes on in the file that the error log's path names now; nothing happens without a file.
///
/// Takes no lock, so master and workers may call it at any time after the fork. A worker that runs as
/// another user than the master must be allowed to write the new file, or it stays with the old one:
/// have it made by whoever moves the old one away (logrotate: `create 0640 USER GROUP`).
///
/// # Errors
/// [`LogError::Open`]: the old file stays in use. Log it and go on.
pub fn reopen() -> Result<(), LogError> {
    FILE.get().map_or(Ok(()), |file| file.reopen())
}

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file could not be opened.
    #[error("log file {}: {source}", path.display())]
    Open {
        /// The file as configured.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard error or standard output is closed.
    #[error("the standard stream for the log is closed: {0}")]
    Standard(io::Error),
    /// The process already has a subscriber for its events.
    #[error("the error log of this process has already begun")]
    AlreadyBegun,
}

/// The error log's file, for [`reopen`].
static FILE: OnceLock<Arc<LogFile>> = OnceLock::new();
