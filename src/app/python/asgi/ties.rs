//! What ties the requests in tasks to the event loop they are in.

use super::super::options::{LoopPlace, WebSocketPlace};
use super::super::{ffi, panics};
use super::course::{self, InTask};
use super::stuck;
use crate::app::CutOff;
use crate::app::calls::{Answering, CallQueue, Cancelled};
use crate::net::Draining;
use crate::sys::{clock, process};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// What all requests of a worker's event loop share.
pub(super) struct Ties {
    pub(super) calls: Arc<CallQueue>,
    /// The event loop.
    pub(super) event_loop: Py<PyAny>,
    /// The module that has made it.
    code: Py<PyModule>,
    /// `asyncio.Future`, and what it is made with.
    future: Py<PyAny>,
    future_options: Py<PyDict>,
    /// Content of a response held for a slow client before its app has to wait, in bytes.
    pub(super) response_buffer: usize,
    pub(super) websocket: WebSocketPlace,
    /// Says when the worker leaves.
    pub(super) draining: Draining,
    /// The loop's thread (gettid(2)), and as the interpreter names it.
    main_thread: i32,
    pub(super) main_ident: u64,
    /// For tasks that serve WebSockets.
    pub(super) runtime: Handle,
    /// Whom the loop's thread has to look after.
    errands: Mutex<Vec<Arc<dyn InTask>>>,
    in_tasks: Mutex<InTasks>,
}

/// The requests whose tasks have not ended with their first step.
#[derive(Default)]
struct InTasks {
    requests: HashMap<u64, Arc<dyn InTask>>,
    /// No request is past its limit before; `None`: none has one.
    next_look: Option<Instant>,
}

impl Ties {
    pub(super) fn new(
        py: Python<'_>,
        calls: Arc<CallQueue>,
        (code, event_loop): (&Bound<'_, PyModule>, Bound<'_, PyAny>),
        place: &LoopPlace<'_>,
    ) -> PyResult<Self> {
        let future = py.import("asyncio")?.getattr("Future")?.unbind();
        let future_options = PyDict::new(py);
        future_options.set_item("loop", &event_loop)?;
        Ok(Self {
            calls,
            code: code.clone().unbind(),
            event_loop: event_loop.unbind(),
            future,
            future_options: future_options.unbind(),
            response_buffer: place.response_buffer,
            websocket: place.websocket,
            draining: place.draining.clone(),
            main_thread: process::thread_id(),
            main_ident: ffi::thread_ident(),
            runtime: place.runtime.handle().clone(),
            errands: Mutex::default(),
            in_tasks: Mutex::default(),
        })
    }

    /// What the loop's thread does now.
    pub(super) fn stack_of_main_thread(&self) -> String {
        self.calls.stack_of_thread(self.main_thread).unwrap_or_else(|reason| reason)
    }

    /// Where a task waits, as Python prints it.
    pub(super) fn stack_of(&self, task: &Bound<'_, PyAny>) -> PyResult<String> {
        // It asks the task how it looks, which may be the app's own code.
        let text: String =
            panics::caught(|| self.code.bind(task.py()).call_method1("stack", (task,))?.extract())?;
        Ok(text.trim_end().to_owned())
    }

    /// A coroutine for what is none and can be awaited all the same: a future, an object with `__await__`.
    pub(super) fn awaited<'py>(&self, given: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let coroutine = self.code.bind(given.py()).call_method1("awaited", (given,))?;
        Ok(Some(coroutine).filter(|coroutine| !coroutine.is_none()))
    }

    /// A future of the event loop.
    pub(super) fn future(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.future.bind(py).call((), Some(self.future_options.bind(py)))?.unbind())
    }

    /// Has the loop's thread look after a request, soon. From any thread.
    pub(super) fn ask_to_attend(&self, request: Arc<dyn InTask>) {
        self.errands.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        self.calls.call_back();
    }

    /// Looks after all that have asked for it; on the loop's thread.
    pub(super) fn attend(&self, py: Python<'_>) {
        let errands = std::mem::take(&mut *self.errands.lock().unwrap_or_else(PoisonError::into_inner));
        for request in errands {
            course::attend(&request, py);
        }
    }

    /// A request goes on in its task.
    pub(super) fn enter(&self, request: Arc<dyn InTask>) {
        self.watch(&request.course().answering);
        let id = request.course().answering.id().0;
        self.in_tasks().requests.insert(id, request);
    }

    /// A request has a time limit from now on.
    pub(super) fn watch(&self, answering: &Answering) {
        if let Some(left) = answering.left(clock::monotonic_ns()) {
            let at = Instant::now() + left;
            let mut in_tasks = self.in_tasks();
            in_tasks.next_look = Some(in_tasks.next_look.map_or(at, |next| next.min(at)));
        }
    }

    /// Its task has ended.
    pub(super) fn leave(&self, request: &dyn InTask) {
        let left = self.in_tasks().requests.remove(&request.course().answering.id().0);
        // Not while others wait for the lock.
        drop(left);
    }

    /// The tasks of all requests.
    pub(super) fn tasks(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let requests: Vec<Arc<dyn InTask>> = self.in_tasks().requests.values().cloned().collect();
        requests.iter().filter_map(|request| request.course().task(py)).collect()
    }

    /// Ends the requests past their limit; returns when the next one may be.
    pub(super) fn oversee(&self) -> Option<Instant> {
        let mut in_tasks = self.in_tasks();
        let next = in_tasks.next_look?;
        let now = Instant::now();
        if next > now {
            return Some(next);
        }
        let now_ns = clock::monotonic_ns();
        let mut overdue = Vec::new();
        let mut next: Option<Duration> = None;
        for request in in_tasks.requests.values() {
            match request.course().answering.left(now_ns) {
                None => {}
                Some(Duration::ZERO) => overdue.push(Arc::clone(request)),
                Some(left) => next = Some(next.map_or(left, |next| next.min(left))),
            }
        }
        in_tasks.next_look = next.map(|left| now + left);
        let next = in_tasks.next_look;
        drop(in_tasks);
        let overdue: Vec<_> =
            overdue.into_iter().filter(|request| request.course().answering.cut_off()).collect();
        if let Some(first) = overdue.first()
            && self.calls.is_relieved()
        {
            let ties = Arc::clone(&first.course().ties);
            stuck::cut(&ties, overdue, CutOff::TimeLimit, None);
            return next;
        }
        for request in overdue {
            course::cut_off_now(request, CutOff::TimeLimit, None);
        }
        next
    }

    /// Ends the request of this name.
    pub(super) fn cancel(&self, id: u64) -> Option<oneshot::Receiver<Cancelled>> {
        let request = self.find(id)?;
        let (told, receiver) = oneshot::channel();
        course::cut_off(request, CutOff::Cancelled, Some(told));
        Some(receiver)
    }

    /// The request of this name.
    pub(super) fn find(&self, id: u64) -> Option<Arc<dyn InTask>> {
        self.in_tasks().requests.get(&id).cloned()
    }

    fn in_tasks(&self) -> MutexGuard<'_, InTasks> {
        self.in_tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
