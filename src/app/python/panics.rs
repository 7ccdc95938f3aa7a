//! Panics on their way through Python: there they are exceptions, and panics again once they are back in Rust.

use crate::telemetry::panics;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs code that calls Python. A panic is counted, and an exception as any other from here on: what the request has begun is
/// ended in order.
///
/// # Errors
/// What the code has raised.
pub(super) fn caught<T>(run: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        panics::caught();
        Err(PanicException::new_err(panics::text(&*panic).to_owned()))
    })
}

/// Counts an exception that is a panic, where Python has had it last.
pub(super) fn count(py: Python<'_>, error: &PyErr) {
    if is_one(py, error) {
        panics::caught();
    }
}

/// Whether an exception is a panic.
pub(super) fn is_one(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PanicException>(py)
}
