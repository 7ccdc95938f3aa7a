//! `[python]`

use crate::config::{EventLoopKind, Hooks, Lifespan};
use std::path::PathBuf;

/// `[python]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// Directories put on `sys.path` behind the working directory.
    pub path: Vec<PathBuf>,
    /// Whether a Django project's collected files are served unasked. Default: auto.
    pub static_files: StaticRoot,
    /// Whether what has been made by loading is left out of garbage collections. Default: true.
    pub gc_freeze: bool,
    /// Whether workers move the memory of their apps into huge pages. Default: true.
    pub huge_pages: bool,
    /// Callables that are told what happens to workers.
    pub hooks: Hooks,
    /// Whether an ASGI app is told of its beginning and end. Default: if it listens.
    pub lifespan: Lifespan,
    /// Whose event loop ASGI apps live in. Default: uvloop's where it is installed.
    pub event_loop: EventLoopKind,
}

impl Default for Python {
    fn default() -> Self {
        Self {
            path: Vec::new(),
            static_files: StaticRoot::default(),
            gc_freeze: true,
            huge_pages: true,
            hooks: Hooks::default(),
            lifespan: Lifespan::default(),
            event_loop: EventLoopKind::default(),
        }
    }
}

/// What becomes of the files that a Django project has collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StaticRoot {
    /// With DEBUG off, STATIC_ROOT is served at STATIC_URL.
    #[default]
    Auto,
    /// Nothing.
    Off,
}
