//! What the service manager keeps of this server while it is started anew: its listening sockets.

use super::Performer;
use crate::net::bind;
use crate::sys::fd_store;
use crate::sys::systemd::Manager;
use std::collections::BTreeSet;
use tracing::{debug, warn};

/// The places that the manager has for us, and what is there.
#[derive(Debug)]
pub(in crate::master) struct FdStore {
    places: usize,
    kept: BTreeSet<String>,
    full: bool,
}

impl FdStore {
    /// An empty one; without places where the manager does not keep anything.
    pub(in crate::master) fn new(manager: Option<&Manager>) -> Self {
        let places = manager.map_or(0, |_| fd_store::places());
        Self { places, kept: BTreeSet::new(), full: false }
    }

    /// Whether sockets live on when this server ends, for the next one.
    pub(in crate::master) fn is_there(&self) -> bool {
        self.places > 0
    }
}

impl Performer {
    /// Has the manager keep exactly the listening sockets that there are now.
    pub(in crate::master) fn store_sockets(&mut self) {
        let Some(manager) = self.own.manager.as_ref().filter(|_| self.own.fd_store.is_there()) else {
            return;
        };
        let fd_store = &mut self.own.fd_store;
        let sockets = bind::sockets_to_keep(&self.shared.listeners);
        let is_there = |name: &String| sockets.iter().any(|(wanted, _)| wanted == name);
        for gone in fd_store.kept.extract_if(.., |name| !is_there(name)) {
            if let Err(error) = manager.forget(&gone) {
                debug!("the service manager still holds a socket that is closed here: {error}");
            }
        }
        for (name, socket) in sockets {
            if fd_store.kept.contains(&name) {
                continue;
            }
            if fd_store.kept.len() >= fd_store.places {
                if !fd_store.full {
                    fd_store.full = true;
                    let places = fd_store.places;
                    warn!(
                        "the service manager keeps {places} sockets only: a restart may refuse clients (FileDescriptorStoreMax=)"
                    );
                }
                return;
            }
            match manager.keep(&name, socket) {
                Ok(()) => drop(fd_store.kept.insert(name)),
                Err(error) => return warn!("a socket is not kept over a restart: {error}"),
            }
        }
    }
}
