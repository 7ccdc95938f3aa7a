//! An ASGI app (ASGI 3.0): a coroutine for each request, in the event loop of its worker.
//!
//! Where to start: [`core`] is where asyncio's loop and the worker's runtime meet ([`uvloop`]: uvloop's), [`task`] begins a
//! request, [`http`] is what its task and its connection share.

mod awaitable;
mod channel;
mod core;
mod course;
mod event_loop;
mod http;
mod interface;
#[cfg(any(test, fuzzing))]
pub(super) mod laws;
mod message;
mod scope;
mod send;
mod socket;
mod socket_send;
mod stream;
mod stuck;
mod task;
mod ties;
mod told;
mod uvloop;

pub(super) use interface::{Detected, code as interface_code, detect};

use super::interrupt::Inside;
use super::options::Options;
use super::{answer, describe, end_if_child, panics};
use crate::app::calls::{Answering, BlockingApp, CallQueue, MainLoop};
use crate::app::{App, AppError, BoxFuture, CallLimits};
use crate::config::RequestContent;
use crate::protocol::websocket::{Handshake, NoWebSocket};
use crate::protocol::{Content, Entry, OnDisconnect, OnUpgrade, Request, Response, spare_fields};
use awaitable::Awaitable;
use channel::{Channel, SocketChannel};
use course::InTask;
use event_loop::EventLoop;
use http::Http;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use scope::{Kind, Scopes};
use socket::Socket;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// An ASGI app, in the event loop of its worker.
pub(super) struct Asgi {
    callable: Arc<Callable>,
    calls: Arc<CallQueue>,
    entry: Entry,
}

struct Callable {
    app: Py<PyAny>,
    scopes: OnceLock<Scopes>,
    event_loop: Arc<EventLoop>,
    nothing: Py<Awaitable>,
}

impl Asgi {
    /// An app that lives in the worker's event loop, which is made with the first one.
    pub(super) fn new(
        py: Python<'_>,
        (name, app): (&str, Bound<'_, PyAny>),
        options: &Options<'_>,
        calls: Arc<CallQueue>,
    ) -> Result<Self, String> {
        let Some(place) = &options.event_loop else { return Err(NO_PLACE.to_owned()) };
        let said = |error: PyErr| describe(py, &error);
        let event_loop = match place.made.get() {
            Some(Made(event_loop)) => Arc::clone(event_loop),
            None => {
                let event_loop = EventLoop::new(py, &calls, place).map_err(said)?;
                calls.set_main_loop(Arc::clone(&event_loop) as Arc<dyn MainLoop>);
                Arc::clone(&place.made.get_or_init(|| Made(event_loop)).0)
            }
        };
        let callable = Arc::new(Callable {
            app: app.clone().unbind(),
            scopes: OnceLock::new(),
            event_loop: Arc::clone(&event_loop),
            nothing: Py::new(py, Awaitable::nothing()).map_err(said)?,
        });
        let its = Arc::clone(&callable);
        let started = Box::new(move |state| {
            // It starts once.
            let _ = its.scopes.set(Scopes::new(Some(state)));
        });
        event_loop.add(py, (name, &app), options.lifespan, started).map_err(said)?;
        let entry = match options.content {
            RequestContent::Complete => Entry::Complete,
            RequestContent::Stream => Entry::AtOnce,
        };
        Ok(Self { callable, calls, entry })
    }
}

/// The event loop of a worker, as its apps find it.
pub struct Made(Arc<EventLoop>);

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Made")
    }
}

impl App for Asgi {
    fn call(&self, request: Box<Request>, limits: CallLimits) -> BoxFuture<'_, Result<Response, AppError>> {
        let app: Arc<dyn BlockingApp> = Arc::clone(&self.callable) as _;
        Box::pin(self.calls.call(app, request, limits))
    }

    fn on_disconnect(&self) -> OnDisconnect {
        OnDisconnect::Cancel
    }

    fn entry(&self) -> Entry {
        self.entry
    }

    fn stop(&self, left: Duration) -> BoxFuture<'_, ()> {
        super::ending::end(left);
        Box::pin(async {})
    }
}

impl BlockingApp for Callable {
    fn call(&self, request: Box<Request>, answering: &Answering) -> Result<(), AppError> {
        Python::attach(|py| {
            let outcome = self.enter(py, request, answering);
            end_if_child();
            outcome.or_else(|error| answer::failed(py, &error, answering))
        })
    }
}

impl Callable {
    /// Begins a request; its answer may be there already when this returns.
    fn enter(&self, py: Python<'_>, mut request: Box<Request>, answering: &Answering) -> PyResult<()> {
        if let Some(upgrade) = request.upgrade.take() {
            match Handshake::read(&request.head) {
                Ok(handshake) => return self.enter_socket(py, &request, (handshake, upgrade), answering),
                Err(NoWebSocket::Refused(response)) => {
                    answering.offer(Ok(*response));
                    return Ok(());
                }
                // RFC 9110 7.8: who asks for another protocol takes this one, too.
                Err(NoWebSocket::Other) => {}
            }
        }
        let content = std::mem::replace(&mut request.content, Content::Empty);
        let interim = request.interim.take();
        let upload = request.upload.take();
        let scope = self.scopes().make(py, Kind::Http, &request)?;
        // The app may take its time, and has no use for it.
        spare_fields::give_back(std::mem::take(&mut request.head.fields));
        drop(request);
        let http =
            Http::new(answering.clone(), Arc::clone(&self.event_loop.ties), (content, upload, interim));
        let channel = Bound::new(py, Channel::new(Arc::clone(&http), self.nothing.clone_ref(py)))?;
        self.take_first_step(&http, scope, channel.as_any())
    }

    fn enter_socket(
        &self,
        py: Python<'_>,
        request: &Request,
        (handshake, upgrade): (Handshake, OnUpgrade),
        answering: &Answering,
    ) -> PyResult<()> {
        let scope = self.scopes().make(py, Kind::WebSocket, request)?;
        let ties = Arc::clone(&self.event_loop.ties);
        let identity = request.context.identity.as_ref();
        let expiry_code = identity.and_then(|identity| identity.stream_end).map(|end| end.close_code);
        let socket = Socket::new(answering.clone(), ties, (handshake, upgrade), expiry_code);
        let channel = SocketChannel::new(Arc::clone(&socket), self.nothing.clone_ref(py));
        let channel = Bound::new(py, channel)?;
        self.take_first_step(&socket, scope, channel.as_any())
    }

    /// Takes the first step of a request, which may be its last.
    fn take_first_step<T: InTask + 'static>(
        &self,
        request: &Arc<T>,
        scope: Bound<'_, PyDict>,
        channel: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = channel.py();
        // What an app has begun that fails before it gives a coroutine must not wait for ever.
        let begun = panics::caught(|| {
            let task = self.begin(py, scope, channel, &request.course().answering)?;
            if task.call_method0(intern!(py, "done"))?.is_truthy()? {
                course::end_in_order(request, &task);
                return Ok(());
            }
            go_on(request, &task, channel)
        });
        course::end_first_step(request, begun)
    }

    /// Calls the app, and takes the first step of what it gives.
    fn begin<'py>(
        &self,
        py: Python<'py>,
        scope: Bound<'py, PyDict>,
        channel: &Bound<'py, PyAny>,
        answering: &Answering,
    ) -> PyResult<Bound<'py, PyAny>> {
        let core = self.event_loop.core.get();
        let receive = channel.getattr(intern!(py, "receive"))?;
        let send = channel.getattr(intern!(py, "send"))?;
        let _inside = Inside::enter(py, answering);
        let coroutine = self.app.bind(py).call1((scope, receive, send))?;
        core.tasks.begin(py, core, &coroutine)
    }

    fn scopes(&self) -> &Scopes {
        self.scopes.get_or_init(|| Scopes::new(None))
    }
}

/// A task goes on after its first step.
fn go_on<T: InTask + 'static>(
    request: &Arc<T>,
    task: &Bound<'_, PyAny>,
    channel: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = task.py();
    course::goes_on(request, task.clone().unbind());
    task.call_method1(intern!(py, "add_done_callback"), (channel.getattr(intern!(py, "ended"))?,))?;
    Ok(())
}

const NO_PLACE: &str = "an ASGI app needs the event loop of a worker, which there is none of where a server is embedded in another program's runtime";
