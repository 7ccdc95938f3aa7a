//! The thread that serves connections while the main one waits for the app.

use super::balance::{Gauge, MeanCalls};
use super::moves::give_back;
use super::rhythm::Rhythm;
use super::stay::Pace;
use super::{CallQueue, Driver, TICK, deliver};
use crate::app::AppError;
use crate::sys::clock;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

impl CallQueue {
    /// The life of the relief thread; `drive` runs the given future on the worker's runtime.
    pub fn relieve(self: &Arc<Self>, drive: impl Fn(Pin<Box<dyn Future<Output = ()> + '_>>)) {
        *self.relief.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
        let mut seen = 0;
        let mut quiet = 0;
        let mut gauge = Gauge::default();
        let mut rhythm = Rhythm::default();
        let mut look = self.maker.look();
        loop {
            if self.lock().closed {
                return;
            }
            if quiet > 2 {
                gauge = Gauge::default();
                self.siblings.tell(MeanCalls::default());
                self.relief_sleeps.store(true, Ordering::SeqCst);
                if self.progress.load(Ordering::SeqCst) == seen {
                    std::thread::park();
                }
                self.relief_sleeps.store(false, Ordering::SeqCst);
                quiet = 0;
                seen = self.progress.load(Ordering::Acquire);
                look = self.maker.look();
                rhythm = Rhythm::default();
            }
            let pause = rhythm.pause();
            std::thread::park_timeout(pause);
            let progress = self.progress.load(Ordering::Acquire);
            let in_call = progress % 2 == 1;
            if in_call {
                // Calls that last are counted by their time, from when the relief steps in.
                self.siblings.found_busy(pause);
            }
            let is_same = in_call && progress == seen;
            if in_call && !is_same {
                look = self.maker.look();
            }
            if is_same && !look.is_preempted() && self.take_over(progress) {
                drive(Box::pin(self.stand_in()));
                self.hand_over();
                (gauge, rhythm) = (Gauge::default(), Rhythm::default());
            } else {
                self.even_out(&mut gauge, in_call);
                // After a long pause a call may have lasted for a while already: the next look decides, soon.
                let may_last = in_call && !is_same && pause > TICK && self.maker.age() >= TICK;
                if may_last {
                    rhythm = Rhythm::default();
                } else {
                    let are_short = !is_same && (in_call || progress.wrapping_sub(seen) >= MANY);
                    // An event loop does not say when its turns begin.
                    rhythm.note(are_short && self.main_loop().is_none());
                }
            }
            quiet = if progress == seen && !in_call { quiet + 1 } else { 0 };
            seen = progress;
        }
    }

    /// Wants the main thread in the interpreter. While it is in a call, it is there.
    pub fn attend(&self) {
        self.attention.store(true, Ordering::Release);
        self.driver.notify_one();
    }

    /// Whether [`attend`](Self::attend) has been called since.
    pub fn take_attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed) && self.attention.swap(false, Ordering::AcqRel)
    }

    /// The main thread leaves the runtime, for a call or for its event loop.
    pub(super) fn leave(&self) {
        // With a fence: the relief must see this, or be seen to sleep.
        self.progress.fetch_add(1, Ordering::SeqCst);
        self.wake_relief();
    }

    /// It is out of the call, or of its event loop.
    pub(super) fn come_back(&self) {
        // Nobody else changes it.
        self.progress.store(self.progress.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    fn wake_relief(&self) {
        if self.relief_sleeps.load(Ordering::SeqCst)
            && let Some(relief) = &*self.relief.lock().unwrap_or_else(PoisonError::into_inner)
        {
            relief.unpark();
        }
    }

    /// The relief becomes the driver, unless the call has just ended.
    fn take_over(&self, progress: u64) -> bool {
        let mut state = self.lock();
        let stuck = self.progress.load(Ordering::Acquire) == progress && state.driver == Driver::Main;
        if stuck && !state.closed {
            state.driver = Driver::Relief;
            state.pace = Pace::KeepsUp;
            self.show(&mut state);
        }
        stuck && !state.closed
    }

    /// Driven by the relief, inside the runtime, until the main thread wants it back.
    async fn stand_in(self: &Arc<Self>) {
        let room = self.siblings.room();
        let (mut deliveries, given_back) = {
            let mut state = self.lock();
            let count = if state.is_overdue { usize::MAX } else { room };
            let has_thread = self.has_thread(&state);
            let given_back = if has_thread { Vec::new() } else { self.take_movable(&mut state, count) };
            state.running.iter().for_each(|running| running.hurry());
            (std::mem::take(&mut state.deliveries), given_back)
        };
        deliver(&mut deliveries);
        given_back.into_iter().for_each(give_back);
        self.available.notify_all();
        self.backlog.notify_one();
        loop {
            let mut notified = std::pin::pin!(self.driver.notified());
            notified.as_mut().enable();
            if self.lock().driver != Driver::Relief {
                return;
            }
            self.wait_and_oversee(notified).await;
        }
    }

    /// Waits to be told something, or until a call is past its limit, or has waited for too long.
    pub(super) async fn wait_and_oversee(self: &Arc<Self>, notified: impl Future<Output = ()>) {
        let (calls_run, calls_wait) = {
            let state = self.lock();
            (!state.running.is_empty(), !state.waiting.is_empty())
        };
        let next = if calls_run { self.oversee() } else { None };
        let in_tasks = self.main_loop().and_then(|main_loop| main_loop.oversee());
        let late = if calls_wait { self.refuse_late() } else { None };
        let next = next.into_iter().chain(in_tasks).chain(late).min();
        match next {
            None => notified.await,
            Some(next) => {
                let _ = tokio::time::timeout_at(next.into(), notified).await;
            }
        }
    }

    /// Refuses who has waited for too long; when somebody else may have.
    fn refuse_late(&self) -> Option<Instant> {
        let mut state = self.lock();
        let due_ns = state.waiting.due_ns();
        if due_ns == u64::MAX {
            return None;
        }
        let now_ns = clock::monotonic_ns();
        let (mut shed, wait) = (Vec::new(), state.waiting.oldest(now_ns));
        state.waiting.expire(now_ns, &mut shed);
        self.show(&mut state);
        let due_ns = state.waiting.due_ns();
        drop(state);
        shed.into_iter().for_each(|(call, why)| call.ticket.settle(Err(AppError::Shed(why, wait))));
        let left = Duration::from_nanos(due_ns.checked_sub(now_ns)?);
        (due_ns < u64::MAX).then(|| Instant::now() + left.max(TICK))
    }

    fn hand_over(&self) {
        let mut state = self.lock();
        state.driver = Driver::Main;
        self.show(&mut state);
        drop(state);
        self.free.notify_waiters();
        self.driver.notify_one();
    }
}

/// Steps of `progress`, two for each call: with so many from look to look, one call follows another, though none was seen.
const MANY: u64 = 8;
