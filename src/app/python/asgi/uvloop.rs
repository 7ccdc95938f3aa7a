//! uvloop's event loop, which waits by driving the worker's runtime as asyncio's does.
//!
//! It has no selector that could be replaced: libuv waits. [`crate::sys::libuv`] waits in its place, on the loop's thread.
//! Requests begin in there, and the loop turns when they have left it something to do.

use super::super::{describe, end_if_child, ffi, panics, signals};
use super::core::{Core, Woken};
use crate::sys::libuv::{Left, Waited};
use pyo3::intern;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::time::{Duration, Instant};

impl Core {
    /// Waits in place of uvloop from now on.
    pub(super) fn enter_uvloop(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let module = py.import("uvloop.loop")?;
        let library: PathBuf = module.getattr("__file__")?.extract()?;
        let event_loop = this.get().ties.event_loop.bind(py);
        let capsule = module.call_method1("libuv_get_loop_t_ptr", (event_loop,))?;
        let core = this.clone().unbind();
        let wait = move |py: Python<'_>, left: Left<'_>| core.get().wait_in_order(py, left);
        let guest = ffi::wait_for_uvloop(&library, &capsule, wait)?;
        this.get().hold(guest);
        Ok(())
    }

    /// The same as [`Self::wait_for_libuv`]. After a panic the loop goes on, as asyncio's does.
    fn wait_in_order(&self, py: Python<'_>, left: Left<'_>) -> Waited {
        panics::caught(|| Ok(self.wait_for_libuv(py, left))).unwrap_or_else(|panic| {
            let traceback = describe(py, &panic);
            tracing::error!(traceback, "an exception left the event loop, which goes on");
            self.calls().leave_runtime();
            Waited::Here
        })
    }

    /// libuv's wait: until there is something for it, or for its apps.
    fn wait_for_libuv(&self, py: Python<'_>, left: Left<'_>) -> Waited {
        end_if_child();
        let Some(runtime) = self.runtime() else { return Waited::NotAtAll };
        let calls = self.calls();
        calls.return_to_runtime();
        let mut next = left.ask();
        loop {
            let until = next.map(|left| Instant::now() + left);
            let is_ending = self.is_ending();
            let woken = py.detach(|| runtime.block_on(self.turn(until, is_ending)));
            if !is_ending {
                calls.run_waiting();
            }
            // What it was for is seen to below.
            calls.was_called_back();
            if calls.take_attention() {
                signals::run_handlers();
            }
            self.ties.attend(py);
            let has_closed = !is_ending && calls.is_closed() && self.begins_to_stop();
            if has_closed {
                self.stop(py);
            }
            // What has run may have given the loop something to do.
            next = left.ask();
            let is_over = has_closed
                || woken == Woken::ByDescriptors
                || next == Some(Duration::ZERO)
                || until.is_some_and(|until| until <= Instant::now());
            if is_over {
                calls.leave_runtime();
                return Waited::Here;
            }
        }
    }

    fn stop(&self, py: Python<'_>) {
        if let Err(error) = self.ties.event_loop.bind(py).call_method0(intern!(py, "stop")) {
            tracing::error!(traceback = describe(py, &error), "the event loop cannot be stopped");
        }
    }
}
