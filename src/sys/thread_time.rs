//! How a thread of this process spends its time.

use nix::time::{ClockId, clock_gettime};
use std::fs;
use std::time::Duration;

/// The processor time that a thread (gettid(2)) has had; `None` where the kernel does not say.
pub fn processor_time(thread: i32) -> Option<Duration> {
    // clock_getcpuclockid(3) names clocks of processes only. What the kernel's ABI has for the thread's
    // (CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED), pthread_getcpuclockid(3) makes in the same way.
    let clock = ClockId::from_raw(!thread << 3 | 4 | 2);
    clock_gettime(clock).ok().map(Duration::from)
}

/// Whether a thread waits for nothing but a processor, or has one (proc(5), state R); false where that cannot be known.
pub fn is_runnable(thread: i32) -> bool {
    let text = fs::read(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
    // "12 (name) R 1 …"; the name may hold anything.
    let state = text.iter().rposition(|byte| *byte == b')').and_then(|end| text.get(end + 2));
    state == Some(&b'R')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;
    use std::sync::mpsc;

    /// Higher than Linux has them (proc(5), pid_max).
    const NOBODY: i32 = 1 << 23;

    #[test]
    fn a_thread_that_works_has_had_more_and_more() {
        let own = process::thread_id();
        let before = processor_time(own).unwrap();
        while processor_time(own).unwrap() < before + Duration::from_millis(1) {
            std::hint::spin_loop();
        }
        assert!(is_runnable(own), "who asks has a processor");
    }

    #[test]
    fn a_thread_that_waits_is_not_runnable() {
        let (tell, told) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(process::thread_id()).unwrap();
            let _ = ends.recv();
        });
        let waits = told.recv().unwrap();
        while is_runnable(waits) {
            std::thread::yield_now();
        }
        drop(end);
        thread.join().unwrap();
        assert_eq!(processor_time(NOBODY), None, "there is no such thread");
        assert!(!is_runnable(NOBODY));
    }
}
