//! The admin process's few resources over HTTP.

use super::caller::Caller;
use super::desk::ENDED;
use super::site::Site;
use super::{inquiries, metrics, requests, status};
use crate::contract::control::{Command, Pace, Scale, Verdict};
use crate::contract::inquiry::Wish;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

/// Serves one connection.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    caller: Caller,
    site: Arc<Site>,
    _room: OwnedSemaphorePermit,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let (site, caller) = (Arc::clone(&site), caller.clone());
        async move { Ok::<_, Infallible>(site.answer(&caller, &request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HEAD);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!("admin connection: {error}");
    }
}

type Answer = Response<Full<Bytes>>;

impl Site {
    async fn answer<B>(&self, caller: &Caller, request: &Request<B>) -> Answer {
        if let Caller::Stranger(reason) = caller {
            return refuse(StatusCode::FORBIDDEN, reason);
        }
        let is_reading = request.method() == Method::GET || request.method() == Method::HEAD;
        match request.uri().path() {
            "/healthz" if is_reading => text(StatusCode::OK, "ok\n".into()),
            "/readyz" if is_reading => self.readiness(),
            "/metrics" if is_reading => {
                let mut response = text(StatusCode::OK, metrics::text(self));
                set_type(&mut response, "text/plain; version=0.0.4; charset=utf-8");
                response
            }
            "/status" if is_reading => json(StatusCode::OK, &status::value(self)),
            "/healthz" | "/readyz" | "/metrics" | "/status" => {
                refuse(StatusCode::METHOD_NOT_ALLOWED, "this can only be read")
            }
            // What clients ask for is not for everybody.
            "/requests" if is_reading && *caller == Caller::Trusted => {
                json(StatusCode::OK, &requests::value(&self.scoreboard))
            }
            #[cfg(feature = "jwt")]
            "/reload-keys" if *caller == Caller::Trusted => {
                if request.method() != Method::POST {
                    return refuse(StatusCode::METHOD_NOT_ALLOWED, POST_ONLY);
                }
                match self.keys.reload().await {
                    Ok(result) => json(StatusCode::OK, &serde_json::json!({ "result": result })),
                    Err(reason) => refuse(StatusCode::CONFLICT, &reason),
                }
            }
            "/cancel" if *caller == Caller::Trusted => self.inquire(Wish::Cancel, request).await,
            "/stack" if *caller == Caller::Trusted => self.inquire(Wish::Stack, request).await,
            path if *caller == Caller::Trusted => match command(path, request.uri().query().unwrap_or("")) {
                None => refuse(StatusCode::NOT_FOUND, "there is no such command"),
                Some(_) if request.method() != Method::POST => {
                    refuse(StatusCode::METHOD_NOT_ALLOWED, POST_ONLY)
                }
                Some(Err(reason)) => refuse(StatusCode::BAD_REQUEST, &reason),
                Some(Ok((command, wait))) => self.command(command, wait).await,
            },
            _ => refuse(StatusCode::NOT_FOUND, "there are /healthz, /readyz, /metrics and /status"),
        }
    }

    fn readiness(&self) -> Answer {
        if self.scoreboard.is_ready() {
            return text(StatusCode::OK, "ready\n".into());
        }
        text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n".into())
    }

    async fn inquire<B>(&self, wish: Wish, request: &Request<B>) -> Answer {
        if request.method() != Method::POST {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, POST_ONLY);
        }
        match inquiries::command(wish, request.uri().query().unwrap_or(""), &self.scoreboard) {
            Ok(command) => self.command(command, Wait::Yes).await,
            Err((status, reason)) => refuse(status, &reason),
        }
    }

    async fn command(&self, command: Command, wait: Wait) -> Answer {
        let answered = match self.desk.ask(command) {
            Ok(answered) => answered,
            Err(reason) => return refuse(StatusCode::SERVICE_UNAVAILABLE, &reason),
        };
        if wait == Wait::No {
            return json(StatusCode::ACCEPTED, &serde_json::json!({ "result": "accepted" }));
        }
        match (answered.await, command) {
            (Ok(Verdict::Done(result)), _) => json(StatusCode::OK, &serde_json::json!({ "result": result })),
            (Ok(Verdict::Failed(reason)), _) => refuse(StatusCode::CONFLICT, &reason),
            // Its end is what was asked for.
            (Err(_), Command::Stop(_)) => json(StatusCode::OK, &serde_json::json!({ "result": ENDED })),
            (Err(_), _) => refuse(StatusCode::SERVICE_UNAVAILABLE, ENDED),
        }
    }
}

/// Whether the answer comes with the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Yes,
    No,
}

/// What a path and a query ask for; `None` when there is no such command.
fn command(path: &str, query: &str) -> Option<Result<(Command, Wait), String>> {
    let mut command = match path {
        "/reload" => Ok(Command::Reload { canary: None }),
        "/scale" => Err("say how many: ?to=4, ?by=1 or ?by=-1".to_owned()),
        "/reopen" => Ok(Command::ReopenLogs),
        "/upgrade" => Ok(Command::Upgrade),
        "/stop" => Ok(Command::Stop(Pace::Graceful)),
        "/quit" => Ok(Command::Stop(Pace::Quick)),
        _ => return None,
    };
    let mut wait = Wait::Yes;
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("wait", "yes")) => wait = Wait::Yes,
            Some(("wait", "no")) => wait = Wait::No,
            Some(("canary_ms", time)) if path == "/reload" => {
                let time: Result<u64, _> = time.parse();
                let time = time.map_err(|_| "canary_ms is a number of milliseconds".to_owned());
                command = time.map(|time| Command::Reload { canary: Some(Duration::from_millis(time)) });
            }
            Some(("to", count)) if path == "/scale" => {
                let count = count.parse().map_err(|_| format!("{count:?} is no number of workers"));
                command = count.map(|count| Command::Scale(Scale::To(count)));
            }
            Some(("by", change)) if path == "/scale" => {
                let change = change.parse().map_err(|_| format!("{change:?} is no number of workers"));
                command = change.map(|change| Command::Scale(Scale::By(change)));
            }
            Some(_) | None => return Some(Err(format!("not understood: {part}"))),
        }
    }
    Some(command.map(|command| (command, wait)))
}

fn refuse(status: StatusCode, reason: &str) -> Answer {
    json(status, &serde_json::json!({ "error": reason }))
}

fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut response = text(status, format!("{value}\n"));
    set_type(&mut response, "application/json");
    response
}

fn text(status: StatusCode, content: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(content)));
    *response.status_mut() = status;
    set_type(&mut response, "text/plain; charset=utf-8");
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

fn set_type(response: &mut Answer, media_type: &'static str) {
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media_type));
}

const POST_ONLY: &str = "a command is sent with POST";

/// For the head of a request, and between two.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a request that are looked at; hyper's least.
const HEAD: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_paths_with_their_arguments() {
        let taken = |path, query| command(path, query).unwrap().unwrap();
        assert_eq!(taken("/reload", ""), (Command::Reload { canary: None }, Wait::Yes));
        let canary = Some(Duration::from_secs(10));
        assert_eq!(taken("/reload", "wait=yes&canary_ms=10000"), (Command::Reload { canary }, Wait::Yes));
        assert_eq!(taken("/reload", "wait=no"), (Command::Reload { canary: None }, Wait::No));
        assert_eq!(taken("/scale", "to=3&wait=yes"), (Command::Scale(Scale::To(3)), Wait::Yes));
        assert_eq!(taken("/scale", "by=-2"), (Command::Scale(Scale::By(-2)), Wait::Yes));
        assert_eq!(taken("/quit", "wait=no"), (Command::Stop(Pace::Quick), Wait::No));
        assert!(command("/nonsense", "").is_none());
        for (path, query) in [
            ("/scale", ""),
            ("/scale", "to=-1"),
            ("/reload", "to=1"),
            ("/reload", "canary_ms=1s"),
            ("/stop", "canary_ms=1"),
            ("/reload", "x"),
        ] {
            assert!(command(path, query).unwrap().is_err(), "{path}?{query}");
        }
    }
}
