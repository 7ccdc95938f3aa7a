//! Calls that block a thread, and the thread that serves connections meanwhile.
//!
//! A call into a blocking app (WSGI) is made on the very thread that serves the connections: handing it to
//! another thread would cost as much as a small app. [`CallQueue::drive`] runs the connections until there is
//! a call; the thread then leaves the runtime, makes the call, and comes back. A second thread, the relief,
//! looks on: when a call takes longer than [`TICK`] it drives the runtime in the caller's place, so that
//! nothing but the app waits for the app. Python code thus always runs on the same few threads, as apps that
//! keep connections per thread expect.

mod balance;
mod blocking_app;
mod cut_off;
mod delivery;
mod lasting;
mod main_loop;
mod moves;
mod relief;
mod rhythm;
mod stay;
mod ticket;
mod turns;
mod waitlist;

pub use balance::MeanCalls;
pub use blocking_app::BlockingApp;
pub use cut_off::{Cancelled, Interrupter, Overseer, Recycling};
use delivery::{Delivery, Ended, Waiting, deliver};
use lasting::Maker;
pub use main_loop::MainLoop;
pub use moves::{Alone, Load, Room, Siblings};
use stay::{Pace, Stay};
use ticket::Ticket;
pub use ticket::{Answering, Left};
use waitlist::Waitlist;
pub use waitlist::{QueueRules, Shed};

use super::{AppError, CallLimits};
use crate::contract::entry::Stage;
use crate::protocol::{Patience, Request, Response};
use crate::sys::clock::Anchor;
use std::fmt;
use std::future::poll_fn;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::thread::Thread;
use std::time::Duration;
use tokio::sync::Notify;

/// How long a call may take before the relief steps in: once to twice this, and more after many calls that were short (see
/// `rhythm.rs`).
///
/// Looking costs the app a little of its processor, and stepping in much more: half of this would be a burden to all apps
/// whose calls take about a millisecond, and hardly a gain for anybody.
pub const TICK: Duration = Duration::from_millis(2);

/// Calls waiting for an app thread, and the answers on their way back.
pub struct CallQueue {
    state: Mutex<State>,
    /// Waited on by app threads other than the main one.
    available: Condvar,
    /// Wakes whoever drives the runtime.
    driver: Notify,
    /// Told when an app thread is free again.
    free: Notify,
    /// Odd while the main thread is in a call.
    progress: AtomicU64,
    /// Whether the main thread is wanted in the interpreter, though there is no call.
    attention: AtomicBool,
    /// The main thread.
    maker: Maker,
    relief_sleeps: AtomicBool,
    relief: Mutex<Option<Thread>>,
    /// Told when a call has ended that was cut off.
    cut_ended: Condvar,
    overseer: OnceLock<Overseer>,
    main_loop: OnceLock<Arc<dyn MainLoop>>,
    threads: usize,
    siblings: Box<dyn Siblings>,
    /// Told when calls wait that a sibling could make.
    backlog: Notify,
    clock: Anchor,
}

struct State {
    waiting: Waitlist<Call>,
    /// What is done once the main thread is back in the runtime.
    deliveries: Vec<Delivery>,
    running: Vec<Arc<Ticket>>,
    /// Whether the main thread runs code of its event loop.
    main: MainThread,
    /// The event loop wants the main thread.
    is_called_back: bool,
    pace: Pace,
    /// A call has passed its time limit: another worker is on its way, and may have what waits here.
    is_overdue: bool,
    driver: Driver,
    closed: bool,
    /// What the siblings have been told last.
    shown: Load,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    Main,
    Relief,
    /// The main thread wants the runtime back.
    HandingBack,
}

/// Where the main thread is, as its event loop has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MainThread {
    /// In the runtime, or in a call.
    Inside,
    /// In code of the event loop.
    Outside,
}

struct Call {
    app: Arc<dyn BlockingApp>,
    request: Box<Request>,
    ticket: Arc<Ticket>,
    patience: Patience,
    socket: Option<RawFd>,
}

impl CallQueue {
    /// A queue for `threads` app threads, the main thread being one of them.
    pub fn new(threads: u16, rules: QueueRules, siblings: impl Siblings + 'static) -> Arc<Self> {
        let threads = usize::from(threads.max(1));
        Arc::new(Self {
            state: Mutex::new(State {
                waiting: Waitlist::new(rules, threads),
                deliveries: Vec::new(),
                main: MainThread::Inside,
                is_called_back: false,
                running: Vec::new(),
                pace: Pace::KeepsUp,
                is_overdue: false,
                driver: Driver::Main,
                closed: false,
                shown: Load::default(),
            }),
            available: Condvar::new(),
            driver: Notify::new(),
            free: Notify::new(),
            progress: AtomicU64::new(0),
            attention: AtomicBool::new(false),
            maker: Maker::default(),
            relief_sleeps: AtomicBool::new(false),
            relief: Mutex::new(None),
            cut_ended: Condvar::new(),
            overseer: OnceLock::new(),
            main_loop: OnceLock::new(),
            threads,
            siblings: Box::new(siblings),
            backlog: Notify::new(),
            clock: Anchor::now(),
        })
    }

    /// Makes a call, on an app thread, and waits for its answer.
    ///
    /// Dropping the future withdraws a call that no thread has begun.
    ///
    /// # Errors
    /// What the app's failure stands for; [`AppError::Busy`] when no app thread is free here but one elsewhere, and the
    /// request may move; [`AppError::Shed`] when it is not served because too many are.
    pub async fn call(
        &self,
        app: Arc<dyn BlockingApp>,
        request: Box<Request>,
        limits: CallLimits,
    ) -> Result<Response, AppError> {
        let CallLimits { time, queue, patience } = limits;
        let context = &request.context;
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let ticket = Arc::new(Ticket::new(context.id, context.flight.clone(), time, Some(waker)));
        let since_ns = context.waits_since.unwrap_or_else(|| self.clock.ns(context.received));
        let socket = context.socket;
        ticket.flight.set_stage(Stage::Queued);
        let mut waiting = Waiting::new(self, Arc::clone(&ticket));
        waiting.submitted = self.submit(Call { app, request, ticket, patience, socket }, since_ns, queue);
        poll_fn(|cx| waiting.poll(cx)).await
    }

    /// Says what is to be done about calls past their time limit; heard once.
    pub fn set_overseer(&self, overseer: Overseer) {
        let _ = self.overseer.set(overseer);
    }

    /// Whether a call made now would begin soon.
    pub fn is_free(&self) -> bool {
        self.has_thread(&self.lock())
    }

    /// Whether a call has passed its time limit, and this worker gives away what waits in it.
    pub fn is_overdue(&self) -> bool {
        self.lock().is_overdue
    }

    /// Waits until an app thread may be free.
    pub async fn wait_free(&self) {
        loop {
            let mut notified = std::pin::pin!(self.free.notified());
            notified.as_mut().enable();
            if self.is_free() {
                return;
            }
            notified.await;
        }
    }

    /// Driven by the main thread: delivers answers, then waits for the next call. Ready when there is one, when the
    /// event loop is called back, or when the queue is closed.
    pub async fn drive(self: &Arc<Self>) {
        if self.make_deliveries() {
            // Calls are left over, since connections wait, too: it is their turn.
            tokio::task::yield_now().await;
        }
        loop {
            let mut notified = std::pin::pin!(self.driver.notified());
            notified.as_mut().enable();
            {
                let state = self.lock();
                let is_wanted = !state.waiting.is_empty()
                    || state.is_called_back
                    || self.attention.load(Ordering::Acquire);
                if state.closed || (state.driver == Driver::Main && is_wanted) {
                    return;
                }
            }
            // Helpers may still be in calls that began while this thread was.
            self.wait_and_oversee(notified).await;
        }
    }

    /// Makes the waiting calls on the main thread, for a while if they are short, then asks for the runtime back.
    pub fn run_waiting(self: &Arc<Self>) {
        self.maker.is_here();
        let (mut ended, mut stay) = (None, Stay::default());
        while let Some(call) = self.next_for_main(ended.take(), stay) {
            let began_ns = call.ticket.began_ns();
            stay.note(began_ns);
            self.maker.begins(began_ns);
            self.leave();
            ended = Some(self.make(call));
            self.come_back();
        }
    }

    /// Whether [`close`](Self::close) has been called.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Lets every thread leave once it has nothing to do.
    pub fn close(&self) {
        self.lock().closed = true;
        self.driver.notify_waiters();
        self.driver.notify_one();
        self.available.notify_all();
        if let Some(relief) = &*self.relief.lock().unwrap_or_else(PoisonError::into_inner) {
            relief.unpark();
        }
    }

    /// The life of an app thread other than the main one.
    pub fn serve_calls(self: &Arc<Self>) {
        loop {
            let call = {
                let mut state = self.lock();
                loop {
                    if let Some(call) = self.take_for_helper(&mut state) {
                        break call;
                    }
                    if state.closed {
                        return;
                    }
                    state = self.available.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            };
            let ended = self.make(call);
            let mut state = self.lock();
            self.has_ended(&mut state, &ended);
            drop(state);
            self.free.notify_waiters();
            ended.settle();
        }
    }

    fn has_thread(&self, state: &State) -> bool {
        state.pace == Pace::KeepsUp && (state.driver == Driver::Main || self.busy(state) < self.callers())
    }

    /// App threads that are held up.
    fn busy(&self, state: &State) -> usize {
        state.running.len() + usize::from(state.main == MainThread::Outside)
    }

    /// Threads that make calls: where the main one has an event loop, it alone.
    fn callers(&self) -> usize {
        if self.main_loop.get().is_some() { 1 } else { self.threads }
    }

    /// Delivers the answer of the main thread's last call, and takes the next, unless it is the connections' turn.
    fn next_for_main(&self, ended: Option<Ended>, stay: Stay) -> Option<Call> {
        let mut state = self.lock();
        let mut overtaken = None;
        if let Some(ended) = ended {
            self.has_ended(&mut state, &ended);
            if state.driver == Driver::Main {
                // Delivered from within the runtime when this thread is back there, which saves a wake-up.
                state.deliveries.push(ended.delivery());
            } else {
                overtaken = Some(ended);
            }
        }
        let must_go = stay.must_end(state.driver, self.threads);
        let next = if must_go { None } else { self.take_next(&mut state) };
        let before = state.pace;
        if next.is_none() {
            state.pace = if must_go { stay::pace(&state.waiting) } else { Pace::KeepsUp };
        }
        let catches_up = before == Pace::Behind && state.pace == Pace::KeepsUp;
        let leaves_behind = next.is_none() && state.pace == Pace::Behind;
        let hands_back = next.is_none() && state.driver == Driver::Relief;
        if hands_back {
            state.driver = Driver::HandingBack;
        }
        self.show(&mut state);
        drop(state);
        if let Some(ended) = overtaken {
            ended.settle();
        }
        if hands_back {
            self.driver.notify_waiters();
        }
        if hands_back || catches_up || self.threads > 1 {
            self.free.notify_waiters();
        }
        if leaves_behind {
            self.backlog.notify_one();
        }
        next
    }

    fn has_ended(&self, state: &mut State, ended: &Ended) {
        state.running.retain(|running| !Arc::ptr_eq(running, &ended.ticket));
        if ended.ticket.is_cut_off() {
            self.cut_ended.notify_all();
        }
    }

    fn make(&self, call: Call) -> Ended {
        let Call { app, request, ticket, .. } = call;
        let answering = Answering { ticket };
        // A panic costs this one request: the thread has others to serve.
        let outcome = catch_unwind(AssertUnwindSafe(|| app.call(request, &answering))).unwrap_or_else(|_| {
            crate::telemetry::panics::caught();
            Err(AppError::Failed("a bug in the server: the call panicked".to_owned()))
        });
        answering.ticket.flight.leave_app();
        if answering.is_cut_off() {
            tracing::info!(request = %answering.ticket.id, "the interrupted call has ended");
        }
        Ended { ticket: answering.ticket, outcome }
    }

    /// Delivers what the main thread has for the tasks; whether calls are left over.
    fn make_deliveries(&self) -> bool {
        let mut state = self.lock();
        let mut deliveries = std::mem::take(&mut state.deliveries);
        let has_more = !state.waiting.is_empty();
        drop(state);
        if deliveries.capacity() > 0 {
            deliver(&mut deliveries);
            // Its room is used again; nobody puts anything there while this thread is in the runtime.
            self.lock().deliveries = deliveries;
        }
        has_more
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; a poisoned lock would still hold a usable state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CallQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallQueue").field("threads", &self.threads).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
