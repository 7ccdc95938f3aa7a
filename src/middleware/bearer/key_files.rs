//! Whether files that hold keys have changed.

use crate::config::{Auth, AuthProvider, KeySource};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The files of a configuration, as they were when they were last looked at.
#[derive(Debug)]
pub(super) struct KeyFiles(Vec<(PathBuf, Option<Stamp>)>);

/// What changes with a file's content. A file that is replaced has another inode, whatever its times.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl KeyFiles {
    /// As they are now.
    pub(super) fn of(config: &Auth) -> Self {
        let files = config.providers.iter().flat_map(files_of);
        Self(files.map(|path| (path.clone(), stamp(path))).collect())
    }

    /// Whether one of them is another than it was. One that is missing for a moment has not changed yet.
    pub(super) fn have_changed(&self) -> bool {
        self.0.iter().any(|(path, before)| stamp(path).is_some_and(|now| Some(now) != *before))
    }
}

fn files_of(provider: &AuthProvider) -> impl Iterator<Item = &PathBuf> {
    let keys = provider.keys.iter().filter_map(|key| match &key.source {
        KeySource::SecretFile(path)
        | KeySource::SecretBase64File(path)
        | KeySource::PemFile(path)
        | KeySource::JwkFile(path) => Some(path),
        KeySource::Secret(_)
        | KeySource::SecretEnv(_)
        | KeySource::Pem(_)
        | KeySource::PemEnv(_)
        | KeySource::Jwk(_) => None,
    });
    keys.chain(&provider.jwks_file)
}

/// Of what a link leads to: deployments change links.
fn stamp(path: &PathBuf) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}
