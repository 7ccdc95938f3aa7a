//! One call, from its connection to its thread and back.

use crate::app::AppError;
use crate::protocol::flight::Flight;
use crate::protocol::{Aborter, Interim, RequestId, Response};
use crate::sys::clock;
use http::HeaderMap;
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub(super) type Outcome = Result<Response, AppError>;

/// One call, as its connection and its thread both know it.
pub(super) struct Ticket {
    pub(super) limit: Duration,
    pub(super) id: RequestId,
    /// In the table for as long as the call goes on, also when its client has left.
    pub(super) flight: Flight,
    /// When the app began to make the head or the next piece, in nanoseconds; 0 while the client is waited for.
    began: AtomicU64,
    /// Whether somebody ends the call from outside: [`WHOLE`], [`CUT`] or [`IGNORED`].
    cut_off: AtomicU8,
    /// [`OUTSIDE`], [`INSIDE`] or [`INTERRUPTED`]; changed under the interpreter's lock alone.
    place: AtomicU8,
    /// The thread that is inside, as the interpreter names it.
    ident: AtomicU64,
    inner: Mutex<TicketState>,
}

struct TicketState {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
    settled: bool,
    /// Whether the connection is told of an outcome at once, since nobody comes back to it soon.
    hurries: bool,
    abandoned: Abandoned,
    /// Where the rest of a response goes that has begun.
    stream: Option<Aborter>,
}

/// Whether somebody waits for the outcome.
enum Abandoned {
    /// Somebody does; this is to be run once nobody does any more.
    No(Option<Box<dyn FnOnce() + Send>>),
    Yes,
}

impl Ticket {
    /// A call that has not begun; `waker` is whoever waits for its outcome.
    pub(super) fn new(id: RequestId, flight: Flight, limit: Duration, waker: Option<Waker>) -> Self {
        let state = TicketState {
            outcome: None,
            waker,
            settled: false,
            hurries: false,
            abandoned: Abandoned::No(None),
            stream: None,
        };
        Self {
            limit,
            id,
            flight,
            began: AtomicU64::new(0),
            cut_off: AtomicU8::new(WHOLE),
            place: AtomicU8::new(OUTSIDE),
            ident: AtomicU64::new(0),
            inner: Mutex::new(state),
        }
    }

    /// The app begins to make the head or a piece.
    pub(super) fn resume(&self) {
        self.resume_at(clock::monotonic_ns());
    }

    /// The same for who has just looked at the clock.
    pub(super) fn resume_at(&self, now_ns: u64) {
        self.began.store(now_ns, Ordering::Relaxed);
    }

    /// When the app began; 0 while the client is waited for.
    pub(super) fn began_ns(&self) -> u64 {
        self.began.load(Ordering::Relaxed)
    }

    /// How long the app still has; `None` where nothing is to be limited.
    pub(super) fn left(&self, now_ns: u64) -> Option<Duration> {
        if self.limit.is_zero() || self.cut_off.load(Ordering::Acquire) == CUT {
            return None;
        }
        match self.began.load(Ordering::Relaxed) {
            // The client has it; the time begins anew when the app has it back.
            0 => Some(self.limit),
            began => Some(self.limit.saturating_sub(Duration::from_nanos(now_ns.saturating_sub(began)))),
        }
    }

    /// Whether the caller is the one who ends the call.
    pub(super) fn cut_off(&self) -> bool {
        self.cut_off.swap(CUT, Ordering::AcqRel) != CUT
    }

    /// The call goes on though it was cut off; its time limit holds again.
    pub(super) fn goes_on(&self) {
        self.cut_off.store(IGNORED, Ordering::Release);
    }

    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Acquire) != WHOLE
    }

    /// Ends a response that has begun, so that its client sees that something is missing.
    pub(super) fn abort_stream(&self) {
        let stream = self.lock().stream.clone();
        if let Some(stream) = stream {
            stream.abort();
        }
    }

    /// The outcome, once it is there; until then the waker is kept.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Outcome> {
        let mut state = self.lock();
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Whoever waits; it is to be woken, and comes back.
    pub(super) fn take_waker(&self) -> Option<Waker> {
        self.lock().waker.take()
    }

    fn lock(&self) -> MutexGuard<'_, TicketState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn settle(&self, outcome: Outcome) {
        let mut state = self.lock();
        let unwanted = state.settle(outcome);
        wake(state);
        // Not under the lock: the end of a response can tell others.
        drop(unwanted);
    }

    /// As [`settle`](Self::settle), but the connection is only told when the call has ended, or takes its time.
    pub(super) fn offer(&self, outcome: Outcome) {
        let mut state = self.lock();
        let unwanted = state.settle(outcome);
        if state.hurries {
            wake(state);
        } else {
            drop(state);
        }
        drop(unwanted);
    }

    /// From now on the connection is told of an outcome at once: the thread that drives it is not the one that makes
    /// the call.
    pub(super) fn hurry(&self) {
        let mut state = self.lock();
        state.hurries = true;
        if state.outcome.is_some() {
            wake(state);
        }
    }

    /// Whoever waits is told, if there is an outcome.
    pub(super) fn tell(&self) {
        let state = self.lock();
        if state.outcome.is_some() {
            wake(state);
        }
    }
}

impl Ticket {
    /// Nobody waits for the outcome any more.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.abandoned, Abandoned::Yes);
        let unread = state.outcome.take();
        drop(state);
        // A response that goes on learns by this that nobody reads it.
        drop(unread);
        if let Abandoned::No(Some(told)) = before {
            told();
        }
    }
}

impl TicketState {
    /// Gives back an outcome that nobody waits for, or that is not the first.
    #[must_use]
    fn settle(&mut self, outcome: Outcome) -> Option<Outcome> {
        if std::mem::replace(&mut self.settled, true) {
            return Some(outcome);
        }
        match &mut self.abandoned {
            Abandoned::No(told) => {
                // Somebody has waited until now: what was to be run otherwise is forgotten.
                *told = None;
                self.outcome.replace(outcome)
            }
            Abandoned::Yes => Some(outcome),
        }
    }
}

fn wake(mut state: MutexGuard<'_, TicketState>) {
    if let Some(waker) = state.waker.take() {
        drop(state);
        waker.wake();
    }
}

/// A call as its app sees it: the way back for an answer that begins before the call ends, and what must be known to
/// end the call from outside.
#[derive(Clone)]
pub struct Answering {
    pub(super) ticket: Arc<Ticket>,
}

impl Answering {
    /// A call that nobody waits for, without a time limit.
    pub fn to_nobody() -> Self {
        Self { ticket: Arc::new(Ticket::new(RequestId(0), Flight::unnoted(), Duration::ZERO, None)) }
    }

    /// Gives the beginning of an answer while the call goes on; `rest` ends what follows.
    pub fn begin(&self, response: Response, rest: Aborter) {
        self.ticket.lock().stream = Some(rest);
        self.ticket.settle(Ok(response));
    }

    /// Gives the whole answer while the call goes on. It is sent when the call ends, or as soon as that takes its time:
    /// most calls end at once, and a connection that is told later is told without a system call. Only the first one counts.
    pub fn offer(&self, outcome: Result<Response, AppError>) {
        self.ticket.offer(outcome);
    }

    /// Whether an answer has been given.
    pub fn is_answered(&self) -> bool {
        self.ticket.lock().settled
    }

    /// Gives the fields of an early hint; nothing once there is an answer, or nobody waits for one.
    pub fn hint(&self, interim: &Interim, fields: HeaderMap) {
        // Under the lock: a hint that came after the answer would be the next request's.
        let state = self.ticket.lock();
        if !state.settled && matches!(state.abandoned, Abandoned::No(_)) {
            interim.hint(fields);
            wake(state);
        }
    }

    /// Runs this once nobody waits for the answer any more, unless it has been given before.
    pub fn when_abandoned(&self, told: Box<dyn FnOnce() + Send>) {
        let mut state = self.ticket.lock();
        let is_settled = state.settled;
        match &mut state.abandoned {
            Abandoned::No(place) if !is_settled => *place = Some(told),
            Abandoned::No(_) => {}
            Abandoned::Yes => {
                drop(state);
                told();
            }
        }
    }

    /// The request.
    pub fn id(&self) -> RequestId {
        self.ticket.id
    }

    /// How long the app still has (monotonic clock, nanoseconds); `None` where nothing is to be limited.
    pub fn left(&self, now_ns: u64) -> Option<Duration> {
        self.ticket.left(now_ns)
    }

    /// Whether the caller is the one who ends the call from outside.
    pub fn cut_off(&self) -> bool {
        self.ticket.cut_off()
    }

    /// The call goes on though it was cut off; its time limit holds again.
    pub fn goes_on(&self) {
        self.ticket.goes_on();
    }

    /// From now on the client is waited for: that time is not the app's.
    pub fn pause(&self) {
        self.ticket.began.store(0, Ordering::Relaxed);
    }

    /// The app goes on.
    pub fn resume(&self) {
        self.ticket.resume();
    }

    /// Whether the call is being ended from outside: whatever it comes to has been said.
    pub fn is_cut_off(&self) -> bool {
        self.ticket.is_cut_off()
    }

    /// The app's own code begins, on the thread that the interpreter names so. Under the interpreter's lock.
    pub fn enter(&self, ident: u64) {
        self.ticket.ident.store(ident, Ordering::Relaxed);
        self.ticket.place.store(INSIDE, Ordering::Relaxed);
    }

    /// The app's own code has ended. Under the interpreter's lock: nobody interrupts the call after this.
    pub fn leave(&self) -> Left {
        match self.ticket.place.swap(OUTSIDE, Ordering::Relaxed) {
            INTERRUPTED => Left::Interrupted,
            _ => Left::InPeace,
        }
    }

    /// The thread to interrupt, once, and only while it is in the app's own code. Under the interpreter's lock, which
    /// is held until the interruption has been sent.
    pub fn interrupt(&self) -> Option<u64> {
        let place = &self.ticket.place;
        place.compare_exchange(INSIDE, INTERRUPTED, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        Some(self.ticket.ident.load(Ordering::Relaxed))
    }

    /// The thread that has been interrupted and is still in the app's own code.
    pub fn interrupted(&self) -> Option<u64> {
        let is_interrupted = self.ticket.place.load(Ordering::Relaxed) == INTERRUPTED;
        is_interrupted.then(|| self.ticket.ident.load(Ordering::Relaxed))
    }
}

/// Whether a call was interrupted, be it that the app has noticed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It was not.
    InPeace,
    /// It was; what is on its way must be withdrawn.
    Interrupted,
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answering")
    }
}

/// Nobody ends the call.
const WHOLE: u8 = 0;
/// Somebody does.
const CUT: u8 = 1;
/// Somebody has, without success.
const IGNORED: u8 = 2;

/// Not in the app's own code.
const OUTSIDE: u8 = 0;
/// In the app's own code.
const INSIDE: u8 = 1;
/// The same, with an interruption on its way or arrived.
const INTERRUPTED: u8 = 2;

#[cfg(test)]
#[path = "ticket_tests.rs"]
mod tests;
