//! A site for tests: handlers that wait for what never comes or panic, a constructor that fails when it is told to, and a
//! second service at a prefix.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Extension;
use axum::http::Uri;
use axum::routing::get;
use ferricorn::{ConnectInfo, Server};
use futures_core::Stream;
use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};

fn main() -> ExitCode {
    let site = || {
        Router::new()
            .route("/quick", get(|| async { std::process::id().to_string() }))
            .route("/waits", get(waits))
            .route("/streams", get(|| async { Body::from_stream(Begun { told: None }) }))
            .route("/blocks", get(|| async { blocks() }))
            .route("/panics", get(|| async { panics() }))
    };
    Server::new(move |worker| async move {
        match std::env::var_os("TOLD_BY") {
            // A FIFO: read once there is a writer.
            Some(told_by) if worker.slot == 2 => match std::fs::read_to_string(told_by)?.as_str() {
                "serve" => Ok(site()),
                other => Err(other.into()),
            },
            _ => Ok(site()),
        }
    })
    .mount("/below", |_| async { Ok(Router::new().route("/it", get(whole_path))) })
    .main(std::env::args_os())
}

async fn waits() -> &'static str {
    let _told = Told("the handler was dropped");
    pending().await
}

#[expect(clippy::panic, reason = "a test wants to see what becomes of it")]
fn panics() -> &'static str {
    panic!("told to panic")
}

/// The path that the client asked for, from what is left of it.
async fn whole_path(Extension(connection): Extension<ConnectInfo>, uri: Uri) -> String {
    format!("{}{}", connection.mount, uri.path())
}

/// Blocks the thread that serves the connections.
fn blocks() -> &'static str {
    loop {
        std::thread::park();
    }
}

/// One piece, and nothing after it.
struct Begun {
    told: Option<Told>,
}

impl Stream for Begun {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.told.is_some() {
            return Poll::Pending;
        }
        self.told = Some(Told("the stream was dropped"));
        Poll::Ready(Some(Ok(Bytes::from_static(b"beginning"))))
    }
}

/// Says in the log that it was dropped.
struct Told(&'static str);

impl Drop for Told {
    #[expect(clippy::print_stderr, reason = "a test waits for it in the log")]
    fn drop(&mut self) {
        eprintln!("{}", self.0);
    }
}
