//! One call of a service, until its response begins.

use super::service::begin;
use super::{AppError, Body, BoxError};
use crate::protocol::flight::Flight;
use crate::protocol::{RequestId, Response};
use crate::telemetry::panics;
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;
use tower_service::Service;

/// How long an app may take for its response to begin, and then for each piece of it.
#[derive(Debug)]
pub(super) struct Pace {
    /// Zero: no limit.
    pub(super) limit: Duration,
    pub(super) id: RequestId,
    /// What the table says of the request.
    pub(super) flight: Flight,
}

impl Pace {
    /// For the rest of the same request.
    fn take(&mut self) -> Self {
        Self { flight: std::mem::replace(&mut self.flight, Flight::unnoted()), ..*self }
    }
}

pin_project! {
    /// What [`App::call`](super::App::call) of a service comes to.
    ///
    /// By hand, and not an `async` block: a block keeps what it was given beside what it makes of it. The request and
    /// the future that it becomes share their place here, which halves what is allocated and moved for each request.
    pub(super) struct ServiceCall<S, F> {
        #[pin]
        stage: Stage<S, F>,
        pace: Pace,
        // Made when the service is first seen to wait: most answers are there at once, and a timer costs more than they do.
        limit: Option<Pin<Box<Sleep>>>,
    }
}

pin_project! {
    #[project = StageProjection]
    #[project_replace = StageBefore]
    enum Stage<S, F> {
        // Until the service takes the request.
        Offered { service: S, request: http::Request<Body> },
        Called { #[pin] answer: F },
        Over,
    }
}

impl<S: Service<http::Request<Body>>> ServiceCall<S, S::Future> {
    /// Nothing is called before the first poll.
    pub(super) fn new(service: S, request: http::Request<Body>, pace: Pace) -> Self {
        Self { stage: Stage::Offered { service, request }, pace, limit: None }
    }
}

impl<S, B> Future for ServiceCall<S, S::Future>
where
    S: Service<http::Request<Body>, Response = http::Response<B>>,
    S::Error: Into<BoxError>,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Output = Result<Response, AppError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut call = self.project();
        // A panic costs this one request: its client is told, and the connection serves the next one.
        let advanced = catch_unwind(AssertUnwindSafe(|| advance(call.stage.as_mut(), cx)));
        let outcome = match advanced.map_err(|panic| AppError::Failed(caught(&*panic)))? {
            Poll::Ready(outcome) => outcome,
            Poll::Pending if call.pace.limit.is_zero() => return Poll::Pending,
            Poll::Pending => {
                let limit = call.limit.get_or_insert_with(|| Box::pin(tokio::time::sleep(call.pace.limit)));
                ready!(limit.as_mut().poll(cx));
                return Poll::Ready(Err(AppError::TooSlow(call.pace.limit)));
            }
        };
        match outcome {
            Ok(response) => Poll::Ready(begin(response, call.pace.take(), cx)),
            Err(error) => Poll::Ready(Err(failed(error))),
        }
    }
}

/// Offers the request to the service and asks for the answer.
fn advance<S: Service<http::Request<Body>>>(
    mut stage: Pin<&mut Stage<S, S::Future>>,
    cx: &mut Context<'_>,
) -> Poll<Result<S::Response, S::Error>> {
    loop {
        match stage.as_mut().project() {
            StageProjection::Offered { service, .. } => ready!(service.poll_ready(cx))?,
            StageProjection::Called { answer } => return answer.poll(cx),
            StageProjection::Over => return Poll::Pending,
        }
        if let StageBefore::Offered { mut service, request } = stage.as_mut().project_replace(Stage::Over) {
            let answer = service.call(request);
            stage.set(Stage::Called { answer });
        }
    }
}

/// Counts a panic; what it says, where it says something.
fn caught(panic: &(dyn Any + Send)) -> String {
    panics::caught();
    format!("the app panicked: {}", panics::text(panic))
}

pub(super) fn failed(error: impl Into<BoxError>) -> AppError {
    AppError::Failed(error.into().to_string())
}
