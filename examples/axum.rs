//! An axum site with SQLite, a stream of events and a WebSocket, under Ferricorn's master.
//!
//! ```text
//! cargo run --release --example axum --features hyper -- -w 2 -b 127.0.0.1:8000
//! curl -d 'hello' http://127.0.0.1:8000/notes
//! curl -N http://127.0.0.1:8000/events
//! curl http://127.0.0.1:9100/metrics    # with [admin] address = "127.0.0.1:9100" in ferricorn.toml
//! ```
//! It takes the flags of `ferricorn serve`; `-w 1 --threads auto` is one worker with all CPUs. The database is
//! `notes.sqlite3` in the working directory, or the file that `NOTES` names.

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ferricorn::{ConnectInfo, Counter, Draining, Server, WorkerInfo};
use futures_core::Stream;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Interval, interval};

/// Not `#[tokio::main]`: the master forks, so it has one thread. Each worker builds its own runtime.
fn main() -> ExitCode {
    Server::new(site).main(std::env::args_os())
}

/// What the handlers of one worker share.
#[derive(Clone)]
struct Site {
    notes: SqlitePool,
    slot: u16,
    /// Told at `/metrics` of the admin address, added up over all workers there have ever been.
    added: Counter,
}

/// Called once in each worker, after the fork: connections to a database are never shared between processes.
async fn site(worker: WorkerInfo) -> Result<Router, ferricorn::BoxError> {
    let file = std::env::var("NOTES").unwrap_or_else(|_| "notes.sqlite3".into());
    // Workers start together, and SQLite's patience does not cover the change of a new file's journal: one at a time.
    let lock = format!("{file}.lock");
    let preparing = std::fs::File::create(&lock).map_err(|error| format!("cannot make {lock}: {error}"))?;
    preparing.lock()?;
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true)
        // Workers write at the same time: a journal that lets readers go on, and patience with other writers.
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(5));
    let notes = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        .execute(&notes)
        .await?;
    drop(preparing);
    let added = worker.metrics.counter("notes_added_total", "Notes that were added.", &[])?;
    let site = Site { notes, slot: worker.slot, added };
    Ok(Router::new()
        .route("/", get(whoami))
        .route("/notes", get(list).post(add))
        .route("/events", get(events))
        .route("/echo", get(echo))
        .with_state(site))
}

async fn whoami(State(site): State<Site>, Extension(connection): Extension<ConnectInfo>) -> String {
    format!("worker {} serves {}\n", site.slot, connection.peer)
}

async fn list(State(site): State<Site>) -> Result<String, Failure> {
    let notes: Vec<String> =
        sqlx::query_scalar("SELECT text FROM notes ORDER BY id").fetch_all(&site.notes).await?;
    Ok(notes.into_iter().map(|note| note + "\n").collect())
}

async fn add(State(site): State<Site>, note: String) -> Result<StatusCode, Failure> {
    sqlx::query("INSERT INTO notes (text) VALUES (?)").bind(note).execute(&site.notes).await?;
    site.added.increment();
    Ok(StatusCode::CREATED)
}

/// Server-sent events: the time in seconds, until the client leaves or this worker has to.
async fn events(Extension(connection): Extension<ConnectInfo>) -> Response {
    let ticks =
        Ticks { interval: interval(Duration::from_millis(200)), count: 0, end: End::of(connection.draining) };
    let fields = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (fields, axum::body::Body::from_stream(ticks)).into_response()
}

/// Sends back what it gets; says goodbye when this worker is told to leave.
async fn echo(upgrade: WebSocketUpgrade, Extension(connection): Extension<ConnectInfo>) -> Response {
    upgrade.on_upgrade(|socket| converse(socket, connection.draining))
}

async fn converse(mut socket: WebSocket, draining: Draining) {
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            () = draining.wait() => {
                // The client connects anew and finds another worker.
                let _gone = socket.send(Message::Close(None)).await;
                return;
            }
        }
    }
}

/// Numbered events, the last of which says that it is the last.
struct Ticks {
    interval: Interval,
    count: u64,
    end: End,
}

/// Whether and how a stream has to end.
enum End {
    Awaited(Pin<Box<dyn Future<Output = ()> + Send>>),
    Said,
}

impl End {
    fn of(draining: Draining) -> Self {
        Self::Awaited(Box::pin(async move { draining.wait().await }))
    }
}

impl Stream for Ticks {
    type Item = Result<String, std::convert::Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let ticks = self.get_mut();
        let End::Awaited(drain) = &mut ticks.end else { return Poll::Ready(None) };
        if drain.as_mut().poll(cx).is_ready() {
            ticks.end = End::Said;
            return Poll::Ready(Some(Ok("event: bye\ndata: reconnect\n\n".into())));
        }
        ticks.interval.poll_tick(cx).map(|_| {
            ticks.count += 1;
            Some(Ok(format!("data: {}\n\n", ticks.count)))
        })
    }
}

/// A failed query: 500, with its reason in the log and not in the answer.
struct Failure(sqlx::Error);

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        tracing::error!(error = %self.0, "the database failed");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
