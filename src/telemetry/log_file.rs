//! Where log lines go: a standard stream, or a file that can be opened anew.

use super::LogError;
use crate::config::LogTarget;
use crate::sys::replace::replace;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// An open log. Written to without a lock, by any thread of any process that inherited it.
#[derive(Debug)]
pub(crate) struct LogFile {
    file: File,
    /// `None` for a standard stream.
    path: Option<PathBuf>,
    wholeness: Wholeness,
}

/// How much of what one write(2) gives is kept together while other processes write too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wholeness {
    /// Regular files opened with O_APPEND: all of it.
    Unlimited,
    /// pipe(7): `PIPE_BUF` bytes. Sockets promise even less, terminals nothing.
    PipeBuf,
}

impl LogFile {
    /// Opens a log; `None` for [`LogTarget::Off`].
    pub(crate) fn open(target: &LogTarget) -> Result<Option<Self>, LogError> {
        Ok(Some(match target {
            LogTarget::Off => return Ok(None),
            LogTarget::Stdout => Self::new(duplicate(io::stdout().as_fd())?, None),
            LogTarget::Stderr => Self::new(duplicate(io::stderr().as_fd())?, None),
            LogTarget::File(path) => {
                // The process may work elsewhere when it opens the file anew.
                let path = std::path::absolute(path)
                    .map_err(|source| LogError::Open { path: path.clone(), source })?;
                Self::new(append(&path)?, Some(path))
            }
        }))
    }

    fn new(file: File, path: Option<PathBuf>) -> Self {
        let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let wholeness = if regular { Wholeness::Unlimited } else { Wholeness::PipeBuf };
        Self { file, path, wholeness }
    }

    /// Writes complete lines: by one write(2), or, where long ones may be torn apart, in several
    /// that each end with a line.
    pub(crate) fn write(&self, lines: &[u8]) -> io::Result<()> {
        match self.wholeness {
            Wholeness::Unlimited => (&self.file).write_all(lines),
            Wholeness::PipeBuf => pieces(lines).try_for_each(|piece| (&self.file).write_all(piece)),
        }
    }

    /// Goes on in the file that the path names now; a standard stream stays.
    pub(crate) fn reopen(&self) -> Result<(), LogError> {
        let Some(path) = &self.path else { return Ok(()) };
        let new = append(path)?;
        replace(&self.file, &new).map_err(|source| LogError::Open { path: path.clone(), source })
    }

    /// Whether the journal reads it: `JOURNAL_STREAM` names its device and inode (systemd.exec(5)).
    pub(crate) fn is_journal(&self, journal_stream: &str) -> bool {
        let Some((device, inode)) = journal_stream.split_once(':') else { return false };
        let (Ok(device), Ok(inode)) = (device.parse::<u64>(), inode.parse::<u64>()) else { return false };
        self.file.metadata().is_ok_and(|file| (file.dev(), file.ino()) == (device, inode))
    }

    /// Whether somebody is looking at it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }
}

/// A descriptor of our own: writing through std's handles would take their locks, and a process
/// forked while another thread holds one could never write again.
fn duplicate(standard: BorrowedFd<'_>) -> Result<File, LogError> {
    standard.try_clone_to_owned().map(File::from).map_err(LogError::Standard)
}

/// open(2), O_APPEND: lines of several processes do not overwrite each other.
fn append(path: &Path) -> Result<File, LogError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(|source| LogError::Open { path: path.to_path_buf(), source })
}

/// Splits lines into pieces of at most `PIPE_BUF` bytes, or of one line that is longer.
fn pieces(mut lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if lines.is_empty() {
            return None;
        }
        let end = if lines.len() <= PIPE_BUF {
            lines.len()
        } else {
            let fitting = memchr::memrchr(b'\n', &lines[..PIPE_BUF]);
            fitting.or_else(|| memchr::memchr(b'\n', lines)).map_or(lines.len(), |at| at + 1)
        };
        let (piece, rest) = lines.split_at(end);
        lines = rest;
        Some(piece)
    })
}

/// limits.h: what pipe(7) keeps together on Linux.
pub(crate) const PIPE_BUF: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;

    #[test]
    fn lines_are_split_only_between_lines() {
        let line = |length: usize| [vec![b'x'; length - 1], vec![b'\n']].concat();
        for (lengths, expected) in [
            (vec![], vec![]),
            (vec![10, 20], vec![30]),
            (vec![4000, 96], vec![4096]),
            (vec![4000, 97], vec![4000, 97]),
            (vec![2000, 2000, 2000, 9000, 5], vec![4000, 2000, 9000, 5]),
        ] {
            let lines: Vec<u8> = lengths.iter().flat_map(|length| line(*length)).collect();
            assert_eq!(pieces(&lines).map(<[u8]>::len).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn standard_stream_is_written_to_and_not_reopened() {
        let (mut reader, writer) = io::pipe().unwrap();
        let log = LogFile::new(duplicate(writer.as_fd()).unwrap(), None);
        assert_eq!((log.wholeness, log.is_terminal()), (Wholeness::PipeBuf, false));
        log.reopen().unwrap();
        let lines = [vec![b'x'; 4000], b"\n".to_vec(), vec![b'y'; 100], b"\n".to_vec()].concat();
        log.write(&lines).unwrap();
        drop((log, writer));
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, lines);
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        let (_reader, writer) = io::pipe().unwrap();
        let log = LogFile::new(duplicate(writer.as_fd()).unwrap(), None);
        let file = log.file.metadata().unwrap();
        assert!(log.is_journal(&format!("{}:{}", file.dev(), file.ino())));
        for other in [format!("{}:{}", file.dev(), file.ino() + 1), String::new(), "a:b".into(), "1".into()] {
            assert!(!log.is_journal(&other), "{other}");
        }
    }

    #[test]
    fn reopened_log_goes_on_in_the_new_file() {
        let path = std::env::temp_dir().join(format!("ferricorn-log-file-{}", std::process::id()));
        let moved = path.with_extension("1");
        let log = LogFile::open(&LogTarget::File(path.clone())).unwrap().unwrap();
        log.write(b"one\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        log.write(b"two\n").unwrap();
        log.reopen().unwrap();
        log.write(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        fs::remove_file(&moved).unwrap();
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_log_that_cannot_be_reopened_is_kept() {
        let directory = std::env::temp_dir().join(format!("ferricorn-log-directory-{}", std::process::id()));
        let moved = directory.with_extension("moved");
        fs::create_dir(&directory).unwrap();
        let log = LogFile::open(&LogTarget::File(directory.join("log"))).unwrap().unwrap();
        fs::rename(&directory, &moved).unwrap();
        let error = log.reopen().unwrap_err().to_string();
        assert!(error.contains(&format!("{}", directory.join("log").display())), "{error}");
        log.write(b"still\n").unwrap();
        assert_eq!(fs::read_to_string(moved.join("log")).unwrap(), "still\n");
        fs::remove_dir_all(&moved).unwrap();
    }
}
