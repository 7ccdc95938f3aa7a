//! `[workers]`: how many there are, and how they are replaced.

use super::{Canary, Preload, WarmUp};
use crate::config::{ByteSize, Percent, Share, Threads, WorkerCount};
use std::time::Duration;

/// `[workers]`
#[derive(Debug, Clone, PartialEq)]
pub struct Workers {
    /// Number of workers. Default "auto": the CPUs of the cgroup, at most 4 for Python apps.
    pub count: WorkerCount,
    /// How long one worker less must have been enough before one leaves, where `count` has two numbers. Default: 30 s.
    pub shrink_after: Duration,
    /// App threads per worker (WSGI), or runtime threads (native apps). Default: 1.
    pub threads: Threads,
    /// Recycle a worker after so many requests; 0 = never.
    pub max_requests: u64,
    /// At most so many requests are added to `max_requests`, at random per worker.
    pub max_requests_jitter: u64,
    /// Recycle a worker after so long; 0 = never. Default: 0.
    pub max_age: Duration,
    /// At most so much is added to `max_age`, differently for each worker. Default: 0.
    pub max_age_jitter: Duration,
    /// Recycle a worker that has more memory, its share of shared pages counted (PSS). Default: no limit.
    pub max_memory: Option<ByteSize>,
    /// Recycle the largest worker when this part of the cgroup's memory is in use. Default: never.
    pub memory_pressure: Option<Percent>,
    /// How many workers are recycled at once. Default 25 %, at least one.
    pub max_recycling: Share,
    /// Whether a worker is replaced when a request past its limit could be interrupted, too. Default: true.
    pub recycle_after_timeout: bool,
    /// Whether apps are loaded once per generation, and the workers forked from there. Default: off.
    pub preload: Preload,
    /// How many additional workers a reload may start at once. Default 25 %, at least one.
    pub max_surge: Share,
    /// How the first worker of a new generation is tried. Default: not at all.
    pub canary: Canary,
    /// How many workers a request may end before it is refused; 0 = any number. Default: 0.
    pub quarantine: u16,
    /// How long it is refused then. Default: 1 min.
    pub quarantine_time: Duration,
    /// Requests that a new worker answers itself before it is ready.
    pub warm_up: Vec<WarmUp>,
    /// Program and arguments, run before any worker of a generation is started; empty: nothing is run.
    pub check_command: Vec<String>,
}
