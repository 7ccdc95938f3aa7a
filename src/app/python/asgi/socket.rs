//! One WebSocket of an ASGI app, as its task and its connection both know it.

use super::awaitable::Awaitable;
use super::course::{self, Course, InTask, forget_done, is_done, resolve, resolve_all};
use super::ties::Ties;
use super::told::{Event, connect};
use crate::app::AppError;
use crate::app::calls::Answering;
use crate::protocol::websocket::{Close, Ended, Handshake, Message, Outgoing, Port};
use crate::protocol::{OnUpgrade, Response};
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// One WebSocket.
pub(super) struct Socket {
    pub(super) course: Course,
    pub(super) handshake: Handshake,
    upgrade: OnUpgrade,
    /// What the client is told when the token ends that has opened it (`auth.ws_close_code`).
    expiry_code: u16,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) phase: Phase,
    /// The app has been told that there is a client.
    has_connected: bool,
    incoming: VecDeque<Message>,
    pub(super) outgoing: VecDeque<Outgoing>,
    /// Bytes in `outgoing`, and in frames that wait to be written.
    pub(super) held: usize,
    receivers: VecDeque<Py<PyAny>>,
    pub(super) senders: Vec<Py<PyAny>>,
    /// The connection waits for something to send, or for room.
    pump: Option<Waker>,
}

/// Where a WebSocket is.
pub(super) enum Phase {
    /// The client waits for the answer to its handshake.
    Handshake,
    /// The app refuses, with a response of its own that is not complete.
    Denying(Response, Vec<u8>),
    Open,
    /// The app, or the server, has ended it.
    Ending,
    /// It is over; what the app is told of that.
    Over(Close),
}

impl Socket {
    pub(super) fn new(
        answering: Answering,
        ties: Arc<Ties>,
        (handshake, upgrade): (Handshake, OnUpgrade),
        expiry_code: Option<u16>,
    ) -> Arc<Self> {
        let expiry_code = expiry_code.unwrap_or(POLICY);
        let state = State {
            phase: Phase::Handshake,
            has_connected: false,
            incoming: VecDeque::new(),
            outgoing: VecDeque::new(),
            held: 0,
            receivers: VecDeque::new(),
            senders: Vec::new(),
            pump: None,
        };
        let course = Course::new(answering, ties);
        Arc::new(Self { course, handshake, upgrade, expiry_code, state: Mutex::new(state) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `receive()`: that there is a client, its messages, its end.
    pub(super) fn receive(self: &Arc<Self>, py: Python<'_>) -> PyResult<Awaitable> {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.has_connected, true) {
            drop(state);
            return Ok(Awaitable::ready(connect(py)?));
        }
        if let Some((event, pump)) = state.take_event() {
            drop(state);
            self.wake(pump);
            return Ok(Awaitable::ready(event.into_message(py)?));
        }
        drop(state);
        let future = self.course.ties.future(py)?;
        forget_done(py, || self.lock().receivers.pop_back(), |last| self.lock().receivers.push_back(last))?;
        let mut state = self.lock();
        state.receivers.push_back(future.clone_ref(py));
        // A message that came while nobody was seen to wait has asked for nobody.
        let has_message = !state.incoming.is_empty();
        drop(state);
        if has_message {
            self.course.ties.ask_to_attend(Arc::clone(self) as Arc<dyn InTask>);
        }
        Ok(Awaitable::future(future))
    }

    /// Gives those who wait what has come, or the end.
    fn hand_events(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            let Some(future) = self.lock().receivers.pop_front() else { return Ok(()) };
            // One that has been cancelled meanwhile takes nothing with it.
            if is_done(py, &future)? {
                continue;
            }
            let mut state = self.lock();
            let Some((event, pump)) = state.take_event() else {
                state.receivers.push_front(future);
                return Ok(());
            };
            drop(state);
            self.wake(pump);
            resolve(py, &future, || event.into_message(py))?;
        }
    }

    fn is_told_to_end(&self) -> bool {
        matches!(self.lock().phase, Phase::Over(_))
    }

    /// Wakes the connection.
    pub(super) fn wake(&self, pump: Option<Waker>) {
        if let Some(pump) = pump {
            self.course.ties.calls.wake(pump);
        }
    }

    /// Accepts the handshake; the connection lives in a task of the runtime from then on.
    pub(super) fn open(self: &Arc<Self>, response: Response, rules: crate::protocol::websocket::Rules) {
        // How long it lives is nobody's business, until it is over.
        self.course.answering.pause();
        let ties = &self.course.ties;
        let (socket, upgrade) = (Arc::clone(self), self.upgrade.clone());
        let draining = ties.draining.clone();
        ties.runtime.spawn(async move {
            let close = match upgrade.await {
                Ok(mut upgraded) => {
                    let leaving = async move { draining.wait().await };
                    let mut ends = vec![Ending::new(leaving, Close::new(GOING_AWAY, "the server leaves"))];
                    let expiry = upgraded.expiry();
                    ends.extend(expiry.map(|expired| {
                        Ending::new(expired, Close::new(socket.expiry_code, "the token no longer holds"))
                    }));
                    let port = SocketPort { socket: Arc::clone(&socket), ends };
                    let Ended { close } = crate::protocol::websocket::serve(upgraded, rules, port).await;
                    close
                }
                Err(_) => Close::new(ABNORMAL, ""),
            };
            socket.is_over(close);
        });
        self.course.answer(Ok(response));
    }

    fn is_over(self: Arc<Self>, close: Close) {
        let mut state = self.lock();
        if let Phase::Over(_) = state.phase {
            return;
        }
        state.phase = Phase::Over(close);
        state.outgoing.clear();
        state.held = 0;
        drop(state);
        // The app has as long to notice as a request may take.
        self.course.answering.resume();
        let ties = Arc::clone(&self.course.ties);
        ties.watch(&self.course.answering);
        ties.ask_to_attend(self as Arc<dyn InTask>);
    }
}

impl State {
    /// What the app is told next, and whom that gives room.
    fn take_event(&mut self) -> Option<(Event, Option<Waker>)> {
        if let Some(message) = self.incoming.pop_front() {
            return Some((Event::Message(message), self.pump.take()));
        }
        match &self.phase {
            Phase::Over(close) => Some((Event::Disconnect(close.clone()), None)),
            Phase::Handshake | Phase::Denying(..) | Phase::Open | Phase::Ending => None,
        }
    }

    /// Has the connection end behind what is to be sent before.
    pub(super) fn end(&mut self, close: Close) {
        self.outgoing.push_back(Outgoing::Close(close));
        self.phase = Phase::Ending;
    }

    pub(super) fn take_pump(&mut self) -> Option<Waker> {
        self.pump.take()
    }
}

impl InTask for Socket {
    fn course(&self) -> &Course {
        &self.course
    }

    fn attend(self: Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let told = self.hand_events(py);
        if told.is_err() {
            // Its end is told to all, also behind those who cannot be told; each round has one less.
            while self.is_told_to_end() && self.hand_events(py).is_err() {}
        }
        let mut state = self.lock();
        let has_room =
            matches!(state.phase, Phase::Over(_)) || state.held < self.course.ties.response_buffer / 2;
        let senders = if has_room { std::mem::take(&mut state.senders) } else { Vec::new() };
        drop(state);
        told.and(resolve_all(py, senders, || Ok(py.None())).map(drop))
    }

    fn break_off(&self) {
        let mut state = self.lock();
        let code = match state.phase {
            Phase::Handshake | Phase::Denying(..) => Some(ABNORMAL),
            Phase::Open => {
                state.end(Close::new(INTERNAL_ERROR, ""));
                Some(INTERNAL_ERROR)
            }
            Phase::Ending | Phase::Over(_) => None,
        };
        // The app is told at once, and has nothing more of what its client has sent.
        if let Some(code) = code {
            state.incoming.clear();
            state.phase = Phase::Over(Close::new(code, ""));
        }
        let pump = state.pump.take();
        drop(state);
        self.wake(pump);
    }

    fn client_left(self: Arc<Self>) {
        self.is_over(Close::new(ABNORMAL, ""));
    }

    fn is_waited_for(&self) -> bool {
        let state = self.lock();
        !state.receivers.is_empty() || !state.senders.is_empty()
    }

    fn task_ended(&self, py: Python<'_>, ended: PyResult<()>) {
        course::has_ended(self, py, &ended);
        let mut state = self.lock();
        let is_ours = matches!(state.phase, Phase::Over(_)) || self.course.answering.is_cut_off();
        let is_open = matches!(state.phase, Phase::Open);
        let is_waiting = matches!(state.phase, Phase::Handshake | Phase::Denying(..));
        if is_waiting {
            state.phase = Phase::Over(Close::new(ABNORMAL, ""));
        }
        match ended {
            Err(_) if is_ours => {}
            Err(error) => {
                // To describe it runs code of the app's.
                drop(state);
                let traceback = super::super::describe(py, &error);
                if is_waiting {
                    let reason = format!("the app raised an exception\n{traceback}");
                    self.course.answer(Err(AppError::Failed(reason)));
                    return;
                }
                let mut state = self.lock();
                if matches!(state.phase, Phase::Open) {
                    state.end(Close::new(INTERNAL_ERROR, ""));
                }
                let pump = state.pump.take();
                drop(state);
                self.wake(pump);
                tracing::error!(request = %self.course.answering.id(), traceback, "the app failed in a WebSocket");
            }
            Ok(()) if is_waiting => {
                drop(state);
                let reason = "the app returned without an answer to the handshake of a WebSocket";
                self.course.answer(Err(AppError::Failed(reason.to_owned())));
            }
            Ok(()) => {
                if is_open {
                    state.end(Close::new(NORMAL, ""));
                }
                let pump = state.pump.take();
                drop(state);
                self.wake(pump);
            }
        }
    }
}

/// The connection's view of a WebSocket.
struct SocketPort {
    socket: Arc<Socket>,
    /// What ends it from outside; nothing once something has.
    ends: Vec<Ending>,
}

/// Something that ends a WebSocket, and what its client is told then.
struct Ending {
    comes: Pin<Box<dyn Future<Output = ()> + Send>>,
    close: Close,
}

impl Ending {
    fn new(comes: impl Future<Output = ()> + Send + 'static, close: Close) -> Self {
        Self { comes: Box::pin(comes), close }
    }
}

impl Port for SocketPort {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.socket.lock();
        if state.incoming.len() < self.socket.course.ties.websocket.queue {
            return Poll::Ready(());
        }
        state.pump = Some(cx.waker().clone());
        Poll::Pending
    }

    fn message(&mut self, message: Message) {
        let mut state = self.socket.lock();
        if matches!(state.phase, Phase::Over(_)) {
            return;
        }
        state.incoming.push_back(message);
        let is_waited_for = !state.receivers.is_empty();
        drop(state);
        if is_waited_for {
            let socket = Arc::clone(&self.socket) as Arc<dyn InTask>;
            self.socket.course.ties.ask_to_attend(socket);
        }
    }

    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<Outgoing> {
        let mut state = self.socket.lock();
        if let Some(outgoing) = state.outgoing.pop_front() {
            return Poll::Ready(outgoing);
        }
        if let Some(come) = self.ends.iter_mut().position(|end| end.comes.as_mut().poll(cx).is_ready()) {
            let close = self.ends.swap_remove(come).close;
            self.ends.clear();
            drop(state);
            Arc::clone(&self.socket).is_over(close.clone());
            return Poll::Ready(Outgoing::Close(close));
        }
        state.pump = Some(cx.waker().clone());
        Poll::Pending
    }

    fn sent(&mut self, bytes: usize) {
        let mut state = self.socket.lock();
        // Frames have heads, and may be compressed: what is counted is what is still to come, about.
        state.held = state.held.saturating_sub(bytes);
        if state.outgoing.is_empty() {
            state.held = state.held.min(self.socket.course.ties.response_buffer / 4);
        }
        let has_room = !state.senders.is_empty() && state.held < self.socket.course.ties.response_buffer / 2;
        drop(state);
        if has_room {
            let socket = Arc::clone(&self.socket) as Arc<dyn InTask>;
            self.socket.course.ties.ask_to_attend(socket);
        }
    }
}

const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const ABNORMAL: u16 = 1006;
const POLICY: u16 = 1008;
const INTERNAL_ERROR: u16 = 1011;
