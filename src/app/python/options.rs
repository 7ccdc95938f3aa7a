//! What a Python app is told, and how its code is found.

use std::path::PathBuf;

/// What a Python app is told, and how its code is found.
#[derive(Debug)]
pub struct Options<'a> {
    /// Directories put on `sys.path` behind the working directory.
    pub path: &'a [PathBuf],
    /// The worker's slot.
    pub slot: u16,
    /// App threads of this worker.
    pub threads: u16,
    /// Slots in service.
    pub workers: u16,
    /// Bytes of a response held for a slow client before the app has to wait.
    pub response_buffer: usize,
    /// What `wsgi.errors` is.
    pub errors: ErrorStream,
    /// What becomes of what the app prints.
    pub capture: Capture,
}

/// What `wsgi.errors` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorStream {
    /// Standard error, as that is where the error log goes.
    Stderr,
    /// Its lines are entries of the error log.
    Log,
}

/// What becomes of what an app prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// Its lines are entries of the error log.
    On,
    /// It goes to the server's own standard output and standard error.
    Off,
}
