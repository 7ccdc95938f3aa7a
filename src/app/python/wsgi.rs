//! A WSGI app (PEP 3333).

use super::answer;
use super::environ::Environs;
use super::load::Options;
use super::start_response::StartResponse;
use crate::app::calls::{Answering, BlockingApp, CallQueue};
use crate::app::{App, AppError, BoxFuture, CallLimits};
use crate::protocol::{Request, Response};
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A WSGI callable, called on the app threads of its worker.
pub(super) struct Wsgi {
    callable: Arc<Callable>,
    calls: Arc<CallQueue>,
}

struct Callable {
    app: Py<PyAny>,
    environs: Environs,
}

impl Wsgi {
    pub(super) fn new(
        py: Python<'_>,
        app: Py<PyAny>,
        options: &Options<'_>,
        calls: Arc<CallQueue>,
    ) -> PyResult<Self> {
        let environs = Environs::new(py, options)?;
        Ok(Self { callable: Arc::new(Callable { app, environs }), calls })
    }
}

impl App for Wsgi {
    fn call(&self, request: Request, limits: CallLimits) -> BoxFuture<'_, Result<Response, AppError>> {
        let app: Arc<dyn BlockingApp> = Arc::clone(&self.callable) as _;
        Box::pin(self.calls.call(app, request, limits.time, limits.patience))
    }

    /// What Python does at its own end: threads are joined, exit handlers run, streams flushed.
    fn stop(&self) -> BoxFuture<'_, ()> {
        static STOPPED: AtomicBool = AtomicBool::new(false);
        if !STOPPED.swap(true, Ordering::Relaxed) {
            Python::attach(|py| {
                if let Err(error) = end_interpreter(py) {
                    tracing::error!(traceback = super::describe(py, &error), "an exit handler failed");
                }
            });
        }
        Box::pin(async {})
    }
}

impl BlockingApp for Callable {
    fn call(&self, mut request: Request, answering: &Answering) {
        Python::attach(|py| {
            let outcome = self.enter(py, &mut request, answering);
            if let Some(outcome) = outcome {
                answering.finish(outcome);
            }
        });
    }
}

impl Callable {
    /// Calls the app; `None` when its answer has been given already, piece by piece.
    fn enter(
        &self,
        py: Python<'_>,
        request: &mut Request,
        answering: &Answering,
    ) -> Option<Result<Response, AppError>> {
        let start_response = match Bound::new(py, StartResponse::default()) {
            Ok(start_response) => start_response,
            Err(error) => return Some(Err(answer::failed(py, &error))),
        };
        let result = self
            .environs
            .make(py, request)
            .and_then(|environ| self.app.bind(py).call1((environ, &start_response)));
        match result {
            Ok(iterable) => answer::collect(&iterable, start_response.get(), answering, request.context.id),
            Err(error) => Some(Err(answer::failed(py, &error))),
        }
    }
}

fn end_interpreter(py: Python<'_>) -> PyResult<()> {
    py.import("threading")?.call_method0("_shutdown")?;
    py.import("atexit")?.call_method0("_run_exitfuncs")?;
    let sys = py.import("sys")?;
    for name in ["stdout", "stderr"] {
        let stream = sys.getattr(name)?;
        if !stream.is_none() {
            stream.call_method0("flush")?;
        }
    }
    Ok(())
}
