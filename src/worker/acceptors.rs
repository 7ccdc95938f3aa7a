//! Which sockets this worker accepts from: its own, the shared ones, and those of vacant slots.

use crate::app::calls::CallQueue;
use crate::contract::scoreboard::{Record, Scoreboard, WorkerState};
use crate::contract::slot::{Generation, Slot};
use crate::net::accept::{self, Acceptor, Gate};
use crate::net::listeners::{Listener, ListenerSet};
use crate::net::{Connection, Drain};
use crate::protocol::Opening;
use crate::sys::socket::SocketName;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Called with each connection, and with what has been done on it.
pub(super) type Serve = Arc<dyn Fn(Connection, Opening) + Send + Sync>;

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
        let (own, listeners, scoreboard) = (self.own, &self.listeners, &self.scoreboard);
        let serves = |listener: u16, slot: Slot| {
            slot == own || vacant.contains(&slot) || !knows(scoreboard, slot, listeners.since(listener))
        };
        self.running.retain(|(listener, slot), task| {
            let keeps = serves(*listener, *slot);
            if !keeps {
                task.abort();
            }
            keeps
        });
        for (index, listener) in (0..).zip(self.listeners.iter()) {
            let slots: Vec<Slot> = match listener {
                Listener::PerSlot { sockets, .. } => {
                    sockets.keys().copied().filter(|slot| serves(index, *slot)).collect()
                }
                Listener::Shared { .. } => vec![self.own],
                Listener::Closed(_) => Vec::new(),
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
            empty(listener, &self.serve);
        }
    }

    /// Takes what still arrives at an address that takes nothing new, and closes its sockets.
    pub(super) fn give_up(&mut self, listener: u16) {
        let Some(closed) = self.listeners.close(listener) else { return };
        // These go on until then.
        let all = std::mem::take(&mut self.running);
        let (ended, running) = all.into_iter().partition(|((index, _), _)| *index == listener);
        self.running = running;
        let ended: BTreeMap<(u16, Slot), JoinHandle<()>> = ended;
        let serve = Arc::clone(&self.serve);
        tokio::spawn(async move {
            tokio::time::sleep(ARRIVING).await;
            for task in ended.into_values() {
                task.abort();
                // Its end is what is waited for: an aborted task has no result.
                let _ = task.await;
            }
            empty(&closed, &serve);
            drop(closed);
        });
    }

    /// Gives up the sockets; once every worker has, the address is free.
    pub(super) fn close(&mut self) {
        self.stop();
        self.listeners = ListenerSet::default();
    }

    fn start(&self, listener: &Listener, slot: Slot) -> io::Result<JoinHandle<()>> {
        let (limit, drain, serve) = (self.limit, Arc::clone(&self.drain), Arc::clone(&self.serve));
        let serve = move |connection| serve(connection, Opening::Fresh);
        match listener {
            Listener::PerSlot { sockets, .. } => {
                let socket = sockets.get(&slot).ok_or(io::ErrorKind::NotFound)?;
                let acceptor = Acceptor::tcp(socket.as_fd())?;
                Ok(tokio::spawn(accept::run(
                    acceptor,
                    limit,
                    drain,
                    || std::future::ready(Gate::Next),
                    serve,
                )))
            }
            Listener::Closed(_) => Err(io::ErrorKind::InvalidInput.into()),
            Listener::Shared { .. } => {
                let acceptor = shared(listener)?;
                let calls = Arc::clone(&self.calls);
                // One queue for all: it is left to the others while no thread is free here. What none of them has taken after
                // a while is taken all the same: nobody can see how old it is while the kernel has it.
                let gate = move || {
                    let calls = Arc::clone(&calls);
                    async move {
                        match tokio::time::timeout(LEFT_TO_OTHERS, calls.wait_free()).await {
                            Ok(()) => Gate::Next,
                            Err(_) => Gate::Waiting,
                        }
                    }
                };
                Ok(tokio::spawn(accept::run(acceptor, limit, drain, gate, serve)))
            }
        }
    }
}

/// Whether the slot's worker knows the addresses of a generation: one that is older does not.
fn knows(scoreboard: &Scoreboard, slot: Slot, since: Generation) -> bool {
    let does = |record: Record<'_>| {
        record.slot() == slot && record.state() == WorkerState::Ready && record.generation() >= since
    };
    since <= Generation(1) || scoreboard.records().any(does)
}

/// Takes every connection that waits in the queues of an address.
fn empty(listener: &Listener, serve: &Serve) {
    let acceptors: Vec<Acceptor> = match listener {
        Listener::PerSlot { sockets, .. } => {
            sockets.values().filter_map(|socket| Acceptor::tcp(socket.as_fd()).ok()).collect()
        }
        Listener::Shared { .. } => shared(listener).into_iter().collect(),
        Listener::Closed(_) => Vec::new(),
    };
    for connection in acceptors.iter().flat_map(Acceptor::sweep) {
        serve(connection, Opening::Fresh);
    }
}

fn shared(listener: &Listener) -> io::Result<Acceptor> {
    let Listener::Shared { address, socket } = listener else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    match address {
        SocketName::Tcp(_) => Acceptor::tcp(socket.as_fd()),
        SocketName::Unix(path) => Acceptor::unix(socket.as_fd(), Arc::new(path.clone().unwrap_or_default())),
    }
}

/// How long a connection at a shared address waits at most for a worker with a free app thread.
const LEFT_TO_OTHERS: Duration = Duration::from_millis(20);

/// For handshakes whose last packet is still on its way when an address stops taking new ones: longer than a round trip.
const ARRIVING: Duration = Duration::from_secs(1);
