//! Entries of several lines for the journal: its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).
//!
//! A datagram of fields; one whose value has several lines is its name, its length and its bytes.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// The journal's socket, as this process and those it forks write to it.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    opened_by: u32,
}

impl Journal {
    /// Where journald listens.
    pub(super) const SOCKET: &'static str = "/run/systemd/journal/socket";

    /// Not connected: a journald that is started anew is then written to as the one before.
    pub(super) fn new(path: impl AsRef<Path>) -> io::Result<Self> {
        let (socket, path) = (UnixDatagram::unbound()?, path.as_ref().to_path_buf());
        Ok(Self { socket, path, opened_by: std::process::id() })
    }

    /// The process that opened it.
    pub(super) fn opened_by(&self) -> u32 {
        self.opened_by
    }

    /// Writes one entry.
    ///
    /// # Errors
    /// When journald is not there, or the entry is larger than a datagram may be.
    pub(super) fn send(&self, priority: u8, message: &str) -> io::Result<()> {
        let mut entry = format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER=ferricorn\nMESSAGE\n").into_bytes();
        entry.extend(u64::try_from(message.len()).unwrap_or(u64::MAX).to_le_bytes());
        entry.extend(message.as_bytes());
        entry.push(b'\n');
        self.socket.send_to(&entry, &self.path).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_keeps_its_lines_together() {
        let path = std::env::temp_dir().join(format!("ferricorn-journal-{}", std::process::id()));
        let journald = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::new(&path).unwrap();
        assert_eq!(journal.opened_by(), std::process::id());
        journal.send(3, "one\ntwo=2").unwrap();
        let mut buffer = [0; 256];
        let length = journald.recv(&mut buffer).unwrap();
        let expected = b"PRIORITY=3\nSYSLOG_IDENTIFIER=ferricorn\nMESSAGE\n\x09\0\0\0\0\0\0\0one\ntwo=2\n";
        assert_eq!(buffer[..length], expected[..]);
        std::fs::remove_file(&path).unwrap();
        assert!(journal.send(3, "nobody listens").is_err());
    }
}
