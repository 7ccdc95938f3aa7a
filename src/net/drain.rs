//! The moment from which a worker only finishes what it has begun.

use crate::config::Timeouts;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

/// Tells every connection that the worker is leaving, and the worker when the last one has gone.
#[derive(Debug, Default)]
pub struct Drain {
    begun: OnceLock<Instant>,
    beginning: Notify,
    announced: AtomicBool,
    last: AtomicBool,
    open: AtomicU32,
    cut_off: AtomicU32,
    closed: Notify,
}

/// Why a worker leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// Others serve on, and take the connections that can be handed over.
    Replaced,
    /// Nobody will be there.
    Final,
}

/// What a connection is busy with; a leaving worker waits for each kind as long as its own limit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupation {
    /// Waiting for a request.
    Idle,
    /// A request and its answer.
    Request,
    /// An answer of unknown length, which may never end.
    Stream,
    /// Another protocol.
    Upgraded,
}

/// The occupation of one connection, as it changes.
#[derive(Debug, Default)]
pub struct Occupied(AtomicU8);

impl Occupied {
    /// It is busy with this from now on.
    pub fn with(&self, occupation: Occupation) {
        let value = match occupation {
            Occupation::Idle => 0,
            Occupation::Request => 1,
            Occupation::Stream => 2,
            Occupation::Upgraded => 3,
        };
        self.0.store(value, Ordering::Relaxed);
    }

    /// What it is busy with.
    pub fn now(&self) -> Occupation {
        match self.0.load(Ordering::Relaxed) {
            1 => Occupation::Request,
            2 => Occupation::Stream,
            3 => Occupation::Upgraded,
            _ => Occupation::Idle,
        }
    }
}

impl Drain {
    /// Answers say from now on that their connection ends; nothing else changes.
    pub fn announce(&self) {
        self.announced.store(true, Ordering::Release);
    }

    /// From now on connections are handed over, or end with the answer they are at.
    ///
    /// A further call can only make the departure final.
    pub fn begin(&self, departure: Departure) {
        if departure == Departure::Final {
            self.last.store(true, Ordering::Release);
        }
        self.begun.get_or_init(Instant::now);
        self.beginning.notify_waiters();
    }

    /// Whether the worker is leaving.
    pub fn has_begun(&self) -> bool {
        self.begun.get().is_some()
    }

    /// Whether the worker is leaving, and others take its connections.
    pub fn hands_over(&self) -> bool {
        self.has_begun() && !self.last.load(Ordering::Acquire)
    }

    /// Whether no connection goes on after the answer it is at.
    pub fn ends_connections(&self) -> bool {
        self.announced.load(Ordering::Acquire) || self.last.load(Ordering::Acquire)
    }

    /// What is left of a time that runs while the worker is leaving.
    pub fn left_of(&self, time: Duration) -> Duration {
        self.begun.get().map_or(time, |begun| time.saturating_sub(begun.elapsed()))
    }

    /// Waits until the worker is leaving.
    pub async fn wait_begun(&self) {
        let mut notified = std::pin::pin!(self.beginning.notified());
        // Registered before the flag is read, so that no beginning is missed.
        notified.as_mut().enable();
        if !self.has_begun() {
            notified.await;
        }
    }

    /// What an app may know of this.
    pub fn watch(self: &Arc<Self>) -> Draining {
        Draining(Arc::clone(self))
    }

    /// Counts a connection until the guard is dropped.
    pub fn enter(self: &Arc<Self>) -> OpenConnection {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(self))
    }

    /// Connections open now.
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Acquire)
    }

    /// Connections ended because they had not ended in time themselves.
    pub fn cut_off(&self) -> u32 {
        self.cut_off.load(Ordering::Acquire)
    }

    /// Waits until fewer connections than `limit` are open.
    pub async fn wait_below(&self, limit: u32) {
        while self.open() >= limit {
            let mut notified = std::pin::pin!(self.closed.notified());
            notified.as_mut().enable();
            if self.open() >= limit {
                notified.await;
            }
        }
    }

    /// Runs a connection to its end, or until the worker leaves and the limit of its occupation has passed.
    ///
    /// To be polled by one task only, whose waker never changes.
    pub async fn limit(
        &self,
        timeouts: &Timeouts,
        occupied: &Occupied,
        connection: impl Future<Output = ()>,
    ) {
        let mut connection = pin!(connection);
        let mut beginning = pin!(self.wait_begun());
        let mut registered = false;
        let mut alarm: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|cx| {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // Once is enough for the beginning to wake this task; afterwards a look is cheaper.
            if !registered {
                registered = true;
                if beginning.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
            let Some(begun) = self.begun.get() else { return Poll::Pending };
            let at = *begun + timeouts.drain(occupied.now());
            let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if alarm.deadline() != at {
                alarm.as_mut().reset(at);
            }
            let overdue = alarm.as_mut().poll(cx);
            if overdue.is_ready() && occupied.now() != Occupation::Idle {
                self.cut_off.fetch_add(1, Ordering::AcqRel);
            }
            overdue
        })
        .await;
    }
}

impl Timeouts {
    /// How long a leaving worker waits for a connection that is busy with this.
    pub fn drain(&self, occupation: Occupation) -> Duration {
        match occupation {
            Occupation::Idle | Occupation::Request => self.graceful,
            Occupation::Stream => self.drain_streaming.unwrap_or(self.graceful),
            Occupation::Upgraded => self.drain_websocket.unwrap_or(self.graceful),
        }
    }
}

/// Tells an app that its worker is leaving, so that streams and upgraded connections can end in order.
///
/// From then on they have `timeouts.drain_streaming` and `timeouts.drain_websocket`; what is still open then is
/// cut off.
#[derive(Debug, Clone)]
pub struct Draining(Arc<Drain>);

impl Draining {
    /// Whether the worker is leaving.
    pub fn has_begun(&self) -> bool {
        self.0.has_begun()
    }

    /// What is left of a time that runs while the worker is leaving.
    #[cfg_attr(not(feature = "python"), expect(dead_code, reason = "for what apps leave running"))]
    pub(crate) fn left_of(&self, time: Duration) -> Duration {
        self.0.left_of(time)
    }

    /// Waits until the worker is leaving.
    pub async fn wait(&self) {
        self.0.wait_begun().await;
    }
}

/// A connection that is open.
#[derive(Debug)]
pub struct OpenConnection(Arc<Drain>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// Seconds after the beginning at which a connection that never ends is cut off, and whether that counts.
    async fn check(occupation: Occupation, seconds: u64, counted: u32) {
        let timeouts = Timeouts {
            graceful: Duration::from_secs(30),
            drain_streaming: Some(Duration::from_secs(5)),
            drain_websocket: Some(Duration::from_secs(3600)),
            ..Config::default().timeouts
        };
        let (drain, occupied) = (Arc::new(Drain::default()), Occupied::default());
        occupied.with(occupation);
        let begins = Arc::clone(&drain);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(7)).await;
            begins.begin(Departure::Replaced);
        });
        let start = Instant::now();
        drain.limit(&timeouts, &occupied, std::future::pending()).await;
        assert_eq!(start.elapsed().as_secs(), 7 + seconds, "{occupation:?}");
        assert_eq!(drain.cut_off(), counted, "{occupation:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn each_occupation_has_its_own_limit() {
        check(Occupation::Idle, 30, 0).await;
        check(Occupation::Request, 30, 1).await;
        check(Occupation::Stream, 5, 1).await;
        check(Occupation::Upgraded, 3600, 1).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_ends_is_not_waited_for() {
        let (drain, occupied) = (Drain::default(), Occupied::default());
        drain.begin(Departure::Replaced);
        assert!(drain.hands_over() && !drain.ends_connections());
        drain.begin(Departure::Final);
        assert!(!drain.hands_over() && drain.ends_connections());
        drain.limit(&Config::default().timeouts, &occupied, std::future::ready(())).await;
        assert_eq!(drain.cut_off(), 0);
    }
}
