//! The event loop of a worker, from before its apps have started until after they have ended.

use super::super::{describe, ffi, panics};
use super::core::Core;
use super::ties::Ties;
use crate::app::calls::{CallQueue, Cancelled, MainLoop};
use crate::app::python::ending::FOR_HANDLERS;
use crate::app::python::options::LoopPlace;
use crate::config::{EventLoopKind, Lifespan};
use crate::contract::exit::LEAVING;
use pyo3::exceptions::{PyModuleNotFoundError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// asyncio's event loop, or uvloop's, on the main thread of a worker.
pub(super) struct EventLoop {
    pub(super) core: Py<Core>,
    pub(super) ties: Arc<Ties>,
    /// The module that has made it.
    code: Py<PyModule>,
    apps: Mutex<Vec<Living>>,
    /// Time for what is left to end, and when the worker is past its limits.
    patience: Duration,
    longest_drain: Duration,
}

/// An app with a life of its own.
struct Living {
    name: String,
    lifespan: Py<PyAny>,
    /// Told what the lifespan has put into its state, once the app has started.
    started: Started,
}

/// Told what the lifespan has put into its state.
pub(super) type Started = Box<dyn Fn(Py<PyDict>) + Send + Sync>;

impl EventLoop {
    /// Makes the event loop, which turns when the apps are started.
    pub(super) fn new(py: Python<'_>, calls: &Arc<CallQueue>, place: &LoopPlace<'_>) -> PyResult<Arc<Self>> {
        let code = pyo3::ffi::c_str!(include_str!("event_loop.py"));
        let code = PyModule::from_code(py, code, c"<ferricorn: event_loop.py>", c"ferricorn.event_loop")?;
        code.call_method1("accept_as_coroutine", (py.get_type::<super::awaitable::Awaitable>(),))?;
        let make = |maker| Self::make(py, (&code, maker), calls, place);
        match place.kind {
            EventLoopKind::Asyncio => make("make_asyncio"),
            EventLoopKind::Uvloop => make("make_uvloop").map_err(|error| {
                let problem = format!(
                    "python.loop is uvloop, which cannot be used: {error}; pip install 'ferricorn[uvloop]', or write python.loop = \"asyncio\""
                );
                PyRuntimeError::new_err(problem)
            }),
            EventLoopKind::Auto => make("make_uvloop").or_else(|error| {
                if !error.is_instance_of::<PyModuleNotFoundError>(py) {
                    tracing::info!(%error, "uvloop is installed but cannot be used; ASGI apps live in asyncio's own event loop");
                }
                make("make_asyncio")
            }),
        }
    }

    fn make(
        py: Python<'_>,
        (code, maker): (&Bound<'_, PyModule>, &str),
        calls: &Arc<CallQueue>,
        place: &LoopPlace<'_>,
    ) -> PyResult<Arc<Self>> {
        let event_loop = code.call_method0(maker)?;
        let epoll: i32 =
            py.import("os")?.call_method1("dup", (event_loop.call_method0("fileno")?,))?.extract()?;
        let descriptors = ffi::own_descriptor(epoll);
        let ties = Arc::new(Ties::new(py, Arc::clone(calls), (code, event_loop.clone()), place)?);
        let core = Bound::new(py, Core::new(py, Arc::clone(&ties), place.runtime, descriptors)?)?;
        if core.get().is_uvloop() {
            Core::enter_uvloop(&core)?;
        }
        event_loop.call_method1("attach", (&core,))?;
        Ok(Arc::new(Self {
            core: core.unbind(),
            ties,
            code: code.clone().unbind(),
            apps: Mutex::default(),
            patience: place.patience,
            longest_drain: place.longest_drain,
        }))
    }

    /// An app that is to be started with the loop.
    pub(super) fn add(
        &self,
        py: Python<'_>,
        (name, app): (&str, &Bound<'_, PyAny>),
        mode: Lifespan,
        started: Started,
    ) -> PyResult<()> {
        let code = pyo3::ffi::c_str!(include_str!("lifespan.py"));
        let code = PyModule::from_code(py, code, c"<ferricorn: lifespan.py>", c"ferricorn.lifespan")?;
        let lifespan = code.getattr("Lifespan")?.call1((app, mode.as_str()))?.unbind();
        let living = Living { name: name.to_owned(), lifespan, started };
        self.apps.lock().unwrap_or_else(PoisonError::into_inner).push(living);
        Ok(())
    }

    fn start_all(&self, py: Python<'_>) -> Result<(), String> {
        let apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        for Living { name, lifespan, started } in apps.iter() {
            let lifespan = lifespan.bind(py);
            let starting = lifespan.call_method0("start_up").and_then(|starting| {
                self.ties.event_loop.bind(py).call_method1("run_until_complete", (starting,))
            });
            let said = |error: PyErr| format!("{name}: the lifespan failed\n{}", describe(py, &error));
            let problem: Option<(String, Option<Py<PyAny>>)> =
                starting.and_then(|problem| problem.extract()).map_err(said)?;
            if let Some((text, exception)) = problem {
                let traceback = exception.map(|exception| {
                    format!("\n{}", describe(py, &PyErr::from_value(exception.into_bound(py))))
                });
                return Err(format!("{name} did not start: {text}{}", traceback.unwrap_or_default()));
            }
            let has_started: bool =
                lifespan.getattr(intern!(py, "has_started")).and_then(|it| it.extract()).map_err(said)?;
            if has_started {
                let state = lifespan
                    .getattr("state")
                    .and_then(|state| Ok(state.cast_into::<PyDict>()?))
                    .map_err(said)?;
                started(state.unbind());
            }
        }
        Ok(())
    }

    fn end_all(&self, py: Python<'_>) -> PyResult<()> {
        let apps = std::mem::take(&mut *self.apps.lock().unwrap_or_else(PoisonError::into_inner));
        let lifespans: Vec<Py<PyAny>> = apps.into_iter().map(|living| living.lifespan).collect();
        let requests = self.ties.tasks(py);
        let limit = self.ties.draining.left_of(self.longest_drain).min(self.patience);
        let at_most = self.ties.draining.left_of(self.longest_drain + LEAVING).saturating_sub(FOR_HANDLERS);
        let arguments =
            (&self.ties.event_loop, requests, limit.as_secs_f64(), at_most.as_secs_f64(), lifespans);
        let problems = self.code.bind(py).call_method1("finish", arguments)?.cast_into::<PyList>()?;
        for problem in problems.iter() {
            let traceback = describe(py, &PyErr::from_value(problem));
            tracing::error!(traceback, "an app did not end in order");
        }
        Ok(())
    }

    /// Runs code that turns the loop, as a stay outside of the runtime.
    fn outside<T>(&self, run: impl FnOnce(Python<'_>) -> T) -> T {
        self.ties.calls.leave_runtime();
        let outcome = Python::attach(run);
        self.ties.calls.return_to_runtime();
        outcome
    }
}

impl MainLoop for EventLoop {
    fn start(&self) -> Result<(), String> {
        self.outside(|py| self.start_all(py))
    }

    fn run(&self) {
        self.outside(|py| {
            let report = pyo3::types::PyCFunction::new_closure(py, None, None, |arguments, _| {
                let py = arguments.py();
                let error = PyErr::from_value(arguments.get_item(0)?);
                panics::count(py, &error);
                let traceback = describe(py, &error);
                tracing::error!(traceback, "an exception left the event loop, which goes on");
                Ok::<(), PyErr>(())
            });
            let outcome = report.and_then(|report| {
                let is_over = self.core.bind(py).getattr(intern!(py, "is_over"))?;
                self.code.bind(py).call_method1("run", (&self.ties.event_loop, is_over, report))
            });
            self.core.get().end();
            if let Err(error) = outcome.and_then(|_| self.end_all(py)) {
                tracing::error!(traceback = describe(py, &error), "the event loop failed");
            }
        });
    }

    fn oversee(&self) -> Option<Instant> {
        self.ties.oversee()
    }

    fn cancel(&self, id: u64) -> Option<oneshot::Receiver<Cancelled>> {
        self.ties.cancel(id)
    }

    fn stack_of(&self, id: u64) -> Option<Result<String, String>> {
        let request = self.ties.find(id)?;
        Some(Python::attach(|py| request.course().stack(py)))
    }
}
