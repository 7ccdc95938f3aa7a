//! Apps loaded once, in a process from which the workers are forked.

use super::asgi::interface_code;
use super::load::{find, prepare};
use super::{describe, django};
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The callables of the apps that were loaded before the fork, by their targets.
pub struct Loaded(BTreeMap<String, Py<PyAny>>);

/// Loads every target; also tells, each in words, what the apps have begun by it that does not survive a fork.
///
/// # Errors
/// What the operator should read, as for [`load`](super::load()).
pub fn preload<'a>(
    targets: impl Iterator<Item = &'a str>,
    path: &[PathBuf],
) -> Result<(Loaded, Vec<String>), String> {
    Python::attach(|py| {
        let said = |error: PyErr| describe(py, &error);
        prepare(py, path).map_err(said)?;
        let watch = audit(py).and_then(|audit| audit.getattr("Watch")?.call0()).map_err(said)?;
        let mut apps = BTreeMap::new();
        for target in targets {
            if !apps.contains_key(target) {
                apps.insert(target.to_owned(), find(py, target)?.unbind());
            }
        }
        // What each worker would otherwise make for itself.
        interface_code(py).and_then(|_| py.import("faulthandler")).map_err(said)?;
        django::complete(py).map_err(|error| format!("the Django project:\n{}", describe(py, &error)))?;
        let strays = watch.call_method0("strays").and_then(|strays| strays.extract()).map_err(said)?;
        // Whatever runs from here on writes to what the workers will share.
        settling(py).and_then(|settling| settling.call_method0("settle")).map_err(said)?;
        Ok((Loaded(apps), strays))
    })
}

/// What does not survive the fork, and what to do about it.
pub fn describe_strays(strays: &[String]) -> String {
    let advice = "workers are forked without the threads and share the connections; begin them at the first request, or in \
                  os.register_at_fork(after_in_child=...)";
    format!(
        "what the apps have begun while they were loaded does not survive the fork: {}; {advice}",
        strays.join("; ")
    )
}

impl Loaded {
    /// The callable of a target.
    pub(super) fn find<'py>(&self, py: Python<'py>, target: &str) -> Option<Bound<'py, PyAny>> {
        self.0.get(target).map(|app| app.bind(py).clone())
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn audit(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    let code = pyo3::ffi::c_str!(include_str!("fork_audit.py"));
    PyModule::from_code(py, code, c"<ferricorn: fork_audit.py>", c"ferricorn.fork_audit")
}

fn settling(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    let code = pyo3::ffi::c_str!(include_str!("preload_settle.py"));
    PyModule::from_code(py, code, c"<ferricorn: preload_settle.py>", c"ferricorn.preload_settle")
}
