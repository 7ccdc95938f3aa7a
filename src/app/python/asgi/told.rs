//! What an app is told: the messages that `receive()` gives.

use super::super::ffi;
use crate::protocol::More;
use crate::protocol::websocket::{Close, Message};
use bytes::Bytes;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// What has arrived of a content.
pub(super) struct Arrived(pub(super) Bytes, pub(super) More);

impl Arrived {
    pub(super) fn message(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        request_message(py, &self.0, self.1 == More::Follows)
    }
}

/// What comes to a WebSocket.
pub(super) enum Event {
    Message(Message),
    Disconnect(Close),
}

impl Event {
    pub(super) fn into_message(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let told: Bound<'_, PyDict> = match self {
            Self::Message(content) => {
                let told = message(py, intern!(py, "websocket.receive"))?;
                match content {
                    // It was judged when it came.
                    Message::Text(text) => {
                        told.set_item(intern!(py, "text"), PyString::from_bytes(py, &text)?)?;
                    }
                    Message::Binary(bytes) => {
                        told.set_item(intern!(py, "bytes"), ffi::bytes(py, &bytes)?)?;
                    }
                }
                told
            }
            Self::Disconnect(close) => {
                let told = message(py, intern!(py, "websocket.disconnect"))?;
                told.set_item(intern!(py, "code"), close.code)?;
                told.set_item(intern!(py, "reason"), close.reason)?;
                told
            }
        };
        Ok(told.into_any().unbind())
    }
}

/// A piece of content.
pub(super) fn request_message(py: Python<'_>, body: &[u8], has_more: bool) -> PyResult<Py<PyAny>> {
    let message = message(py, intern!(py, "http.request"))?;
    message.set_item(intern!(py, "body"), ffi::bytes(py, body)?)?;
    message.set_item(intern!(py, "more_body"), has_more)?;
    Ok(message.into_any().unbind())
}

/// The end of a request.
pub(super) fn disconnect(py: Python<'_>) -> PyResult<Py<PyAny>> {
    Ok(message(py, intern!(py, "http.disconnect"))?.into_any().unbind())
}

/// There is a client that would open a WebSocket.
pub(super) fn connect(py: Python<'_>) -> PyResult<Py<PyAny>> {
    Ok(message(py, intern!(py, "websocket.connect"))?.into_any().unbind())
}

/// A message of this type, without further members.
fn message<'py>(py: Python<'py>, kind: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyDict>> {
    let message = PyDict::new(py);
    message.set_item(intern!(py, "type"), kind)?;
    Ok(message)
}
