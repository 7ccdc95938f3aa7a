//! `environ["ferricorn.jwt"]`: what a verified token says, made into Python objects when it is read.

use crate::protocol::Identity;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// A mapping: claims, header, provider, kid, expires.
#[pyclass(frozen, mapping, name = "Jwt", module = "ferricorn")]
pub(super) struct Jwt {
    identity: Arc<Identity>,
    built: PyOnceLock<Py<PyDict>>,
}

impl Jwt {
    pub(super) fn new(identity: Arc<Identity>) -> Self {
        Self { identity, built: PyOnceLock::new() }
    }

    fn dict<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyDict>> {
        Ok(self.built.get_or_try_init(py, || self.build(py))?.bind(py))
    }

    fn build(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        let loads = py.import("json")?.getattr("loads")?;
        let dict = PyDict::new(py);
        dict.set_item("claims", loads.call1((&self.identity.claims_json[..],))?)?;
        dict.set_item("header", loads.call1((&self.identity.header_json[..],))?)?;
        dict.set_item("provider", &*self.identity.provider)?;
        dict.set_item("kid", self.identity.kid.as_deref())?;
        let expires = self.identity.expires.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        dict.set_item("expires", expires)?;
        Ok(dict.unbind())
    }
}

/// Has `isinstance(token, collections.abc.Mapping)` say what is so.
pub(super) fn register_as_mapping(py: Python<'_>) -> PyResult<()> {
    let mapping = py.import("collections.abc")?.getattr("Mapping")?;
    mapping.call_method1("register", (py.get_type::<Jwt>(),)).map(drop)
}

#[pymethods]
impl Jwt {
    fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.dict(py)?.as_any().get_item(key)
    }

    fn __contains__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.dict(py)?.contains(key)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.dict(py)?.len())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.dict(py)?.try_iter()?.into_any())
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.dict(py)?.repr()
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.dict(py)?.eq(other)
    }

    /// What `copy` and `pickle` make: a dict of the same content, since only the server's own word is of this class.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyType>, (Bound<'py, PyDict>,))> {
        let dict = self.dict(py)?;
        Ok((dict.get_type(), (dict.copy()?,)))
    }

    /// `get`, `keys`, `items`, `values`: as dict has them.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.dict(py)?.getattr(name)
    }
}
