//! Ctrl-C, as something to wait for: servers must be ended before this process is.

use crate::sys::poll::wait_readable;
use crate::sys::signals::{Signal, SignalPipe};
use std::io;
use std::thread;
use tokio::sync::watch;

/// Whether somebody wants this process to end.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Catches TERM, INT, QUIT and HUP from now on.
    ///
    /// # Errors
    /// When descriptors or threads have run out.
    pub(super) fn catch() -> io::Result<Self> {
        let mut pipe = SignalPipe::new()?;
        let (sender, receiver) = watch::channel(false);
        thread::Builder::new().name("signals".into()).spawn(move || {
            // Ends with the process: also a second Ctrl-C must not end it before its children.
            while wait_readable(&[pipe.descriptor()], None).is_ok() {
                if pipe.take().into_iter().any(asks_to_end) {
                    sender.send_replace(true);
                }
            }
        })?;
        Ok(Self(receiver))
    }

    /// Whether it has happened.
    pub(super) fn has_happened(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it happens.
    pub(super) async fn wait(&self) {
        let mut receiver = self.0.clone();
        // The sender lives as long as this process; if it were gone, nobody could interrupt any more.
        if receiver.wait_for(|happened| *happened).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn asks_to_end(signal: Signal) -> bool {
    match signal {
        Signal::Terminate | Signal::Interrupt | Signal::Quit | Signal::HangUp => true,
        Signal::Child | Signal::User1 | Signal::User2 | Signal::More | Signal::Less => false,
    }
}

#[cfg(test)]
impl Interrupt {
    /// One that never happens.
    pub(super) fn never() -> Self {
        Self(watch::channel(false).1)
    }
}
