//! What the supervisor knows of a configuration: how many workers, and how long anything may take.

use super::decide::adapt::Span;
use super::decide::mold::Preload;
use super::decide::recycle::{MemoryLimits, Plan};
use crate::config::{Canary, Config, Share, WorkerCount};
use crate::sys::cpu;
use std::time::Duration;

/// What the supervisor knows of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pool {
    /// Number of workers, at least one.
    pub(super) workers: u16,
    /// Between which numbers it follows the load; `None`: it does not.
    pub(super) span: Option<Span>,
    /// How many a reload starts at once, at least one.
    pub(super) surge: u16,
    /// Time for draining: the longest of all kinds of connections.
    pub(super) drain: Duration,
    /// Time between being told to stop and stopping.
    pub(super) lame_duck: Duration,
    /// How a reload tries its first worker.
    pub(super) canary: Canary,
    /// Time from fork to ready.
    pub(super) boot: Duration,
    /// Whether a mold forks the workers.
    pub(super) preload: Preload,
    /// Time for the check command; `None` where there is none.
    pub(super) check: Option<Duration>,
    /// Time for a whole reload.
    pub(super) reload: Duration,
    /// When workers are replaced though nothing is wrong with them.
    pub(super) recycling: Plan,
    /// How long an event loop may stand still; `None`: for ever.
    pub(super) heartbeat: Option<Duration>,
}

impl Pool {
    /// What a configuration asks for.
    pub(super) fn of(config: &Config) -> Self {
        let workers = worker_count(config);
        let timeouts = &config.timeouts;
        Self {
            workers,
            span: span(config),
            surge: part(config.workers.max_surge, workers),
            drain: timeouts.longest_drain(),
            lame_duck: timeouts.lame_duck,
            boot: timeouts.boot,
            check: (!config.workers.check_command.is_empty()).then_some(timeouts.check),
            reload: timeouts.reload,
            recycling: Plan {
                at_once: part(config.workers.max_recycling, workers),
                max_age: config.workers.max_age,
                age_jitter: config.workers.max_age_jitter,
                memory: MemoryLimits {
                    each: config.workers.max_memory.map(|size| size.0),
                    pressure: config.workers.memory_pressure.map(|percent| percent.0.into()),
                },
            },
            heartbeat: Some(timeouts.heartbeat).filter(|limit| !limit.is_zero()),
            canary: config.workers.canary,
            preload: if config.preloads() { Preload::Yes } else { Preload::No },
        }
    }

    /// The same for a server that has so many workers: where their number follows the load, they stay as many.
    pub(super) fn keeping(mut self, workers: usize) -> Self {
        if let Some(span) = self.span {
            self.workers = u16::try_from(workers).unwrap_or(u16::MAX).clamp(span.least, span.most);
        }
        self
    }

    /// The most workers that there may be.
    pub(super) fn most(&self) -> u16 {
        self.span.map_or(self.workers, |span| span.most)
    }
}

/// Number of workers that a configuration stands for, at the start.
fn worker_count(config: &Config) -> u16 {
    match config.workers.count {
        WorkerCount::Exactly(count) | WorkerCount::Between(count, _) => count.max(1),
        WorkerCount::Auto => {
            let is_python = config.has_python_app();
            let cpus = cpu::cgroup_cpus();
            // Each Python worker holds the whole app in memory.
            if is_python { cpus.min(PYTHON_WORKERS_MAX) } else { cpus }
        }
    }
}

/// Between which numbers the workers follow the load.
fn span(config: &Config) -> Option<Span> {
    match config.workers.count {
        WorkerCount::Between(least, most) => {
            let least = least.max(1);
            Some(Span { least, most: most.max(least), shrink_after: config.workers.shrink_after })
        }
        WorkerCount::Auto | WorkerCount::Exactly(_) => None,
    }
}

/// So many of the workers, at least one.
fn part(share: Share, workers: u16) -> u16 {
    let count = match share {
        Share::Count(count) => count,
        Share::Percent(percent) => {
            u16::try_from(u32::from(workers) * u32::from(percent) / 100).unwrap_or(u16::MAX)
        }
    };
    count.max(1)
}

const PYTHON_WORKERS_MAX: u16 = 4;
