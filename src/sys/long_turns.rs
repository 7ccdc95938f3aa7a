//! Threads that let others go first: those that compute for long without waiting, and those that must not disturb.

use nix::errno::Errno;
use nix::libc;
use std::io;

/// Has the calling thread take longer turns, less often: a thread that wakes up, and has the usual short ones, goes first
/// (sched(7), sched_setattr(2)). Its share of the processors stays the same.
///
/// # Errors
/// What the system says: kernels before 6.12 know no turns of other lengths, and take the call nonetheless.
pub fn take() -> io::Result<()> {
    be_batch(TURN_NS)
}

/// Has the calling thread interrupt nobody when it wakes up: it goes on when a processor is free, or the turn of whoever has
/// it is over (sched(7), `SCHED_BATCH`).
///
/// # Errors
/// What the system says.
pub fn interrupt_nobody() -> io::Result<()> {
    be_batch(USUAL_TURN)
}

fn be_batch(turn_ns: u64) -> io::Result<()> {
    let attributes = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0),
        sched_policy: u32::try_from(libc::SCHED_BATCH).unwrap_or(0),
        sched_flags: 0,
        sched_nice: own_nice(),
        sched_priority: 0,
        sched_runtime: turn_ns,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the structure is as long as it says and outlives the call; 0 is the calling thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    Errno::result(result).map(drop).map_err(io::Error::from)
}

/// As it is: only who is privileged may raise it again.
fn own_nice() -> i32 {
    // SAFETY: getpriority(2) takes two numbers and touches no memory; an error would read as -1, within the range.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

/// The longest that there is.
const TURN_NS: u64 = 100_000_000;

/// The kernel's own.
const USUAL_TURN: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_takes_long_turns_and_no_other_does() {
        let policy = || {
            // SAFETY: sched_getscheduler(2) takes a number; 0 is the calling thread.
            unsafe { libc::sched_getscheduler(0) }
        };
        let before = policy();
        let nice = own_nice();
        let of_thread = std::thread::spawn(move || {
            take().unwrap();
            (policy(), own_nice())
        });
        assert_eq!(of_thread.join().unwrap(), (libc::SCHED_BATCH, nice));
        let other = std::thread::spawn(move || {
            interrupt_nobody().unwrap();
            (policy(), own_nice())
        });
        assert_eq!(other.join().unwrap(), (libc::SCHED_BATCH, nice));
        assert_eq!(policy(), before);
    }
}
