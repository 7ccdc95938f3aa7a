//! The paths of UNIX sockets: made by this server, and removed by it.

use crate::sys::unix_socket::{self, FileIdentity};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Paths of UNIX sockets that this server has made.
#[derive(Debug, Default)]
pub struct SocketFiles(Vec<SocketFile>);

#[derive(Debug)]
pub(super) struct SocketFile {
    /// As configured.
    pub(super) path: PathBuf,
    /// Also where the working directory has changed.
    pub(super) absolute: PathBuf,
    pub(super) identity: FileIdentity,
}

impl SocketFiles {
    /// Remembers a path that has just been made.
    ///
    /// # Errors
    /// When it is not there any more.
    pub(super) fn note(&mut self, path: &Path) -> io::Result<()> {
        let (absolute, identity) = (std::path::absolute(path)?, unix_socket::identity(path)?);
        self.0.push(SocketFile { path: path.to_path_buf(), absolute, identity });
        Ok(())
    }

    /// Takes over those of another.
    pub fn absorb(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &SocketFile> {
        self.0.iter()
    }

    pub(super) fn of(files: impl Iterator<Item = SocketFile>) -> Self {
        Self(files.collect())
    }

    /// Removes the paths, except those that name something else by now.
    pub fn remove(&self) {
        self.0.iter().for_each(SocketFile::remove);
    }

    /// Removes and forgets one of them.
    pub fn remove_one(&mut self, path: &Path) {
        for file in self.0.extract_if(.., |file| file.path == path) {
            file.remove();
        }
    }
}

impl SocketFile {
    fn remove(&self) {
        if unix_socket::identity(&self.absolute).is_ok_and(|found| found == self.identity) {
            // Nothing depends on it: a path that stays is found stale at the next start.
            let _ = fs::remove_file(&self.absolute);
        }
    }
}
