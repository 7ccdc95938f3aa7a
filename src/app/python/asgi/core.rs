//! The place where asyncio's event loop and the worker's runtime meet.
//!
//! asyncio's loop waits in its selector. That selector is ours: it drives the runtime until there is something for the
//! loop, so connections are served while the loop waits, on the same thread. Requests begin right there, outside of the
//! runtime and inside of the loop, so that an app which never waits is done before the loop turns.

use super::super::end_if_child;
use super::task::Tasks;
use super::ties::Ties;
use crate::app::calls::CallQueue;
use crate::sys::libuv::Guest;
use crate::sys::poll;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::future::poll_fn;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Runtime;

/// What the Python side of the event loop calls.
#[pyclass(frozen, name = "Core", module = "ferricorn")]
pub(super) struct Core {
    pub(super) ties: Arc<Ties>,
    pub(super) tasks: Tasks,
    runtime: Weak<Runtime>,
    /// The epoll of what the app watches.
    descriptors: AsyncFd<OwnedFd>,
    queue: Queue,
    capture: Mutex<Capture>,
    is_ending: AtomicBool,
    /// Whether uvloop has been asked to stop: it would do so as often as it is asked, also when it turns for the last things.
    is_stopping: AtomicBool,
    /// Our wait in uvloop.
    guest: OnceLock<Guest>,
}

/// Where the loop keeps what it calls next.
enum Queue {
    Asyncio {
        /// `asyncio.Handle`
        handle: Py<PyAny>,
        /// The queue, which is one of handles.
        ready: Py<PyAny>,
    },
    Uvloop {
        /// The loop's own method.
        call_soon: Py<PyAny>,
    },
}

/// The first step of a task on its way past the queue.
enum Capture {
    Off,
    Wanted,
    Done(Py<PyAny>, Py<PyAny>),
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    ByDescriptors,
    Otherwise,
}

impl Core {
    pub(super) fn new(
        py: Python<'_>,
        ties: Arc<Ties>,
        runtime: &Arc<Runtime>,
        descriptors: OwnedFd,
    ) -> PyResult<Self> {
        let event_loop = ties.event_loop.bind(py);
        let tasks = Tasks::new(py, event_loop)?;
        let queue = match event_loop.getattr_opt("_ready")? {
            Some(ready) => {
                let handle = py.import("asyncio")?.getattr("Handle")?.unbind();
                Queue::Asyncio { handle, ready: ready.unbind() }
            }
            None => Queue::Uvloop { call_soon: event_loop.getattr("call_soon")?.unbind() },
        };
        let _context = runtime.enter();
        Ok(Self {
            tasks,
            runtime: Arc::downgrade(runtime),
            descriptors: crate::sys::watch::readable(descriptors)?,
            queue,
            capture: Mutex::new(Capture::Off),
            is_ending: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            guest: OnceLock::new(),
            ties,
        })
    }

    /// Whether the loop is uvloop's.
    pub(super) fn is_uvloop(&self) -> bool {
        matches!(self.queue, Queue::Uvloop { .. })
    }

    /// Keeps the wait in uvloop, until the loop is closed.
    pub(super) fn hold(&self, guest: Guest) {
        // There is one.
        let _ = self.guest.set(guest);
    }

    pub(super) fn runtime(&self) -> Option<Arc<Runtime>> {
        self.runtime.upgrade()
    }

    /// Whether [`end`](Self::end) has been called.
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    /// Whether the loop is asked to stop now, for the first time.
    pub(super) fn begins_to_stop(&self) -> bool {
        !self.is_stopping.swap(true, Ordering::Relaxed)
    }

    /// From now on the queue of calls is closed, and the loop turns for itself.
    pub(super) fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// The next thing put into the loop's queue is wanted by the caller.
    pub(super) fn capture(&self) {
        *self.capture.lock().unwrap_or_else(PoisonError::into_inner) = Capture::Wanted;
    }

    /// What has been put there since, and its context.
    pub(super) fn captured(&self) -> Option<(Py<PyAny>, Py<PyAny>)> {
        match std::mem::replace(
            &mut *self.capture.lock().unwrap_or_else(PoisonError::into_inner),
            Capture::Off,
        ) {
            Capture::Done(callback, context) => Some((callback, context)),
            Capture::Off | Capture::Wanted => None,
        }
    }

    pub(super) fn calls(&self) -> &Arc<CallQueue> {
        &self.ties.calls
    }

    /// Timers of the loop.
    fn timers(&self, py: Python<'_>) -> PyResult<usize> {
        self.ties.event_loop.bind(py).getattr(intern!(py, "_scheduled"))?.len()
    }

    /// One wait, within the runtime.
    pub(super) async fn turn(&self, until: Option<Instant>, is_ending: bool) -> Woken {
        let driving = async {
            if is_ending {
                self.calls().drive_last().await;
            } else {
                self.calls().drive().await;
            }
        };
        let mut driving = pin!(driving);
        let is_brief = until.is_some_and(|until| until <= Instant::now());
        let mut sleep = pin!(until.filter(|_| !is_brief).map(|until| tokio::time::sleep_until(until.into())));
        let woken = poll_fn(|cx| {
            let called = driving.as_mut().poll(cx).is_ready();
            if self.has_descriptors(cx) {
                return Poll::Ready(Woken::ByDescriptors);
            }
            let late = match sleep.as_mut().as_pin_mut() {
                Some(sleep) => sleep.poll(cx).is_ready(),
                // Nobody else may be driving when this thread leaves.
                None => is_brief && !self.calls().is_relieved(),
            };
            if called || late { Poll::Ready(Woken::Otherwise) } else { Poll::Pending }
        })
        .await;
        if is_brief {
            // The loop has much to do; the connections get their turn all the same.
            tokio::task::yield_now().await;
        }
        woken
    }

    /// Whether there is something in the epoll of what the app watches.
    ///
    /// The runtime hears of changes only, and the loop leaves in it what has not changed: so it is asked.
    fn has_descriptors(&self, cx: &mut Context<'_>) -> bool {
        while let Poll::Ready(Ok(mut ready)) = self.descriptors.poll_read_ready(cx) {
            let now = [self.descriptors.get_ref().as_fd()];
            let is_readable = poll::wait_readable(&now, Some(Duration::ZERO));
            if is_readable.is_ok_and(|readable| !readable.is_empty()) {
                return true;
            }
            ready.clear_ready();
        }
        false
    }
}

#[pymethods]
impl Core {
    /// The selector's wait: true when descriptors are ready.
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        end_if_child();
        let Some(runtime) = self.runtime() else {
            return Err(PyRuntimeError::new_err("the worker's runtime has ended"));
        };
        let Queue::Asyncio { ready, .. } = &self.queue else { return Ok(false) };
        let until = timeout.map(|timeout| {
            let timeout = Duration::try_from_secs_f64(timeout.max(0.0)).unwrap_or(LONGEST).min(LONGEST);
            Instant::now() + timeout
        });
        let timers = self.timers(py)?;
        let ready = ready.bind(py);
        self.calls().return_to_runtime();
        loop {
            let is_ending = self.is_ending();
            let woken = py.detach(|| runtime.block_on(self.turn(until, is_ending)));
            if !is_ending {
                self.calls().run_waiting();
            }
            // Handlers of signals run with the loop's next step of Python code.
            let was_called = self.calls().was_called_back() | self.calls().take_attention();
            self.ties.attend(py);
            let has_closed = !is_ending && self.calls().is_closed();
            if has_closed {
                self.ties.event_loop.bind(py).call_method0(intern!(py, "stop"))?;
            }
            let is_over = has_closed
                || was_called
                || woken == Woken::ByDescriptors
                || ready.len()? > 0
                || self.timers(py)? != timers
                || until.is_some_and(|until| until <= Instant::now());
            if is_over {
                self.calls().leave_runtime();
                return Ok(woken == Woken::ByDescriptors);
            }
        }
    }

    /// As asyncio's, except for what is captured.
    #[pyo3(signature = (callback, *args, context=None))]
    fn call_soon<'py>(
        &self,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = callback.py();
        if let Some(context) = &context {
            let mut capture = self.capture.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*capture, Capture::Wanted) {
                *capture = Capture::Done(callback.unbind(), context.clone().unbind());
                return Ok(py.None().into_bound(py));
            }
        }
        let event_loop = self.ties.event_loop.bind(py);
        let (handle, ready) = match &self.queue {
            Queue::Asyncio { handle, ready } => (handle.bind(py), ready.bind(py)),
            Queue::Uvloop { call_soon } => {
                return call_plainly(call_soon.bind(py), callback, &args, context.as_ref());
            }
        };
        let is_plain = !event_loop.getattr(intern!(py, "_debug"))?.is_truthy()?
            && !event_loop.getattr(intern!(py, "_closed"))?.is_truthy()?;
        if !is_plain {
            let call_soon = event_loop.get_type().getattr(intern!(py, "call_soon"))?;
            let call_soon = call_soon.call_method1(intern!(py, "__get__"), (event_loop,))?;
            return call_plainly(&call_soon, callback, &args, context.as_ref());
        }
        let handle = handle.call1((callback, args, event_loop, context))?;
        ready.call_method1(intern!(py, "append"), (&handle,))?;
        Ok(handle)
    }

    /// Whether the loop is to turn no more.
    fn is_over(&self) -> bool {
        self.calls().is_closed()
    }

    /// Takes our wait out of uvloop, which is about to be closed.
    fn leave_uvloop(&self) {
        if let Some(guest) = self.guest.get() {
            guest.end();
        }
    }

    /// Has the loop turn; from any thread.
    fn wake(&self) {
        self.calls().call_back();
    }

    /// Says that a signal stays the server's.
    fn refuse_signal(&self, name: &str) {
        tracing::warn!(signal = name, "the app asks for a signal that is the server's own; it is not given");
    }
}

/// `call_soon` as the loop's class has it.
fn call_plainly<'py>(
    call_soon: &Bound<'py, PyAny>,
    callback: Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    context: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = call_soon.py();
    let all = std::iter::once(callback).chain(args.iter()).collect::<Vec<_>>();
    let options = PyDict::new(py);
    options.set_item(intern!(py, "context"), context)?;
    call_soon.call(PyTuple::new(py, all)?, Some(&options))
}

/// As long as anything waits.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
