//! How long clients may keep a file without asking again (RFC 9111).
//!
//! A file that is called immutable by mistake stays stale in browsers for a year, and nobody can take that
//! back. So a name is believed on evidence alone: Django's own list of the names it has hashed, or a pattern that the
//! operator wrote. A name that merely looks hashed is none.

use crate::config::{FileRules, NamePattern};
use crate::sys::openat::Directory;
use http::HeaderValue;
use std::collections::HashSet;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Who may keep an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Caches on the way too.
    Everyone,
    /// The client alone: it had to prove who it is.
    Client,
}

/// What is said about each file.
#[derive(Debug)]
pub(super) struct Lifetimes {
    /// Names relative to the directory.
    hashed: HashSet<Vec<u8>>,
    patterns: Vec<NamePattern>,
    /// For everyone, for the client alone.
    ordinary: Option<[HeaderValue; 2]>,
}

impl Lifetimes {
    /// What holds for the files of a directory as it is now.
    pub(super) fn new(rules: &FileRules, directory: &Directory) -> Self {
        let ordinary = rules.max_age.and_then(|age| match age.as_secs() {
            // RFC 9111 5.2.2.4: kept, but never used without asking.
            0 => Some([HeaderValue::from_static("no-cache"), HeaderValue::from_static("private, no-cache")]),
            seconds => {
                let value = |audience| HeaderValue::from_str(&format!("{audience}, max-age={seconds}")).ok();
                Some([value("public")?, value("private")?])
            }
        });
        let hashed = hashed_names(directory).unwrap_or_else(|error| {
            tracing::warn!(%error, "{MANIFEST} cannot be used; its files get no \"immutable\"");
            HashSet::new()
        });
        Self { hashed, patterns: rules.immutable.clone(), ordinary }
    }

    /// The value of Cache-Control for a file.
    pub(super) fn cache_control(&self, name: &Path, audience: Audience) -> Option<HeaderValue> {
        let name = name.as_os_str().as_bytes();
        if self.hashed.contains(name) || self.patterns.iter().any(|pattern| pattern.matches(name)) {
            return Some(HeaderValue::from_static(match audience {
                Audience::Everyone => "public, max-age=31536000, immutable",
                Audience::Client => "private, max-age=31536000, immutable",
            }));
        }
        let [everyone, client] = self.ordinary.as_ref()?;
        Some(match audience {
            Audience::Everyone => everyone.clone(),
            Audience::Client => client.clone(),
        })
    }
}

/// The hashed names that Django's ManifestStaticFilesStorage has listed; none without its list.
fn hashed_names(directory: &Directory) -> io::Result<HashSet<Vec<u8>>> {
    let Some(file) = directory.open_beneath(Path::new(MANIFEST))? else { return Ok(HashSet::new()) };
    if !file.metadata()?.is_file() {
        return Ok(HashSet::new());
    }
    let mut text = Vec::new();
    file.take(MANIFEST_LIMIT + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MANIFEST_LIMIT {
        return Err(io::Error::other(format!("it is larger than {MANIFEST_LIMIT} bytes")));
    }
    let manifest: serde_json::Value = serde_json::from_slice(&text)?;
    let paths = manifest.get("paths").and_then(serde_json::Value::as_object);
    let paths = paths.ok_or_else(|| io::Error::other("it has no \"paths\""))?;
    let hashed = paths.iter().filter_map(|(original, hashed)| {
        // A storage may leave a file its name, which then says nothing about its content.
        hashed.as_str().filter(|hashed| hashed != original).map(|hashed| hashed.as_bytes().to_vec())
    });
    Ok(hashed.collect())
}

/// What Django calls the list, in STATIC_ROOT.
const MANIFEST: &str = "staticfiles.json";
/// Far above the hundred bytes each of a hundred thousand files.
const MANIFEST_LIMIT: u64 = 16 << 20;
