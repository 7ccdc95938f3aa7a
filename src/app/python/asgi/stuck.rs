//! Requests that are ended while the event loop is held up by code that does not wait.
//!
//! Their tasks cannot be told before the loop turns again, so their clients are answered from here; and the code that
//! holds the loop up is interrupted, if it is that of one of these requests.

use super::super::{ffi, interrupt};
use super::course::InTask;
use super::ties::Ties;
use crate::app::CutOff;
use crate::app::calls::Cancelled;
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Ends requests, on a thread of its own, which may wait for the interpreter's lock.
pub(super) fn cut(
    ties: &Arc<Ties>,
    requests: Vec<Arc<dyn InTask>>,
    why: CutOff,
    told: Option<oneshot::Sender<Cancelled>>,
) {
    let its = Arc::clone(ties);
    let cutting = std::thread::Builder::new().name("cut-off".to_owned());
    if let Err(error) = cutting.spawn(move || cut_all(&its, &requests, why, told)) {
        tracing::error!(%error, "no thread to end a request from outside");
        ties.calls.give_up_main_thread();
    }
}

fn cut_all(
    ties: &Arc<Ties>,
    requests: &[Arc<dyn InTask>],
    why: CutOff,
    told: Option<oneshot::Sender<Cancelled>>,
) {
    let stack = ties.stack_of_main_thread();
    for request in requests {
        ties.calls.answer_cut_off(&request.course().answering, why, &stack);
        request.break_off();
        request.course().want_cancellation();
        ties.ask_to_attend(Arc::clone(request));
    }
    if why == CutOff::TimeLimit {
        ties.calls.retire_after_interruption();
    }
    // Looked at from a second thread: C code may never let go of the lock that this one waits for.
    std::thread::scope(|threads| {
        threads.spawn(|| Python::attach(|py| interrupt(py, ties, requests)));
        let has_returned = ties.calls.main_thread_returns_within(GRACE);
        if !has_returned {
            let stack = ties.stack_of_main_thread();
            match why {
                CutOff::TimeLimit => {
                    tracing::error!(
                        stack,
                        "the event loop stands still: it is in C code, or code of the app does not let go of it; its worker is replaced and then killed"
                    );
                    ties.calls.give_up_main_thread();
                }
                CutOff::Cancelled => {}
            }
        }
        if let Some(told) = told {
            let outcome = if has_returned { Cancelled::Ended } else { Cancelled::GoesOn(stack.clone()) };
            // Who has gone meanwhile does not want to know.
            let _ = told.send(outcome);
        }
    });
}

/// Interrupts the loop's thread, if the task that it is in is one of these requests'.
fn interrupt(py: Python<'_>, ties: &Ties, requests: &[Arc<dyn InTask>]) {
    let current = py
        .import(intern!(py, "asyncio"))
        .and_then(|asyncio| asyncio.call_method1(intern!(py, "current_task"), (&ties.event_loop,)));
    let Ok(current) = current else { return };
    let is_ours = requests
        .iter()
        .filter_map(|request| request.course().task(py))
        .any(|task| task.bind(py).is(&current));
    // The lock is held from the question to the answer: the thread is within that task until it has been let go.
    if is_ours && ties.calls.is_relieved() {
        let exception = interrupt::exception(py);
        ffi::set_async_exception(py, ties.main_ident, Some(&exception));
    }
}

/// How long the loop may take to turn again.
const GRACE: Duration = Duration::from_secs(2);
