//! Where the store lies.

#[cfg(feature = "postgres")]
use super::postgres;
#[cfg(feature = "redis")]
use super::redis;
use super::{Backend, StoreError, sha256, sqlite};
use crate::config::{Auth, DatabaseUrl};
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where the store of a configuration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePlace(pub(super) DatabaseUrl);

impl StorePlace {
    /// Of this configuration, for a server that works in this directory.
    ///
    /// # Errors
    /// When no place of its own can be named.
    pub fn of(auth: &Auth, directory: &Path) -> Result<Self, StoreError> {
        let url = match &auth.store.url {
            Some(url) => url.clone(),
            None => DatabaseUrl::Sqlite(default_file(directory, |name| std::env::var_os(name))),
        };
        Ok(Self(url))
    }

    /// At this URL.
    pub fn at(url: DatabaseUrl) -> Self {
        Self(url)
    }

    /// Whether the URL can be understood; nobody is asked.
    ///
    /// # Errors
    /// [`StoreError::Unusable`].
    pub fn check(&self) -> Result<(), StoreError> {
        match &self.0 {
            DatabaseUrl::Sqlite(path) if path.is_dir() => {
                Err(StoreError::Unusable(format!("{} is a directory; name a file in it", path.display())))
            }
            #[cfg(feature = "redis")]
            DatabaseUrl::Redis(url) => redis::Redis::check(url),
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => postgres::check(url),
            // The configuration has been refused.
            #[cfg(not(feature = "redis"))]
            DatabaseUrl::Redis(_) => Ok(()),
            #[cfg(not(feature = "postgres"))]
            DatabaseUrl::Postgres(_) => Ok(()),
            DatabaseUrl::Sqlite(_) => Ok(()),
        }
    }

    /// Whether there may be something to be opened: a file is made by whoever opens it. Of servers nobody is asked.
    pub fn exists(&self) -> bool {
        match &self.0 {
            // Of what may not be looked for, opening says more.
            DatabaseUrl::Sqlite(path) => path.try_exists().unwrap_or(true),
            DatabaseUrl::Redis(_) | DatabaseUrl::Postgres(_) => true,
        }
    }

    /// Opens a connection, and makes what is missing.
    ///
    /// # Errors
    /// [`StoreError`] saying what to do.
    pub fn open(&self) -> Result<Box<dyn Backend>, StoreError> {
        match &self.0 {
            DatabaseUrl::Sqlite(path) => Ok(Box::new(sqlite::Sqlite::open(path)?)),
            #[cfg(feature = "redis")]
            DatabaseUrl::Redis(url) => Ok(Box::new(redis::Redis::open(url)?)),
            #[cfg(not(feature = "redis"))]
            DatabaseUrl::Redis(_) => Err(self.is_built_without("redis")),
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => Ok(Box::new(postgres::Postgres::open(url)?)),
            #[cfg(not(feature = "postgres"))]
            DatabaseUrl::Postgres(_) => Err(self.is_built_without("postgres")),
        }
    }

    #[cfg(not(all(feature = "postgres", feature = "redis")))]
    fn is_built_without(&self, feature: &str) -> StoreError {
        let text = format!("this program was built without the feature \"{feature}\", which {self} needs");
        StoreError::Unusable(text)
    }

    /// What [`Backend::concerns`] says; nothing when the store is away.
    pub fn concerns(&self) -> Vec<String> {
        self.open().map(|mut store| store.concerns()).unwrap_or_default()
    }

    /// Threads that use it at once, each by a connection of its own.
    pub fn threads(&self) -> usize {
        match self.0 {
            // One writes at a time in any case.
            DatabaseUrl::Sqlite(_) => 1,
            DatabaseUrl::Redis(_) | DatabaseUrl::Postgres(_) => 4,
        }
    }
}

impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            DatabaseUrl::Sqlite(path) => path.display().fmt(f),
            url @ (DatabaseUrl::Redis(_) | DatabaseUrl::Postgres(_)) => url.fmt(f),
        }
    }
}

/// The file of a server that works in this directory, by what its environment says.
///
/// systemd names the directory of the service (StateDirectory=). Elsewhere it is one below the user's state
/// directory (XDG Base Directory Specification), named for the server's directory: two sites of one user must not
/// share their sessions. Without any it is a hidden file in the server's directory.
pub fn default_file(directory: &Path, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let path = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // systemd.exec(5): several directories are separated by colons.
    let services = variable("STATE_DIRECTORY").and_then(|list| std::env::split_paths(&list).next());
    if let Some(state) = services.filter(|path| path.is_absolute()) {
        return state.join("auth.db");
    }
    match path("XDG_STATE_HOME").or_else(|| path("HOME").map(|home| home.join(".local/state"))) {
        Some(state) => state.join("ferricorn").join(own_name(directory)).join("auth.db"),
        None => directory.join(".ferricorn-auth.db"),
    }
}

/// The directory's name, and of its whole path what tells it from others of that name.
fn own_name(directory: &Path) -> String {
    let last = directory.file_name().map_or_else(|| "root".into(), |name| name.to_string_lossy());
    let plain: String =
        last.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').take(40).collect();
    let hash = sha256(&[directory.as_os_str().as_bytes()]);
    let digits: String = hash[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{plain}-{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_services_or_the_users() {
        for (variables, expected) in [
            (&[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("HOME", "/home/u")][..], "/var/lib/a/auth.db"),
            (&[("XDG_STATE_HOME", "/x"), ("HOME", "/home/u")], "/x/ferricorn/my-site-e80778c1/auth.db"),
            (
                &[("XDG_STATE_HOME", "relative"), ("HOME", "/home/u")],
                "/home/u/.local/state/ferricorn/my-site-e80778c1/auth.db",
            ),
            (&[("STATE_DIRECTORY", "")], "/srv/my-site/.ferricorn-auth.db"),
        ] {
            let variable =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| v.into());
            assert_eq!(default_file(Path::new("/srv/my-site"), variable), Path::new(expected));
        }
        assert_ne!(own_name(Path::new("/a/site")), own_name(Path::new("/b/site")));
        assert!(own_name(Path::new("/")).starts_with("root-"));
    }
}
