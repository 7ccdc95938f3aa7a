//! One HTTP request of an ASGI app, as its task and its connection both know it.

use super::awaitable::Awaitable;
use super::course::{self, Course, InTask, forget_done, is_done, resolve, resolve_all};
use super::stream::read_piece;
use super::ties::Ties;
use super::told::{Arrived, disconnect, request_message};
use crate::app::AppError;
use crate::app::calls::Answering;
use crate::protocol::{Content, Interim, More, Response, Taken, Upload};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use pyo3::exceptions::PyConnectionResetError;
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// One request.
pub(super) struct Http {
    course: Course,
    pub(super) interim: Option<Interim>,
    state: Mutex<State>,
}

pub(super) struct State {
    /// What of the content the app has not had; `None` once it has had all.
    content: Option<Content>,
    /// Content that is still arriving.
    upload: Option<Upload>,
    pub(super) phase: Phase,
    /// The client has left before the response was complete.
    pub(super) is_gone: bool,
    /// Somebody in the task has been told so, or the task was cancelled.
    is_told: bool,
    /// Futures that `receive()` has given.
    receivers: VecDeque<Py<PyAny>>,
    /// Futures that `send()` has given: the client is slow.
    pub(super) senders: Vec<Py<PyAny>>,
    pub(super) pieces: VecDeque<Bytes>,
    /// Bytes in `pieces`.
    pub(super) held: usize,
    /// The connection waits for a piece.
    pub(super) reader: Option<Waker>,
    pub(super) end: End,
    pub(super) to_come: ToCome,
    /// The length that the app has declared, until it is known to send more than that.
    pub(super) declared: Option<u64>,
    /// Trailers follow the content.
    pub(super) has_trailers: bool,
    /// Those that have been sent.
    pub(super) trailers: HeaderMap,
}

/// What the app has sent.
pub(super) enum Phase {
    /// Nothing.
    Waiting,
    /// A head, which leaves with the first content.
    Begun(Head),
    /// Some of the content.
    Streaming,
    /// All content, but not yet the trailers that it has announced.
    Trailing,
    /// Everything.
    Complete,
}

/// A response's head.
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    /// What the app's Content-Length says.
    pub(super) length: Option<u64>,
    pub(super) has_trailers: bool,
}

/// How much of its content the app has yet to send.
#[derive(Clone, Copy)]
pub(super) enum ToCome {
    /// It has not declared a length.
    Unknown,
    /// So many bytes.
    Bytes(u64),
    /// At most so many, of which the client has no use: it has had all that it gets, and the app has not ended the response yet.
    ForNobody(u64),
}

/// How the pieces of a response end.
pub(super) enum End {
    Open,
    Whole(HeaderMap),
    /// The app has failed.
    Broken,
}

impl Http {
    pub(super) fn new(
        answering: Answering,
        ties: Arc<Ties>,
        (content, upload, interim): (Content, Option<Upload>, Option<Interim>),
    ) -> Arc<Self> {
        Arc::new(Self {
            course: Course::new(answering, ties),
            interim,
            state: Mutex::new(State {
                content: if upload.is_none() { Some(content) } else { None },
                upload,
                phase: Phase::Waiting,
                is_gone: false,
                is_told: false,
                receivers: VecDeque::new(),
                senders: Vec::new(),
                pieces: VecDeque::new(),
                held: 0,
                reader: None,
                end: End::Open,
                to_come: ToCome::Unknown,
                declared: None,
                has_trailers: false,
                trailers: HeaderMap::new(),
            }),
        })
    }

    pub(super) fn answering(&self) -> &Answering {
        &self.course.answering
    }

    pub(super) fn ties(&self) -> &Ties {
        &self.course.ties
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `receive()`: the next piece of content, then the client's leaving.
    pub(super) fn receive(self: &Arc<Self>, py: Python<'_>) -> PyResult<Awaitable> {
        let mut state = self.lock();
        match state.content.take() {
            None => {}
            Some(Content::Empty) => {
                drop(state);
                return Ok(Awaitable::ready(request_message(py, b"", false)?));
            }
            Some(Content::Memory(bytes)) => {
                drop(state);
                return Ok(Awaitable::ready(request_message(py, &bytes, false)?));
            }
            Some(Content::File { mut file, length: left }) => {
                let piece = read_piece(&mut file, left)?;
                let left = left.saturating_sub(piece.len() as u64);
                // A file that is shorter than it was ends.
                let has_more = left > 0 && !piece.is_empty();
                if has_more {
                    state.content = Some(Content::File { file, length: left });
                }
                drop(state);
                return Ok(Awaitable::ready(request_message(py, &piece, has_more)?));
            }
        }
        if state.is_over() {
            drop(state);
            return Ok(Awaitable::ready(disconnect(py)?));
        }
        // Who waits already comes first.
        if state.receivers.is_empty() && state.upload.is_some() {
            let piece = state.take_piece();
            drop(state);
            if let Some(piece) = piece {
                return Ok(Awaitable::ready(piece.message(py)?));
            }
        } else {
            drop(state);
        }
        let future = self.ties().future(py)?;
        forget_done(py, || self.lock().receivers.pop_back(), |last| self.lock().receivers.push_back(last))?;
        let mut state = self.lock();
        state.receivers.push_back(future.clone_ref(py));
        self.wait_for_piece(state);
        Ok(Awaitable::future(future))
    }

    /// The client's bytes are waited for: that time is not the app's.
    fn wait_for_piece(self: &Arc<Self>, state: MutexGuard<'_, State>) {
        // Once it has left the time is the app's, also where another thread has just seen it leave.
        let Some(upload) = state.upload.clone().filter(|_| !state.is_gone) else { return };
        self.answering().pause();
        drop(state);
        let its = Arc::clone(self);
        upload.when_some(move || its.course.ties.ask_to_attend(Arc::clone(&its) as Arc<dyn InTask>));
    }

    /// Gives those who wait what has arrived.
    fn hand_pieces(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        loop {
            let Some(future) = self.lock().receivers.pop_front() else { return Ok(()) };
            // Who waits no longer must not take a piece with him, and the client is not waited for by that one.
            if is_done(py, &future)? {
                self.answering().resume();
                continue;
            }
            let mut state = self.lock();
            let Some(piece) = state.take_piece() else {
                state.receivers.push_front(future);
                self.wait_for_piece(state);
                return Ok(());
            };
            drop(state);
            self.answering().resume();
            resolve(py, &future, || piece.message(py))?;
        }
    }

    /// Gives the head of the response, and its content or the way to it.
    pub(super) fn answer(&self, state: MutexGuard<'_, State>, outcome: Result<Response, AppError>) {
        drop(state);
        self.course.answer(outcome);
    }

    /// The response is complete: whoever waits in `receive()` learns it.
    pub(super) fn complete(self: &Arc<Self>, state: &mut State) {
        state.phase = Phase::Complete;
        self.answering().pause();
        if !state.receivers.is_empty() {
            self.ties().ask_to_attend(Arc::clone(self) as Arc<dyn InTask>);
        }
    }

    /// The time of who sends what no client takes: a limit from piece to piece, as with a client, and none once all that was
    /// declared has come, as behind a complete response.
    pub(super) fn retime_for_nobody(&self, left: u64) {
        if left == 0 { self.answering().pause() } else { self.answering().resume() }
    }

    /// An error for an app that sends to nobody.
    pub(super) fn nobody() -> PyErr {
        PyConnectionResetError::new_err(
            "nobody takes this any more: the client has left, or its request has failed or was ended",
        )
    }
}

impl InTask for Http {
    fn course(&self) -> &Course {
        &self.course
    }

    fn attend(self: Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let mut state = self.lock();
        let is_complete = matches!(state.phase, Phase::Complete);
        let is_over = state.is_gone || is_complete;
        let receivers = if is_over { std::mem::take(&mut state.receivers) } else { VecDeque::new() };
        let has_room = is_over || state.held < self.ties().response_buffer / 2;
        let senders = if has_room { std::mem::take(&mut state.senders) } else { Vec::new() };
        let is_news = state.is_gone && !is_complete && !std::mem::replace(&mut state.is_told, true);
        let hands_pieces = !is_over && state.upload.is_some() && !state.receivers.is_empty();
        drop(state);
        let told = if hands_pieces { self.hand_pieces(py) } else { Ok(()) };
        if !senders.is_empty() {
            self.lock().retime_sender(self.answering());
        }
        let heard = resolve_all(py, receivers, || disconnect(py));
        let sent = resolve_all(py, senders, || Ok(py.None()));
        told?;
        let is_heard = heard?;
        sent?;
        // Who waits to be told has been told; anybody else has no use for what it is doing.
        if is_news && !is_heard { self.course.cancel_task(py) } else { Ok(()) }
    }

    fn break_off(&self) {
        let mut state = self.lock();
        if matches!(state.end, End::Open) {
            state.end = End::Broken;
        }
        state.phase = Phase::Complete;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            self.ties().calls.wake(reader);
        }
    }

    fn client_left(self: Arc<Self>) {
        let mut state = self.lock();
        let has_all = matches!(state.to_come, ToCome::ForNobody(_));
        if state.is_gone || has_all || matches!(state.phase, Phase::Complete) {
            return;
        }
        state.is_gone = true;
        state.pieces.clear();
        state.held = 0;
        // The app has as long to notice as a request may take, also where its client was waited for just now.
        self.answering().resume();
        drop(state);
        self.ties().watch(self.answering());
        self.ties().ask_to_attend(Arc::clone(&self) as Arc<dyn InTask>);
    }

    fn is_waited_for(&self) -> bool {
        let state = self.lock();
        !state.receivers.is_empty() || !state.senders.is_empty()
    }

    fn task_ended(&self, py: Python<'_>, ended: PyResult<()>) {
        course::has_ended(self, py, &ended);
        let mut state = self.lock();
        let is_given_up = matches!(state.end, End::Broken);
        let is_ours = state.is_gone || is_given_up || self.answering().is_cut_off();
        let problem = match (&state.phase, ended) {
            // Who was told that nobody listens may end as it likes.
            _ if is_ours => None,
            (Phase::Complete, Ok(())) => None,
            // Its client has all of it.
            (_, Ok(())) if matches!(state.to_come, ToCome::ForNobody(_)) => None,
            (Phase::Complete | Phase::Streaming | Phase::Trailing, Err(error)) => {
                drop(state);
                let traceback = super::super::describe(py, &error);
                tracing::error!(request = %self.answering().id(), traceback, "the app failed after its response had begun");
                self.break_off();
                return;
            }
            (Phase::Waiting | Phase::Begun(_), Err(error)) => {
                // To describe it runs code of the app's.
                drop(state);
                let traceback = super::super::describe(py, &error);
                state = self.lock();
                Some(format!("the app raised an exception\n{traceback}"))
            }
            (Phase::Waiting, Ok(())) => Some("the app returned without a response".to_owned()),
            (Phase::Begun(_), Ok(())) => {
                Some("the app returned without the content of its response".to_owned())
            }
            (Phase::Streaming | Phase::Trailing, Ok(())) => {
                drop(state);
                tracing::error!(request = %self.answering().id(), "the app returned before the end of its response");
                self.break_off();
                return;
            }
        };
        state.phase = Phase::Complete;
        if let Some(problem) = problem {
            self.answer(state, Err(AppError::Failed(problem)));
        }
    }
}

impl State {
    /// Whether who asks now gets nothing more. Who has waited before learns it with the end: frameworks cancel what goes on then.
    fn is_over(&self) -> bool {
        let has_all = matches!(self.to_come, ToCome::ForNobody(_) | ToCome::Bytes(0));
        self.is_gone || matches!(self.phase, Phase::Complete) || has_all && self.upload.is_none()
    }

    /// There is room again for who waited for it. That is the app's time, except where its response is complete, or all of it has
    /// come that nobody takes.
    fn retime_sender(&self, answering: &Answering) {
        if !matches!((&self.phase, &self.to_come), (Phase::Complete, _) | (_, ToCome::ForNobody(0))) {
            answering.resume();
        }
    }

    /// The next piece of content that is still arriving, if it is there. A broken one has none: its client's leaving is told
    /// as any other.
    fn take_piece(&mut self) -> Option<Arrived> {
        match self.upload.as_ref()?.take() {
            Taken::Piece(bytes, more) => {
                if more == More::Ends {
                    self.upload = None;
                }
                Some(Arrived(bytes, more))
            }
            Taken::Nothing => None,
            Taken::Broken => {
                self.upload = None;
                None
            }
        }
    }
}
