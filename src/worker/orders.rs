//! What the master says, and the end of a worker.

use super::acceptors::Acceptors;
use super::retirement::Retirement;
use super::{relay, reopen_logs};
use crate::contract::exit::ExitReason;
use crate::contract::handoff::{DrainReason, Order, Report, RetireReason};
use crate::pipeline::Pipeline;
use crate::sys;
use crate::sys::channel::{self, Received};
use crate::sys::signals::SignalPipe;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// Who obeys.
pub(super) struct Obedience {
    pub(super) acceptors: Acceptors,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) retirement: Arc<Retirement>,
    pub(super) relay: OwnedFd,
    pub(super) graceful: Duration,
}

impl Obedience {
    /// Follows orders until this worker has drained.
    pub(super) async fn obey(mut self, channel: OwnedFd) -> io::Result<ExitReason> {
        let channel = sys::watch::readable(channel)?;
        let mut signals = SignalPipe::for_child()?;
        let signalled = sys::watch::readable(signals.descriptor().try_clone_to_owned()?)?;
        self.acceptors.update();
        channel::send(channel.get_ref().as_fd(), &Report::Ready.encode(), &[])?;
        let drain = Arc::clone(&self.acceptors.drain);
        let mut reason = ExitReason::Done;
        loop {
            tokio::select! {
                order = next_order(&channel), if reason != ExitReason::MasterGone => {
                    if self.follow(order?) == Heard::MasterGone {
                        reason = ExitReason::MasterGone;
                    }
                }
                ready = signalled.readable() => {
                    ready?.clear_ready();
                    if !signals.take().is_empty() {
                        self.retirement.ask(RetireReason::Terminated);
                    }
                }
                () = drain.wait_below(1), if drain.has_begun() => {
                    if self.nothing_is_left() {
                        return Ok(reason);
                    }
                }
            }
        }
    }

    fn follow(&mut self, order: Option<(Order, Option<OwnedFd>)>) -> Heard {
        match order {
            None => {
                self.leave_without_master();
                return Heard::MasterGone;
            }
            Some((Order::Drain(DrainReason::Replaced), _)) => {
                self.acceptors.stop();
                self.acceptors.drain.begin();
            }
            Some((Order::Drain(DrainReason::ServerStop), _)) => {
                self.acceptors.stop();
                self.acceptors.drain.begin();
                self.acceptors.sweep();
            }
            // At once, whatever the app's threads are doing.
            Some((Order::Stop, _)) => sys::fork::leave(ExitReason::Done.status()),
            Some((Order::ReopenLogs, _)) => reopen_logs(self.pipeline.access_log.as_ref()),
            Some((Order::Vacancies, _)) => {
                if !self.acceptors.drain.has_begun() {
                    self.acceptors.update();
                }
            }
            Some((Order::Socket { slot, listener }, Some(socket))) => {
                self.acceptors.insert(listener, slot, socket);
            }
            Some((Order::Close { listener }, _)) => self.acceptors.give_up(listener),
            Some((Order::Socket { .. }, None)) => {}
        }
        Heard::Order
    }

    /// What others have handed over must not be left behind by the last one to go.
    fn nothing_is_left(&self) -> bool {
        let connections = relay::sweep(self.relay.as_fd());
        let none = connections.is_empty();
        for (connection, begun) in connections {
            (self.acceptors.serve)(connection, Some(begun));
        }
        none
    }

    /// Without a master nobody would replace or stop this worker, and a new master needs the address.
    fn leave_without_master(&mut self) {
        tracing::error!("the master is gone; finishing the running requests and leaving");
        self.acceptors.sweep();
        self.acceptors.close();
        self.acceptors.drain.begin();
        let graceful = self.graceful;
        tokio::spawn(async move {
            tokio::time::sleep(graceful).await;
            sys::fork::leave(ExitReason::MasterGone.status());
        });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Order,
    MasterGone,
}

/// The next order; `None` once the master is gone.
async fn next_order(channel: &AsyncFd<OwnedFd>) -> io::Result<Option<(Order, Option<OwnedFd>)>> {
    loop {
        let mut ready = channel.readable().await?;
        match channel::receive(channel.get_ref().as_fd())? {
            Received::Message(bytes, descriptors) => match Order::decode(&bytes) {
                Ok(order) => return Ok(Some((order, descriptors.into_iter().next()))),
                Err(error) => tracing::error!(%error, "an order could not be read"),
            },
            Received::WouldBlock => ready.clear_ready(),
            Received::Closed => return Ok(None),
        }
    }
}
