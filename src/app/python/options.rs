//! What a Python app is told, and how its code is found.

use std::path::PathBuf;

/// What a Python app is told, and how its code is found.
#[derive(Debug)]
pub struct Options<'a> {
    /// Directories put on `sys.path` behind the working directory.
    pub path: &'a [PathBuf],
    /// App threads of this worker.
    pub threads: u16,
    /// Slots in service.
    pub workers: u16,
    /// Bytes of a response held for a slow client before the app has to wait.
    pub response_buffer: usize,
}
