//! What a worker does with the interpreter of its Python apps; nothing where there is none.

use super::BootFailure;
use crate::app::calls::{CallQueue, Interrupter};
#[cfg(not(feature = "python"))]
use crate::config::Config;
use std::sync::Arc;

#[cfg(feature = "python")]
pub(super) use {
    super::memory::{prepare, tend},
    crate::app::python::{run_signal_handlers, with_interpreter, without_interpreter},
};

/// What ends calls from outside.
#[cfg(feature = "python")]
pub(super) fn interrupter() -> Result<Option<Arc<dyn Interrupter>>, BootFailure> {
    let interrupter = crate::app::python::interrupter();
    interrupter.map(Some).map_err(|error| BootFailure::new("cannot prepare for stuck requests", &error))
}

/// Has signals heard for which an app has handlers. In the runtime.
#[cfg(feature = "python")]
pub(super) fn begin(calls: &Arc<CallQueue>) -> Result<(), BootFailure> {
    let failed = |error| BootFailure::new("cannot prepare for the signals of the apps", &error);
    let heard = crate::app::python::heard_signals().map_err(failed)?;
    let heard = tokio::net::UnixStream::from_std(heard).map_err(failed)?;
    tokio::spawn(attend(heard, Arc::clone(calls)));
    Ok(())
}

/// Calls the main thread to the interpreter whenever a signal has come.
#[cfg(feature = "python")]
async fn attend(heard: tokio::net::UnixStream, calls: Arc<CallQueue>) {
    let mut buffer = [0; 64];
    while heard.readable().await.is_ok() {
        match heard.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => calls.attend(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return tracing::error!(%error, "signals of the apps are not heard any more"),
        }
    }
}

#[cfg(not(feature = "python"))]
pub(super) fn prepare(_: &Config) {}

#[cfg(not(feature = "python"))]
pub(super) fn tend(_: &Config) {}

#[cfg(not(feature = "python"))]
pub(super) fn interrupter() -> Result<Option<Arc<dyn Interrupter>>, BootFailure> {
    Ok(None)
}

#[cfg(not(feature = "python"))]
pub(super) fn begin(_: &Arc<CallQueue>) -> Result<(), BootFailure> {
    Ok(())
}

#[cfg(not(feature = "python"))]
pub(super) fn run_signal_handlers() {}

#[cfg(not(feature = "python"))]
pub(super) fn with_interpreter<T>(run: impl FnOnce() -> T) -> T {
    run()
}

#[cfg(not(feature = "python"))]
pub(super) fn without_interpreter<T>(run: impl FnOnce() -> T) -> T {
    run()
}
