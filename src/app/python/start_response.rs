//! `start_response` (PEP 3333): what the app says before its content.

use super::ffi::native_bytes;
use super::outgoing::{ClientGone, Outgoing, Sent, Way};
use crate::protocol::{Reason, spare_fields};
use crate::sys::field_value::field_value;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, MaxSizeReached};
use http::{HeaderMap, StatusCode};
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// Whether the head cannot be taken back any more.
    pub(super) is_final: bool,
    /// Where content goes once the response has begun.
    pub(super) begun: Option<Arc<Outgoing>>,
    /// How the response can begin; `None` outside of a call.
    pub(super) way: Option<Way>,
    /// The method `write`, where it has been made already.
    pub(super) write: Option<Py<PyAny>>,
}

/// Status and fields.
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) reason: Option<Reason>,
    pub(super) fields: HeaderMap,
    /// What the app's Content-Length says.
    pub(super) length: Option<u64>,
}

impl Said {
    /// The head, which is final from now on.
    pub(super) fn take_head(&mut self) -> PyResult<Head> {
        let missing = || PyAssertionError::new_err("the app did not call start_response (PEP 3333)");
        let head = self.head.take().ok_or_else(missing)?;
        self.is_final = true;
        Ok(head)
    }

    /// Sends the head on its way.
    pub(super) fn begin(&mut self) -> PyResult<Arc<Outgoing>> {
        let head = self.take_head()?;
        let over = || PyRuntimeError::new_err("the response has ended");
        let outgoing = Arc::new(self.way.as_ref().ok_or_else(over)?.begin(head));
        self.begun = Some(Arc::clone(&outgoing));
        Ok(outgoing)
    }
}

impl StartResponse {
    /// Whether content is on its way.
    pub(super) fn has_begun(&self) -> bool {
        self.lock().begun.is_some()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Said> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl StartResponse {
    // PEP 3333 has positions; names are those of wsgiref, which apps use as well.
    #[pyo3(signature = (status, headers, exc_info=None))]
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
            // PEP 3333: once the head has been sent, the app's exception is raised again.
            Some(exc_info) if said.is_final => {
                // Looking it up may be the app's own code, which may write.
                drop(said);
                return Err(PyErr::from_value(exc_info.get_item(1)?));
            }
            None if said.head.is_some() || said.is_final => {
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

    /// Fields of a 103 response, as Gunicorn has it: sent at once to clients that understand it, and nothing once the response has
    /// begun. They are pairs of str, or of bytes.
    fn early_hints(&self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut fields = HeaderMap::new();
        for header in headers.try_iter()? {
            let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = header?.extract()?;
            let value = field_value(Bytes::copy_from_slice(bytes_of(&value)?));
            let value =
                value.ok_or_else(|| PyValueError::new_err("a field value holds a control character"))?;
            let no_name = |_| PyValueError::new_err(format!("{name} is no field name"));
            let name = HeaderName::from_bytes(bytes_of(&name)?).map_err(no_name)?;
            fields.try_append(name, value).map_err(too_many_fields)?;
        }
        let said = self.lock();
        if let Some(way) = said.way.as_ref().filter(|_| !said.is_final) {
            way.hint(fields);
        }
        Ok(())
    }

    /// Content in the old, imperative way. It is on its way when this returns (PEP 3333).
    fn write(&self, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        let piece = data.as_bytes();
        if piece.is_empty() {
            return Ok(());
        }
        let outgoing = {
            let mut said = self.lock();
            match &said.begun {
                Some(outgoing) => Arc::clone(outgoing),
                None if said.way.is_none() => {
                    return Err(PyRuntimeError::new_err("write() was called after the response had ended"));
                }
                None => said.begin()?,
            }
        };
        match outgoing.send(data.py(), piece) {
            Sent::Taken | Sent::Full => Ok(()),
            Sent::Gone => Err(ClientGone::new_err("the client has gone")),
        }
    }
}

pub(super) fn parse_head(status: &Bound<'_, PyString>, headers: &Bound<'_, PyList>) -> PyResult<Head> {
    let (status, reason) = parse_status(status)?;
    let mut fields = spare_fields::take(headers.len()).map_err(too_many_fields)?;
    let mut length = None;
    for header in headers.iter() {
        let pair = header.cast::<PyTuple>().ok().filter(|pair| pair.len() == 2);
        let pair = pair.ok_or_else(|| not_a_pair(&header))?;
        let (name, value) = (pair.get_item(0)?, pair.get_item(1)?);
        let (name, value) = (name.cast::<PyString>()?, value.cast::<PyString>()?);
        let name = native_bytes(name)?
            .and_then(|name| HeaderName::from_bytes(name).ok())
            .ok_or_else(|| PyValueError::new_err(format!("{name} is no field name")))?;
        let value = parse_value(value)?;
        if name == CONTENT_LENGTH {
            let said = another_length(&mut length, &value)?;
            // Once is enough, and in the plain form.
            fields.insert(name, if is_plain(&value) { value } else { HeaderValue::from(said) });
            continue;
        }
        fields.try_append(name, value).map_err(too_many_fields)?;
    }
    Ok(Head { status, reason, fields, length })
}

/// A status, and its reason phrase where that is not the usual one.
fn parse_status(status: &Bound<'_, PyString>) -> PyResult<(StatusCode, Option<Reason>)> {
    let text = native_bytes(status)?.unwrap_or_default();
    let (code, reason) = text.split_at_checked(3).unwrap_or((text, b""));
    let reason = reason.strip_prefix(b" ").or_else(|| reason.is_empty().then_some(reason));
    let code = StatusCode::from_bytes(code).ok().filter(|code| !code.is_informational());
    let (Some(code), Some(reason)) = (code, reason) else {
        let problem = "does not begin with a final status code, or has a character beyond latin-1";
        return Err(PyValueError::new_err(format!("the status {status:?} {problem}")));
    };
    if code.canonical_reason().is_some_and(|usual| usual.as_bytes() == reason) {
        return Ok((code, None));
    }
    let reason = Reason::new(reason.to_vec());
    let problem =
        || PyValueError::new_err(format!("the reason phrase of {status:?} holds a control character"));
    Ok((code, Some(reason.ok_or_else(problem)?)))
}

/// What a Content-Length says, which is what those before it have said.
pub(super) fn another_length(before: &mut Option<u64>, value: &HeaderValue) -> PyResult<u64> {
    let said = content_length(value)?;
    if before.replace(said).is_some_and(|before| before != said) {
        return Err(PyValueError::new_err("there are two Content-Length fields, and they differ"));
    }
    Ok(said)
}

/// RFC 9110 8.6: digits. Anything else would have client and server read different responses.
fn content_length(value: &HeaderValue) -> PyResult<u64> {
    let digits = value.as_bytes().trim_ascii();
    let number = digits.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    });
    number
        .filter(|_| !digits.is_empty())
        .ok_or_else(|| PyValueError::new_err(format!("the Content-Length {value:?} is no number of bytes")))
}

/// Whether a number is written as HTTP has it, without spaces around it and zeros before it.
pub(super) fn is_plain(number: &HeaderValue) -> bool {
    match number.as_bytes() {
        [b'0'] => true,
        [b'0', ..] => false,
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

/// The bytes of a name or a value that may be either.
fn bytes_of<'a>(text: &'a Bound<'_, PyAny>) -> PyResult<&'a [u8]> {
    if let Ok(bytes) = text.cast::<PyBytes>() {
        return Ok(bytes.as_bytes());
    }
    let beyond = || PyValueError::new_err(format!("{text:?} holds a character beyond latin-1"));
    native_bytes(text.cast::<PyString>()?)?.ok_or_else(beyond)
}

/// A field value: a native string, in which CR, LF and NUL would forge further fields.
fn parse_value(value: &Bound<'_, PyString>) -> PyResult<HeaderValue> {
    let parsed = native_bytes(value)?.and_then(|value| field_value(Bytes::copy_from_slice(value)));
    let problem = "holds a control character or one beyond latin-1";
    parsed.ok_or_else(|| PyValueError::new_err(format!("the field value {value:?} {problem}")))
}

/// A response can have some 24,000 fields.
pub(super) fn too_many_fields(_: MaxSizeReached) -> PyErr {
    PyValueError::new_err("there are too many fields")
}

fn not_a_pair(header: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!("headers are (name, value) tuples of str, not {header:?}"))
}
