//! `start_response` (PEP 3333): what the app says before its content.

use crate::protocol::Reason;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What `start_response` and `write` of one call are methods of.
///
/// Methods, and not an object to call: the interpreter enters a built-in method without making a tuple of the
/// arguments.
#[pyclass(frozen, name = "StartResponse", module = "ferricorn")]
#[derive(Default)]
pub(super) struct StartResponse {
    state: Mutex<Said>,
}

/// What the app has said so far.
#[derive(Default)]
pub(super) struct Said {
    pub(super) head: Option<Head>,
    /// Content given to `write()`.
    pub(super) written: Vec<u8>,
    /// Whether the head is on its way and cannot be taken back.
    pub(super) sent: bool,
    /// Whether the response is given piece by piece and has begun.
    pub(super) begun: bool,
    /// The method `write`, where it has been made already.
    pub(super) write: Option<Py<PyAny>>,
}

/// Status and fields.
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) reason: Option<Reason>,
    pub(super) fields: HeaderMap,
}

impl StartResponse {
    pub(super) fn lock(&self) -> MutexGuard<'_, Said> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, headers, exc_info=None, /))]
    fn start_response(
        this: &Bound<'_, Self>,
        status: &Bound<'_, PyString>,
        headers: &Bound<'_, PyList>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = this.py();
        let head = parse_head(status, headers)?;
        let mut said = this.get().lock();
        match exc_info.filter(|exc_info| !exc_info.is_none()) {
            // PEP 3333: once the head has been sent, the app's exception is raised again. What was given to
            // write() belongs to the first head, so it counts as sent.
            Some(exc_info) if said.sent || !said.written.is_empty() => {
                let exception = exc_info.get_item(1)?;
                drop(said);
                return Err(PyErr::from_value(exception));
            }
            None if said.head.is_some() => {
                return Err(PyAssertionError::new_err(
                    "start_response was called again without exc_info (PEP 3333)",
                ));
            }
            Some(_) | None => said.head = Some(head),
        }
        match &said.write {
            Some(write) => Ok(write.clone_ref(py)),
            None => {
                drop(said);
                Ok(this.getattr(pyo3::intern!(py, "write"))?.unbind())
            }
        }
    }

    /// Content in the old, imperative way.
    fn write(&self, data: &Bound<'_, PyBytes>) {
        self.lock().written.extend_from_slice(data.as_bytes());
    }
}

fn parse_head(status: &Bound<'_, PyString>, headers: &Bound<'_, PyList>) -> PyResult<Head> {
    let text = status.to_str()?;
    let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
    let status = (code.len() == 3)
        .then(|| StatusCode::from_bytes(code.as_bytes()).ok())
        .flatten()
        .filter(|code| !code.is_informational())
        .ok_or_else(|| {
            PyValueError::new_err(format!("the status {text:?} does not begin with a final status code"))
        })?;
    let reason = if status.canonical_reason() == Some(reason) { None } else { Some(parse_reason(reason)?) };
    let mut fields = HeaderMap::with_capacity(headers.len());
    for header in headers.iter() {
        let pair = header.cast::<PyTuple>().ok().filter(|pair| pair.len() == 2);
        let pair = pair.ok_or_else(|| not_a_pair(&header))?;
        let (name, value) = (pair.get_item(0)?, pair.get_item(1)?);
        let (name, value) = (name.cast::<PyString>()?, value.cast::<PyString>()?);
        let name = HeaderName::from_bytes(name.to_str()?.as_bytes())
            .map_err(|_| PyValueError::new_err(format!("{name} is no field name")))?;
        fields.append(name, field_value(value)?);
    }
    Ok(Head { status, reason, fields })
}

fn parse_reason(reason: &str) -> PyResult<Reason> {
    Reason::new(reason).ok_or_else(|| {
        PyValueError::new_err(format!("the reason phrase {reason:?} holds a control character"))
    })
}

/// A field value: a native string, in which CR, LF and NUL would forge further fields.
fn field_value(value: &Bound<'_, PyString>) -> PyResult<HeaderValue> {
    let text = value.to_str()?;
    let parsed = if text.is_ascii() {
        HeaderValue::from_str(text).ok()
    } else {
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
        bytes.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok())
    };
    parsed.ok_or_else(|| {
        PyValueError::new_err(format!(
            "the field value {text:?} holds a control character or one beyond latin-1"
        ))
    })
}

fn not_a_pair(header: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!("headers are (name, value) tuples of str, not {header:?}"))
}
