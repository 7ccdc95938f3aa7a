//! A request becomes a response here: the apps and the one trait they share.
// Denied and not forbidden: `python/ffi.rs` is the one exception.
#![deny(unsafe_code)]

mod body;
pub mod calls;
pub mod collected;
#[cfg(feature = "hyper")]
mod hyper_upgrade;
mod native;
mod place;
#[cfg(feature = "python")]
pub mod python;
mod service;
mod service_call;
pub mod static_files;
#[cfg(feature = "issue")]
pub mod tokens;
mod too_slow;

pub use body::Body;
pub use calls::Shed;
pub use native::{Status, native};
pub use place::Place;
pub use service::{ConnectInfo, ServiceApp};
pub use too_slow::{Late, say_too_slow};

use crate::contract::metrics::Metrics;
use crate::net::Draining;
use crate::protocol::{Entry, Noting, OnDisconnect, Patience, Request, Response, Substitute};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A boxed future, as [`App`] returns them.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that answers requests: what the server's own apps are. Users bring a tower service ([`Server::new`](crate::Server::new)); who wants what
/// such a service cannot have implements this ([`Server::with_app`](crate::Server::with_app)).
///
/// An app is made once per worker, after the fork.
pub trait App: Send + Sync + 'static {
    /// Answers one request, whose content is complete unless [`entry`](Self::entry) says otherwise, within `limits.time`.
    ///
    /// # Errors
    /// [`AppError`] when the app could not answer; the client gets the status it stands for.
    fn call(&self, request: Box<Request>, limits: CallLimits) -> BoxFuture<'_, Result<Response, AppError>>;

    /// Whether its requests are in the table of requests in flight; asked once.
    fn noting(&self) -> Noting {
        Noting::Always
    }

    /// What becomes of a request whose client leaves; asked once.
    fn on_disconnect(&self) -> OnDisconnect {
        OnDisconnect::Finish
    }

    /// When it is entered for a request with content; asked once.
    fn entry(&self) -> Entry {
        Entry::Complete
    }

    /// What the server answers in this app's place, in words that its clients understand.
    fn word(&self, answer: &Substitute) -> Response {
        answer.plain()
    }

    /// Runs once per worker after its last request. So much later the worker is killed.
    fn stop(&self, _left: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Any error, as constructors and services of apps return them.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the constructor of a program's own app is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// The worker's place in the pool, from 1. Another worker has the same one after a reload or a crash.
    pub slot: u16,
    /// Counts the reloads, from 1.
    pub generation: u32,
    /// Says when this worker has to leave.
    pub draining: Draining,
    /// Makes figures that `/metrics` tells, added up over all workers.
    pub metrics: Metrics,
}

impl WorkerInfo {
    /// What is known of a worker.
    pub(crate) fn new((slot, generation): (u16, u32), draining: Draining, metrics: Metrics) -> Self {
        Self { slot, generation, draining, metrics }
    }
}

/// A program's own apps, and where they are mounted.
pub type OwnApps = Vec<(Place, Arc<dyn App>)>;

/// Makes a program's own apps: once in each worker, after the fork, on that worker's runtime.
pub type MakeApps = dyn Fn(WorkerInfo) -> BoxFuture<'static, Result<OwnApps, BoxError>> + Send + Sync;

/// What a call may take.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// Time in the app; zero: no limit.
    pub time: Duration,
    /// Time that it may wait for the app; zero: no limit.
    pub queue: Duration,
    /// Whether the request may come back as [`AppError::Busy`].
    pub patience: Patience,
}

/// Why an app gave no response.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The app failed: 500. The text is for the error log, never for the client.
    #[error("{0}")]
    Failed(String),
    /// The app took longer than this: 504.
    #[error("the app took longer than {0:?}")]
    TooSlow(Duration),
    /// The call was ended from outside, which is in the log already.
    #[error("{0}")]
    CutOff(CutOff),
    /// It was not tried: there is more to do than can be done. How long others have waited for their turn.
    #[error("the server is overloaded")]
    Shed(Shed, Duration),
    /// No thread was free to enter the app: the request comes back untouched, to be served elsewhere.
    #[error("no app thread is free")]
    Busy(Box<Request>),
}

/// Why a call was ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CutOff {
    /// It is past its time limit: 504.
    #[error("the app took too long")]
    TimeLimit,
    /// An operator wants it to end: 503.
    #[error("the request was cancelled")]
    Cancelled,
}
