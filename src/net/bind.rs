//! From the configured addresses to listening sockets; refused where somebody else listens.

use crate::config::{BindAddress, Server};
use crate::contract::slot::Slot;
use crate::net::listeners::{Listener, ListenerSet, TcpOptions};
use crate::net::socket_files::SocketFiles;
use crate::net::stored::{self, Place, Stored};
use crate::sys::privileges;
use crate::sys::process;
use crate::sys::socket::{self, Families, SocketName};
use crate::sys::systemd::{Handed, HandedSocket};
use crate::sys::unix_socket::{self, Access, Occupant};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub use super::bind_error::{BindError, Holder};

/// The sockets of a server that starts.
#[derive(Debug)]
pub struct Bound {
    /// The sockets.
    pub listeners: ListenerSet,
    /// The paths made for them.
    pub files: SocketFiles,
}

/// Binds every configured address for slots 1 to `workers`; or takes the sockets that were handed over, if there are any.
///
/// A host that is a name stands for its first IPv4 and its first IPv6 address; of these, one that this machine does
/// not have is left out as long as the other is there. An IPv6 socket takes IPv6 only when an IPv4 address with the same port
/// is configured too, else `[::]` takes both.
///
/// # Errors
/// [`BindError`]; everything bound by then is closed and removed again.
pub fn bind(server: &Server, workers: u16, handed: &Handed) -> Result<Bound, BindError> {
    let mut stored = Stored::take(handed);
    if is_activated(handed) {
        stored.retain(|_, _| false);
        let of_units = |socket: &&HandedSocket| !stored::is_kept(socket);
        let handed: Vec<_> = handed.sockets.iter().filter(of_units).cloned().collect();
        return super::handed::take(server, &handed);
    }
    let wanted = resolve_all(server, &ListenerSet::default())?;
    stored.retain(|place, families| wanted.iter().any(|wanted| wanted.has(place, families)));
    bind_unknown(server, (workers, wanted), &ListenerSet::default(), stored)
}

/// Whether socket units decide where the server listens.
pub fn is_activated(handed: &Handed) -> bool {
    handed.sockets.iter().any(|socket| !stored::is_kept(socket))
}

/// The sockets that a service manager can keep while the server is started anew, each by the name for that.
pub fn sockets_to_keep(listeners: &ListenerSet) -> Vec<(String, BorrowedFd<'_>)> {
    stored::sockets(listeners)
}

/// Binds the configured addresses that are not among those of a running server, each for its first slot.
///
/// # Errors
/// As [`bind`].
pub fn bind_further(server: &Server, known: &ListenerSet) -> Result<Bound, BindError> {
    bind_unknown(server, (1, resolve_all(server, known)?), known, Stored::default())
}

/// A configured address, and what it stands for.
struct Wanted<'a> {
    configured: &'a BindAddress,
    tcp: Vec<(SocketAddr, Families)>,
}

impl Wanted<'_> {
    /// Whether a kept socket is of this address.
    fn has(&self, place: &Place, families: Option<Families>) -> bool {
        match (place, self.configured) {
            (Place::Slot(address, _), _) => {
                self.tcp.iter().any(|(wanted, both)| wanted == address && Some(*both) == families)
            }
            (Place::Path(path), BindAddress::Unix(wanted)) => {
                std::path::absolute(wanted).is_ok_and(|wanted| wanted == *path)
            }
            (Place::Path(_), BindAddress::Tcp { .. } | BindAddress::Inherited(_)) => false,
        }
    }
}

fn resolve_all<'a>(server: &'a Server, known: &ListenerSet) -> Result<Vec<Wanted<'a>>, BindError> {
    let is_known = |address: &BindAddress| {
        !known.select(|origin| origin.configured.as_ref() == Some(address)).is_empty()
    };
    let wanted: Vec<_> = server.bind.iter().filter(|address| !is_known(address)).collect();
    let resolved: Vec<_> = wanted.iter().map(|address| resolve(address)).collect::<Result<_, _>>()?;
    let own = known.iter().filter_map(Listener::tcp_address);
    let ipv4 = resolved.iter().flatten().copied().chain(own).filter(SocketAddr::is_ipv4);
    let ipv4_ports: Vec<u16> = ipv4.map(|address| address.port()).collect();
    let families = |address: SocketAddr| {
        let both = address.is_ipv6() && !ipv4_ports.contains(&address.port());
        (address, if both { Families::Both } else { Families::One })
    };
    let all = wanted.into_iter().zip(resolved);
    Ok(all
        .map(|(configured, found)| Wanted { configured, tcp: found.into_iter().map(families).collect() })
        .collect())
}

fn bind_unknown(
    server: &Server,
    (workers, wanted): (u16, Vec<Wanted<'_>>),
    known: &ListenerSet,
    mut stored: Stored<'_>,
) -> Result<Bound, BindError> {
    let mut bound = Bound { listeners: ListenerSet::default(), files: SocketFiles::default() };
    let is_first_run = stored.is_empty();
    for wanted in wanted {
        if let Err(error) = bind_one(server, (workers, wanted), known, (&mut bound, &mut stored)) {
            // The paths of kept sockets are those of the next attempt.
            if is_first_run {
                bound.files.remove();
            }
            return Err(error);
        }
    }
    Ok(bound)
}

fn bind_one(
    server: &Server,
    (workers, Wanted { configured, tcp }): (u16, Wanted<'_>),
    known: &ListenerSet,
    (bound, stored): (&mut Bound, &mut Stored<'_>),
) -> Result<(), BindError> {
    match configured {
        BindAddress::Tcp { .. } => {
            let count = bound.listeners.iter().count();
            let mut absent = None;
            for (address, families) in tcp {
                let options = TcpOptions { backlog: server.backlog, families };
                let is_own =
                    known.iter().filter_map(Listener::tcp_address).any(|own| own.port() == address.port());
                let look = if is_own { Look::TakenByUs } else { Look::First };
                match bind_tcp(address, options, workers, (look, stored.take_address(address))) {
                    Ok(listener) => bound.listeners.push_for(Some(configured.clone()), listener),
                    Err(error) if is_absent(&error) => absent = Some(error),
                    Err(error) => return Err(error),
                }
            }
            match absent.filter(|_| bound.listeners.iter().count() == count) {
                Some(error) => Err(error),
                None => Ok(()),
            }
        }
        BindAddress::Unix(path) => bind_unix(server, path, bound, stored),
        BindAddress::Inherited(_) if known.iter().len() > 0 => {
            let source = io::Error::other("an inherited socket can be taken at the start only");
            Err(BindError::Other { address: configured.to_string(), source })
        }
        BindAddress::Inherited(number) => {
            let adopted = socket::adopt(*number);
            let (socket, address) =
                adopted.map_err(|source| BindError::Other { address: configured.to_string(), source })?;
            bound.listeners.push_for(Some(configured.clone()), Listener::Shared { address, socket });
            Ok(())
        }
    }
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
    (look, mut sockets): (Look, BTreeMap<Slot, OwnedFd>),
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
    let _lock = if address.port() == 0 || look == Look::TakenByUs || !sockets.is_empty() {
        // bind(2) chooses a port that nobody has; where kept sockets listen nobody else does.
        None
    } else {
        let lock = lock(&address.to_string())?;
        socket::probe_tcp(address, options.families).map_err(fail)?;
        Some(lock)
    };
    for socket in sockets.values() {
        socket::listen_again(socket.as_fd(), options.backlog).map_err(fail)?;
    }
    let mut address = address;
    for slot in (1..=workers).map(Slot) {
        if sockets.contains_key(&slot) {
            continue;
        }
        let socket = socket::listen_tcp(address, options.backlog, options.families).map_err(fail)?;
        address = socket::local_tcp(socket.as_fd()).map_err(fail)?;
        sockets.insert(slot, socket);
    }
    Ok(Listener::PerSlot { address, options, sockets })
}

fn bind_unix(
    server: &Server,
    path: &Path,
    bound: &mut Bound,
    stored: &mut Stored<'_>,
) -> Result<(), BindError> {
    let address = || format!("unix:{}", path.display());
    let fail = |source| BindError::Other { address: address(), source };
    let access = Access {
        mode: server.unix_mode.0,
        user: server.unix_owner.as_deref().map(privileges::user_id).transpose().map_err(fail)?,
        group: server.unix_group.as_deref().map(privileges::group_id).transpose().map_err(fail)?,
    };
    let _lock = lock(&address())?;
    let socket = match take_kept(path, server.backlog, stored).map_err(fail)? {
        Some(kept) => {
            access.give(path).map_err(fail)?;
            kept
        }
        None => {
            match unix_socket::probe(path).map_err(fail)? {
                Occupant::Nobody | Occupant::Stale => {}
                Occupant::Live(pid) => {
                    return Err(BindError::InUse { address: address(), holder: Holder::of(pid) });
                }
                Occupant::NoSocket => return Err(BindError::NoSocket { address: address() }),
            }
            unix_socket::listen(path, server.backlog, access).map_err(fail)?
        }
    };
    bound.files.note(path).map_err(fail)?;
    let listener = Listener::Shared { address: SocketName::Unix(Some(path.to_path_buf())), socket };
    bound.listeners.push_for(Some(BindAddress::Unix(path.to_path_buf())), listener);
    Ok(())
}

/// The kept socket of a path, if it is still the one that the path names.
fn take_kept(path: &Path, backlog: u32, stored: &mut Stored<'_>) -> io::Result<Option<OwnedFd>> {
    let absolute = std::path::absolute(path)?;
    let Some(socket) = stored.take_path(&absolute) else { return Ok(None) };
    // unix(7), SO_PEERCRED: those who connect see who called listen(2) last, which is this process now.
    socket::listen_again(socket.as_fd(), backlog)?;
    if unix_socket::probe(path)? == Occupant::Live(Some(process::own_pid())) {
        return Ok(Some(socket));
    }
    stored.forget_path(&absolute);
    Ok(None)
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
#[path = "bind_tests.rs"]
mod tests;
