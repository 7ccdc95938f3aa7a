//! The listening sockets while the server runs: of new slots, of new addresses, of addresses that are given up.

use super::{Link, Performer, SocketSource};
use crate::config::{BindAddress, Config, Server};
use crate::contract::message::Order;
use crate::contract::scoreboard::{Service, WorkerState};
use crate::contract::slot::{Generation, Slot};
use crate::net::bind::{self, Bound};
use crate::net::listeners::{Listener, ListenerOrigin, ListenerSet};
use crate::net::socket_files::SocketFiles;
use crate::sys::channel::{self, Sent};
use crate::sys::socket::{self, SocketName};
use std::io;
use std::os::fd::AsFd;
use tracing::{debug, info, warn};

impl Performer {
    /// Binds what a new configuration names and the server does not have yet.
    pub(super) fn bind_new(&self, config: &Config) -> Result<Bound, String> {
        match self.own.source {
            SocketSource::Bound => {
                bind::bind_further(&config.server, &self.shared.listeners).map_err(|error| error.to_string())
            }
            SocketSource::Handed => {
                Ok(Bound { listeners: ListenerSet::default(), files: SocketFiles::default() })
            }
        }
    }

    /// From now on new workers serve these addresses too.
    pub(super) fn add_addresses(&mut self, bound: Bound, generation: Generation) {
        announce(bound.listeners.iter());
        self.shared.listeners.absorb(bound.listeners, generation);
        self.own.files.absorb(bound.files);
        self.store_sockets();
    }

    /// Gives up the addresses that are not configured any more.
    pub(super) fn retire_addresses(&mut self, server: &Server) {
        let is_gone = |address: &BindAddress| !server.bind.contains(address);
        self.close_addresses(|origin| origin.configured.as_ref().is_some_and(is_gone));
    }

    /// Closes addresses once every worker has taken what waits there.
    pub(super) fn close_addresses(&mut self, unwanted: impl Fn(&ListenerOrigin) -> bool) {
        for listener in self.shared.listeners.select(unwanted) {
            let Some(closed) = self.shared.listeners.close(listener) else { continue };
            // First of all nobody may find it any more. What has been accepted by then is answered.
            for socket in closed.tcp_sockets() {
                if let Err(error) = socket::take_no_more(socket) {
                    debug!("cannot keep new connections from a socket that is closed: {error}");
                }
            }
            if let SocketName::Unix(Some(path)) = closed.name() {
                self.own.files.remove_one(&path);
            }
            for pid in self.links.keys().copied().collect::<Vec<_>>() {
                self.send(pid, Order::Close { listener }, None);
            }
            self.tell_molds(Order::Close { listener }, None);
            info!("no longer listening at {}", shown(&closed));
        }
        self.store_sockets();
    }

    /// Sees that the slot has its sockets, and that everybody knows of new ones before they are connected to in vain.
    pub(super) fn open_slot(&mut self, slot: Slot) -> io::Result<()> {
        let opened = self.shared.listeners.open_slot(slot)?;
        if opened.is_empty() {
            return Ok(());
        }
        self.store_sockets();
        self.shared.scoreboard.set_service(slot, Service::Vacant);
        for listener in opened {
            let Some(socket) = self.shared.listeners.socket(listener, slot) else { continue };
            let state = |link: &Link| self.shared.scoreboard.record(link.record).state();
            self.tell_molds(Order::Socket { slot, listener }, Some(socket));
            // Who drains must not begin to accept again.
            for link in self.links.values().filter(|link| state(link) != WorkerState::Draining) {
                let Some(channel) = &link.channel else { continue };
                let order = Order::Socket { slot, listener };
                if !matches!(channel::send(channel.as_fd(), &order.encode(), &[socket]), Ok(Sent::Sent)) {
                    warn!(%slot, "a worker has not got the new slot's socket; the others take what connects there");
                }
            }
        }
        for pid in self.links.keys().copied().collect::<Vec<_>>() {
            self.send(pid, Order::Vacancies, None);
        }
        Ok(())
    }
}

/// Says where the server listens.
pub(in crate::master) fn announce<'a>(listeners: impl Iterator<Item = &'a Listener>) {
    for listener in listeners {
        info!("listening at {}", shown(listener));
    }
}

fn shown(listener: &Listener) -> String {
    match listener.name() {
        SocketName::Tcp(address) => format!("http://{address}"),
        name @ SocketName::Unix(_) => name.to_string(),
    }
}
