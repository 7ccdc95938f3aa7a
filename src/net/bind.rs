//! From the configured addresses to listening sockets; refused where somebody else listens.

use crate::config::{BindAddress, Server};
use crate::contract::slot::Slot;
use crate::net::listeners::{Listener, ListenerSet, TcpOptions};
use crate::net::socket_files::SocketFiles;
use crate::sys::privileges;
use crate::sys::process::{self, Pid};
use crate::sys::socket::{self, Families, SocketName};
use crate::sys::systemd::HandedSocket;
use crate::sys::unix_socket::{self, Access, Occupant};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The sockets of a server that starts.
#[derive(Debug)]
pub struct Bound {
    /// The sockets.
    pub listeners: ListenerSet,
    /// The paths made for them.
    pub files: SocketFiles,
}

/// Why there is no listening socket at an address.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody listens there.
    #[error("cannot bind {address}: in use by {holder}")]
    InUse {
        /// The address.
        address: String,
        /// Who listens.
        holder: Holder,
    },
    /// Another server is about to bind the same address.
    #[error("cannot bind {address}: another server is starting on it at this moment")]
    BeingTaken {
        /// The address.
        address: String,
    },
    /// A port below 1024 without the right to it.
    #[error(
        "cannot bind {address}: permission denied; give CAP_NET_BIND_SERVICE, use a socket unit, or a port from 1024"
    )]
    LowPort {
        /// The address.
        address: String,
    },
    /// The path names something that is no socket; it is left alone.
    #[error("cannot bind {address}: the path exists and is no socket")]
    NoSocket {
        /// The address.
        address: String,
    },
    /// The name means no address.
    #[error("cannot bind {address}: the name cannot be resolved: {source}")]
    Resolve {
        /// The address.
        address: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot bind {address}: {source}")]
    Other {
        /// The address.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Who listens on an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(Option<(Pid, Option<String>)>);

impl Holder {
    fn of(pid: Option<Pid>) -> Self {
        Self(pid.map(|pid| (pid, process::command_line(pid))))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((pid, Some(command))) => write!(f, "pid {pid} ({command})"),
            Some((pid, None)) => write!(f, "pid {pid}"),
            None => f.write_str("an unknown process (only root sees whose)"),
        }
    }
}

/// Binds every configured address for slots 1 to `workers`; or takes the sockets that were handed over, if there are any.
///
/// A host that is a name stands for its first IPv4 and its first IPv6 address; of these, one that this machine does
/// not have is left out as long as the other is there. An IPv6 socket takes IPv6 only when an IPv4 address with the same port
/// is configured too, else `[::]` takes both.
///
/// # Errors
/// [`BindError`]; everything bound by then is closed and removed again.
pub fn bind(server: &Server, workers: u16, handed: &[HandedSocket]) -> Result<Bound, BindError> {
    if !handed.is_empty() {
        return super::handed::take(server, handed);
    }
    bind_unknown(server, workers, &ListenerSet::default())
}

/// Binds the configured addresses that are not among those of a running server, each for its first slot.
///
/// # Errors
/// As [`bind`].
pub fn bind_further(server: &Server, known: &ListenerSet) -> Result<Bound, BindError> {
    bind_unknown(server, 1, known)
}

fn bind_unknown(server: &Server, workers: u16, known: &ListenerSet) -> Result<Bound, BindError> {
    let mut bound = Bound { listeners: ListenerSet::default(), files: SocketFiles::default() };
    match bind_all(server, workers, known, &mut bound) {
        Ok(()) => Ok(bound),
        Err(error) => {
            bound.files.remove();
            Err(error)
        }
    }
}

fn bind_all(server: &Server, workers: u16, known: &ListenerSet, bound: &mut Bound) -> Result<(), BindError> {
    let is_known = |address: &BindAddress| {
        !known.select(|origin| origin.configured.as_ref() == Some(address)).is_empty()
    };
    let wanted: Vec<_> = server.bind.iter().filter(|address| !is_known(address)).collect();
    let resolved: Vec<_> = wanted.iter().map(|address| resolve(address)).collect::<Result<_, _>>()?;
    let own: Vec<SocketAddr> = known.iter().filter_map(Listener::tcp_address).collect();
    let ipv4 = resolved.iter().flatten().chain(&own).filter(|address| address.is_ipv4());
    let ipv4_ports: Vec<u16> = ipv4.map(SocketAddr::port).collect();
    for (configured, addresses) in wanted.into_iter().zip(resolved) {
        match configured {
            BindAddress::Tcp { .. } => {
                let count = bound.listeners.iter().count();
                let mut absent = None;
                for address in addresses {
                    let both = address.is_ipv6() && !ipv4_ports.contains(&address.port());
                    let families = if both { Families::Both } else { Families::One };
                    let options = TcpOptions { backlog: server.backlog, families };
                    let is_own = own.iter().any(|own| own.port() == address.port());
                    let look = if is_own { Look::TakenByUs } else { Look::First };
                    match bind_tcp(address, options, workers, look) {
                        Ok(listener) => bound.listeners.push_for(Some(configured.clone()), listener),
                        Err(error) if is_absent(&error) => absent = Some(error),
                        Err(error) => return Err(error),
                    }
                }
                if let Some(error) = absent.filter(|_| bound.listeners.iter().count() == count) {
                    return Err(error);
                }
            }
            BindAddress::Unix(path) => bind_unix(server, path, bound)?,
            BindAddress::Inherited(_) if known.iter().len() > 0 => {
                let source = io::Error::other("an inherited socket can be taken at the start only");
                return Err(BindError::Other { address: configured.to_string(), source });
            }
            BindAddress::Inherited(number) => {
                let adopted = socket::adopt(*number);
                let (socket, address) =
                    adopted.map_err(|source| BindError::Other { address: configured.to_string(), source })?;
                let listener = Listener::Shared { address, socket };
                bound.listeners.push_for(Some(configured.clone()), listener);
            }
        }
    }
    Ok(())
}

fn resolve(configured: &BindAddress) -> Result<Vec<SocketAddr>, BindError> {
    let BindAddress::Tcp { host, port } = configured else { return Ok(Vec::new()) };
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let found: Vec<SocketAddr> = (host, *port)
        .to_socket_addrs()
        .map_err(|source| BindError::Resolve { address: configured.to_string(), source })?
        .collect();
    let first = |wanted: fn(&SocketAddr) -> bool| found.iter().copied().find(wanted);
    Ok([first(SocketAddr::is_ipv4), first(SocketAddr::is_ipv6)].into_iter().flatten().collect())
}

fn is_absent(error: &BindError) -> bool {
    // socket(2): EAFNOSUPPORT (no kind of its own) on machines without IPv6.
    matches!(error, BindError::Other { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable
        || source.raw_os_error() == Some(socket::NO_SUCH_FAMILY))
}

/// Whether it is found out first if somebody listens on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    First,
    /// No: this server listens on the port by another address of the machine.
    TakenByUs,
}

fn bind_tcp(
    address: SocketAddr,
    options: TcpOptions,
    workers: u16,
    look: Look,
) -> Result<Listener, BindError> {
    let fail = |source: io::Error| {
        let text = address.to_string();
        if source.kind() == io::ErrorKind::AddrInUse {
            BindError::InUse { address: text, holder: Holder::of(socket::tcp_holder(address)) }
        } else if source.kind() == io::ErrorKind::PermissionDenied {
            BindError::LowPort { address: text }
        } else {
            BindError::Other { address: text, source }
        }
    };
    // Sockets with SO_REUSEPORT join the address of another server of the same user in silence. So the address is
    // first bound without; the lock keeps a second start from passing between the two.
    let _lock = if address.port() == 0 || look == Look::TakenByUs {
        // bind(2) chooses a port that nobody has.
        None
    } else {
        let lock = lock(&address.to_string())?;
        socket::probe_tcp(address, options.families).map_err(fail)?;
        Some(lock)
    };
    let first = socket::listen_tcp(address, options.backlog, options.families).map_err(fail)?;
    let address = socket::local_tcp(first.as_fd()).map_err(fail)?;
    let mut sockets = BTreeMap::from([(Slot(1), first)]);
    for slot in (2..=workers).map(Slot) {
        let socket = socket::listen_tcp(address, options.backlog, options.families).map_err(fail)?;
        sockets.insert(slot, socket);
    }
    Ok(Listener::PerSlot { address, options, sockets })
}

fn bind_unix(server: &Server, path: &Path, bound: &mut Bound) -> Result<(), BindError> {
    let address = || format!("unix:{}", path.display());
    let fail = |source| BindError::Other { address: address(), source };
    let access = Access {
        mode: server.unix_mode.0,
        user: server.unix_owner.as_deref().map(privileges::user_id).transpose().map_err(fail)?,
        group: server.unix_group.as_deref().map(privileges::group_id).transpose().map_err(fail)?,
    };
    let _lock = lock(&address())?;
    match unix_socket::probe(path).map_err(fail)? {
        Occupant::Nobody | Occupant::Stale => {}
        Occupant::Live(pid) => return Err(BindError::InUse { address: address(), holder: Holder::of(pid) }),
        Occupant::NoSocket => return Err(BindError::NoSocket { address: address() }),
    }
    let socket = unix_socket::listen(path, server.backlog, access).map_err(fail)?;
    bound.files.note(path).map_err(fail)?;
    let listener = Listener::Shared { address: SocketName::Unix(Some(path.to_path_buf())), socket };
    bound.listeners.push_for(Some(BindAddress::Unix(path.to_path_buf())), listener);
    Ok(())
}

/// Held from the look whether an address is free to its being taken.
fn lock(address: &str) -> Result<OwnedFd, BindError> {
    socket::lock_name(&format!("ferricorn-start-{address}")).map_err(|source| {
        if source.kind() == io::ErrorKind::AddrInUse {
            BindError::BeingTaken { address: address.into() }
        } else {
            BindError::Other { address: address.into(), source }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::fs;
    use std::net::Ipv4Addr;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    fn bind(server: &Server, workers: u16) -> Result<Bound, BindError> {
        super::bind(server, workers, &[])
    }

    fn server(bind: Vec<BindAddress>) -> Server {
        Server { bind, ..Config::default().server }
    }

    fn tcp(host: &str, port: u16) -> BindAddress {
        BindAddress::Tcp { host: host.into(), port }
    }

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ferricorn-bind-{name}-{}", process::own_pid()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn all_slots_share_the_port_that_the_kernel_chose() {
        let bound = bind(&server(vec![tcp("127.0.0.1", 0)]), 3).unwrap();
        let [Listener::PerSlot { address, sockets, .. }] = bound.listeners.iter().as_slice() else {
            panic!("not one TCP listener: {bound:?}")
        };
        assert_ne!(address.port(), 0);
        assert_eq!(sockets.keys().copied().collect::<Vec<_>>(), [Slot(1), Slot(2), Slot(3)]);
        for socket in sockets.values() {
            assert_eq!(socket::local_tcp(socket.as_fd()).unwrap(), *address);
        }
    }

    #[test]
    fn a_second_server_on_a_port_is_refused_and_the_first_named() {
        let first = bind(&server(vec![tcp("127.0.0.1", 0)]), 2).unwrap();
        let SocketName::Tcp(address) = first.listeners.get(0).unwrap().name() else { panic!("not TCP") };
        for host in ["127.0.0.1", "0.0.0.0", ""] {
            let error = bind(&server(vec![tcp(host, address.port())]), 2).unwrap_err().to_string();
            let expected = format!("in use by pid {} (", process::own_pid());
            assert!(error.contains(&expected), "{host}: {error}");
        }
    }

    #[test]
    fn two_starts_at_once_cannot_both_pass() {
        let free = bind(&server(vec![tcp("127.0.0.1", 0)]), 1).unwrap();
        let SocketName::Tcp(address) = free.listeners.get(0).unwrap().name() else { panic!("not TCP") };
        drop(free);
        let _other = lock(&address.to_string()).unwrap();
        let error = bind(&server(vec![tcp("127.0.0.1", address.port())]), 1).unwrap_err();
        assert!(matches!(error, BindError::BeingTaken { .. }), "{error}");
    }

    #[test]
    fn a_name_is_bound_and_a_wrong_one_refused() {
        let bound = bind(&server(vec![tcp("localhost", 0)]), 1).unwrap();
        assert!(bound.listeners.iter().count() >= 1);
        let error = bind(&server(vec![tcp("no-such-name.invalid", 0)]), 1).unwrap_err();
        assert!(matches!(error, BindError::Resolve { .. }), "{error}");
        let error = bind(&server(vec![tcp("192.0.2.1", 0)]), 1).unwrap_err();
        assert!(matches!(error, BindError::Other { .. }), "{error}");
    }

    #[test]
    fn both_families_can_have_the_same_port() {
        let probe = bind(&server(vec![tcp("127.0.0.1", 0)]), 1).unwrap();
        let SocketName::Tcp(address) = probe.listeners.get(0).unwrap().name() else { panic!("not TCP") };
        drop(probe);
        if socket::probe_tcp("[::1]:0".parse().unwrap(), Families::One).is_err() {
            println!("skipped: no IPv6 on this machine");
            return;
        }
        let both = bind(&server(vec![tcp("0.0.0.0", address.port()), tcp("::", address.port())]), 2).unwrap();
        assert_eq!(both.listeners.iter().count(), 2);
        drop(both);
        let dual = bind(&server(vec![tcp("::", 0)]), 1).unwrap();
        let SocketName::Tcp(address) = dual.listeners.get(0).unwrap().name() else { panic!("not TCP") };
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).unwrap();
    }

    #[test]
    fn unix_paths_are_replaced_when_stale_and_refused_when_live() {
        let folder = scratch("unix");
        let path = folder.join("app.sock");
        let server = server(vec![BindAddress::Unix(path.clone())]);
        let first = bind(&server, 2).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        let error = bind(&server, 2).unwrap_err().to_string();
        assert!(error.contains(&format!("in use by pid {}", process::own_pid())), "{error}");
        let Bound { listeners, files } = first;
        drop(listeners);
        let second = bind(&server, 2).unwrap();
        files.remove();
        assert!(path.exists(), "another server's path is left alone");
        second.files.remove();
        assert!(!path.exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let folder = scratch("file");
        let path = folder.join("notes.txt");
        fs::write(&path, "precious").unwrap();
        let error = bind(&server(vec![BindAddress::Unix(path.clone())]), 1).unwrap_err();
        assert!(matches!(error, BindError::NoSocket { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_failed_start_removes_its_paths() {
        let folder = scratch("undo");
        let path = folder.join("app.sock");
        let both = server(vec![BindAddress::Unix(path.clone()), BindAddress::Inherited(54_321)]);
        assert!(bind(&both, 1).is_err());
        assert!(!path.exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
