//! `[auth]` without the server: a layer for any tower stack.

use super::tend::tend;
use super::{Asked, Authenticator};
use crate::auth::AuthConfigError;
use crate::auth::jwks::Upkeep;
use crate::config::{self, Auth, ConfigErrors, Sources};
use crate::contract::key_table::KeyTable;
use crate::protocol::{Attempt, Halt, Response, ResponseBody, Scheme, Target};
use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;
use tower_service::Service;

/// Checks bearer tokens before the service that it is put around, by the same rules as `[auth]` in the server.
///
/// Requests that pass have an `Arc<Identity>` in their extensions where a token was proven; all others are answered
/// without the service. Key files are read anew when they change, and key sets are fetched, by a task that lives as
/// long as the layer or a service that it made. What only the server can do, it does not: ending event streams and
/// upgraded connections when the token ends.
///
/// ```
/// use axum::{Extension, Router, routing::get};
/// use ferricorn::Identity;
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = ferricorn::auth::Layer::from_toml(
///     r#"
///     [auth]
///     [[auth.provider]]
///     name = "local"
///     [[auth.provider.key]]
///     alg = "HS256"
///     secret = "a secret of more than thirty-two bytes"
///     [[auth.route]]
///     prefix = "/"
///     require = "local"
///     "#,
/// )?;
/// let name = |Extension(identity): Extension<Arc<Identity>>| async move {
///     identity.subject.clone().unwrap_or_default()
/// };
/// let app: Router = Router::new().route("/", get(name)).layer(layer);
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Layer {
    gate: Arc<Gate>,
}

/// A service behind a [`Layer`].
#[derive(Debug, Clone)]
pub struct Authenticated<S> {
    inner: S,
    gate: Arc<Gate>,
}

/// Why there is no layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The text is no configuration.
    #[error("{0}")]
    Config(ConfigErrors),
    /// There is no `[auth]` in it.
    #[error("the configuration has no [auth]")]
    NoAuth,
    /// The configuration cannot be used, most often because of a key.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Auth(Vec<AuthConfigError>),
    /// The system has no memory, or no working directory.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

#[derive(Debug)]
struct Gate {
    authenticator: Arc<Authenticator>,
    tending: tokio::task::JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.tending.abort();
    }
}

impl Layer {
    /// Reads the keys. To be called within a tokio runtime, on which keys are looked after.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, at once.
    pub fn new(config: &Auth) -> Result<Self, LayerError> {
        let authenticator = Authenticator::new(config).map_err(LayerError::Auth)?;
        for warning in authenticator.warnings() {
            tracing::warn!("{warning}");
        }
        let table = KeyTable::new()?;
        let directory = std::env::current_dir()?;
        let upkeep = Upkeep::new(table.clone());
        let waker = Arc::clone(&upkeep);
        let authenticator = authenticator.fetching(table, &directory, Box::new(move || waker.wake()));
        let authenticator = Arc::new(authenticator.map_err(|error| LayerError::Auth(vec![error]))?);
        let tending = tokio::spawn(tend(Arc::clone(&authenticator), upkeep));
        Ok(Self { gate: Arc::new(Gate { authenticator, tending }) })
    }

    /// The same from the text of a configuration file, of which `[auth]` is taken.
    ///
    /// # Errors
    /// Everything that is wrong with the text, or with what it says.
    pub fn from_toml(text: &str) -> Result<Self, LayerError> {
        let file = Some((Path::new("[auth]").to_owned(), text.to_owned()));
        let loaded = config::load(&Sources { file, ..Sources::default() }).map_err(LayerError::Config)?;
        Self::new(&loaded.config.auth.ok_or(LayerError::NoAuth)?)
    }
}

impl<S> tower_layer::Layer<S> for Layer {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated { inner, gate: Arc::clone(&self.gate) }
    }
}

impl<S, B, R> Service<http::Request<B>> for Authenticated<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>> + Clone,
    R: From<Bytes>,
{
    type Response = http::Response<R>;
    type Error = S::Error;
    type Future = Answering<S, B, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let stage = match self.gate.admit(&mut request, Attempt::First) {
            Ok(()) => Stage::Called { answer: self.inner.call(request) },
            Err(Halt::Answer(response)) => Stage::Refused { response: Some(response) },
            Err(Halt::Wait(what)) => {
                // The one that is ready is used; its clone takes its place.
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                let waiting = Waiting { what, inner, request, gate: Arc::clone(&self.gate) };
                Stage::Waiting { waiting: Some(Box::new(waiting)) }
            }
        };
        Answering { stage }
    }
}

impl Gate {
    /// Judges a request, and tells the service what was found.
    fn admit<B>(&self, request: &mut http::Request<B>, attempt: Attempt) -> Result<(), Halt> {
        self.authenticator.strip(request.headers_mut());
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        // A URI that http has parsed has a path that begins with a slash, or is an asterisk.
        let target = Target::parse(Bytes::copy_from_slice(path.as_bytes())).unwrap_or_else(Target::root);
        let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
        let asked = Asked {
            method: request.method(),
            target: &target,
            // In HTTP/2 the authority stands in the target.
            host: request.headers().get(HOST).map(HeaderValue::as_bytes).or(authority),
            fields: request.headers(),
            scheme: if request.uri().scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http },
        };
        let identity = self.authenticator.authenticate(asked, SystemTime::now(), attempt)?;
        self.authenticator.forward(identity.as_deref(), request.headers_mut());
        if let Some(identity) = identity {
            request.extensions_mut().insert(identity);
        }
        Ok(())
    }
}

pin_project! {
    /// The answer of the service, or the refusal in its place.
    pub struct Answering<S, B, F> {
        #[pin]
        stage: Stage<S, B, F>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<S, B, F> {
        Refused { response: Option<Box<Response>> },
        Waiting { waiting: Option<Box<Waiting<S, B>>> },
        Called { #[pin] answer: F },
    }
}

struct Waiting<S, B> {
    what: Pin<Box<dyn Future<Output = ()> + Send>>,
    inner: S,
    request: http::Request<B>,
    gate: Arc<Gate>,
}

impl<S, B, R> Future for Answering<S, B, S::Future>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    R: From<Bytes>,
{
    type Output = Result<http::Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        loop {
            let next = match stage.as_mut().project() {
                StageProjection::Called { answer } => return answer.poll(cx),
                StageProjection::Refused { response } => {
                    let Some(response) = response.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(translate(*response)));
                }
                StageProjection::Waiting { waiting } => {
                    let Some(held) = waiting else { return Poll::Pending };
                    ready!(held.what.as_mut().poll(cx));
                    let Some(held) = waiting.take() else { return Poll::Pending };
                    let Waiting { mut inner, mut request, gate, .. } = *held;
                    match gate.admit(&mut request, Attempt::Last) {
                        Ok(()) => Stage::Called { answer: inner.call(request) },
                        Err(Halt::Answer(response)) => Stage::Refused { response: Some(response) },
                        // Nobody waits twice.
                        Err(Halt::Wait(_)) => Stage::Refused { response: None },
                    }
                }
            };
            stage.set(next);
        }
    }
}

/// A refusal in the types of the stack around it.
fn translate<R: From<Bytes>>(response: Response) -> http::Response<R> {
    response.map(|body| match body {
        ResponseBody::Full(bytes) => R::from(bytes),
        // Refusals are short texts.
        ResponseBody::Empty | ResponseBody::File { .. } | ResponseBody::Stream(_) => R::from(Bytes::new()),
    })
}

impl<S, B, F> fmt::Debug for Answering<S, B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
