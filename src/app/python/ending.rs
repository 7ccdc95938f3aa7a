//! What Python does at its own end: threads are joined, exit handlers run, streams flushed.

use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends the interpreter of this worker; the second time nothing happens.
pub(super) fn end() {
    static ENDED: AtomicBool = AtomicBool::new(false);
    if !ENDED.swap(true, Ordering::Relaxed) {
        Python::attach(|py| {
            if let Err(error) = end_interpreter(py) {
                tracing::error!(traceback = super::describe(py, &error), "an exit handler failed");
            }
        });
    }
}

fn end_interpreter(py: Python<'_>) -> PyResult<()> {
    let code = pyo3::ffi::c_str!(include_str!("ending.py"));
    let ending = PyModule::from_code(py, code, c"<ferricorn: ending.py>", c"ferricorn.ending")?;
    let left: Vec<String> = ending.call_method1("join_threads", (LIMIT,))?.extract()?;
    if !left.is_empty() {
        let left = left.join(", ");
        tracing::warn!(
            "the worker ends without threads of its apps that go on after {LIMIT} s: {left}; end them in an exit handler (atexit), or begin them as daemons"
        );
    }
    let ran = py.import("atexit")?.call_method0("_run_exitfuncs");
    ending.call_method0("flush")?;
    ran.map(drop)
}

/// Seconds that an app's threads have. The master kills a worker that leaves a little later than its limits allow.
const LIMIT: u32 = 5;
