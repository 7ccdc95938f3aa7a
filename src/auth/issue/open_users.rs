//! Where the users are whom tokens are issued to, and what a user that is not there costs.

use super::decoys::Decoys;
use super::setup::{IssueError, LIMIT, QUEUE};
use crate::auth::AuthConfigError;
use crate::auth::store::pool::{Bounds, Open, Pool};
use crate::auth::store::{Backend, StoreError};
use crate::auth::users::django::Table;
use crate::auth::users::file::UserFile;
use crate::auth::users::password::{PasswordHash, own_decoy};
use crate::auth::users::{AppPools, AppUsers, Users};
use crate::config::{Auth, DatabaseUrl, UserKind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The users, and hashes of the cost of theirs that are nobody's, chosen by this secret. What is wrong is said at the start, not at the first
/// login.
pub(super) fn open_users(
    auth: &Auth,
    directory: &Path,
    store: &Arc<Pool<Box<dyn Backend>>>,
    (app, secret): (Option<Arc<dyn AppUsers>>, [u8; 16]),
) -> Result<(Users, Decoys), IssueError> {
    let decoys = |usual, samples: &[String]| Decoys::new(usual, secret, samples);
    match auth.users.kind {
        UserKind::Django => {
            let url = auth.users.url.clone().ok_or_else(|| {
                wrong("users", "kind = \"django\" needs the database of the project; see auth.users.url")
            })?;
            let (users, samples) = django(auth, url)?;
            Ok((users, decoys(PasswordHash::usual(), &samples)))
        }
        // What a user costs who is not there is the app's matter.
        UserKind::Python => Ok((by_app(auth, app)?, decoys(PasswordHash::usual(), &[]))),
        UserKind::File => {
            let (users, samples) = file(&directory.join(auth.users.file.clone().unwrap_or_default()))?;
            Ok((users, decoys(PasswordHash::usual(), &samples)))
        }
        UserKind::Own => Ok((Users::Own(Arc::clone(store)), decoys(own_decoy(), &[]))),
    }
}

/// With passwords as they are stored.
fn django(auth: &Auth, url: DatabaseUrl) -> Result<(Users, Vec<String>), IssueError> {
    let (users, claims) = (auth.users.clone(), auth.issue.extra_claims.clone());
    let bounds = Bounds { threads: Table::threads(&url), queue: QUEUE, limit: LIMIT };
    let open: Open<Table> = Arc::new(move || Table::open(&url, &users, &claims));
    let samples = match open().and_then(|mut table| table.samples()) {
        Err(error @ StoreError::Unusable(_)) => return Err(error.into()),
        Err(error) => {
            tracing::error!("the users cannot be read: {error}");
            Vec::new()
        }
        Ok(samples) => samples,
    };
    Ok((Users::Django(Pool::new(THREADS, bounds, &open)?), samples))
}

fn by_app(auth: &Auth, app: Option<Arc<dyn AppUsers>>) -> Result<Users, IssueError> {
    let app = app.ok_or_else(|| {
        let problem =
            "kind = \"python\" needs an app of a Django project, and the program of the Python package";
        wrong("users.kind", problem)
    })?;
    let open: Open<Arc<dyn AppUsers>> = Arc::new(move || Ok(Arc::clone(&app)));
    let threads = usize::from(auth.issue.hash_threads);
    let queue = usize::try_from(auth.issue.hash_queue).unwrap_or(QUEUE);
    Ok(Users::App(AppPools {
        logins: Pool::new("ferricorn-logins", Bounds { threads, queue, limit: APP_LIMIT }, &open)?,
        looks: Pool::new(THREADS, Bounds { threads, queue: QUEUE, limit: LIMIT }, &open)?,
    }))
}

/// Likewise.
fn file(path: &Path) -> Result<(Users, Vec<String>), IssueError> {
    let samples = UserFile::open(path)?.samples();
    let path = path.to_owned();
    let open: Open<UserFile> = Arc::new(move || UserFile::open(&path));
    let bounds = Bounds { threads: 1, queue: QUEUE, limit: LIMIT };
    Ok((Users::File(Pool::new(THREADS, bounds, &open)?), samples))
}

fn wrong(key: &str, problem: &str) -> IssueError {
    IssueError::Config(vec![AuthConfigError::setting(key, problem)])
}

const THREADS: &str = "ferricorn-users";

/// From asking the app to its answer, the hash of a password included.
const APP_LIMIT: Duration = Duration::from_secs(15);
