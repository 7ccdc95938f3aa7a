//! The listening sockets: one per slot and TCP address, one for all where they cannot be multiplied.
//!
//! No socket is closed while the server runs: Linux drops every connection that waits in the queue of a closing socket,
//! even when others share its address. A slot out of service keeps its sockets and its siblings serve them.

use crate::contract::slot::Slot;
use crate::sys::socket::{self, Families, SocketName};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Every listening socket, in the order of the configuration.
#[derive(Debug, Default)]
pub struct ListenerSet {
    listeners: Vec<Listener>,
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
            Self::Shared { address, .. } => address.clone(),
        }
    }
}

impl Listener {
    fn duplicate(&self) -> io::Result<Self> {
        Ok(match self {
            Self::PerSlot { address, options, sockets } => Self::PerSlot {
                address: *address,
                options: *options,
                sockets: sockets
                    .iter()
                    .map(|(slot, socket)| Ok((*slot, socket.try_clone()?)))
                    .collect::<io::Result<_>>()?,
            },
            Self::Shared { address, socket } => {
                Self::Shared { address: address.clone(), socket: socket.try_clone()? }
            }
        })
    }
}

impl ListenerSet {
    /// The same sockets under further descriptors, which their holder may close at will.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn duplicate(&self) -> io::Result<Self> {
        let listeners = self.listeners.iter().map(Listener::duplicate).collect::<io::Result<_>>()?;
        Ok(Self { listeners })
    }

    /// Adds an address.
    pub fn push(&mut self, listener: Listener) {
        self.listeners.push(listener);
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
            Listener::Shared { .. } => None,
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
            Some(Listener::Shared { .. }) | None => {}
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
