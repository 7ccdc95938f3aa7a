//! What a mold does before it forks workers: it loads the apps that can be loaded once for all of them.

use super::{BootFailure, load, setup};
use crate::config::Config;
use crate::contract::exit::ExitReason;
use crate::contract::metrics::Metrics;
use crate::sys;
use crate::sys::reserved_signals::ReservedSignals;
use std::cell::OnceCell;
use std::path::Path;
use std::rc::Rc;

#[cfg(feature = "python")]
pub(super) use crate::app::python::Loaded;

/// Without an interpreter there is nothing to load.
#[cfg(not(feature = "python"))]
#[derive(Debug)]
pub(super) struct Loaded;

/// The apps that this process has loaded for the workers it forks, who find them here; empty in any other process.
#[derive(Debug, Clone, Default)]
pub struct Mold(Rc<OnceCell<Loaded>>);

impl Mold {
    /// Becomes who the apps should run as, where they should run, and loads them.
    ///
    /// # Errors
    /// The exit code and what the operator should read.
    pub fn load(
        &self,
        config: &Config,
        directory: &Path,
        metrics: Metrics,
    ) -> Result<(), (ExitReason, String)> {
        // Only ps(1) is poorer without.
        let _ = sys::title::set("ferricorn-mold", "ferricorn: mold");
        load::adopt(metrics);
        let reserved = ReservedSignals::note();
        let loaded = setup::enter(config, directory).and_then(|()| self.fill(config));
        // Its workers are to have the server's handlers.
        let _ = reserved.and_then(|reserved| reserved.restore());
        loaded.map_err(|failure| (failure.reason, failure.text))
    }

    /// Loads the apps.
    pub(super) fn fill(&self, config: &Config) -> Result<(), BootFailure> {
        // Once in the life of a process.
        let _ = self.0.set(load_all(config)?);
        Ok(())
    }

    pub(super) fn loaded(&self) -> Option<&Loaded> {
        self.0.get()
    }
}

#[cfg(feature = "python")]
fn load_all(config: &Config) -> Result<Loaded, BootFailure> {
    use crate::config::{AppTarget, Preload};
    let targets = config.apps.iter().filter_map(|mount| match &mount.target {
        AppTarget::Python(target) => Some(target.as_str()),
        AppTarget::Native(_) | AppTarget::Static(_) => None,
    });
    let (loaded, strays) = crate::app::python::preload(targets, &config.python.path).map_err(load::failed)?;
    if !strays.is_empty() {
        let text = format!("preload: {}", crate::app::python::describe_strays(&strays));
        match config.workers.preload {
            Preload::Strict => return Err(BootFailure { reason: ExitReason::BootFailed, text }),
            Preload::Off | Preload::On => tracing::warn!("{text}"),
        }
    }
    load::settle(config)?;
    Ok(loaded)
}

#[cfg(not(feature = "python"))]
fn load_all(_: &Config) -> Result<Loaded, BootFailure> {
    Ok(Loaded)
}
