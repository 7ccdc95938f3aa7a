//! How much memory the workers have.

use super::Performer;
use crate::master::decide::recycle::{MemoryLimits, Weights};
use crate::master::event::Event;
use crate::sys::memory_use;
use crate::sys::process::{self, Pid};

impl Performer {
    /// Looks at memory. What is cheap is asked first: a process never has more than is resident.
    pub(super) fn weigh(&self, limits: MemoryLimits) -> Event {
        let is_too_much = |percent: &u64| limits.pressure.is_some_and(|limit| *percent >= limit);
        let pressure = limits.pressure.and_then(|_| memory_use::pressure()).filter(is_too_much);
        let may_be_large = |pid: &Pid| match (pressure, limits.each) {
            (Some(_), _) => true,
            (None, Some(limit)) => process::resident_bytes(*pid).is_some_and(|bytes| bytes > limit),
            (None, None) => false,
        };
        let pids = self.links.keys().copied().filter(may_be_large);
        let sizes = pids.filter_map(|pid| Some((pid, memory_use::proportional_bytes(pid)?))).collect();
        Event::Weighed(Weights { sizes, pressure })
    }
}
