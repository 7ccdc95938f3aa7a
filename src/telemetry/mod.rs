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
pub(crate) mod panics;

pub(crate) use clock::Stamp;
#[cfg(feature = "cli")]
pub(crate) use escape::push_text;
pub(crate) use escape::{Within, push, push_bytes};
pub(crate) use log_file::LogFile;

use crate::config::Log;
#[cfg(feature = "cli")]
use error_log::{ErrorLog, Exchange, Present};
use std::io;
use std::path::PathBuf;
#[cfg(feature = "cli")]
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A text as events have it: what stands in its line, and what goes into the field `traceback`, if it goes on.
pub(crate) fn parts(text: &str) -> (&str, Option<&str>) {
    text.split_once('\n').map_or((text, None), |(first, rest)| (first, Some(rest)))
}

/// Begins the error log of this process and of those it forks. Needs the feature `cli`.
///
/// A program that embeds the server calls it or brings a `tracing` subscriber of its own. Call it once, before the first
/// fork.
///
/// # Errors
/// [`LogError`] when the log cannot be opened, or when the process already has a subscriber.
#[cfg(feature = "cli")]
pub fn init(log: &Log) -> Result<(), LogError> {
    let error_log = ErrorLog::open(log)?;
    let file = error_log.as_ref().map(|error_log| Arc::clone(error_log.file()));
    let (subscriber, exchange) = Present(error_log).into_subscriber();
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::AlreadyBegun)?;
    // Only the one call that installed its subscriber gets here.
    CURRENT.get_or_init(|| Mutex::new(Current { log: log.clone(), file, exchange }));
    Ok(())
}

/// Goes on as another configuration has it; nothing happens where nothing has changed, or where the subscriber is a
/// program's own.
///
/// # Errors
/// [`LogError`]: the present log stays in use.
#[cfg(feature = "cli")]
pub fn adopt(log: &Log) -> Result<(), LogError> {
    let Some(current) = CURRENT.get() else { return Ok(()) };
    let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
    let is_same = |one: &Log, other: &Log| {
        (one.level, one.format, &one.error) == (other.level, other.format, &other.error)
    };
    if is_same(&current.log, log) {
        return Ok(());
    }
    let error_log = ErrorLog::open(log)?;
    let file = error_log.as_ref().map(|error_log| Arc::clone(error_log.file()));
    current.exchange.reload(Present(error_log)).map_err(|_| LogError::AlreadyBegun)?;
    (current.log, current.file) = (log.clone(), file);
    Ok(())
}

/// Does nothing: without the feature `cli` the subscriber is the program's own.
///
/// # Errors
/// None.
#[cfg(not(feature = "cli"))]
pub fn adopt(_: &Log) -> Result<(), LogError> {
    Ok(())
}

/// Goes on in the file that the error log's path names now; nothing happens without a file.
///
/// Master and workers may call it at any time after the fork. A worker that runs as
/// another user than the master must be allowed to write the new file, or it stays with the old one:
/// have it made by whoever moves the old one away (logrotate: `create 0640 USER GROUP`).
///
/// # Errors
/// [`LogError::Open`]: the old file stays in use. Log it and go on.
pub fn reopen() -> Result<(), LogError> {
    #[cfg(feature = "cli")]
    if let Some(current) = CURRENT.get() {
        let current = current.lock().unwrap_or_else(PoisonError::into_inner);
        return current.file.as_ref().map_or(Ok(()), |file| file.reopen());
    }
    Ok(())
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

/// The error log that this process has begun.
#[cfg(feature = "cli")]
#[derive(Debug)]
struct Current {
    log: Log,
    /// `None` when it is off.
    file: Option<Arc<LogFile>>,
    exchange: Exchange,
}

#[cfg(feature = "cli")]
static CURRENT: OnceLock<Mutex<Current>> = OnceLock::new();
