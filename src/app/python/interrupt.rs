//! How a WSGI call is looked into, and how it is ended from outside.
//!
//! An interruption is an exception that the interpreter raises in the thread that makes the call, at the next step of
//! Python code there. It is sent only while that thread is in the app's own code, and withdrawn when the app returns
//! before it has arrived; both under the interpreter's lock, so there is no moment between. No other request and no
//! code of the server ever sees it.
//!
//! A thread that waits in the kernel takes no step. A signal calls it out: it runs the signal's handler, which is Python code, so that the
//! exception arrives there, or waits on (PEP 475). The interpreter does so in the main thread alone.

use super::ffi;
use crate::app::calls::{Answering, Interrupter, Left};
use crate::sys::process;
use crate::sys::thread_signal::{Arrived, HandlerPipe, call_signal, signal_thread, stack_signal};
use pyo3::exceptions::{PyBaseException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyType};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pyo3::create_exception!(
    ferricorn,
    RequestInterrupted,
    PyBaseException,
    "Raised in a request that is past its time limit or was cancelled. Let it pass: the client has been answered."
);

/// What an interrupted app sees.
pub(super) fn exception(py: Python<'_>) -> Bound<'_, PyType> {
    py.get_type::<RequestInterrupted>()
}

/// The app's own code, from here to where this is dropped.
pub(super) struct Inside<'a, 'py> {
    py: Python<'py>,
    call: &'a Answering,
}

impl<'a, 'py> Inside<'a, 'py> {
    pub(super) fn enter(py: Python<'py>, call: &'a Answering) -> Self {
        call.enter(ffi::thread_ident());
        Self { py, call }
    }
}

impl<'a, 'py> Inside<'a, 'py> {
    pub(super) fn py(&self) -> Python<'py> {
        self.py
    }

    /// The call whose code it is.
    pub(super) fn call(&self) -> &'a Answering {
        self.call
    }
}

impl Drop for Inside<'_, '_> {
    fn drop(&mut self) {
        if self.call.leave() == Left::Interrupted {
            // If it has not arrived, it does so in this step of Python code, and the interpreter has nothing to look
            // for any more; the next line is for an interpreter that would rather take another step.
            let _arrived_here = self.py.eval(c"None", None, None);
            ffi::set_async_exception(self.py, ffi::thread_ident(), None);
        }
    }
}

/// Stacks by CPython's own signal handler, which needs no lock; interruptions by the interpreter.
pub(super) struct PythonInterrupter {
    stacks: Mutex<Stacks>,
    /// The main thread, as the interpreter names it.
    main: u64,
}

struct Stacks {
    pipe: HandlerPipe,
    /// Whether a thread still owes a stack that would be taken for another one's.
    is_spoilt: bool,
}

impl PythonInterrupter {
    /// Has the interpreter write the stack of whichever thread gets the signal. To be called in the main thread.
    pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
        let pipe = HandlerPipe::new()?;
        let options = [("all_threads", false), ("chain", false)].into_py_dict(py)?;
        options.set_item("file", pipe.writer())?;
        py.import("faulthandler")?.call_method("register", (stack_signal(),), Some(&options))?;
        let code = pyo3::ffi::c_str!(include_str!("called_out.py"));
        let module = PyModule::from_code(py, code, c"<ferricorn: called_out.py>", c"ferricorn.called_out")?;
        py.import("signal")?.call_method1("signal", (call_signal(), module.getattr("heard")?))?;
        Ok(Self { stacks: Mutex::new(Stacks { pipe, is_spoilt: false }), main: ffi::thread_ident() })
    }
}

impl Interrupter for PythonInterrupter {
    fn stack(&self, thread: i32) -> Result<String, String> {
        let mut stacks = self.stacks.lock().unwrap_or_else(PoisonError::into_inner);
        stacks.of(thread).map_err(|error| error.to_string())
    }

    fn interrupt(&self, call: &Answering) {
        Python::attach(|py| {
            interrupt(py, call);
            self.call_out(call);
        });
    }

    fn call_out(&self, call: &Answering) {
        if call.interrupted() == Some(self.main) {
            // It is there as long as this process is; its number is that of the process.
            let _ = signal_thread(process::own_pid().0, call_signal());
        }
    }
}

/// Sends the exception, unless the call has left the app's own code.
fn interrupt(py: Python<'_>, call: &Answering) -> Left {
    let Some(ident) = call.interrupt() else { return Left::InPeace };
    ffi::set_async_exception(py, ident, Some(&exception(py)));
    Left::Interrupted
}

impl Stacks {
    fn of(&mut self, thread: i32) -> io::Result<String> {
        if self.is_spoilt {
            return Err(io::Error::other("a thread has not answered before"));
        }
        // Twice: signals of real time are queued, and the beginning of the second stack is the end of the first,
        // which nothing else marks.
        signal_thread(thread, stack_signal())?;
        signal_thread(thread, stack_signal())?;
        let deadline = Instant::now() + PATIENCE;
        let mut text = Vec::new();
        let end = loop {
            let second = text.windows(BEGINNING.len()).skip(1).position(|window| window == BEGINNING);
            if let Some(second) = second {
                break second + 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.pipe.read(&mut text, left)? == Arrived::Nothing && left.is_zero() {
                self.is_spoilt = true;
                let reason = if text.is_empty() { "the thread takes no signals" } else { "it is incomplete" };
                return Err(io::Error::other(reason));
            }
        };
        let mut rest = Vec::new();
        while self.pipe.read(&mut rest, QUIET)? == Arrived::Text {
            rest.clear();
        }
        text.truncate(end);
        Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
    }
}

/// What came of [`try_interruptions`]: how many interruptions were sent, how many arrived in the app, and how many
/// anywhere else.
type Tried = (usize, usize, usize);

/// Calls `app` so many times as requests do, while another thread interrupts it over and over. For the tests: from
/// outside, the moment in which an app returns is hardly ever hit. On a busy machine the other thread may not have had its
/// turn by then: the calls go on until it has sent an interruption, up to [`MOST`] times as many.
#[pyfunction]
pub(super) fn try_interruptions(app: &Bound<'_, PyAny>, rounds: usize) -> PyResult<Tried> {
    let py = app.py();
    let current = Arc::new(Mutex::new(Arc::new(Answering::to_nobody())));
    let over = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicUsize::new(0));
    let (its, is_over, count) = (Arc::clone(&current), Arc::clone(&over), Arc::clone(&sent));
    let other = std::thread::spawn(move || {
        while !is_over.load(Ordering::Relaxed) {
            Python::attach(|py| {
                let call = Arc::clone(&its.lock().unwrap_or_else(PoisonError::into_inner));
                count.fetch_add(usize::from(interrupt(py, &call) == Left::Interrupted), Ordering::Relaxed);
            });
        }
    });
    let mut tried = Ok((0, 0));
    for round in 0..rounds.saturating_mul(MOST) {
        if round >= rounds && sent.load(Ordering::Relaxed) > 0 {
            break;
        }
        let call = Arc::new(Answering::to_nobody());
        // Both threads lock it under the interpreter's lock, so neither ever waits for it.
        *current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&call);
        tried = tried.and_then(|tried| call_once(app, &call, tried));
    }
    over.store(true, Ordering::Relaxed);
    py.detach(|| other.join()).map_err(|_| PyRuntimeError::new_err("the other thread panicked"))?;
    tried.map(|(arrived, escaped)| (sent.load(Ordering::Relaxed), arrived, escaped))
}

/// One call as a request makes it, and then some code that is not the app's.
fn call_once(app: &Bound<'_, PyAny>, call: &Answering, tried: (usize, usize)) -> PyResult<(usize, usize)> {
    let py = app.py();
    let inside = Inside::enter(py, call);
    let outcome = app.call0();
    drop(inside);
    let (mut arrived, mut escaped) = tried;
    match outcome {
        Ok(_) => {}
        Err(error) if error.is_instance_of::<RequestInterrupted>(py) => arrived += 1,
        Err(error) => return Err(error),
    }
    escaped += usize::from(py.eval(c"sum(range(50))", None, None).is_err());
    Ok((arrived, escaped))
}

/// How many times as many calls as were asked for wait for the first interruption.
const MOST: usize = 1000;

/// The first line of a stack (`faulthandler`, Python/traceback.c).
const BEGINNING: &[u8] = b"Stack (most recent call first):";

/// How long a thread may take to answer: it is in the kernel's uninterruptible sleep if it takes so long.
const PATIENCE: Duration = Duration::from_millis(500);

/// The rest of a stack is there within this.
const QUIET: Duration = Duration::from_millis(20);
