//! What the master says, and the end of a worker.

use super::acceptors::Acceptors;
use super::inquiries::Inquiries;
use super::relay;
use super::retirement::Retirement;
use crate::contract::exit::{ExitReason, LEAVING};
use crate::contract::handoff::{DrainReason, Order, Report, RetireReason};
use crate::middleware::access_log::AccessLog;
use crate::net::{Departure, Drain, accept};
use crate::pipeline::Pipeline;
use crate::protocol::Opening;
use crate::sys;
use crate::sys::channel::{self, Received};
use crate::sys::signals::SignalPipe;
use crate::telemetry;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;

/// Who obeys.
pub(super) struct Obedience {
    pub(super) acceptors: Acceptors,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) retirement: Arc<Retirement>,
    pub(super) inquiries: Arc<Inquiries>,
    pub(super) relay: OwnedFd,
    /// Limit of the time to leave.
    pub(super) longest: Duration,
    /// Until when connections may still arrive in queues that nobody will serve.
    pub(super) sweeps_until: Option<Instant>,
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
                () = tokio::time::sleep(SWEEP_AGAIN), if self.sweeps_until.is_some() => self.sweep(),
                () = drain.wait_below(1), if drain.has_begun() && self.sweeps_until.is_none() => {
                    if self.nothing_is_left() {
                        report_cut_off(&drain);
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
                self.acceptors.drain.begin(Departure::Replaced);
            }
            Some((Order::Announce, _)) => self.acceptors.drain.announce(),
            Some((Order::Drain(DrainReason::ServerStop), _)) => {
                self.acceptors.stop();
                self.acceptors.drain.begin(Departure::Final);
                if self.acceptors.listeners.has_own_tcp() {
                    self.sweeps_until = Some(Instant::now() + HANDSHAKE);
                }
                self.sweep();
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
            Some((Order::Inquire { ticket, inquiry }, _)) => self.inquiries.begin(ticket, inquiry),
            Some((Order::Take, Some(connection))) => {
                // Its client may have left meanwhile.
                if let Ok(connection) = accept::adopt(connection) {
                    (self.acceptors.serve)(connection, Opening::Idle);
                }
            }
            // The latter is a mold's.
            Some((Order::Socket { .. } | Order::Take, None) | (Order::Cast(_), _)) => {}
        }
        Heard::Order
    }

    /// Takes every connection that waits in a queue: whoever owns it may be blocked, or gone.
    fn sweep(&mut self) {
        self.acceptors.sweep();
        self.sweeps_until = self.sweeps_until.filter(|until| Instant::now() < *until);
    }

    /// What others have handed over must not be left behind by the last one to go.
    fn nothing_is_left(&self) -> bool {
        if self.acceptors.drain.hands_over() {
            // It is the others', who stay.
            return true;
        }
        let connections = relay::sweep(self.relay.as_fd());
        let none = connections.is_empty();
        for (connection, opening) in connections {
            (self.acceptors.serve)(connection, opening);
        }
        none
    }

    /// Without a master nobody would replace or stop this worker, and a new master needs the address.
    fn leave_without_master(&mut self) {
        tracing::error!("the master is gone; finishing the running requests and leaving");
        self.acceptors.sweep();
        self.acceptors.close();
        self.acceptors.drain.begin(Departure::Final);
        let longest = self.longest;
        tokio::spawn(async move {
            tokio::time::sleep(longest + LEAVING).await;
            sys::fork::leave(ExitReason::MasterGone.status());
        });
    }
}

/// Opens the log files anew; a failure keeps the present ones.
fn reopen_logs(access_log: Option<&AccessLog>) {
    if let Err(error) = telemetry::reopen() {
        tracing::error!(%error, "the error log could not be opened anew");
    }
    if let Some(Err(error)) = access_log.map(AccessLog::reopen) {
        tracing::error!(%error, "the access log could not be opened anew");
    }
}

/// Nothing is killed in silence.
fn report_cut_off(drain: &Drain) {
    let connections = drain.cut_off();
    if connections > 0 {
        tracing::warn!(connections, "cut off what had not ended in time");
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
                Err(error) => {
                    tracing::error!(%error, "an order could not be read and is left out (is the master of another version?); restart the server")
                }
            },
            Received::WouldBlock => ready.clear_ready(),
            Received::Closed => return Ok(None),
        }
    }
}

/// How long after a listening socket has stopped to answer a handshake under way may still put a connection into its
/// queue: the client's last segment needs one way, and round trips beyond this are rare.
const HANDSHAKE: Duration = Duration::from_millis(300);

/// Pause between two looks into the queues meanwhile.
const SWEEP_AGAIN: Duration = Duration::from_millis(20);
