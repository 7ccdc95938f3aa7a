//! Handlers that an app has set by `signal.signal`.
//!
//! CPython notes a signal and runs its handler in the main thread, at the next step of Python code there. In a worker
//! that has nothing to do there is no such step: the note is heard through a pipe (`signal.set_wakeup_fd`).

use super::panics;
use pyo3::prelude::*;
use pyo3::types::IntoPyDict;
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;

/// What becomes readable when a signal has come for which the app has a handler.
///
/// To be called in the main thread.
///
/// # Errors
/// When descriptors have run out.
pub fn heard() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    writer.set_nonblocking(true)?;
    Python::attach(|py| {
        let options = [("warn_on_full_buffer", false)].into_py_dict(py)?;
        // Python's from now on, and open as long as this process lives.
        let writer = (writer.into_raw_fd(),);
        py.import("signal")?.call_method("set_wakeup_fd", writer, Some(&options)).map(drop)
    })
    .map_err(|error: PyErr| io::Error::other(error.to_string()))?;
    Ok(reader)
}

/// Runs the handlers of the signals that have come. To be called in the main thread.
pub fn run_handlers() {
    Python::attach(|py| {
        if let Err(error) = panics::caught(|| py.check_signals()) {
            tracing::error!(traceback = super::describe(py, &error), "a signal handler of the app failed");
        }
    });
}
