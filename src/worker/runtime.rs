//! The runtime of a worker, and the threads that drive it.

use super::BootFailure;
use super::interpreter::{self, with_interpreter, without_interpreter};
use crate::app::calls::CallQueue;
use crate::net::together;
use std::future::Future;
use std::sync::Arc;
use std::thread;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinError;

/// The runtime of a worker, or of a process that tries its apps.
pub(super) fn build(threads: u16, blocking: bool) -> Result<Arc<Runtime>, BootFailure> {
    let threads = usize::from(threads);
    let built = if blocking || threads <= 1 {
        // One thread that does the calls too; see `app::calls`.
        let mut builder = Builder::new_current_thread();
        // Answers of such apps come one call after another, and leave one after another anyway.
        if !blocking {
            builder.on_thread_unpark(together::turn_begins).on_thread_park(together::turn_ends);
        }
        builder.enable_all().build()
    } else {
        Builder::new_multi_thread().worker_threads(threads).enable_all().build()
    };
    built.map(Arc::new).map_err(|error| BootFailure::new("cannot build the runtime", &error))
}

/// Serves to the end where calls of apps block the thread that makes them: this one, with a relief beside it.
pub(super) fn drive_with_calls<T: Send + 'static>(
    runtime: &Runtime,
    calls: &Arc<CallQueue>,
    app_threads: u16,
    serving: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    let queue = Arc::clone(calls);
    let ended = runtime.spawn(async move {
        let ended = serving.await;
        // There is nothing left to serve: the threads that make calls may leave.
        queue.close();
        ended
    });
    drive(runtime, calls, app_threads);
    runtime.block_on(ended)
}

/// Runs the connections and the calls of blocking apps on this thread, with a relief beside it.
fn drive(runtime: &Runtime, calls: &Arc<CallQueue>, app_threads: u16) {
    thread::scope(|threads| {
        threads.spawn(|| {
            calls.relieve(|future| runtime.block_on(future));
        });
        for number in 1..app_threads {
            let builder = thread::Builder::new().name(format!("app-{number}")).stack_size(APP_STACK);
            if let Err(error) = builder.spawn_scoped(threads, || calls.serve_calls()) {
                tracing::error!(%error, "no further thread for the app: fewer than workers.threads are there");
                break;
            }
        }
        if let Some(main_loop) = calls.main_loop() {
            main_loop.run();
            return;
        }
        without_interpreter(|| {
            while !calls.is_closed() {
                runtime.block_on(calls.drive());
                if calls.take_attention() {
                    interpreter::run_signal_handlers();
                }
                with_interpreter(|| calls.run_waiting());
            }
        });
    });
}

/// As much as the main thread has on most systems: recursion that is fine there must be fine in every app thread. It is
/// memory only once it is used.
const APP_STACK: usize = 8 << 20;
