//! Listening sockets on paper, for the program that takes this one's place and inherits their descriptors.

use super::listeners::{Listener, ListenerOrigin, ListenerSet, TcpOptions};
use super::socket_files::{SocketFile, SocketFiles};
use crate::config::BindAddress;
use crate::contract::slot::{Generation, Slot};
use crate::sys::inherit;
use crate::sys::socket::{Families, SocketName};
use crate::sys::unix_socket::FileIdentity;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

/// One address of a [`ListenerSet`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WrittenListener {
    /// As configured.
    configured: Option<String>,
    /// The generation that it was bound for.
    since: u32,
    name: WrittenName,
    sockets: WrittenSockets,
}

/// One path of [`SocketFiles`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WrittenFile {
    path: PathBuf,
    absolute: PathBuf,
    identity: FileIdentity,
}

#[derive(Debug, Serialize, Deserialize)]
enum WrittenName {
    Tcp(SocketAddr),
    Unix(Option<PathBuf>),
}

#[derive(Debug, Serialize, Deserialize)]
enum WrittenSockets {
    /// Slots and descriptors.
    PerSlot {
        backlog: u32,
        both_families: bool,
        sockets: Vec<(u16, i32)>,
    },
    /// A descriptor.
    Shared(i32),
    Closed,
}

impl ListenerSet {
    /// On paper; `pack` notes a descriptor and gives its number.
    pub fn written<'a>(&'a self, mut pack: impl FnMut(BorrowedFd<'a>) -> i32) -> Vec<WrittenListener> {
        let mut written = Vec::new();
        for (listener, origin) in self.iter().zip(self.origins()) {
            let name = match listener.name() {
                SocketName::Tcp(address) => WrittenName::Tcp(address),
                SocketName::Unix(path) => WrittenName::Unix(path),
            };
            let sockets = match listener {
                Listener::PerSlot { options, sockets, .. } => WrittenSockets::PerSlot {
                    backlog: options.backlog,
                    both_families: options.families == Families::Both,
                    sockets: sockets.iter().map(|(slot, socket)| (slot.0, pack(socket.as_fd()))).collect(),
                },
                Listener::Shared { socket, .. } => WrittenSockets::Shared(pack(socket.as_fd())),
                Listener::Closed(_) => WrittenSockets::Closed,
            };
            let configured = origin.configured.as_ref().map(ToString::to_string);
            written.push(WrittenListener { configured, since: origin.since.0, name, sockets });
        }
        written
    }

    /// From paper, with the descriptors that this process has inherited.
    ///
    /// # Errors
    /// When one of them is not open, or an address not understood.
    pub fn from_written(written: Vec<WrittenListener>) -> io::Result<Self> {
        let mut set = Self::default();
        for WrittenListener { configured, since, name, sockets } in written {
            let name = match name {
                WrittenName::Tcp(address) => SocketName::Tcp(address),
                WrittenName::Unix(path) => SocketName::Unix(path),
            };
            let listener = match (sockets, name) {
                (WrittenSockets::Closed, name) => Listener::Closed(name),
                (WrittenSockets::Shared(number), address) => {
                    Listener::Shared { address, socket: inherit::take(number)? }
                }
                (WrittenSockets::PerSlot { backlog, both_families, sockets }, SocketName::Tcp(address)) => {
                    let families = if both_families { Families::Both } else { Families::One };
                    let take = |(slot, number): (u16, i32)| Ok((Slot(slot), inherit::take(number)?));
                    let sockets = sockets.into_iter().map(take).collect::<io::Result<_>>()?;
                    Listener::PerSlot { address, options: TcpOptions { backlog, families }, sockets }
                }
                (WrittenSockets::PerSlot { .. }, SocketName::Unix(_)) => {
                    return Err(io::Error::other("UNIX sockets are not multiplied"));
                }
            };
            let configured = configured.as_deref().map(BindAddress::parse).transpose();
            let origin = ListenerOrigin {
                configured: configured.map_err(io::Error::other)?,
                since: Generation(since),
            };
            set.push_with(origin, listener);
        }
        Ok(set)
    }
}

impl SocketFiles {
    /// On paper.
    pub fn written(&self) -> Vec<WrittenFile> {
        let write = |file: &SocketFile| WrittenFile {
            path: file.path.clone(),
            absolute: file.absolute.clone(),
            identity: file.identity,
        };
        self.files().map(write).collect()
    }

    /// From paper.
    pub fn from_written(written: Vec<WrittenFile>) -> Self {
        let read = |WrittenFile { path, absolute, identity }| SocketFile { path, absolute, identity };
        Self::of(written.into_iter().map(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket;
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;
    use std::os::fd::{AsRawFd, IntoRawFd};

    #[test]
    fn sockets_survive_on_paper() {
        let open = || socket::listen_tcp((Ipv4Addr::LOCALHOST, 0).into(), 16, Families::One).unwrap();
        let sockets = BTreeMap::from([(Slot(1), open()), (Slot(2), open())]);
        let address = socket::local_tcp(sockets[&Slot(1)].as_fd()).unwrap();
        let options = TcpOptions { backlog: 16, families: Families::Both };
        let mut set = ListenerSet::default();
        let configured = BindAddress::parse("127.0.0.1:0").unwrap();
        set.push_for(Some(configured), Listener::PerSlot { address, options, sockets });
        let path = SocketName::Unix(Some("/run/x.sock".into()));
        set.push(Listener::Shared { address: path.clone(), socket: open() });
        set.push(Listener::Closed(SocketName::Unix(None)));
        // Each number is given to a descriptor of its own, as if inherited.
        let pack = |socket: BorrowedFd<'_>| socket.try_clone_to_owned().unwrap().into_raw_fd();
        let text = serde_json::to_string(&set.written(pack)).unwrap();
        let read = ListenerSet::from_written(serde_json::from_str(&text).unwrap()).unwrap();
        let shown = |set: &ListenerSet| format!("{:?}", set.written(|socket| socket.as_raw_fd().signum()));
        assert_eq!(shown(&read), shown(&set));
        assert_eq!(socket::local_tcp(read.socket(0, Slot(1)).unwrap()).unwrap(), address);
        assert_eq!(read.get(1).unwrap().name(), path);
    }
}
