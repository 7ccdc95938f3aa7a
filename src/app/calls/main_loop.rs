//! An event loop that has the main thread, and calls made from within it.
//!
//! An ASGI app lives in an event loop of its own language. That loop turns on the main thread, and waits by driving the
//! worker's runtime: so connections, calls and the app share one thread. A call may end while its request goes on in a
//! task of the loop; its answer is then given later. While the loop runs code, the thread is as good as in a call: the
//! relief looks on, and takes the runtime when that lasts too long.

use super::ticket::Outcome;
use super::{Answering, CallQueue, Cancelled, Delivery, Driver, MainThread};
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// An event loop that has the main thread.
pub trait MainLoop: Send + Sync {
    /// Prepares the apps that live in it, on the main thread, before anything is served.
    ///
    /// # Errors
    /// What the operator should read.
    fn start(&self) -> Result<(), String>;

    /// Turns on the main thread until the queue is closed, and ends the apps.
    fn run(&self);

    /// Ends the requests in its tasks that are past their limit; returns when the next one may be.
    fn oversee(&self) -> Option<Instant>;

    /// Ends a request in one of its tasks; `None` when there is no such request.
    fn cancel(&self, id: u64) -> Option<oneshot::Receiver<Cancelled>>;

    /// The stack of the task that a request is in; `None` when there is no such request.
    ///
    /// # Errors
    /// Why there is none.
    fn stack_of(&self, id: u64) -> Option<Result<String, String>>;
}

impl CallQueue {
    /// Gives the main thread to an event loop; heard once.
    pub fn set_main_loop(&self, main_loop: Arc<dyn MainLoop>) {
        let _ = self.main_loop.set(main_loop);
    }

    /// The event loop that has the main thread, if one has.
    pub fn main_loop(&self) -> Option<&Arc<dyn MainLoop>> {
        self.main_loop.get()
    }

    /// The main thread, which has just been in the runtime, begins to run code of the loop.
    pub fn leave_runtime(&self) {
        self.maker.is_here();
        self.lock().main = MainThread::Outside;
        self.leave();
    }

    /// The main thread is about to drive the runtime again.
    pub fn return_to_runtime(&self) {
        self.come_back();
        let mut state = self.lock();
        state.main = MainThread::Inside;
        let hands_back = state.driver == Driver::Relief;
        if hands_back {
            state.driver = Driver::HandingBack;
            self.show(&mut state);
        }
        drop(state);
        if hands_back {
            self.driver.notify_waiters();
            self.free.notify_waiters();
            self.cut_ended.notify_all();
        }
    }

    /// Whether the main thread comes back within a time, where the relief drives in its place.
    pub fn main_thread_returns_within(&self, limit: Duration) -> bool {
        let state = self.lock();
        let waited = self.cut_ended.wait_timeout_while(state, limit, |state| state.driver == Driver::Relief);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Has [`drive`](Self::drive) return on the main thread, from any thread: the loop has something to do.
    pub fn call_back(&self) {
        let mut state = self.lock();
        let is_news = !std::mem::replace(&mut state.is_called_back, true);
        drop(state);
        if is_news {
            self.driver.notify_one();
        }
    }

    /// As [`drive`](Self::drive), for a closed queue: ready when the event loop is called back.
    pub async fn drive_last(&self) {
        self.make_deliveries();
        loop {
            let mut notified = std::pin::pin!(self.driver.notified());
            notified.as_mut().enable();
            if self.lock().is_called_back {
                return;
            }
            notified.await;
        }
    }

    /// Whether [`call_back`](Self::call_back) has been used since this was asked last.
    pub fn was_called_back(&self) -> bool {
        std::mem::take(&mut self.lock().is_called_back)
    }

    /// Whether somebody else drives the runtime.
    pub fn is_relieved(&self) -> bool {
        self.lock().driver != Driver::Main
    }

    /// Gives the answer of a call that has ended before its request.
    pub fn answer(&self, answering: &Answering, outcome: Outcome) {
        answering.ticket.offer(outcome);
        self.deliver_soon(Delivery::Answer(Arc::clone(&answering.ticket)));
    }

    /// Wakes whoever waits for the answer: there is something for its client already.
    pub fn nudge(&self, answering: &Answering) {
        if let Some(waker) = answering.ticket.take_waker() {
            self.wake(waker);
        }
    }

    /// Wakes a task of the runtime.
    pub fn wake(&self, waker: Waker) {
        self.deliver_soon(Delivery::Wake(waker));
    }

    /// From within the runtime where the main thread will be back there, which saves a wake-up; else at once.
    fn deliver_soon(&self, delivery: Delivery) {
        let mut state = self.lock();
        if state.driver == Driver::Main && state.main == MainThread::Outside {
            state.deliveries.push(delivery);
            return;
        }
        drop(state);
        delivery.make();
    }
}
