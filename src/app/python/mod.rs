//! Python apps: the one folder that names pyo3.
//!
//! - Loading: `load` finds the callable, as `options` says; `preload` does so once for all workers; `module` is what Python imports.
//! - WSGI: `wsgi` makes the call, with `environ` (of `addresses`, `identity`, `input`), `start_response` and `kit`, the objects that are
//!   used again; `answer` and `outgoing` make a response of what comes back (`content`, `file_wrapper`).
//! - ASGI: `asgi`.
//! - A call from outside: `interrupt` looks into it and ends it; `signals` runs the handlers that the app has set.
//! - The site: `django`, its static files; `users`, its users; `drift`, where its settings of tokens differ; `hooks`; `metrics`;
//!   `streams` and `log_stream`, what it prints; `verifier`, tokens judged elsewhere.
//! - The interpreter: `ffi`, the unsafe calls; `panics`, on their way through it; `ending`, what happens at its end.
#![deny(unsafe_code)]

mod addresses;
mod answer;
mod asgi;
mod content;
mod django;
#[cfg(feature = "jwt")]
mod drift;
mod ending;
mod environ;
mod ffi;
mod file_wrapper;
mod hooks;
mod identity;
mod input;
mod interrupt;
mod kit;
#[cfg(any(test, fuzzing))]
pub(crate) mod laws;
mod load;
mod log_stream;
mod metrics;
mod module;
mod options;
mod outgoing;
mod panics;
mod preload;
mod signals;
mod start_response;
mod streams;
#[cfg(feature = "issue")]
mod users;
#[cfg(feature = "jwt")]
mod verifier;
mod wsgi;

pub use asgi::Made;
pub use django::collection;
#[cfg(feature = "jwt")]
pub use drift::drift;
pub use ffi::{fork_hooks, lay_arenas_together};
pub use hooks::{call_hook, end_interpreter};
pub use load::{load, programs};
pub use metrics::adopt_metrics;
pub use options::{Capture, ErrorStream, LoopPlace, Options, WebSocketPlace};
pub use preload::{Loaded, describe_strays, preload};
pub use signals::{heard as heard_signals, run_handlers as run_signal_handlers};
#[cfg(feature = "issue")]
pub use users::users;

use crate::app::calls::Interrupter;
use crate::sys::{self, app_fork};
use interrupt::PythonInterrupter;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyString};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What ends WSGI calls from outside.
///
/// # Errors
/// When the interpreter has no faulthandler, or descriptors have run out.
pub fn interrupter() -> Result<Arc<dyn Interrupter>, PyErr> {
    let interrupter = Python::attach(PythonInterrupter::new)?;
    Ok(Arc::new(interrupter))
}

/// Runs with the interpreter's lock held.
pub fn with_interpreter<T>(run: impl FnOnce() -> T) -> T {
    Python::attach(|_| run())
}

/// Runs without the interpreter's lock, on a thread that holds it.
pub fn without_interpreter<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    Python::attach(|py| py.detach(run))
}

/// The threads of this interpreter besides the main one, by their names.
pub fn other_threads() -> Vec<String> {
    let names = |py: Python<'_>| {
        let threading = py.import("threading")?;
        let main = threading.call_method0("main_thread")?;
        let mut names = Vec::new();
        for thread in threading.call_method0("enumerate")?.try_iter()? {
            let thread = thread?;
            if !thread.is(&main) {
                names.push(thread.getattr("name")?.extract()?);
            }
        }
        Ok::<_, PyErr>(names)
    };
    Python::attach(names).unwrap_or_default()
}

/// Has processes that an app forks from this one (`os.fork`, `multiprocessing`) leave what is the server's. Heard once; a
/// process that is forked by the server has heard it with its parent.
fn leave_worker_in_forks(py: Python<'_>) -> PyResult<()> {
    static HEARD: AtomicBool = AtomicBool::new(false);
    #[pyfunction]
    fn before() {
        app_fork::hold_signals();
    }
    #[pyfunction]
    fn in_parent() {
        app_fork::let_signals_through();
    }
    #[pyfunction]
    fn in_child() {
        app_fork::leave_worker();
        app_fork::let_signals_through();
    }
    if HEARD.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let options = [
        ("before", wrap_pyfunction!(before, py)?),
        ("after_in_parent", wrap_pyfunction!(in_parent, py)?),
        ("after_in_child", wrap_pyfunction!(in_child, py)?),
    ]
    .into_py_dict(py)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&options)).map(drop)
}

/// Ends a process that an app has forked, where it comes back to the server: it must not go on as a second worker.
fn end_if_child() {
    if app_fork::is_child() {
        sys::fork::leave(0);
    }
}

/// Leaves everything that has been made so far out of garbage collections: modules and classes of an app are many and live
/// as long as the worker.
///
/// # Errors
/// What the operator should read.
pub fn freeze() -> Result<(), String> {
    Python::attach(|py| {
        let settle = || {
            let collector = py.import("gc")?;
            // What is garbage already would otherwise stay for ever.
            collector.call_method0("collect")?;
            collector.call_method0("freeze")
        };
        settle().map(drop).map_err(|error| describe(py, &error))
    })
}

/// An exception as Python prints it, traceback and causes included.
fn describe(py: Python<'_>, error: &PyErr) -> String {
    format_exception(py, error).map_or_else(|_| error.to_string(), |text| text.trim_end().to_owned())
}

fn format_exception(py: Python<'_>, error: &PyErr) -> PyResult<String> {
    let parts = (error.get_type(py), error.value(py), error.traceback(py));
    let lines = py.import("traceback")?.call_method1("format_exception", parts)?;
    // As on standard error: what a message may hold of a file's name is in no encoding.
    let text = PyString::new(py, "").call_method1("join", (lines,))?;
    let bytes = text.call_method1("encode", ("utf-8", "backslashreplace"))?;
    Ok(String::from_utf8_lossy(bytes.extract()?).into_owned())
}
