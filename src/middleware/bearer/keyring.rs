//! The keys of all providers: read while they serve, and replaced whole when files change or sets have been fetched.

use super::key_files::KeyFiles;
use crate::auth::jwks::Source;
use crate::auth::{AuthConfigError, Cache, LookUp, Provider};
use crate::config::Auth;
use crate::contract::key_table::{KeyTable, SourceIndex};
use crate::protocol::Identity;
use arc_swap::{ArcSwap, Guard};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// The keys of a moment, and the tokens that they have proven: a remembered token never outlives the keys.
#[derive(Debug)]
pub(super) struct Keyring {
    pub(super) providers: Vec<Provider>,
    pub(super) cache: Cache<Session>,
}

/// A token that was verified before.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) identity: Arc<Identity>,
    pub(super) provider: usize,
    pub(super) key_until: Option<f64>,
}

/// What came of a look for other keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// There are none.
    Same,
    /// They are in use; what has changed.
    Changed(String),
    /// They cannot be used, for this reason; the old ones are still in use.
    Kept(String),
}

/// Keys in use, and where others come from.
pub(super) struct Keys {
    /// A request sees the old keys or the new ones, and takes no lock.
    ring: ArcSwap<Keyring>,
    /// Told whenever they are others.
    changes: watch::Sender<()>,
    config: Auth,
    files: Mutex<KeyFiles>,
    /// Whether files could not be used when they were read last.
    outdated: AtomicBool,
    fetched: Option<Fetching>,
}

/// What is needed for keys that others fetch.
struct Fetching {
    table: KeyTable,
    /// Of each provider.
    sources: Vec<Option<Fetched>>,
    /// Tells the one who fetches that something is wanted.
    wake: Box<dyn Fn() + Send + Sync>,
    /// Told after each look into the table.
    news: watch::Sender<()>,
    /// For requests that wait.
    room: Arc<Semaphore>,
}

struct Fetched {
    description: Vec<u8>,
    /// Where it stands, and the version of it that is in use.
    place: Mutex<(SourceIndex, u64)>,
}

impl Fetched {
    fn place(&self) -> MutexGuard<'_, (SourceIndex, u64)> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    pub(super) fn new(config: &Auth, providers: Vec<Provider>) -> Self {
        Self {
            ring: ArcSwap::from_pointee(Keyring::new(config, providers)),
            changes: watch::Sender::new(()),
            config: config.clone(),
            files: Mutex::new(KeyFiles::of(config)),
            outdated: AtomicBool::new(false),
            fetched: None,
        }
    }

    /// The keys to judge one request by.
    pub(super) fn load(&self) -> Guard<Arc<Keyring>> {
        self.ring.load()
    }

    /// Tells from now on when the keys have changed.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn replace(&self, providers: Vec<Provider>) {
        self.ring.store(Arc::new(Keyring::new(&self.config, providers)));
        self.changes.send_replace(());
    }

    /// Takes key sets from this table, where some are to be fetched; `wake` tells who fetches that there is a wish.
    ///
    /// # Errors
    /// When there are more sources than the table holds.
    pub(super) fn fetch_by(
        &mut self,
        table: KeyTable,
        directory: &Path,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Result<(), AuthConfigError> {
        let source = |provider| {
            let Some(source) = Source::of(provider, directory) else { return Ok(None) };
            let description = source.describe();
            let full = || {
                AuthConfigError::setting(
                    "provider",
                    "there is no room for further key sets to be fetched; those that are not used any more are forgotten after a minute",
                )
            };
            let index = table.claim(&description).ok_or_else(full)?;
            Ok(Some(Fetched { description, place: Mutex::new((index, 0)) }))
        };
        let sources =
            self.config.providers.iter().map(source).collect::<Result<Vec<_>, AuthConfigError>>()?;
        if sources.iter().any(Option::is_some) {
            let (news, _) = watch::channel(());
            wake();
            self.fetched =
                Some(Fetching { table, sources, wake, news, room: Arc::new(Semaphore::new(WAITING)) });
            self.take_sets();
        }
        Ok(())
    }

    /// Whether there are keys that others fetch.
    pub(super) fn are_fetched(&self) -> bool {
        self.fetched.is_some()
    }

    /// Whether there are files that could not be used, so that older keys are.
    pub(super) fn are_outdated(&self) -> bool {
        self.outdated.load(Ordering::Relaxed)
    }

    /// Looks whether files have changed or sets have come.
    pub(super) fn look(&self) -> Renewal {
        let sets = self.take_sets();
        if self.files().have_changed() { self.read_files() } else { sets }
    }

    /// Reads all files anew.
    pub(super) fn read_files(&self) -> Renewal {
        let mut files = self.files();
        // Looked at before they are read: what changes while they are read is seen the next time.
        *files = KeyFiles::of(&self.config);
        let ring = self.ring.load();
        let (mut providers, mut errors) = (Vec::new(), Vec::new());
        for (config, now) in self.config.providers.iter().zip(&ring.providers) {
            match Provider::new(config, &mut Vec::new()) {
                Ok(provider) => providers.push(provider.with_set_of(now)),
                Err(more) => errors.extend(more),
            }
        }
        self.outdated.store(!errors.is_empty(), Ordering::Relaxed);
        if !errors.is_empty() {
            return Renewal::Kept(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        }
        let changed: Vec<&str> = (providers.iter().zip(&ring.providers))
            .filter(|(new, old)| !new.has_keys_of(old))
            .map(|(new, _)| &*new.name)
            .collect();
        if changed.is_empty() {
            return Renewal::Same;
        }
        let changed = Renewal::Changed(format!("the files of {}", changed.join(", ")));
        self.replace(providers);
        changed
    }

    /// Takes over what has been fetched.
    pub(super) fn take_sets(&self) -> Renewal {
        let Some(fetching) = &self.fetched else { return Renewal::Same };
        // One at a time, and not while files are read.
        let _files = self.files();
        let ring = self.ring.load();
        let mut providers = ring.providers.clone();
        let mut changed = Vec::new();
        for (provider, fetched) in providers.iter_mut().zip(&fetching.sources) {
            let Some(fetched) = fetched else { continue };
            // It is still needed; after a long sleep of the machine it may have lost its place.
            let Some(index) = fetching.table.claim(&fetched.description) else { continue };
            let mut place = fetched.place();
            if place.0 != index {
                *place = (index, 0);
            }
            if fetching.table.version(index) == place.1 {
                continue;
            }
            let published = fetching.table.read(index);
            place.1 = published.version;
            let with_set = provider.with_set(&published.text);
            if !with_set.has_keys_of(provider) {
                changed.push(provider.name.to_string());
            }
            *provider = with_set;
        }
        if !changed.is_empty() {
            self.replace(providers);
        }
        // Whoever waits looks whether it was this.
        fetching.news.send_replace(());
        if changed.is_empty() {
            Renewal::Same
        } else {
            Renewal::Changed(format!("the sets of {}", changed.join(", ")))
        }
    }

    /// What a request should wait for that has found no key; `None` when there is nothing to wait for.
    pub(super) fn wait(&self, provider: usize) -> Option<LookUp> {
        let fetching = self.fetched.as_ref()?;
        let fetched = fetching.sources.get(provider)?.as_ref()?;
        let table = fetching.table.clone();
        let (index, version) = *fetched.place();
        if table.version(index) != version {
            self.take_sets();
            return Some(Box::pin(std::future::ready(())));
        }
        let room = Arc::clone(&fetching.room).try_acquire_owned().ok()?;
        let mut news = fetching.news.subscribe();
        let attempts = table.attempts(index);
        if !table.want(index) {
            return None;
        }
        (fetching.wake)();
        Some(Box::pin(async move {
            let _room = room;
            let attempted =
                async { while table.attempts(index) == attempts && news.changed().await.is_ok() {} };
            let _ended_or_late = tokio::time::timeout(PATIENCE, attempted).await;
        }))
    }

    fn files(&self) -> MutexGuard<'_, KeyFiles> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keyring {
    fn new(config: &Auth, providers: Vec<Provider>) -> Self {
        Self { providers, cache: Cache::new(usize::try_from(config.cache_entries).unwrap_or(usize::MAX)) }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("ring", &self.ring.load()).finish_non_exhaustive()
    }
}

/// Requests of a worker that wait for keys at once, and how long: others are answered at once.
const WAITING: usize = 64;
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
