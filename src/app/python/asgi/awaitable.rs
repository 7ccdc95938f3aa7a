//! What `receive` and `send` give to be awaited: mostly something that is there already.
//!
//! A coroutine would have to be made, and a future would have to go round the event loop. This is neither, and costs
//! next to nothing; it still passes for a coroutine, since apps also give it to `asyncio.create_task`.

use super::http::Http;
use super::socket::Socket;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// Something to be awaited.
#[pyclass(frozen, name = "Awaitable", module = "ferricorn")]
pub(super) struct Awaitable {
    state: Mutex<State>,
}

enum State {
    /// There is nothing to wait for, and nothing to be had; as often as one likes.
    Nothing,
    /// A message is taken once it is awaited: a task that is cancelled before its first step must not take one with it.
    Asked(Source),
    /// Its value is there.
    Ready(Py<PyAny>),
    /// There is no value, and this is why: a coroutine would say so when it is awaited, not before.
    Failed(PyErr),
    /// Its value will be that of a future of the event loop.
    Future(Py<PyAny>),
    /// The same, begun: the future's own iterator.
    Waiting(Py<PyAny>),
    /// It has been awaited.
    Over,
}

/// Where messages come from.
pub(super) enum Source {
    Http(Arc<Http>),
    Socket(Arc<Socket>),
}

impl Awaitable {
    pub(super) fn asked(source: Source) -> Self {
        Self { state: Mutex::new(State::Asked(source)) }
    }

    pub(super) fn nothing() -> Self {
        Self { state: Mutex::new(State::Nothing) }
    }

    pub(super) fn ready(value: Py<PyAny>) -> Self {
        Self { state: Mutex::new(State::Ready(value)) }
    }

    pub(super) fn failed(error: PyErr) -> Self {
        Self { state: Mutex::new(State::Failed(error)) }
    }

    pub(super) fn future(future: Py<PyAny>) -> Self {
        Self { state: Mutex::new(State::Future(future)) }
    }

    /// Takes the state; whoever is asked by two tasks at once answers one of them.
    fn take(&self) -> State {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Nothing => State::Nothing,
            State::Asked(_)
            | State::Ready(_)
            | State::Failed(_)
            | State::Future(_)
            | State::Waiting(_)
            | State::Over => std::mem::replace(&mut *state, State::Over),
        }
    }

    fn put(&self, back: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = back;
    }

    /// One step of a future's iterator, by a method of it.
    fn step<'py>(
        &self,
        iterator: Bound<'py, PyAny>,
        step: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let yielded = step(&iterator)?;
        self.put(State::Waiting(iterator.unbind()));
        Ok(yielded)
    }
}

#[pymethods]
impl Awaitable {
    fn __await__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    /// `None`: it ends without a value, which needs no exception.
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let iterator = match self.take() {
            State::Nothing => return Ok(None),
            State::Asked(source) => {
                self.put(source.receive(py)?.take());
                return self.__next__(py);
            }
            State::Ready(value) => return Err(PyStopIteration::new_err((value,))),
            State::Failed(error) => return Err(error),
            State::Future(future) => future.bind(py).call_method0(intern!(py, "__await__"))?,
            State::Waiting(iterator) => iterator.into_bound(py),
            State::Over => return Err(awaited_again()),
        };
        self.step(iterator, |iterator| iterator.call_method0(intern!(py, "__next__"))).map(Some)
    }

    fn send<'py>(&self, py: Python<'py>, _value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.__next__(py)?.ok_or_else(|| PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (*exception))]
    fn throw<'py>(&self, exception: &Bound<'py, pyo3::types::PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let py = exception.py();
        match self.take() {
            State::Waiting(iterator) => self.step(iterator.into_bound(py), |iterator| {
                iterator.call_method1(intern!(py, "throw"), exception.clone())
            }),
            State::Nothing
            | State::Asked(_)
            | State::Ready(_)
            | State::Failed(_)
            | State::Future(_)
            | State::Over => {
                let exception = exception.get_item(0)?;
                let exception = if exception.is_callable() { exception.call0()? } else { exception };
                Err(PyErr::from_value(exception))
            }
        }
    }

    /// Whoever waits for its future waits no longer.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.take() {
            State::Waiting(iterator) => iterator.bind(py).call_method0(intern!(py, "close")).map(drop),
            State::Nothing
            | State::Asked(_)
            | State::Ready(_)
            | State::Failed(_)
            | State::Future(_)
            | State::Over => Ok(()),
        }
    }
}

impl Source {
    fn receive(&self, py: Python<'_>) -> PyResult<Awaitable> {
        match self {
            Self::Http(http) => http.receive(py),
            Self::Socket(socket) => socket.receive(py),
        }
    }
}

fn awaited_again() -> PyErr {
    PyRuntimeError::new_err("what receive() or send() gives can be awaited once")
}
