//! A site whose handlers wait for what never comes: for tests of requests in flight.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use ferricorn::Server;
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
    };
    Server::new(move |_worker| async move { Ok(site()) }).main(std::env::args_os())
}

async fn waits() -> &'static str {
    let _told = Told("the handler was dropped");
    pending().await
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
