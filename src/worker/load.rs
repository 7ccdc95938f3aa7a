//! The apps of a configuration, made in this worker.

use super::BootFailure;
use crate::app::calls::CallQueue;
use crate::app::static_files::StaticFiles;
use crate::app::{App, Status, native};
use crate::config::{AppTarget, Config};
use crate::contract::exit::ExitReason;
use crate::router::{Place, Router};
use std::sync::Arc;

/// Loads every app.
pub(super) fn apps(
    config: &Config,
    workers: u16,
    calls: &Arc<CallQueue>,
    status: &Status,
) -> Result<Router, BootFailure> {
    let mut apps = Vec::with_capacity(config.apps.len());
    for mount in &config.apps {
        let app = match &mount.target {
            AppTarget::Native(name) => native(name, status).ok_or_else(|| {
                failed(format!("there is no native app {name:?}; there are hello, echo and status"))
            })?,
            AppTarget::Static(directory) => Arc::new(
                StaticFiles::new(directory, &mount.mount, &mount.files)
                    .map_err(|error| failed(error.to_string()))?,
            ),
            AppTarget::Python(target) => python(target, config, workers, calls)?,
        };
        apps.push((Place { hosts: mount.hosts.clone(), prefix: mount.mount.clone() }, app));
    }
    Ok(Router::new(apps))
}

fn failed(text: String) -> BootFailure {
    BootFailure { reason: ExitReason::AppLoadFailed, text }
}

#[cfg(feature = "python")]
fn python(
    target: &str,
    config: &Config,
    workers: u16,
    calls: &Arc<CallQueue>,
) -> Result<Arc<dyn App>, BootFailure> {
    let options =
        crate::app::python::Options { path: &config.python.path, threads: config.workers.threads, workers };
    let app = crate::app::python::load(target, &options, Arc::clone(calls)).map_err(failed)?;
    Ok(app)
}

#[cfg(not(feature = "python"))]
fn python(target: &str, _: &Config, _: u16, _: &Arc<CallQueue>) -> Result<Arc<dyn App>, BootFailure> {
    Err(failed(format!("{target} is a Python app, and this program has no Python: pip install ferricorn")))
}
