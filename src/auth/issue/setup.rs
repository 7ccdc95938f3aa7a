//! An issuer, made of a configuration in a worker that has just begun.

use super::claims::Names;
use super::hashing::Hashing;
use super::limits::Limits;
use super::login::Rehash;
use super::open_users::open_users;
use super::standing::TypeRule;
use super::trial::try_out;
use super::user_states::UserStates;
use super::user_watch::UserWatch;
use super::{Issuer, Judges, Rules, decoys};
use crate::auth::revocations::{Revocations, Silence};
use crate::auth::store::pool::{Bounds, Open, Pool};
use crate::auth::store::{Backend, StoreError, StorePlace, feed};
use crate::auth::users::AppUsers;
use crate::auth::users::password::Norm;
use crate::auth::{AuthConfigError, Provider};
use crate::config::{Auth, AuthProvider, AuthUsers, OnStoreError, UserKind};
use arc_swap::ArcSwap;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Why no tokens can be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A key, or a setting.
    #[error("{}", list(.0))]
    Config(Vec<AuthConfigError>),
    /// The store of sessions, or the table of users.
    #[error("[auth] {0}")]
    Store(#[from] StoreError),
    /// The system refuses a thread.
    #[error("[auth.issue] no thread can be begun: {0}")]
    Thread(#[from] io::Error),
}

impl Issuer {
    /// Reads the keys, opens the store and the users, and hears what sessions have ended. To be called after the fork,
    /// in the directory that the server works in. `app` knows the users where kind = "python".
    ///
    /// # Errors
    /// [`IssueError`]; a store that is only away at the moment is none.
    pub fn new(auth: &Auth, directory: &Path, app: Option<Arc<dyn AppUsers>>) -> Result<Self, IssueError> {
        let issue = &auth.issue;
        let provider = auth.issuing_provider().ok_or_else(|| {
            let problem = "no provider can sign; give one a key with use = \"sign+verify\"";
            IssueError::Config(vec![AuthConfigError::setting("issue.provider", problem)])
        })?;
        try_out(auth, provider).map_err(IssueError::Config)?;
        let silence = match auth.store.on_error {
            OnStoreError::Closed => Silence::ClosesAfter(auth.store.stale_max),
            OnStoreError::Open => Silence::ChangesNothing,
        };
        let revocations = Arc::new(Revocations::new(silence));
        let place = StorePlace::of(auth, directory)?;
        feed::listen(&place, &revocations)?;
        let store = store(&place)?;
        let longest = issue.refresh.max(issue.session_max);
        let refresh = with_type(provider, Some("refresh"), longest)?;
        let secret = refresh.derive(decoys::PURPOSE).ok_or_else(|| {
            let problem = "the key that signs cannot be read; make another one by `ferricorn jwt keygen`";
            IssueError::Config(vec![AuthConfigError::setting("issue.provider", problem)])
        })?;
        let (users, decoys) = open_users(auth, directory, &store, (app, secret))?;
        let users = Arc::new(users);
        let watched = watched_for(auth.users.kind, provider).map(|fresh| UserStates::new(fresh, silence));
        let watch =
            watched.map(|states| Arc::new(UserWatch::new(states, Arc::clone(&users), Arc::clone(&store))));
        // A token is verified whomever it names.
        let nameless = AuthProvider { subject_claim: String::new(), ..provider.clone() };
        Ok(Self {
            judges: ArcSwap::from_pointee(Judges {
                refresh,
                access: with_type(provider, Some("access"), provider.max_lifetime)?,
                any: with_type(&nameless, None, longest)?,
            }),
            provider: provider.name.clone(),
            names: Names::new(provider),
            rules: rules(auth, provider),
            store,
            users,
            watch,
            rehash: rehash(&auth.users),
            hashing: Hashing::new(issue.hash_threads, issue.hash_queue, decoys)?,
            limits: Limits::new(issue.limit.clone()),
            revocations,
        })
    }
}

/// What the configuration says of tokens and sessions.
fn rules(auth: &Auth, provider: &AuthProvider) -> Rules {
    let issue = &auth.issue;
    Rules {
        access: seconds(issue.access),
        refresh: seconds(issue.refresh),
        session_max: seconds(issue.session_max),
        rotates: auth.rotates(),
        reuse: issue.reuse,
        grace: auth.reuse_grace(provider),
        revokes_access: issue.revoke_access,
        adopts: issue.legacy_adopt,
        max_token_bytes: usize::try_from(auth.max_token_bytes).unwrap_or(usize::MAX),
        types: TypeRule::of(provider),
    }
}

/// How long the state of a user is good for before it is asked again; `None`: it is not asked.
fn watched_for(kind: UserKind, provider: &AuthProvider) -> Option<Duration> {
    match kind {
        UserKind::Django | UserKind::Python | UserKind::File => provider.user_state.good_for(),
        // Who is taken out of our own table loses the sessions at once.
        UserKind::Own => None,
    }
}

/// Which hashes are made anew at a login.
fn rehash(users: &AuthUsers) -> Rehash {
    match (users.rehash, users.kind) {
        (true, UserKind::Django) => Rehash::Weaker(Norm::Django),
        (true, UserKind::Own) => Rehash::Weaker(Norm::Own),
        (true, UserKind::Python | UserKind::File) | (false, _) => Rehash::Never,
    }
}

/// The provider as it takes tokens of this type.
fn with_type(
    provider: &AuthProvider,
    token_type: Option<&str>,
    max_lifetime: Duration,
) -> Result<Provider, IssueError> {
    let mut provider = provider.clone();
    provider.token_type = token_type.map(str::to_owned);
    provider.max_lifetime = provider.max_lifetime.max(max_lifetime);
    for claim in ["exp", "jti"] {
        if !provider.require.iter().any(|required| required == claim) {
            provider.require.push(claim.into());
        }
    }
    // The authenticator has told the warnings.
    Provider::new(&provider, &mut Vec::new()).map_err(IssueError::Config)
}

fn store(place: &StorePlace) -> Result<Arc<Pool<Box<dyn Backend>>>, IssueError> {
    let opened = place.clone();
    let open: Open<Box<dyn Backend>> = Arc::new(move || opened.open());
    let bounds = Bounds { threads: place.threads(), queue: QUEUE, limit: LIMIT };
    Ok(Arc::new(Pool::new("ferricorn-store", bounds, &open)?))
}

fn list(errors: &[AuthConfigError]) -> String {
    let mut text = String::new();
    for error in errors {
        let gap = if text.is_empty() { "" } else { "\n" };
        // A text takes whatever is written to it.
        let _ = write!(text, "{gap}{error}");
    }
    text
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Requests that may wait for the store, or for the users.
pub(super) const QUEUE: usize = 256;

/// From asking the store to its answer; more than it waits for whoever writes.
pub(super) const LIMIT: Duration = Duration::from_secs(3);
