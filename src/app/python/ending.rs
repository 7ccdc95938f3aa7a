//! What Python does at its own end: threads are joined, exit handlers run, streams flushed.

use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Ends the interpreter of this worker, which is killed so much later; the second time nothing happens.
pub(super) fn end(left: Duration) {
    static ENDED: AtomicBool = AtomicBool::new(false);
    if !ENDED.swap(true, Ordering::Relaxed) {
        Python::attach(|py| {
            if let Err(error) = end_interpreter(py, time_for_threads(left)) {
                tracing::error!(traceback = super::describe(py, &error), "an exit handler failed");
            }
        });
    }
}

fn end_interpreter(py: Python<'_>, limit: Duration) -> PyResult<()> {
    let code = pyo3::ffi::c_str!(include_str!("ending.py"));
    let ending = PyModule::from_code(py, code, c"<ferricorn: ending.py>", c"ferricorn.ending")?;
    // Exit handlers run whatever becomes of threads.
    match join_threads(&ending, limit) {
        Ok(left) if left.is_empty() => {}
        Ok(left) => {
            let (left, seconds) = (left.join(", "), (limit.as_secs_f64() * 10.0).round() / 10.0);
            tracing::warn!(
                "the worker ends without threads of its apps that go on after {seconds} s: {left}; end them in an exit handler (atexit), or begin them as daemons"
            );
        }
        Err(error) => {
            let traceback = super::describe(py, &error);
            tracing::error!(traceback, "the worker ends without waiting for threads of its apps");
        }
    }
    let ran = py.import("atexit")?.call_method0("_run_exitfuncs");
    ending.call_method0("flush")?;
    ran.map(drop)
}

/// The names of those that go on when the time is over.
fn join_threads(ending: &Bound<'_, PyModule>, limit: Duration) -> PyResult<Vec<String>> {
    ending.call_method1("join_threads", (limit.as_secs_f64(),))?.extract()
}

/// How long an app's threads are waited for: exit handlers run afterwards, and a worker that is killed runs none.
fn time_for_threads(left: Duration) -> Duration {
    left.saturating_sub(FOR_HANDLERS).min(LONGEST)
}

/// How long an app's threads are waited for at most.
const LONGEST: Duration = Duration::from_secs(5);

/// What is kept of the time for exit handlers.
pub(super) const FOR_HANDLERS: Duration = Duration::from_millis(500);
