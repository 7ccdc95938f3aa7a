//! A request's task: a real one of asyncio, whose first step is taken at once.
//!
//! asyncio would put the first step at the end of its queue, and go round its loop to come to it. An app that never
//! waits is done with its first step; for it the loop need not turn at all.

use super::super::ffi;
use super::core::Core;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Makes tasks in one event loop.
pub(super) struct Tasks {
    /// `asyncio.Task`
    kind: Py<PyAny>,
    options: Py<PyDict>,
    event_loop: Py<PyAny>,
    factory: Factory,
}

/// How the loop tells what else is to make its tasks.
#[derive(Clone, Copy)]
enum Factory {
    /// asyncio's: by an attribute, which costs less than its method.
    Attribute,
    /// uvloop's.
    Method,
}

impl Tasks {
    pub(super) fn new(py: Python<'_>, event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let kind = py.import("asyncio")?.getattr("Task")?.unbind();
        let options = PyDict::new(py);
        options.set_item("loop", event_loop)?;
        // A name of its own would be made for each task otherwise.
        options.set_item("name", intern!(py, "request"))?;
        let is_attribute = event_loop.hasattr(intern!(py, "_task_factory"))?;
        let factory = if is_attribute { Factory::Attribute } else { Factory::Method };
        Ok(Self { kind, options: options.unbind(), event_loop: event_loop.clone().unbind(), factory })
    }

    /// Makes a task of a coroutine, or of what else can be awaited, and takes its first step.
    pub(super) fn begin<'py>(
        &self,
        py: Python<'py>,
        core: &Core,
        coroutine: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let event_loop = self.event_loop.bind(py);
        let factory = match self.factory {
            Factory::Attribute => event_loop.getattr(intern!(py, "_task_factory"))?,
            Factory::Method => event_loop.call_method0(intern!(py, "get_task_factory"))?,
        };
        let make = |coroutine: &Bound<'py, PyAny>| {
            if factory.is_none() {
                self.kind.bind(py).call((coroutine,), Some(self.options.bind(py)))
            } else {
                event_loop.call_method1(intern!(py, "create_task"), (coroutine,))
            }
        };
        core.capture();
        let task = make(coroutine).or_else(|error| {
            // What a factory of the app's has failed with otherwise is not done again.
            let is_refused = error.is_instance_of::<PyTypeError>(py);
            match if is_refused { core.ties.awaited(coroutine)? } else { None } {
                Some(coroutine) => make(&coroutine),
                None => Err(error),
            }
        });
        let first_step = core.captured();
        let task = task?;
        let Some((step, context)) = first_step else { return Ok(task) };
        match ffi::call_in_context(py, context.bind(py), step.bind(py)) {
            // SystemExit and KeyboardInterrupt leave the step as well; the task has them, as it has any other exception.
            Err(_) if task.call_method0(intern!(py, "done"))?.is_truthy()? => Ok(task),
            Err(error) => Err(error),
            Ok(_) => Ok(task),
        }
    }
}
