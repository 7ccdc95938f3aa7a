//! Which sockets this worker accepts from: its own, the shared ones, and those of vacant slots.

use crate::app::calls::CallQueue;
use crate::contract::handoff::Slot;
use crate::contract::scoreboard::Scoreboard;
use crate::net::accept::{self, Acceptor};
use crate::net::listeners::{Listener, ListenerSet};
use crate::net::{Connection, Drain};
use crate::protocol::Begun;
use crate::sys::socket::SocketName;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Called with each connection, and with what another worker has begun on it.
pub(super) type Serve = Arc<dyn Fn(Connection, Option<Begun>) + Send + Sync>;

/// The sockets, and the task that accepts from each of those in use.
pub(super) struct Acceptors {
    pub(super) own: Slot,
    pub(super) listeners: ListenerSet,
    pub(super) scoreboard: Scoreboard,
    pub(super) limit: u32,
    pub(super) drain: Arc<Drain>,
    pub(super) calls: Arc<CallQueue>,
    pub(super) serve: Serve,
    pub(super) running: BTreeMap<(u16, Slot), JoinHandle<()>>,
}

impl Acceptors {
    /// Accepts from exactly the sockets that this worker should accept from now.
    pub(super) fn update(&mut self) {
        let vacant: Vec<Slot> = self.scoreboard.vacant_slots().collect();
        let serves = |slot: Slot| slot == self.own || vacant.contains(&slot);
        self.running.retain(|(_, slot), task| {
            let keeps = serves(*slot);
            if !keeps {
                task.abort();
            }
            keeps
        });
        for (index, listener) in (0..).zip(self.listeners.iter()) {
            let slots: Vec<Slot> = match listener {
                Listener::PerSlot { sockets, .. } => {
                    sockets.keys().copied().filter(|slot| serves(*slot)).collect()
                }
                Listener::Shared { .. } => vec![self.own],
            };
            for slot in slots {
                if self.running.contains_key(&(index, slot)) {
                    continue;
                }
                match self.start(listener, slot) {
                    Ok(task) => drop(self.running.insert((index, slot), task)),
                    Err(error) => tracing::error!(%error, %slot, "cannot accept from a socket"),
                }
            }
        }
    }

    /// A slot has got a socket.
    pub(super) fn insert(&mut self, listener: u16, slot: Slot, socket: OwnedFd) {
        self.listeners.insert(listener, slot, socket);
        self.update();
    }

    /// Accepts no more.
    pub(super) fn stop(&mut self) {
        for task in std::mem::take(&mut self.running).into_values() {
            task.abort();
        }
    }

    /// Takes every connection that waits in a queue this worker knows.
    pub(super) fn sweep(&self) {
        for listener in self.listeners.iter() {
            let acceptors: Vec<Acceptor> = match listener {
                Listener::PerSlot { sockets, .. } => {
                    sockets.values().filter_map(|socket| Acceptor::tcp(socket.as_fd()).ok()).collect()
                }
                Listener::Shared { .. } => self.shared(listener).into_iter().collect(),
            };
            for connection in acceptors.iter().flat_map(Acceptor::sweep) {
                (self.serve)(connection, None);
            }
        }
    }

    /// Gives up the sockets; once every worker has, the address is free.
    pub(super) fn close(&mut self) {
        self.stop();
        self.listeners = ListenerSet::default();
    }

    fn start(&self, listener: &Listener, slot: Slot) -> io::Result<JoinHandle<()>> {
        let (limit, drain, serve) = (self.limit, Arc::clone(&self.drain), Arc::clone(&self.serve));
        let serve = move |connection| serve(connection, None);
        match listener {
            Listener::PerSlot { sockets, .. } => {
                let socket = sockets.get(&slot).ok_or(io::ErrorKind::NotFound)?;
                let acceptor = Acceptor::tcp(socket.as_fd())?;
                Ok(tokio::spawn(accept::run(acceptor, limit, drain, || std::future::ready(()), serve)))
            }
            Listener::Shared { .. } => {
                let acceptor = self.shared(listener)?;
                let calls = Arc::clone(&self.calls);
                // One queue for all: it is left to the others while no thread is free here.
                let gate = move || {
                    let calls = Arc::clone(&calls);
                    async move { calls.wait_free().await }
                };
                Ok(tokio::spawn(accept::run(acceptor, limit, drain, gate, serve)))
            }
        }
    }

    fn shared(&self, listener: &Listener) -> io::Result<Acceptor> {
        let Listener::Shared { address, socket } = listener else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        match address {
            SocketName::Tcp(_) => Acceptor::tcp(socket.as_fd()),
            SocketName::Unix(path) => {
                Acceptor::unix(socket.as_fd(), Arc::new(path.clone().unwrap_or_default()))
            }
        }
    }
}
