//! What a Python app is told, and how its code is found.

use super::Made;
use crate::config::{EventLoopKind, Interface, Lifespan, RequestContent};
use crate::net::Draining;
use crate::protocol::websocket::Rules;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;

/// What a Python app is told, and how its code is found.
#[derive(Debug)]
pub struct Options<'a> {
    /// Directories put on `sys.path` behind the working directory.
    pub path: &'a [PathBuf],
    /// The worker's slot.
    pub slot: u16,
    /// App threads of this worker.
    pub threads: u16,
    /// Slots in service.
    pub workers: u16,
    /// Bytes of a response held for a slow client before the app has to wait.
    pub response_buffer: usize,
    /// What `wsgi.errors` is.
    pub errors: ErrorStream,
    /// What becomes of what the app prints.
    pub capture: Capture,
    /// What the app speaks.
    pub interface: Interface,
    /// When an ASGI app is entered for a request with content.
    pub content: RequestContent,
    /// Whether an ASGI app is told of its beginning and end.
    pub lifespan: Lifespan,
    /// Where the event loop of ASGI apps is to be; `None` where none can be.
    pub event_loop: Option<LoopPlace<'a>>,
}

/// What `wsgi.errors` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorStream {
    /// Standard error, as that is where the error log goes.
    Stderr,
    /// Its lines are entries of the error log.
    Log,
}

/// What becomes of what an app prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// Its lines are entries of the error log.
    On,
    /// It goes to the server's own standard output and standard error.
    Off,
}

/// Where the event loop of ASGI apps is to be, and its limits.
#[derive(Debug)]
pub struct LoopPlace<'a> {
    /// Whose it is.
    pub kind: EventLoopKind,
    /// What it waits by driving.
    pub runtime: &'a Arc<Runtime>,
    /// It, once the first app has had it made.
    pub made: &'a OnceLock<Made>,
    /// Content of a response held for a slow client before its app has to wait, in bytes.
    pub response_buffer: usize,
    /// How WebSockets are.
    pub websocket: WebSocketPlace,
    /// Says when the worker leaves.
    pub draining: Draining,
    /// Time that what is left has to end.
    pub patience: Duration,
    /// From the moment it begins to leave to the moment a worker is past its limits.
    pub longest_drain: Duration,
}

/// How the WebSockets of a worker are.
#[derive(Debug, Clone, Copy)]
pub struct WebSocketPlace {
    /// What their connections may do.
    pub rules: Rules,
    /// Messages of a client that wait for the app.
    pub queue: usize,
}
