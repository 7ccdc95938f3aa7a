//! The listening sockets: one per slot and TCP address, one for all where they cannot be multiplied.
//!
//! No socket is closed as long as its address is configured: Linux drops every connection that waits in the queue of a closing socket,
//! even when others share its address. A slot out of service keeps its sockets and its siblings serve them.

use crate::config::BindAddress;
use crate::contract::slot::{Generation, Slot};
use crate::sys::socket::{self, Families, SocketName};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Every listening socket: those of the start in the order of the configuration, then those that reloads have added.
#[derive(Debug, Default)]
pub struct ListenerSet {
    /// An address keeps its index, also when it is closed.
    listeners: Vec<Listener>,
    origins: Vec<ListenerOrigin>,
}

/// What an address is there for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerOrigin {
    /// As configured; `None` for a socket that a service manager has handed over.
    pub configured: Option<BindAddress>,
    /// The generation that it was bound for.
    pub since: Generation,
}

/// One address and its sockets.
#[derive(Debug)]
pub enum Listener {
    /// TCP: a socket for each slot (SO_REUSEPORT); the kernel spreads connections over them.
    PerSlot {
        /// The address, with the port that the kernel chose.
        address: SocketAddr,
        /// How further sockets are made.
        options: TcpOptions,
        /// The sockets, non-blocking.
        sockets: BTreeMap<Slot, OwnedFd>,
    },
    /// A UNIX or inherited socket: one queue for all.
    Shared {
        /// Where it listens.
        address: SocketName,
        /// The socket, non-blocking.
        socket: OwnedFd,
    },
    /// An address that is not configured any more.
    Closed(SocketName),
}

/// How the sockets of a TCP listener are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpOptions {
    /// Length of each queue.
    pub backlog: u32,
    /// Whether `[::]` takes IPv4 clients.
    pub families: Families,
}

impl Listener {
    /// Where it listens.
    pub fn name(&self) -> SocketName {
        match self {
            Self::PerSlot { address, .. } => SocketName::Tcp(*address),
            Self::Shared { address, .. } | Self::Closed(address) => address.clone(),
        }
    }
}

impl Listener {
    /// Its TCP sockets.
    pub fn tcp_sockets(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::PerSlot { sockets, .. } => sockets.values().map(AsFd::as_fd).collect(),
            Self::Shared { address: SocketName::Tcp(_), socket } => vec![socket.as_fd()],
            Self::Shared { address: SocketName::Unix(_), .. } | Self::Closed(_) => Vec::new(),
        }
    }

    /// The address of sockets that each slot has one of.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::PerSlot { address, .. } => Some(*address),
            Self::Shared { .. } | Self::Closed(_) => None,
        }
    }
}

impl ListenerSet {
    /// One socket of each address.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listeners.iter().filter_map(|listener| match listener {
            Listener::PerSlot { sockets, .. } => sockets.values().next().map(AsFd::as_fd),
            Listener::Shared { socket, .. } => Some(socket.as_fd()),
            Listener::Closed(_) => None,
        })
    }

    /// Has the server's own sockets answer no further client, for good; their queues can then be emptied.
    ///
    /// Sockets that were handed over stay as they are: their queues are the next server's.
    ///
    /// # Errors
    /// The first one of [`socket::refuse_clients`]; the others refuse clients all the same.
    pub fn refuse_clients(&self) -> io::Result<()> {
        let all = self.listeners.iter().zip(&self.origins);
        let own = all.flat_map(|(listener, origin)| match (listener, &origin.configured) {
            (Listener::PerSlot { sockets, .. }, _) => sockets.values().map(AsFd::as_fd).collect(),
            (Listener::Shared { socket, .. }, Some(BindAddress::Unix(_))) => vec![socket.as_fd()],
            (Listener::Shared { .. } | Listener::Closed(_), _) => Vec::new(),
        });
        own.map(socket::refuse_clients).fold(Ok(()), Result::and)
    }

    /// Whether clients reach any socket of the server's own by a handshake, which takes time.
    pub fn has_own_tcp(&self) -> bool {
        self.listeners.iter().any(|listener| matches!(listener, Listener::PerSlot { .. }))
    }

    /// The slots that have a socket of their own.
    pub fn slots(&self) -> BTreeSet<Slot> {
        let per_slot = self.listeners.iter().filter_map(|listener| match listener {
            Listener::PerSlot { sockets, .. } => Some(sockets.keys().copied()),
            Listener::Shared { .. } | Listener::Closed(_) => None,
        });
        per_slot.flatten().collect()
    }

    /// Adds an address that no key of the configuration names.
    pub fn push(&mut self, listener: Listener) {
        self.push_for(None, listener);
    }

    /// Adds a configured address of the first generation.
    pub fn push_for(&mut self, configured: Option<BindAddress>, listener: Listener) {
        self.push_with(ListenerOrigin { configured, since: Generation(1) }, listener);
    }

    pub(super) fn push_with(&mut self, origin: ListenerOrigin, listener: Listener) {
        self.listeners.push(listener);
        self.origins.push(origin);
    }

    pub(super) fn origins(&self) -> impl Iterator<Item = &ListenerOrigin> {
        self.origins.iter()
    }

    /// Takes over the addresses of another set, bound for this generation.
    pub fn absorb(&mut self, others: Self, since: Generation) {
        self.listeners.extend(others.listeners);
        self.origins.extend(others.origins.into_iter().map(|origin| ListenerOrigin { since, ..origin }));
    }

    /// The open addresses of which this holds.
    pub fn select(&self, wanted: impl Fn(&ListenerOrigin) -> bool) -> Vec<u16> {
        let all = (0..).zip(self.listeners.iter().zip(&self.origins));
        let open = all.filter(|(_, (listener, _))| !matches!(listener, Listener::Closed(_)));
        open.filter(|(_, (_, origin))| wanted(origin)).map(|(index, _)| index).collect()
    }

    /// The generation that an address was bound for.
    pub fn since(&self, listener: u16) -> Generation {
        self.origins.get(usize::from(listener)).map_or(Generation(1), |origin| origin.since)
    }

    /// Takes out an address; its sockets are the caller's to empty and to close.
    pub fn close(&mut self, listener: u16) -> Option<Listener> {
        let listener = self.listeners.get_mut(usize::from(listener))?;
        let closed = Listener::Closed(listener.name());
        Some(std::mem::replace(listener, closed))
    }

    /// The addresses, in the order of the configuration.
    pub fn iter(&self) -> std::slice::Iter<'_, Listener> {
        self.listeners.iter()
    }

    /// One address by its index.
    pub fn get(&self, listener: u16) -> Option<&Listener> {
        self.listeners.get(usize::from(listener))
    }

    /// The socket of a slot at an address; `None` for shared ones.
    pub fn socket(&self, listener: u16, slot: Slot) -> Option<BorrowedFd<'_>> {
        match self.get(listener)? {
            Listener::PerSlot { sockets, .. } => sockets.get(&slot).map(AsFd::as_fd),
            Listener::Shared { .. } | Listener::Closed(_) => None,
        }
    }

    /// Takes in a slot's socket that was made elsewhere; one that is there already is kept and the new one closed.
    ///
    /// Both are then descriptors of one and the same socket, so closing one loses nothing.
    pub fn insert(&mut self, listener: u16, slot: Slot, socket: OwnedFd) {
        match self.listeners.get_mut(usize::from(listener)) {
            Some(Listener::PerSlot { sockets, .. }) => {
                sockets.entry(slot).or_insert(socket);
            }
            Some(Listener::Shared { .. } | Listener::Closed(_)) | None => {}
        }
    }

    /// Makes the sockets that a slot does not have yet; the indices of those listeners.
    ///
    /// # Errors
    /// As listen(2) and bind(2); what has been made by then is kept.
    pub fn open_slot(&mut self, slot: Slot) -> io::Result<Vec<u16>> {
        let mut opened = Vec::new();
        for (index, listener) in (0..).zip(&mut self.listeners) {
            if let Listener::PerSlot { address, options, sockets } = listener
                && !sockets.contains_key(&slot)
            {
                sockets.insert(slot, socket::listen_tcp(*address, options.backlog, options.families)?);
                opened.push(index);
            }
        }
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpStream};

    #[test]
    fn a_new_slot_joins_the_address_and_is_opened_once() {
        let options = TcpOptions { backlog: 16, families: Families::One };
        let first = socket::listen_tcp((Ipv4Addr::LOCALHOST, 0).into(), 16, Families::One).unwrap();
        let address = socket::local_tcp(first.as_fd()).unwrap();
        let mut set = ListenerSet::default();
        set.push(Listener::PerSlot { address, options, sockets: BTreeMap::from([(Slot(1), first)]) });
        assert_eq!(set.open_slot(Slot(2)).unwrap(), [0]);
        assert!(set.open_slot(Slot(2)).unwrap().is_empty());
        assert_eq!(socket::local_tcp(set.socket(0, Slot(2)).unwrap()).unwrap(), address);
        assert!(set.socket(0, Slot(3)).is_none());
        TcpStream::connect(address).unwrap();
    }
}
