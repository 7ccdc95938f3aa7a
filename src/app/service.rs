//! Any `tower_service::Service` as an app; an axum `Router` is one.

use super::service_call::{Pace, ServiceCall};
use super::{App, AppError, Body, BoxError, BoxFuture, CallLimits, Late, say_too_slow};
use crate::net::Draining;
use crate::protocol::flight::Flight;
use crate::protocol::{
    BodyStream, Local, Peer, Piece, Pieces, Prefix, Request, Response, ResponseBody, Scheme, StreamAborted,
    text_response,
};
use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body::Body as HttpBody;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::time::Sleep;
use tower_service::Service;

/// A service as an app: each request gets a clone of it.
///
/// In the extensions of a request: [`ConnectInfo`], with the token that tells of draining; `Arc<Identity>` for a client
/// that has proven who it is; [`OnUpgrade`](crate::protocol::OnUpgrade) where the client asks for another protocol, and
/// with the feature `hyper` then also `hyper::upgrade::OnUpgrade`. Trailers of a response are dropped: hardly any client of HTTP/1.1 reads them.
pub struct ServiceApp<S> {
    /// Locked for the moment of cloning: a service need not be `Sync`.
    service: Mutex<S>,
    draining: Draining,
}

/// The connection a request came on, in the request's extensions.
///
/// axum takes it as `Extension<ferricorn::ConnectInfo>`.
#[derive(Debug, Clone)]
pub struct ConnectInfo {
    /// The other end. Behind a proxy this is the proxy.
    pub peer: Peer,
    /// The address the connection was accepted on.
    pub local: Local,
    /// The scheme the client used, as far as a trusted proxy says so.
    pub scheme: Scheme,
    /// Says when this connection's worker has to leave: end streams and upgraded connections then.
    pub draining: Draining,
    /// The prefix at which the service is mounted, which its paths are without; "" for "/".
    pub mount: Prefix,
}

impl<S> ServiceApp<S> {
    /// Hosts a service in the worker that `draining` speaks of.
    pub fn new(service: S, draining: Draining) -> Self {
        Self { service: Mutex::new(service), draining }
    }
}

impl<S> fmt::Debug for ServiceApp<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceApp").finish_non_exhaustive()
    }
}

impl<S, B> App for ServiceApp<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    fn call(
        &self,
        mut request: Box<Request>,
        limits: CallLimits,
    ) -> BoxFuture<'_, Result<Response, AppError>> {
        let flight = std::mem::replace(&mut request.context.flight, Flight::unnoted());
        let pace = Pace { limit: limits.time, id: request.context.id, flight };
        let Some(request) = self.translate(request) else {
            let response = text_response(StatusCode::URI_TOO_LONG, "The target is too long.\n");
            return Box::pin(std::future::ready(Ok(response)));
        };
        let service = self.service.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(ServiceCall::new(service, request, pace))
    }
}

impl<S> ServiceApp<S> {
    /// The request in the ecosystem's types; `None` when its target is longer than they allow.
    fn translate(&self, request: Box<Request>) -> Option<http::Request<Body>> {
        let Request { head, content, context, upgrade, .. } = *request;
        let uri = head.target.to_uri_below(context.mount.as_bytes())?;
        let mut translated = http::Request::new(Body::from(content));
        *translated.method_mut() = head.method;
        *translated.uri_mut() = uri;
        *translated.version_mut() = head.version;
        *translated.headers_mut() = head.fields;
        let extensions = translated.extensions_mut();
        extensions.insert(ConnectInfo {
            peer: context.peer,
            local: context.local,
            scheme: context.scheme,
            draining: self.draining.clone(),
            mount: context.mount,
        });
        if let Some(identity) = context.identity {
            extensions.insert(identity);
        }
        if let Some(upgrade) = upgrade {
            #[cfg(feature = "hyper")]
            if let Some(handle) = super::hyper_upgrade::handle(upgrade.clone()) {
                extensions.insert(handle);
            }
            extensions.insert(upgrade);
        }
        Some(translated)
    }
}

/// The response in the server's types. What is there already goes out together with the head.
pub(super) fn begin<B>(
    response: http::Response<B>,
    pace: Pace,
    cx: &mut Context<'_>,
) -> Result<Response, AppError>
where
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let (parts, body) = response.into_parts();
    if body.is_end_stream() {
        return Ok(Response::from_parts(parts, ResponseBody::Empty));
    }
    let mut body = Frames { body: Box::pin(body), first: None, pace, waiting: None };
    let whole = body.body.size_hint().exact();
    let content = match body.poll_data(cx) {
        Poll::Ready(None) => ResponseBody::Empty,
        Poll::Ready(Some(Err(error))) => return Err(AppError::Failed(error.to_string())),
        Poll::Ready(Some(Ok(piece))) if whole == Some(piece.len() as u64) => ResponseBody::Full(piece),
        Poll::Ready(Some(Ok(piece))) => {
            body.first = Some(piece);
            ResponseBody::Stream(BodyStream::asked(body))
        }
        Poll::Pending => ResponseBody::Stream(BodyStream::asked(body)),
    };
    Ok(Response::from_parts(parts, content))
}

/// A response's content, asked for as fast as the client takes it.
struct Frames<B> {
    body: Pin<Box<B>>,
    /// Asked for before it was known that there is more.
    first: Option<Bytes>,
    pace: Pace,
    /// Runs while the app makes a piece, and so never while the client takes one.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<B: HttpBody<Error: Into<BoxError>>> Frames<B> {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        loop {
            let Some(frame) = ready!(self.body.as_mut().poll_frame(cx)) else { return Poll::Ready(None) };
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(mut data)) => {
                    let length = data.remaining();
                    return Poll::Ready(Some(Ok(data.copy_to_bytes(length))));
                }
                // Trailers.
                Ok(Err(_)) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }
}

impl<B: HttpBody<Data: Send, Error: Into<BoxError>> + Send> Pieces for Frames<B> {
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let frames = self.get_mut();
        if let Some(first) = frames.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        match frames.poll_data(cx) {
            Poll::Pending => frames.poll_limit(cx),
            Poll::Ready(piece) => {
                frames.waiting = None;
                Poll::Ready(piece.map(|piece| {
                    piece.map_err(|error| {
                        tracing::error!(request = %frames.pace.id, traceback = %error, "the app failed after its response had begun");
                        StreamAborted
                    })
                }))
            }
        }
    }
}

impl<B> Frames<B> {
    /// Ready once the app has taken too long for a piece.
    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let Pace { limit, id, flight } = &self.pace;
        if limit.is_zero() {
            return Poll::Pending;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(*limit)));
        ready!(waiting.as_mut().poll(cx));
        say_too_slow(*id, *limit, Late::Piece, flight.entry().as_ref(), None);
        Poll::Ready(Some(Err(StreamAborted)))
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
