//! The last lines that a child has written.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a child has written lately; it may write without end.
#[derive(Debug, Default)]
pub(super) struct Log {
    written: Mutex<Written>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Written {
    lines: VecDeque<String>,
    ended: bool,
}

impl Log {
    /// Reads until nobody can write any more.
    pub(super) fn read(&self, from: impl Read) {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        // An error is an end as well.
        while matches!(reader.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line), Ok(count) if count > 0)
        {
            let mut written = self.lock();
            if written.lines.len() == LINES {
                written.lines.pop_front();
            }
            written.lines.push_back(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
            self.changed.notify_all();
            line.clear();
        }
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// The first line that holds this text.
    pub(super) fn find(&self, text: &str) -> Option<String> {
        self.lock().lines.iter().find(|line| line.contains(text)).cloned()
    }

    /// The last lines, as many as people read.
    pub(super) fn text(&self) -> String {
        let written = self.lock();
        let unread = written.lines.len().saturating_sub(LINES_SHOWN);
        let lines: Vec<&str> = written.lines.iter().skip(unread).map(String::as_str).collect();
        lines.join("\n")
    }

    /// Whether nobody can write any more.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Waits for the end, at most so long.
    pub(super) fn wait_ended(&self, limit: Duration) {
        // Poisoned or not: the caller looks for itself.
        drop(self.changed.wait_timeout_while(self.lock(), limit, |written| !written.ended));
    }

    /// Waits for another line or the end, at most so long.
    pub(super) fn wait_change(&self, limit: Duration) {
        let written = self.lock();
        if !written.ended {
            drop(self.changed.wait_timeout(written, limit));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        // Lines are whole even if a thread died while it held the lock.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Enough for every line of a start with hundreds of workers.
const LINES: usize = 1000;
const LINES_SHOWN: usize = 50;
const LINE_LIMIT: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_long_ones_cut() {
        let log = Log::default();
        let text: String = (0..1500).map(|number| format!("line {number}\n")).collect();
        log.read(text.as_bytes());
        assert!(log.has_ended());
        assert_eq!(log.find("line 499"), None);
        assert_eq!(log.find("line 5").as_deref(), Some("line 500"));
        assert_eq!(log.text().lines().count(), LINES_SHOWN);
        let log = Log::default();
        log.read(vec![b'x'; 10_000].as_slice());
        assert_eq!(log.text().lines().map(str::len).collect::<Vec<_>>(), [4096, 4096, 1808]);
    }
}
