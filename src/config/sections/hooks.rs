//! `[python.hooks]`: callables of the site that are told what happens to its workers.

use crate::config::setting::Setting;
use crate::config::value::Value;

/// Who is called when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    /// The server has become ready. In a process of its own.
    pub when_ready: Option<HookTarget>,
    /// A worker has been forked, and has no app yet. In the worker.
    pub post_fork: Option<HookTarget>,
    /// A worker has its apps, and is about to be ready. In the worker.
    pub worker_start: Option<HookTarget>,
    /// A worker has answered its last request. In the worker.
    pub worker_exit: Option<HookTarget>,
    /// A worker has ended, in whatever way. In a process of its own.
    pub child_exit: Option<HookTarget>,
}

/// `module:callable`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookTarget(pub String);

impl Setting for HookTarget {
    fn takes() -> String {
        "a callable: \"module:callable\"".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        let text = String::read(value)?;
        let is_name = |text: &str| !text.is_empty() && !text.contains([':', '(', ')', ' ', '/']);
        match text.split_once(':') {
            Some((module, callable)) if is_name(module) && is_name(callable) => Ok(Self(text)),
            _ => Err(format!("expected {}, found {value}", Self::takes())),
        }
    }

    fn show(&self) -> toml::Value {
        self.0.as_str().into()
    }
}
