//! `[log]`: the error log and the access log.

use crate::config::AccessPattern;
use std::path::PathBuf;
use std::sync::Arc;

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Least severe level shown: error, warn, info, debug, trace. Default: info.
    pub level: LogLevel,
    /// Shape of the error log. Default: text.
    pub format: LogFormat,
    /// Where the error log goes. Default: standard error.
    pub error: LogTarget,
    /// Where the access log goes. Default: off.
    pub access: LogTarget,
    /// Shape of the access log. Default: combined.
    pub access_format: AccessFormat,
    /// Whether what Python apps print goes to the error log. Default: false.
    pub capture_output: bool,
}

/// Severity of the error log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is likely to fail.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// Shape of the error log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where a log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// "-": standard output.
    Stdout,
    /// "stderr": standard error.
    Stderr,
    /// A file, appended to, opened anew on SIGUSR1.
    File(PathBuf),
}

/// Shape of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessFormat {
    /// Apache's combined format.
    Combined,
    /// One JSON object a line.
    Json,
    /// As `--access-logformat` of Gunicorn describes it.
    Pattern(Arc<AccessPattern>),
}
