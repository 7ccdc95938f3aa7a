//! A site for tests: handlers that wait for what never comes, panic, or do worse when a file says so, a constructor that fails when
//! it is told to, and a second service at a prefix.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Extension;
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};
use ferricorn::{ConnectInfo, Server};
use futures_core::Stream;
use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let site = || {
        let manner = Manner::of_this_generation();
        Router::new()
            .route("/load", post(move |content: String| async move { manner.answer(&content).await }))
            .route("/quick", get(|| async { std::process::id().to_string() }))
            .route("/waits", get(waits))
            .route("/computes", get(|| async { computes() }))
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

/// How "/load" answers.
#[derive(Clone, Copy)]
enum Manner {
    Well,
    /// One answer of five is a 500.
    Failing,
    /// Each takes ten times as long.
    Slow,
}

impl Manner {
    fn of_this_generation() -> Self {
        match std::fs::read_to_string("manner").as_deref() {
            Ok("failing") => Self::Failing,
            Ok("slow") => Self::Slow,
            _ => Self::Well,
        }
    }

    async fn answer(self, content: &str) -> (StatusCode, String) {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let time = if matches!(self, Self::Slow) { 100 } else { 10 };
        tokio::time::sleep(Duration::from_millis(time)).await;
        let fails = matches!(self, Self::Failing) && call.is_multiple_of(5);
        let status = if fails { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        (status, format!("POST /load\n\n{content}"))
    }
}

async fn waits() -> &'static str {
    let _told = Told("the handler was dropped");
    pending().await
}

/// Keeps the event loop busy for a while.
fn computes() -> &'static str {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(20) {
        std::hint::spin_loop();
    }
    "computed"
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
