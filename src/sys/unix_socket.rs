//! Listening UNIX sockets in the file system (unix(7)).

use super::privileges;
use super::process::{self, Pid};
use nix::sys::socket::{getsockopt, sockopt};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Who may connect to a UNIX socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// Owner; `None` leaves it.
    pub user: Option<u32>,
    /// Group; `None` leaves it.
    pub group: Option<u32>,
}

impl Access {
    /// Gives a path this owner and mode.
    ///
    /// # Errors
    /// `PermissionDenied` when it is another user's.
    pub fn give(self, path: &Path) -> io::Result<()> {
        if self.user.is_some() || self.group.is_some() {
            privileges::give(path, self.user, self.group)?;
        }
        // After the owner: chown(2) may clear bits of the mode.
        fs::set_permissions(path, Permissions::from_mode(self.mode))
    }
}

/// What is found at the path of a UNIX socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupant {
    /// Nothing.
    Nobody,
    /// A socket that nobody listens on any more.
    Stale,
    /// A socket that somebody listens on: the process that called listen(2), if known.
    Live(Option<Pid>),
    /// Something that is no socket.
    NoSocket,
}

/// Which file a path named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

/// What a path names, without following a symbolic link.
///
/// # Errors
/// When the path cannot be looked at.
pub fn identity(path: &Path) -> io::Result<FileIdentity> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(FileIdentity { device: metadata.dev(), inode: metadata.ino() })
}

/// Looks, by connecting, whether a path is in use.
///
/// # Errors
/// When the path cannot be looked at, or a connection is refused for another reason than nobody listening.
pub fn probe(path: &Path) -> io::Result<Occupant> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Occupant::Nobody),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => return Ok(Occupant::NoSocket),
        Ok(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let Err(error) = socket.connect(&SockAddr::unix(path)?) else {
        let peer = getsockopt(&socket, sockopt::PeerCredentials).ok();
        return Ok(Occupant::Live(peer.map(|peer| Pid(peer.pid()))));
    };
    let occupants = [
        (io::ErrorKind::ConnectionRefused, Occupant::Stale),
        (io::ErrorKind::NotFound, Occupant::Nobody),
        // connect(2): EAGAIN when the listener's queue is full.
        (io::ErrorKind::WouldBlock, Occupant::Live(None)),
    ];
    let found = occupants.into_iter().find(|(kind, _)| *kind == error.kind());
    found.map(|(_, occupant)| occupant).ok_or(error)
}

/// A listening socket that appears at `path` at once and finished, in place of what is there.
///
/// It is made under another name in the same directory, given its owner and mode, set to listen, and then renamed:
/// nobody ever meets it without its permissions, or a path without a listener. The umask has no influence.
///
/// # Errors
/// When the directory cannot be written, the path is too long (107 bytes, with a few less for the other name), or the owner cannot be given.
pub fn listen(path: &Path, backlog: u32, access: Access) -> io::Result<OwnedFd> {
    let temporary = path.with_file_name(format!(".{}~", process::own_pid()));
    // Left by a process that had this number before and was killed on the way.
    let _ = fs::remove_file(&temporary);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(&temporary)?)?;
    let finish = || {
        access.give(&temporary)?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        fs::rename(&temporary, path)
    };
    if let Err(error) = finish() {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const ACCESS: Access = Access { mode: 0o640, user: None, group: None };

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ferricorn-unix-{name}-{}", process::own_pid()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_path_goes_from_nobody_to_live_to_stale() {
        let folder = folder("life");
        let path = folder.join("app.sock");
        assert_eq!(probe(&path).unwrap(), Occupant::Nobody);
        let listener = listen(&path, 16, ACCESS).unwrap();
        assert_eq!(probe(&path).unwrap(), Occupant::Live(Some(process::own_pid())));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no temporary name is left");
        drop(listener);
        assert_eq!(probe(&path).unwrap(), Occupant::Stale);
        let before = identity(&path).unwrap();
        let _again = listen(&path, 16, ACCESS).unwrap();
        assert_ne!(identity(&path).unwrap(), before);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_no_socket_is_recognised() {
        let folder = folder("file");
        let path = folder.join("app.sock");
        fs::write(&path, "precious").unwrap();
        assert_eq!(probe(&path).unwrap(), Occupant::NoSocket);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let folder = folder("fail");
        fs::create_dir(folder.join("taken")).unwrap();
        assert!(listen(&folder.join("taken"), 16, ACCESS).is_err());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
