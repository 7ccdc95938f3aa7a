//! Whether an app speaks WSGI or ASGI.

use crate::config::Interface;
use pyo3::prelude::*;

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
    let code = pyo3::ffi::c_str!(include_str!("interface.py"));
    let code = PyModule::from_code(py, code, c"interface.py", c"ferricorn.interface")?;
    let found: String = code.call_method1("detect", (&app,))?.extract()?;
    match (found.as_str(), wanted) {
        ("asgi2", _) => Ok(Detected::Asgi(code.getattr("DoubleCallable")?.call1((app,))?)),
        ("asgi3", _) | (_, Interface::Asgi) => Ok(Detected::Asgi(app)),
        _ => Ok(Detected::Wsgi(app)),
    }
}
