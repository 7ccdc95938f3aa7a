//! The program's own apps: their constructors, and where they are mounted.

use crate::app::{App, BoxError, BoxFuture, MakeApps, Place, WorkerInfo};
use crate::config::{Config, HostPattern, mount_prefix};
use std::sync::Arc;

/// Makes one app, in each worker.
pub(super) type MakeApp =
    dyn Fn(WorkerInfo) -> BoxFuture<'static, Result<Arc<dyn App>, BoxError>> + Send + Sync;

/// The program's own apps, in the order in which they were mounted.
#[derive(Clone, Default)]
pub(super) struct OwnMounts(Vec<(Place, Arc<MakeApp>)>);

impl OwnMounts {
    /// Mounts one more.
    ///
    /// # Errors
    /// The place is none, or taken.
    pub(super) fn add(&mut self, place: Place, make: Arc<MakeApp>) -> Result<(), String> {
        if let Some(taken) = self.places().find(|taken| taken.clashes_with(&place)) {
            return Err(format!("two apps of the program are mounted at {taken}"));
        }
        self.0.push((place, make));
        Ok(())
    }

    /// Checks that a configuration leaves the program's places to it.
    ///
    /// # Errors
    /// What to change in the file.
    pub(super) fn agree_with(&self, config: &Config) -> Result<(), String> {
        for mount in &config.apps {
            let asked = Place { hosts: mount.hosts.clone(), prefix: mount.mount.clone() };
            if let Some(own) = self.places().find(|own| own.clashes_with(&asked)) {
                return Err(format!(
                    "{own} is the program's own app; give the [[app]] of the file another mount"
                ));
            }
        }
        if config.has_python_app() {
            return Err(
                "a program with an app of its own cannot host Python apps; run ferricorn for those".into()
            );
        }
        Ok(())
    }

    /// Makes all of them, one after another: the first that fails is the reason why the worker is not ready.
    pub(super) fn into_make(self) -> Arc<MakeApps> {
        Arc::new(move |worker| {
            let mounts = self.0.clone();
            Box::pin(async move {
                let mut apps = Vec::with_capacity(mounts.len());
                for (place, make) in mounts {
                    apps.push((place, make(worker.clone()).await?));
                }
                Ok(apps)
            })
        })
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.iter().map(|(place, _)| place)
    }
}

/// A place as a program names it.
///
/// # Errors
/// What is wrong with the prefix or a host.
pub(super) fn place<'a>(hosts: impl IntoIterator<Item = &'a str>, prefix: &str) -> Result<Place, String> {
    let host =
        |host: &str| HostPattern::parse(host).map_err(|problem| format!("the host {host:?}: {problem}"));
    let hosts = hosts.into_iter().map(host).collect::<Result<Vec<_>, _>>()?;
    Ok(Place { hosts, prefix: mount_prefix(prefix)? })
}
