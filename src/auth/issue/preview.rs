//! What is wrong with the places of sessions and users, and with the tokens that would be issued, as far as it can be told
//! without asking another machine.

use super::trial::{TRIAL, try_out};
use crate::auth::AuthConfigError;
use crate::auth::store::{StoreError, StorePlace};
use crate::auth::users::django::Table;
use crate::auth::users::file::UserFile;
use crate::config::{Auth, DatabaseUrl, UserKind};
use std::path::Path;

/// The problems of a configuration that issues tokens, for a server that works in this directory. Nothing is connected
/// to, nothing is written; of a database whose file is not here [`warnings`] tell.
pub fn problems(auth: &Auth, directory: &Path) -> Vec<String> {
    if !auth.issues() {
        return Vec::new();
    }
    let trial = auth.issuing_provider().map(|provider| try_out(auth, provider)).and_then(Result::err);
    // What is wrong with the provider itself has been told already.
    let is_of_tokens =
        |error: &AuthConfigError| matches!(error, AuthConfigError::Setting { place, .. } if place == TRIAL);
    let trial = trial.into_iter().flatten().filter(is_of_tokens).map(|error| error.to_string());
    let store = StorePlace::of(auth, directory).and_then(|place| place.check());
    let problems = [("auth.store.url", store), ("auth.users", users(auth, directory))];
    let places = problems.into_iter().filter_map(|(key, judged)| Some(format!("{key}: {}", judged.err()?)));
    trial.chain(places).collect()
}

/// What the server will need and is not here: a database may be made, or mounted, before it starts.
pub fn warnings(auth: &Auth, directory: &Path) -> Vec<String> {
    let (UserKind::Django, Some(DatabaseUrl::Sqlite(path))) = (auth.users.kind, &auth.users.url) else {
        return Vec::new();
    };
    let place = std::path::absolute(directory.join(path)).unwrap_or_else(|_| path.clone());
    // Of one that we may not look for nothing is known.
    if !auth.issues() || !matches!(place.try_exists(), Ok(false)) {
        return Vec::new();
    }
    vec![format!("auth.users.url: there is no file {}, without which no worker starts", place.display())]
}

fn users(auth: &Auth, directory: &Path) -> Result<(), StoreError> {
    match (auth.users.kind, &auth.users.url) {
        (UserKind::File, _) => {
            UserFile::open(&directory.join(auth.users.file.clone().unwrap_or_default())).map(drop)
        }
        (UserKind::Django, Some(url @ DatabaseUrl::Sqlite(path))) if path.exists() => {
            match Table::open(url, &auth.users, &auth.issue.extra_claims) {
                // It may be in use just now.
                Ok(_) | Err(StoreError::Unavailable(_) | StoreError::Busy | StoreError::TooSlow) => Ok(()),
                Err(error @ StoreError::Unusable(_)) => Err(error),
            }
        }
        (UserKind::Django, Some(url @ DatabaseUrl::Postgres(_))) => StorePlace::at(url.clone()).check(),
        (UserKind::Django | UserKind::Own | UserKind::Python, _) => Ok(()),
    }
}
