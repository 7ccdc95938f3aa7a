//! What an app sends, taken apart: everything that is wrong is said to the app, where it has sent it.

use super::super::start_response::{another_length, is_plain, too_many_fields};
use crate::protocol::spare_fields;
use crate::sys::field_value::field_value;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyMemoryView, PyString, PyTuple};

/// The `type` of a message, and the message as the dict that it has to be.
pub(super) fn kind<'a, 'py>(
    message: &'a Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyString>, &'a Bound<'py, PyDict>)> {
    let message = message.cast::<PyDict>().map_err(|_| {
        PyTypeError::new_err(format!("an ASGI message is a dict, not {}", message.get_type()))
    })?;
    let kind = message.get_item(intern!(message.py(), "type"))?;
    let kind = kind.ok_or_else(|| PyValueError::new_err("an ASGI message needs \"type\""))?;
    match kind.cast_into::<PyString>() {
        Ok(kind) => Ok((kind, message)),
        Err(_) => Err(PyTypeError::new_err("the \"type\" of an ASGI message is a str")),
    }
}

/// A member that must be there.
pub(super) fn required<'py>(
    message: &Bound<'py, PyDict>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    message
        .get_item(name)?
        .ok_or_else(|| PyValueError::new_err(format!("the ASGI message needs \"{name}\": {message}")))
}

/// A member that is true or false, and false where it is missing.
pub(super) fn flag<'py>(message: &Bound<'py, PyDict>, name: &Bound<'py, PyString>) -> PyResult<bool> {
    match message.get_item(name)? {
        None => Ok(false),
        Some(value) => value.is_truthy(),
    }
}

/// The status code of a final response.
pub(super) fn status(message: &Bound<'_, PyDict>) -> PyResult<StatusCode> {
    let py = message.py();
    let status = required(message, intern!(py, "status"))?;
    let number: u16 = status
        .extract()
        .map_err(|_| PyTypeError::new_err(format!("\"status\" is an int from 200 to 999, not {status:?}")))?;
    StatusCode::from_u16(number)
        .ok()
        .filter(|status| !status.is_informational())
        .ok_or_else(|| PyValueError::new_err(format!("{number} is no status code of a final response")))
}

/// Fields: an iterable of pairs of bytes.
pub(super) fn fields<'py>(message: &Bound<'py, PyDict>, name: &Bound<'py, PyString>) -> PyResult<HeaderMap> {
    let Some(headers) = message.get_item(name)? else { return Ok(HeaderMap::new()) };
    if let Ok(list) = headers.cast::<PyList>() {
        let mut fields = spare_fields::take(list.len()).map_err(too_many_fields)?;
        for pair in list.iter() {
            append(&mut fields, &pair)?;
        }
        return Ok(fields);
    }
    let mut fields = HeaderMap::new();
    let pairs = headers.try_iter().map_err(|_| {
        PyTypeError::new_err(format!(
            "\"{name}\" is an iterable of (name, value), not {}",
            headers.get_type()
        ))
    })?;
    for pair in pairs {
        append(&mut fields, &pair?)?;
    }
    Ok(fields)
}

fn append(fields: &mut HeaderMap, pair: &Bound<'_, PyAny>) -> PyResult<()> {
    let (name, value) = if let Ok(pair) = pair.cast::<PyTuple>()
        && pair.len() == 2
    {
        (pair.get_item(0)?, pair.get_item(1)?)
    } else if pair.is_instance_of::<PyBytes>() {
        // Bytes of two letters would pass for a pair of numbers.
        return Err(not_a_pair(pair));
    } else {
        let mut items = pair.try_iter().map_err(|_| not_a_pair(pair))?;
        match (items.next(), items.next(), items.next()) {
            (Some(name), Some(value), None) => (name?, value?),
            (_, _, _) => return Err(not_a_pair(pair)),
        }
    };
    let (Ok(name), Ok(value)) = (name.cast::<PyBytes>(), value.cast::<PyBytes>()) else {
        return Err(PyTypeError::new_err(format!("header names and values are bytes, not {pair:?}")));
    };
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| PyValueError::new_err(format!("{name:?} is no field name")))?;
    let value = field_value(Bytes::copy_from_slice(value.as_bytes())).ok_or_else(|| {
        PyValueError::new_err(format!("the field value {value:?} holds a control character"))
    })?;
    fields.try_append(name, value).map(drop).map_err(too_many_fields)
}

/// What the Content-Length of fields says, if there is one: afterwards it is there once, in the plain form.
pub(super) fn length(fields: &mut HeaderMap) -> PyResult<Option<u64>> {
    let (mut length, mut is_settled) = (None, true);
    for value in fields.get_all(CONTENT_LENGTH) {
        is_settled &= length.is_none() && is_plain(value);
        another_length(&mut length, value)?;
    }
    if let Some(length) = length.filter(|_| !is_settled) {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(length)
}

fn not_a_pair(pair: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!("headers are pairs (name, value) of bytes, not {pair:?}"))
}

/// Content: bytes, or what holds bytes; nothing where it is missing.
pub(super) fn content<'py>(message: &Bound<'py, PyDict>, name: &Bound<'py, PyString>) -> PyResult<Bytes> {
    match message.get_item(name)? {
        None => Ok(Bytes::new()),
        Some(content) => bytes(&content, name),
    }
}

/// The bytes of an object that holds bytes.
pub(super) fn bytes<'py>(content: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> PyResult<Bytes> {
    if let Ok(bytes) = content.cast::<PyBytes>() {
        return Ok(super::super::content::content(bytes));
    }
    if let Ok(bytes) = content.cast::<PyByteArray>() {
        return Ok(bytes.to_vec().into());
    }
    if content.is_instance_of::<PyMemoryView>() {
        let bytes = content.call_method0(intern!(content.py(), "tobytes"))?;
        return Ok(Bytes::copy_from_slice(bytes.cast::<PyBytes>()?.as_bytes()));
    }
    Err(PyTypeError::new_err(format!("\"{name}\" is bytes, not {}", content.get_type())))
}
