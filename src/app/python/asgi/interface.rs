//! Whether an app speaks WSGI or ASGI.

use crate::config::Interface;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// What an app speaks.
pub(in crate::app::python) enum Detected<'py> {
    Wsgi(Bound<'py, PyAny>),
    Asgi(Bound<'py, PyAny>),
}

/// Tells them apart by what the app looks like, unless the configuration says it.
pub(in crate::app::python) fn detect<'py>(
    app: Bound<'py, PyAny>,
    wanted: Interface,
) -> PyResult<Detected<'py>> {
    let py = app.py();
    if wanted == Interface::Wsgi {
        return Ok(Detected::Wsgi(app));
    }
    let code = code(py)?;
    let found: String = code.call_method1("detect", (&app,))?.extract()?;
    match (found.as_str(), wanted) {
        ("asgi2", _) => Ok(Detected::Asgi(code.getattr("DoubleCallable")?.call1((app,))?)),
        ("asgi3", _) | (_, Interface::Asgi) => Ok(Detected::Asgi(app)),
        _ => Ok(Detected::Wsgi(app)),
    }
}

/// The code that looks; compiled once, before the fork where the app is loaded there.
pub(in crate::app::python) fn code(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static CODE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let compile = || {
        let code = pyo3::ffi::c_str!(include_str!("interface.py"));
        PyModule::from_code(py, code, c"<ferricorn: interface.py>", c"ferricorn.interface").map(Bound::unbind)
    };
    CODE.get_or_try_init(py, compile).map(|code| code.bind(py))
}
