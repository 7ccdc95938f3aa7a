//! Whether a call lasts, or its thread merely has no processor.
//!
//! On a machine that has more to do than processors, any thread is now and then left waiting for one, in the middle of a
//! call that takes no time. To drive the runtime in its place would need a processor, too, and to give its calls away would
//! pile all connections up on whichever worker has not been left waiting last.

use crate::sys::{clock, process, thread_time};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The main thread, once it has made a call.
#[derive(Debug, Default)]
pub(super) struct Maker {
    thread: OnceLock<i32>,
    began_ns: AtomicU64,
}

impl Maker {
    /// It is the thread that calls this.
    pub(super) fn is_here(&self) {
        self.thread.get_or_init(process::thread_id);
    }

    /// It begins a call, at this time.
    pub(super) fn begins(&self, began_ns: u64) {
        self.began_ns.store(began_ns, Ordering::Relaxed);
    }

    /// How long ago the call began that it has begun last.
    pub(super) fn age(&self) -> Duration {
        let now_ns = clock::monotonic_ns();
        Duration::from_nanos(now_ns.saturating_sub(self.began_ns.load(Ordering::Relaxed)))
    }

    /// What it has used up to now.
    pub(super) fn look(&self) -> Look {
        let thread = self.thread.get().copied();
        Look { thread, at: Instant::now(), used: thread.and_then(thread_time::processor_time) }
    }
}

/// What the thread had used when it was first seen in a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    thread: Option<i32>,
    at: Instant,
    used: Option<Duration>,
}

impl Look {
    /// Whether the thread has been left without a processor for most of the time since. False after a while in any case:
    /// those who are connected wait for longer than the thread can help.
    pub(super) fn is_preempted(&self) -> bool {
        let (Some(thread), Some(before)) = (self.thread, self.used) else { return false };
        let Some(now) = thread_time::processor_time(thread) else { return false };
        let elapsed = self.at.elapsed();
        elapsed < LONGEST && now.saturating_sub(before) * 2 < elapsed && thread_time::is_runnable(thread)
    }
}

/// A few turns of other processes.
const LONGEST: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_thread_that_works_or_waits_is_not_preempted() {
        let maker = Maker::default();
        maker.is_here();
        let look = maker.look();
        let had = look.used.unwrap();
        while thread_time::processor_time(process::thread_id()).unwrap() < had + LONGEST {
            std::hint::spin_loop();
        }
        assert!(!look.is_preempted(), "it has worked");

        let (tell, told) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let maker = Maker::default();
            maker.is_here();
            tell.send(maker.look()).unwrap();
            let _ = ends.recv();
        });
        let look = told.recv().unwrap();
        while thread_time::is_runnable(look.thread.unwrap()) {
            std::thread::yield_now();
        }
        assert!(!look.is_preempted(), "it waits for something else");
        drop(end);
        thread.join().unwrap();
    }

    #[test]
    fn a_thread_that_nobody_knows_is_not_preempted() {
        assert!(!Maker::default().look().is_preempted());
    }
}
