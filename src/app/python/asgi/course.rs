//! What all requests in tasks have in common: they are found, looked into, and ended from outside.

use super::super::panics;
use super::stuck;
use super::ties::Ties;
use crate::app::calls::{Answering, Cancelled};
use crate::app::{AppError, CutOff};
use crate::protocol::Response;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A request in a task.
pub(super) trait InTask: Send + Sync {
    /// What it has in common with the others.
    fn course(&self) -> &Course;

    /// Does on the loop's thread what others have asked for.
    fn attend(self: Arc<Self>, py: Python<'_>) -> PyResult<()>;

    /// Its client has been answered, or will never be: what has begun is broken off.
    fn break_off(&self);

    /// Its client has left.
    fn client_left(self: Arc<Self>);

    /// Whether somebody waits in `receive()` or `send()`: the task, or one that it has begun.
    fn is_waited_for(&self) -> bool;

    /// Its task has ended: a client that still waits for something is told.
    fn task_ended(&self, py: Python<'_>, ended: PyResult<()>);
}

/// One request's way through its task.
pub(super) struct Course {
    pub(super) answering: Answering,
    pub(super) ties: Arc<Ties>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    task: Option<Py<PyAny>>,
    cut: Option<Cut>,
    /// Its task has been cancelled, and goes on.
    ignores: Option<Cut>,
    /// Dropped when the task ends that has been cancelled.
    ended: Option<oneshot::Sender<()>>,
    /// The task is to be cancelled; all else has been done.
    is_unwanted: bool,
    /// Whether the first step of the task has ended, and with it the call that it began in.
    is_past_first_step: bool,
}

/// Somebody ends the request from outside.
type Cut = (CutOff, Option<oneshot::Sender<Cancelled>>);

impl Course {
    pub(super) fn new(answering: Answering, ties: Arc<Ties>) -> Self {
        Self { answering, ties, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the answer: the head of the response, and its content or the way to it. Only the first one counts.
    pub(super) fn answer(&self, outcome: Result<Response, AppError>) {
        // Steps of a task are taken one after another, by one thread: it stays what it is.
        let is_past_first_step = self.lock().is_past_first_step;
        if is_past_first_step {
            self.ties.calls.answer(&self.answering, outcome);
        } else {
            // Whoever waits is told when the call ends.
            self.answering.offer(outcome);
        }
    }

    /// The task that the request is in.
    pub(super) fn task(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.lock().task.as_ref().map(|task| task.clone_ref(py))
    }

    /// Has the task cancelled, if it goes on.
    pub(super) fn cancel_task(&self, py: Python<'_>) -> PyResult<()> {
        match self.task(py) {
            Some(task) => task.bind(py).call_method0(intern!(py, "cancel")).map(drop),
            None => Ok(()),
        }
    }

    /// Has the task cancelled once the loop turns.
    pub(super) fn want_cancellation(&self) {
        self.lock().is_unwanted = true;
    }

    /// The stack of the task, as Python prints it.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn stack(&self, py: Python<'_>) -> Result<String, String> {
        let task = self.task(py).ok_or("no stack: the task has ended")?;
        self.ties.stack_of(task.bind(py)).map_err(|error| format!("no stack: {error}"))
    }
}

/// The task goes on after its first step.
pub(super) fn goes_on<T: InTask + 'static>(request: &Arc<T>, task: Py<PyAny>) {
    let course = request.course();
    course.lock().task = Some(task);
    course.ties.enter(Arc::clone(request) as Arc<dyn InTask>);
    let its = Arc::clone(request);
    course.answering.when_abandoned(Box::new(move || its.client_left()));
}

/// The first step of the task is over, or there is none: who waits beside it is told, and the caller answers its client.
///
/// # Errors
/// Why there is none.
pub(super) fn end_first_step<T: InTask + 'static>(request: &Arc<T>, begun: PyResult<()>) -> PyResult<()> {
    if begun.is_err() {
        forget_task(&**request);
        request.break_off();
        tell_others(request);
    }
    request.course().lock().is_past_first_step = true;
    begun
}

/// The task has ended, and how.
pub(super) fn has_ended(request: &dyn InTask, py: Python<'_>, ended: &PyResult<()>) {
    if let Err(error) = ended {
        panics::count(py, error);
    }
    forget_task(request);
}

/// There is no task any more that somebody could look after.
fn forget_task(request: &dyn InTask) {
    let course = request.course();
    let (task, ended) = {
        let mut inner = course.lock();
        (inner.task.take(), inner.ended.take())
    };
    course.ties.leave(request);
    drop((task, ended));
}

/// Has a request's task cancelled, and its client answered, unless somebody has already.
pub(super) fn cut_off(request: Arc<dyn InTask>, why: CutOff, told: Option<oneshot::Sender<Cancelled>>) {
    let course = request.course();
    if !course.answering.cut_off() {
        tell(told, Cancelled::Already);
        return;
    }
    let ties = Arc::clone(&course.ties);
    if ties.calls.is_relieved() {
        stuck::cut(&ties, vec![request], why, told);
    } else {
        cut_off_now(request, why, told);
    }
}

/// The same by whoever is the one to do it, while the loop turns.
pub(super) fn cut_off_now(request: Arc<dyn InTask>, why: CutOff, told: Option<oneshot::Sender<Cancelled>>) {
    let course = request.course();
    course.lock().cut = Some((why, told));
    let ties = Arc::clone(&course.ties);
    ties.ask_to_attend(request);
}

/// Does on the loop's thread what others have asked for.
pub(super) fn attend(request: &Arc<dyn InTask>, py: Python<'_>) {
    let id = request.course().answering.id();
    let (cut, ignores, is_unwanted) = {
        let mut inner = request.course().lock();
        (inner.cut.take(), inner.ignores.take(), std::mem::take(&mut inner.is_unwanted))
    };
    if let Some(ignored) = ignores {
        leave_going(request.course(), py, ignored);
    }
    let attended = panics::caught(|| {
        match cut {
            Some(cut) => cut_task(request, py, cut)?,
            None if is_unwanted => request.course().cancel_task(py)?,
            None => {}
        }
        // Tasks that the request's has begun are cancelled by nobody; they learn here that it is over.
        Arc::clone(request).attend(py)
    });
    if let Err(error) = attended {
        let traceback = super::super::describe(py, &error);
        tracing::error!(request = %id, traceback, "a request's task could not be told; the request is given up");
        let why =
            if panics::is_one(py, &error) { LOST } else { "its task could not be told what it waits for" };
        give_up(&**request, why);
        let course = request.course();
        // What has gone wrong first has been told; a task that cannot be cancelled either is left to the garbage collector.
        let _ = course.cancel_task(py);
        let _ = panics::caught(|| Arc::clone(request).attend(py));
        // One that ignores it has its time limit, though it waited for its client just now.
        course.answering.resume();
        course.ties.watch(&course.answering);
    }
}

/// Ends a request whose task has ended. Its client is told also where that panics.
pub(super) fn end_in_order<T: InTask + 'static>(request: &Arc<T>, task: &Bound<'_, PyAny>) {
    let ended = panics::caught(|| {
        request.task_ended(task.py(), outcome(task));
        Ok(())
    });
    if ended.is_err() {
        forget_task(&**request);
        give_up(&**request, LOST);
    }
    tell_others(request);
}

/// What a task that has ended has come to.
fn outcome(task: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = task.py();
    if task.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        return Err(CancelledError::new_err("the task of the request was cancelled"));
    }
    let exception = task.call_method0(intern!(py, "exception"))?;
    if exception.is_none() { Ok(()) } else { Err(PyErr::from_value(exception)) }
}

/// Has those told of a request's end who have outlived its task.
pub(super) fn tell_others<T: InTask + 'static>(request: &Arc<T>) {
    if request.is_waited_for() {
        request.course().ties.ask_to_attend(Arc::clone(request) as Arc<dyn InTask>);
    }
}

/// Answers a client whom the request's task will not answer.
fn give_up(request: &dyn InTask, why: &str) {
    let course = request.course();
    course.answer(Err(AppError::Failed(why.to_owned())));
    request.break_off();
}

fn cut_task(request: &Arc<dyn InTask>, py: Python<'_>, cut: Cut) -> PyResult<()> {
    let course = request.course();
    let stack = course.stack(py).unwrap_or_else(|reason| reason);
    course.ties.calls.answer_cut_off(&course.answering, cut.0, &stack);
    request.break_off();
    if cut.0 == CutOff::TimeLimit {
        course.ties.calls.retire_after_interruption();
    }
    let (sender, ended) = oneshot::channel();
    if course.task(py).is_some() {
        course.lock().ended = Some(sender);
    }
    course.ties.runtime.spawn(watch(Arc::clone(request), cut, ended));
    course.cancel_task(py)
}

/// Sees whether a cancelled task ends, which it does when it is next woken, unless it ignores that.
async fn watch(request: Arc<dyn InTask>, cut: Cut, ended: oneshot::Receiver<()>) {
    if tokio::time::timeout(GRACE, ended).await.is_ok() {
        tell(cut.1, Cancelled::Ended);
        return;
    }
    request.course().lock().ignores = Some(cut);
    // Its stack is to be had on the loop's thread.
    let ties = Arc::clone(&request.course().ties);
    ties.ask_to_attend(request);
}

/// A task has not noticed its cancellation, or ignores it.
fn leave_going(course: &Course, py: Python<'_>, (why, told): Cut) {
    let (request, stack) = (course.answering.id(), course.stack(py).unwrap_or_else(|reason| reason));
    match why {
        CutOff::TimeLimit => {
            tracing::error!(
                %request,
                stack,
                "the cancelled task goes on: it ignores its cancellation; its worker is replaced and then killed"
            );
            course.ties.calls.retire();
        }
        CutOff::Cancelled => {
            tracing::warn!(
                %request,
                stack,
                "the cancelled task goes on: it ignores its cancellation; it stays until it ends or passes its time limit"
            );
            course.answering.goes_on();
            // It has that also where its client was waited for: that of a WebSocket is, for as long as it is open.
            course.answering.resume();
            course.ties.watch(&course.answering);
        }
    }
    tell(told, Cancelled::GoesOn(stack));
}

fn tell(told: Option<oneshot::Sender<Cancelled>>, outcome: Cancelled) {
    if let Some(told) = told {
        // Who has gone meanwhile does not want to know.
        let _ = told.send(outcome);
    }
}

/// Whether a future has ended: nobody waits for it any more.
pub(super) fn is_done(py: Python<'_>, future: &Py<PyAny>) -> PyResult<bool> {
    or_cancel(py, future, || future.bind(py).call_method0(intern!(py, "done"))?.is_truthy())
}

/// Forgets those who wait no longer, from the last one on: who asks now and then, and does not wait, leaves one each time.
pub(super) fn forget_done(
    py: Python<'_>,
    take_last: impl Fn() -> Option<Py<PyAny>>,
    put_back: impl FnOnce(Py<PyAny>),
) -> PyResult<()> {
    while let Some(last) = take_last() {
        if !is_done(py, &last)? {
            put_back(last);
            break;
        }
    }
    Ok(())
}

/// Gives a future its value, unless it has ended; whether it has been given it.
pub(super) fn resolve(
    py: Python<'_>,
    future: &Py<PyAny>,
    value: impl FnOnce() -> PyResult<Py<PyAny>>,
) -> PyResult<bool> {
    if is_done(py, future)? {
        return Ok(false);
    }
    let set = || future.bind(py).call_method1(intern!(py, "set_result"), (value()?,)).map(|_| true);
    or_cancel(py, future, set)
}

/// Gives all of them their value, also those behind one that cannot be given it; whether any has been given it.
///
/// # Errors
/// Why the first such one could not.
pub(super) fn resolve_all(
    py: Python<'_>,
    futures: impl IntoIterator<Item = Py<PyAny>>,
    value: impl Fn() -> PyResult<Py<PyAny>>,
) -> PyResult<bool> {
    let mut outcome = Ok(false);
    for future in futures {
        let told = resolve(py, &future, &value);
        outcome = outcome.and_then(|others| told.map(|this| this || others));
    }
    outcome
}

/// Does something with a future; it is cancelled where that fails, since nobody will give it a value.
fn or_cancel<T>(py: Python<'_>, future: &Py<PyAny>, act: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    panics::caught(act).inspect_err(|_| {
        // What has gone wrong first is told.
        let _ = panics::caught(|| future.bind(py).call_method0(intern!(py, "cancel")).map(drop));
    })
}

/// What is said of a request that a panic has cost.
const LOST: &str = "a bug in the server, which has lost the task of the request";

/// How long a cancelled task may take to end: `finally` blocks, what they await.
const GRACE: Duration = Duration::from_secs(2);
