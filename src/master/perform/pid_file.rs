//! The file that names the master's process.

use crate::master::upgrade::handover::Luggage;
use crate::sys::{inherit, process};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A pid file that is ours as long as this lives; removed when dropped.
#[derive(Debug)]
pub(in crate::master) struct PidFile {
    /// Empty in a child that has left the file to its parent.
    path: PathBuf,
    /// Locked (flock(2)) while the master lives: a number alone may belong to somebody else by now.
    lock: File,
}

/// Why there is no pid file.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// A running server has it.
    #[error(
        "pid file {path} belongs to a running server, pid {pid}; stop that one, or give each its own server.pid_file",
        path = path.display()
    )]
    Taken {
        /// The file.
        path: PathBuf,
        /// What is written in it.
        pid: String,
    },
    /// It cannot be written.
    #[error("cannot write pid file {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl PidFile {
    /// Writes the number of this process; a file that a dead server has left is taken over.
    pub(in crate::master) fn write(path: &Path) -> Result<Self, PidFileError> {
        let fail = |source| PidFileError::Io { path: path.into(), source };
        let open = || File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open().map_err(fail)?;
        match file.try_lock() {
            // A server that has just ended removed its file between the two: what is locked has no name any more.
            Ok(()) if !is_named(&file, path) => return Self::write(path),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Without the number the refusal stands all the same.
                let _ = (&mut file).take(PID_DIGITS).read_to_string(&mut pid);
                return Err(PidFileError::Taken { path: path.into(), pid: pid.trim().into() });
            }
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        file.set_len(0).map_err(fail)?;
        file.rewind().map_err(fail)?;
        writeln!(file, "{}", process::own_pid()).map_err(fail)?;
        // The process may work elsewhere when it removes the file.
        let path = std::path::absolute(path).map_err(fail)?;
        Ok(Self { path, lock: file })
    }

    /// Its path, and the descriptor that holds its lock, for the program that takes this one's place.
    pub(in crate::master) fn written<'a>(&'a self, luggage: &mut Luggage<'a>) -> (PathBuf, i32) {
        (self.path.clone(), luggage.pack(self.lock.as_fd()))
    }

    /// The one of the program before; the lock stays with the open file (flock(2)).
    pub(in crate::master) fn inherited(path: PathBuf, number: i32) -> io::Result<Self> {
        Ok(Self { path, lock: inherit::take(number)?.into() })
    }

    /// For a forked child: closes its descriptor and leaves the file and the master's lock as they are.
    pub(super) fn leave_to_parent(mut self) {
        self.path = PathBuf::new();
    }
}

/// Whether the path still names this file.
fn is_named(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
        (Err(_), Ok(_)) => true,
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // A file that stays is taken over at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

const PID_DIGITS: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_held_once_and_removed_at_the_end() {
        let path = std::env::temp_dir().join(format!("ferricorn-pid-{}", process::own_pid()));
        fs::write(&path, "999999999 left by a dead server").unwrap();
        let held = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::own_pid()));
        let error = PidFile::write(&path).unwrap_err().to_string();
        assert!(error.contains(&format!(" pid {}; stop that one", process::own_pid())), "{error}");
        drop(held);
        assert!(!path.exists());
        PidFile::write(&path).unwrap();
    }
}
