//! The app that issues tokens, where the configuration asks for it.

use super::BootFailure;
use super::load::failed;
use crate::app::App;
use crate::app::tokens::{PublicKeys, Tokens};
use crate::auth::Standings;
use crate::auth::issue::Issuer;
use crate::auth::store::StorePlace;
use crate::auth::users::AppUsers;
#[cfg(feature = "python")]
use crate::config::UserKind;
use crate::config::{Auth, Config, JWKS_PATH};
use crate::contract::slot::Slot;
use crate::router::Place;
use std::sync::Arc;

/// What issuing adds to a worker.
pub(super) struct Issuing {
    /// Where it answers.
    pub(super) apps: Vec<(Place, Arc<dyn App>)>,
    /// What is known of those who come with its tokens.
    pub(super) standings: Arc<dyn Standings>,
}

/// Opens the store and makes the apps; `None` where no tokens are issued.
pub(super) fn begin(config: &Config, slot: Slot) -> Result<Option<Issuing>, BootFailure> {
    let Some(auth) = config.auth.as_ref().filter(|auth| auth.issues()) else { return Ok(None) };
    let app = app_users(auth)?;
    let directory = std::env::current_dir()
        .map_err(|error| BootFailure::new("the directory that the server works in is gone", &error))?;
    let issuer = outside(|| {
        let issuer = Issuer::new(auth, &directory, app).map_err(|error| failed(error.to_string()))?;
        if slot == Slot(1)
            && let Ok(place) = StorePlace::of(auth, &directory)
        {
            tracing::info!(store = %place, prefix = auth.issue.prefix, "issuing tokens");
            for concern in place.concerns() {
                tracing::warn!(store = %place, "the store of sessions may lose them: {concern}");
            }
        }
        Ok(Arc::new(issuer))
    })?;
    let apps = auth.issue_mounts().into_iter().map(|prefix| {
        let place = Place { hosts: Vec::new(), prefix: prefix.into() };
        let app: Arc<dyn App> = if prefix == JWKS_PATH {
            Arc::new(PublicKeys::new(auth, Arc::clone(&issuer)))
        } else {
            Arc::new(Tokens::new(auth, Arc::clone(&issuer)))
        };
        (place, app)
    });
    let apps = apps.collect();
    Ok(Some(Issuing { apps, standings: issuer }))
}

/// The users as the app knows them, which has been loaded; `None` where it is not asked.
#[cfg(feature = "python")]
fn app_users(auth: &Auth) -> Result<Option<Arc<dyn AppUsers>>, BootFailure> {
    if auth.users.kind != UserKind::Python {
        return Ok(None);
    }
    let users = crate::app::python::users(auth);
    users.map(Some).map_err(|error| failed(format!("[auth.users] kind = \"python\": {error}")))
}

#[cfg(not(feature = "python"))]
#[expect(clippy::unnecessary_wraps, reason = "with Python it can fail")]
fn app_users(_: &Auth) -> Result<Option<Arc<dyn AppUsers>>, BootFailure> {
    Ok(None)
}

/// On a thread of its own: a store blocks, and some have a runtime of theirs, which cannot run where one runs already.
fn outside<T: Send>(work: impl FnOnce() -> Result<T, BootFailure> + Send) -> Result<T, BootFailure> {
    std::thread::scope(|threads| {
        let gone = |_| Err(failed("the thread that opens the store of sessions has panicked".into()));
        threads.spawn(work).join().unwrap_or_else(gone)
    })
}
