//! A WSGI app (PEP 3333).

use super::environ::Environs;
use super::interrupt::Inside;
use super::kit::{Kit, Kits};
use super::options::Options;
use super::outgoing::Way;
use super::{answer, end_if_child, ending};
use crate::app::calls::{Answering, BlockingApp, CallQueue};
use crate::app::{App, AppError, BoxFuture, CallLimits};
use crate::protocol::{Content, Request, Response, spare_fields};
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// A WSGI callable, called on the app threads of its worker.
pub(super) struct Wsgi {
    callable: Arc<Callable>,
    calls: Arc<CallQueue>,
}

struct Callable {
    app: Py<PyAny>,
    environs: Environs,
    kits: Kits,
    response_buffer: usize,
}

impl Wsgi {
    pub(super) fn new(
        py: Python<'_>,
        app: Py<PyAny>,
        options: &Options<'_>,
        calls: Arc<CallQueue>,
    ) -> PyResult<Self> {
        let environs = Environs::new(py, options)?;
        let (kits, response_buffer) = (Kits::default(), options.response_buffer);
        Ok(Self { callable: Arc::new(Callable { app, environs, kits, response_buffer }), calls })
    }
}

impl App for Wsgi {
    fn call(&self, request: Box<Request>, limits: CallLimits) -> BoxFuture<'_, Result<Response, AppError>> {
        let app: Arc<dyn BlockingApp> = Arc::clone(&self.callable) as _;
        Box::pin(self.calls.call(app, request, limits))
    }

    fn stop(&self, left: Duration) -> BoxFuture<'_, ()> {
        ending::end(left);
        Box::pin(async {})
    }
}

impl BlockingApp for Callable {
    fn call(&self, mut request: Box<Request>, answering: &Answering) -> Result<(), AppError> {
        Python::attach(|py| {
            let way = Way::new(answering, self.response_buffer, &mut request);
            let outcome = self.kits.take(py, way).and_then(|mut kit| {
                let outcome = self.enter(py, &mut kit, request, answering);
                self.kits.give_back(py, kit);
                outcome
            });
            end_if_child();
            outcome.unwrap_or_else(|error| Err(answer::refusal(py, &error)))
        })
    }
}

impl Callable {
    /// Calls the app, and gives its answer.
    fn enter(
        &self,
        py: Python<'_>,
        kit: &mut Kit,
        mut request: Box<Request>,
        answering: &Answering,
    ) -> PyResult<Result<(), AppError>> {
        let content = std::mem::replace(&mut request.content, Content::Empty);
        let length = content.len();
        kit.input(py).get().fill(content);
        let environ = self.environs.make(py, kit, length, &request)?;
        // The app may take its time, and has no use for it.
        spare_fields::give_back(std::mem::take(&mut request.head.fields));
        drop(request);
        let inside = Inside::enter(py, answering);
        let call = || self.app.bind(py).call1((environ, kit.start_response(py)));
        Ok(answer::collect(call, kit.said(), inside))
    }
}
