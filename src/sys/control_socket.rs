//! The sockets by which servers are controlled: files or, where none can be made, abstract names (unix(7)).

use super::privileges;
use super::process::Pid;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};

/// Where a control socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlPlace {
    /// A file.
    File(PathBuf),
    /// A name that no file stands for.
    Abstract(String),
}

/// A socket on which somebody listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Its name.
    pub place: ControlPlace,
    /// Its number, by which /proc names it where a process has it open.
    pub number: u64,
}

/// Who has connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The process, or that which listens.
    pub pid: Pid,
    /// Its user.
    pub user: u32,
    /// All its groups.
    pub groups: Vec<u32>,
}

impl ControlPlace {
    /// Understands what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix('@') {
            Some(name) => Self::Abstract(name.into()),
            None => Self::File(text.into()),
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// As connect(2) has them: `NotFound` and `ConnectionRefused` when nobody is there, `PermissionDenied` for those whom
    /// the file keeps out.
    pub fn connect(&self) -> io::Result<UnixStream> {
        match self {
            Self::File(path) => UnixStream::connect(path),
            Self::Abstract(name) => UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?),
        }
    }

    /// Listens there, without blocking. A file is its owner's alone, or the group's as well.
    ///
    /// The path must be free, or a socket that nobody listens on.
    ///
    /// # Errors
    /// As bind(2) has them; `AddrInUse` where somebody else listens.
    pub fn listen(&self, group: Option<u32>) -> io::Result<OwnedFd> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match self {
            Self::File(path) => {
                // unix(7) says nothing of it, but Linux makes the file with the mode of the socket, less the umask: there is
                // no moment at which others could connect.
                fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
                socket.bind(&SockAddr::unix(path)?)?;
                if group.is_some() {
                    privileges::give(path, None, group)?;
                    fs::set_permissions(path, Permissions::from_mode(0o660))?;
                }
            }
            Self::Abstract(name) => socket.bind(&SockAddr::unix(format!("\0{name}"))?)?,
        }
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }
}

impl fmt::Display for ControlPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

/// Who is at the other end of a UNIX stream socket: who has connected, or who called listen(2).
///
/// # Errors
/// When the descriptor is none.
pub fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let credentials = getsockopt(&socket, sockopt::PeerCredentials)?;
    let mut groups = supplementary_groups(socket)?;
    groups.push(credentials.gid());
    Ok(Peer { pid: Pid(credentials.pid()), user: credentials.uid(), groups })
}

/// The named UNIX stream sockets of this network namespace on which somebody listens, as far as they can be seen.
pub fn listening() -> Vec<Listening> {
    // proc(5): without /proc/net/unix nobody can be found, and must be named.
    fs::read_to_string("/proc/net/unix").unwrap_or_default().lines().filter_map(listener).collect()
}

/// `Num: RefCount Protocol Flags Type St Inode Path`, of which the path may hold spaces.
fn listener(line: &str) -> Option<Listening> {
    let mut rest = line;
    let mut columns = [""; 7];
    for column in &mut columns {
        (*column, rest) = rest.trim_start().split_once(' ')?;
    }
    let [_, _, _, flags, kind, _, number] = columns;
    // linux/net.h: __SO_ACCEPTCON is 1 << 16; SOCK_STREAM is 1.
    let listens = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & (1 << 16) != 0);
    let number = number.parse().ok().filter(|_| listens && kind == "0001")?;
    Some(Listening { place: ControlPlace::parse(rest), number })
}

/// The groups of a peer besides its own (SO_PEERGROUPS, unix(7)).
fn supplementary_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 32];
    loop {
        let size = groups.len() * size_of::<libc::gid_t>();
        let mut length = libc::socklen_t::try_from(size).map_err(io::Error::other)?;
        // SAFETY: the buffer is `length` bytes long, and both it and `length` live through the call.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = usize::try_from(length).unwrap_or(0) / size_of::<libc::gid_t>();
        match Errno::result(result) {
            Ok(_) => {
                groups.truncate(count);
                return Ok(groups);
            }
            // ERANGE: it has more, and says how many.
            Err(Errno::ERANGE) if count > groups.len() => groups.resize(count, 0),
            // Before Linux 4.13.
            Err(Errno::ENOPROTOOPT) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A directory for control sockets that is there, is writable and belongs to this process's user, or can be made.
///
/// # Errors
/// Why not.
pub fn own_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    match fs::DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() && metadata.uid() == privileges::effective_user() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to somebody else"))
}

/// Commands that may wait to be heard.
const BACKLOG: i32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixListener;

    #[test]
    fn who_listens_is_found_and_known() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("ferricorn test {}", super::super::process::own_pid());
        let places = [ControlPlace::File(folder.path().join("a b.sock")), ControlPlace::Abstract(name)];
        for place in places {
            assert_eq!(ControlPlace::parse(&place.to_string()), place);
            let listener = place.listen(None).unwrap();
            let held = super::super::process::sockets(super::super::process::own_pid());
            let found = listening().into_iter().find(|listening| listening.place == place).unwrap();
            assert!(held.contains(&found.number), "{place}");
            let client = place.connect().unwrap();
            let found = peer(client.as_fd()).unwrap();
            assert_eq!(found.pid, super::super::process::own_pid());
            assert_eq!(found.user, privileges::effective_user());
            let listener = UnixListener::from(listener);
            let (accepted, _) = listener.accept().unwrap();
            assert_eq!(peer(accepted.as_fd()).unwrap(), found);
            assert_eq!(place.listen(None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        }
    }

    #[test]
    fn a_file_is_its_owners_or_the_groups() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let own = fs::metadata(folder.path()).unwrap().gid();
        for (name, group, mode) in [("mine", None, 0o600), ("ours", Some(own), 0o660)] {
            let path = folder.path().join(name);
            let _listener = ControlPlace::File(path.clone()).listen(group).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_directory_is_made_or_must_be_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        own_directory(&path).unwrap();
        own_directory(&path).unwrap();
        assert!(own_directory(Path::new("/nowhere/run")).is_err());
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(own_directory(&folder.path().join("file")).is_err());
    }

    #[test]
    fn lines_of_the_table_are_read() {
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01 25133 /run/a b/c.sock";
        let expected = |place| Some(Listening { place, number: 25133 });
        assert_eq!(listener(line), expected(ControlPlace::File("/run/a b/c.sock".into())));
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01 25133 @x/control-7";
        assert_eq!(listener(line), expected(ControlPlace::Abstract("x/control-7".into())));
        for other in [
            "Num       RefCount Protocol Flags    Type St Inode Path",
            "0000000000000000: 00000003 00000000 00000000 0001 03 25134",
            "0000000000000000: 00000003 00000000 00000000 0001 03 25134 /run/connected",
            "0000000000000000: 00000002 00000000 00010000 0005 01 25133 /run/seqpacket",
            "",
        ] {
            assert_eq!(listener(other), None, "{other}");
        }
    }
}
