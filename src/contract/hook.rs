//! What the hooks of a site are called for, and what they are told.

use crate::config::{Config, HookTarget};
use crate::contract::slot::{Generation, Slot};

/// One call of a hook.
#[derive(Debug, Clone)]
pub struct HookCall {
    /// Which hook it is.
    pub event: HookEvent,
    /// Whom it is about; `None` for the server as a whole.
    pub worker: Option<HookWorker>,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookEvent {
    /// The server has become ready.
    WhenReady,
    /// A worker has been forked.
    PostFork,
    /// A worker has its apps.
    WorkerStart,
    /// A worker has answered its last request.
    WorkerExit,
    /// A worker has ended.
    ChildExit,
}

/// A worker, as hooks see it.
#[derive(Debug, Clone)]
pub struct HookWorker {
    /// Its place.
    pub slot: Slot,
    /// Its generation.
    pub generation: Generation,
    /// Its process.
    pub pid: i32,
    /// How it has ended, in words; empty while it lives.
    pub end: String,
}

impl HookEvent {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::WhenReady => "when_ready",
            Self::PostFork => "post_fork",
            Self::WorkerStart => "worker_start",
            Self::WorkerExit => "worker_exit",
            Self::ChildExit => "child_exit",
        }
    }

    /// Who is to be called, if anybody.
    pub fn target(self, config: &Config) -> Option<&HookTarget> {
        let hooks = &config.python.hooks;
        let target = match self {
            Self::WhenReady => &hooks.when_ready,
            Self::PostFork => &hooks.post_fork,
            Self::WorkerStart => &hooks.worker_start,
            Self::WorkerExit => &hooks.worker_exit,
            Self::ChildExit => &hooks.child_exit,
        };
        // Without a Python app there is no interpreter.
        target.as_ref().filter(|_| config.has_python_app())
    }
}
