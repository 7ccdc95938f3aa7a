//! When a worker asks for a successor.

use super::{BootFailure, ties};
use crate::contract::handoff::{Handoff, Report, RetireReason};
use crate::middleware::request_id;
use crate::sys::channel;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts requests, and asks the master for a successor, once.
#[derive(Debug)]
pub(super) struct Retirement {
    left: AtomicU64,
    asked: AtomicBool,
    channel: OwnedFd,
}

impl Retirement {
    /// As `workers.max_requests` and its jitter have it.
    pub(super) fn of_worker(handoff: &Handoff) -> Result<Self, BootFailure> {
        let workers = &handoff.config.workers;
        // Those of the warm-up come on top, as they are no client's.
        let limit = match workers.max_requests {
            0 => 0,
            requests => requests.saturating_add(workers.warm_up.len() as u64),
        };
        let channel = ties::to_master(handoff)?;
        Ok(Self::new(limit, workers.max_requests_jitter, request_id::next().0, channel))
    }

    /// `limit` requests and up to `jitter` more, as `dice` falls; 0 = without end.
    fn new(limit: u64, jitter: u64, dice: u64, channel: OwnedFd) -> Self {
        let left = if limit == 0 { u64::MAX } else { limit.saturating_add(dice % jitter.saturating_add(1)) };
        Self { left: AtomicU64::new(left), asked: AtomicBool::new(false), channel }
    }

    /// Counts a request.
    pub(super) fn count(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.ask(RetireReason::MaxRequests);
        }
    }

    /// Asks for a successor; this worker serves on until it is told to drain.
    pub(super) fn ask(&self, reason: RetireReason) {
        if !self.asked.swap(true, Ordering::Relaxed)
            && let Err(error) = channel::send(self.channel.as_fd(), &Report::Retiring(reason).encode(), &[])
        {
            tracing::error!(%error, "the master cannot be asked for a successor");
        }
    }
}
