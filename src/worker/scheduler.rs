//! The runtime itself.

use super::BootFailure;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// The runtime of a worker, or of a process that tries its apps.
pub(super) fn build(threads: u16, blocking: bool) -> Result<Arc<Runtime>, BootFailure> {
    let threads = usize::from(threads);
    let built = if blocking || threads <= 1 {
        // One thread that does the calls too; see `app::calls`.
        Builder::new_current_thread().enable_all().build()
    } else {
        Builder::new_multi_thread().worker_threads(threads).enable_all().build()
    };
    built.map(Arc::new).map_err(|error| BootFailure::new("cannot build the runtime", &error))
}
