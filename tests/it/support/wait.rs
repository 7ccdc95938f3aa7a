//! Waits that end with an event or with a deadline.

use super::DEADLINE;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Waits until something is so that announces itself nowhere, such as the end of a process that is not our child.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain waited until {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// The lines that a process has written so far.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lines: Mutex<Written>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Adds a line.
    pub(crate) fn push(&self, line: String) {
        self.lines.lock().expect("no panic under the lock").lines.push(line);
        self.more.notify_all();
    }

    /// Notes that nothing more will come.
    pub(crate) fn end(&self) {
        self.lines.lock().expect("no panic under the lock").ended = true;
        self.more.notify_all();
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<String> {
        self.lines.lock().expect("no panic under the lock").lines.clone()
    }

    /// Waits until so many lines hold the text; the last of these, or everything written instead.
    pub(crate) fn wait_for(&self, text: &str, count: usize) -> Result<String, String> {
        let deadline = Instant::now() + DEADLINE;
        let mut written = self.lines.lock().expect("no panic under the lock");
        loop {
            if let Some(line) = written.lines.iter().filter(|line| line.contains(text)).nth(count - 1) {
                return Ok(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if written.ended || left.is_zero() {
                return Err(format!("no {count} lines with {text:?} in:\n{}", written.lines.join("\n")));
            }
            written = self.more.wait_timeout(written, left).expect("no panic under the lock").0;
        }
    }
}
