//! Callables of the site that are told what happens to workers.

use super::load::{find, prepare};
use super::{describe, ending};
use crate::contract::hook::HookCall;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use std::time::Duration;

/// Calls one of them.
///
/// # Errors
/// What the operator should read: the traceback.
pub fn call_hook(target: &str, path: &[PathBuf], call: &HookCall) -> Result<(), String> {
    Python::attach(|py| {
        prepare(py, path).map_err(|error| describe(py, &error))?;
        let hook = find(py, target)?;
        let called = told(py, call).and_then(|told| hook.call1((told,)));
        called.map(drop).map_err(|error| format!("{target} raised an exception\n{}", describe(py, &error)))
    })
}

/// Ends the interpreter of a process that was there for a hook alone, whose time is longer than an end takes.
pub fn end_interpreter() {
    ending::end(Duration::MAX);
}

/// What a hook gets: an object with attributes.
fn told<'py>(py: Python<'py>, call: &HookCall) -> PyResult<Bound<'py, PyAny>> {
    let facts = PyDict::new(py);
    let worker = call.worker.as_ref();
    facts.set_item("hook", call.event.name())?;
    facts.set_item("slot", worker.map(|worker| worker.slot.0))?;
    facts.set_item("pid", worker.map(|worker| worker.pid))?;
    facts.set_item("generation", worker.map(|worker| worker.generation.0))?;
    let end = worker.map(|worker| worker.end.as_str()).filter(|end| !end.is_empty());
    facts.set_item("reason", end)?;
    py.import("types")?.getattr("SimpleNamespace")?.call((), Some(&facts))
}
