//! Signals that are the server's, in a process whose apps may set handlers for them.

use crate::sys::reserved_signals::ReservedSignals;

/// Takes back the signals that are the server's, for which an app has set handlers.
pub(super) fn keep(reserved: &ReservedSignals) {
    match reserved.restore() {
        Ok(names) if names.is_empty() => {}
        Ok(names) => {
            // Tracers do that, and lose nothing by it.
            let names = names.join(", ");
            tracing::info!(
                "an app has set handlers for {names}, which stay the server's; to do something at the end of a worker, use python.hooks.worker_exit or atexit"
            );
        }
        Err(error) => tracing::error!(%error, "the server's signals cannot be kept"),
    }
}
