//! Python apps: the one folder that names pyo3.
#![deny(unsafe_code)]

mod answer;
mod environ;
mod ffi;
mod identity;
mod input;
mod load;
mod module;
mod start_response;
mod wsgi;

pub use ffi::fork_hooks;
pub use load::{Options, load};

use pyo3::prelude::*;
use pyo3::types::PyTraceback;

/// Runs with the interpreter's lock held.
pub fn with_interpreter<T>(run: impl FnOnce() -> T) -> T {
    Python::attach(|_| run())
}

/// Runs without the interpreter's lock, on a thread that holds it.
pub fn without_interpreter<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    Python::attach(|py| py.detach(run))
}

/// An exception as Python prints it, traceback included.
fn describe(py: Python<'_>, error: &PyErr) -> String {
    let traceback = error.traceback(py).and_then(|traceback: Bound<'_, PyTraceback>| traceback.format().ok());
    let chained = py
        .import("traceback")
        .and_then(|module| {
            module
                .call_method1("format_exception", (error.get_type(py), error.value(py), error.traceback(py)))
        })
        .and_then(|lines| lines.extract::<Vec<String>>())
        .map(|lines| lines.concat());
    chained.unwrap_or_else(|_| format!("{}{error}", traceback.unwrap_or_default())).trim_end().to_owned()
}
