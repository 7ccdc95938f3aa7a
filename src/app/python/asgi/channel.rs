//! `receive` and `send`, as the app gets them.

use super::awaitable::{Awaitable, Source};
use super::http::Http;
use super::socket::Socket;
use super::{course, send, socket_send};
use pyo3::prelude::*;
use std::sync::Arc;

/// What `receive` and `send` of one request are methods of.
///
/// Methods, and not objects to call: the interpreter enters a built-in method without making a tuple of the arguments.
#[pyclass(frozen, name = "Request", module = "ferricorn")]
pub(super) struct Channel {
    http: Arc<Http>,
    /// What is awaited where there is nothing to wait for.
    nothing: Py<Awaitable>,
}

impl Channel {
    pub(super) fn new(http: Arc<Http>, nothing: Py<Awaitable>) -> Self {
        Self { http, nothing }
    }
}

#[pymethods]
impl Channel {
    fn receive(&self) -> Awaitable {
        Awaitable::asked(Source::Http(Arc::clone(&self.http)))
    }

    #[pyo3(signature = (message, /))]
    fn send(&self, message: &Bound<'_, PyAny>) -> PyResult<Py<Awaitable>> {
        let py = message.py();
        match send::send(&self.http, py, message) {
            Ok(None) => Ok(self.nothing.clone_ref(py)),
            Ok(Some(awaitable)) => Py::new(py, awaitable),
            Err(error) => Py::new(py, Awaitable::failed(error)),
        }
    }

    /// Told that the task has ended.
    #[pyo3(signature = (task, /))]
    fn ended(&self, task: &Bound<'_, PyAny>) {
        course::end_in_order(&self.http, task);
    }
}

/// The same for a WebSocket.
#[pyclass(frozen, name = "WebSocket", module = "ferricorn")]
pub(super) struct SocketChannel {
    socket: Arc<Socket>,
    /// What is awaited where there is nothing to wait for.
    nothing: Py<Awaitable>,
}

impl SocketChannel {
    pub(super) fn new(socket: Arc<Socket>, nothing: Py<Awaitable>) -> Self {
        Self { socket, nothing }
    }
}

#[pymethods]
impl SocketChannel {
    fn receive(&self) -> Awaitable {
        Awaitable::asked(Source::Socket(Arc::clone(&self.socket)))
    }

    #[pyo3(signature = (message, /))]
    fn send(&self, message: &Bound<'_, PyAny>) -> PyResult<Py<Awaitable>> {
        let py = message.py();
        match socket_send::send(&self.socket, py, message) {
            Ok(None) => Ok(self.nothing.clone_ref(py)),
            Ok(Some(awaitable)) => Py::new(py, awaitable),
            Err(error) => Py::new(py, Awaitable::failed(error)),
        }
    }

    /// Told that the task has ended.
    #[pyo3(signature = (task, /))]
    fn ended(&self, task: &Bound<'_, PyAny>) {
        course::end_in_order(&self.socket, task);
    }
}
