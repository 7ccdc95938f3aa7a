//! Path to app: the longest mount that ends on a segment boundary.

use crate::app::App;
use crate::protocol::is_below;
use std::fmt;
use std::sync::Arc;

/// The mounted apps.
pub struct Router {
    /// Longest prefix first, so that the first match is the longest.
    mounts: Vec<Mounted>,
}

/// An app and where it is mounted.
pub struct Mounted {
    /// Without a trailing slash: "" for "/".
    pub prefix: Arc<str>,
    /// The app.
    pub app: Arc<dyn App>,
}

impl Router {
    /// A router over apps and their mounts as configured ("/", "/static/").
    pub fn new(apps: impl IntoIterator<Item = (String, Arc<dyn App>)>) -> Self {
        let mut mounts: Vec<Mounted> = apps
            .into_iter()
            .map(|(mount, app)| Mounted { prefix: mount.trim_end_matches('/').into(), app })
            .collect();
        mounts.sort_by_key(|mounted| std::cmp::Reverse(mounted.prefix.len()));
        Self { mounts }
    }

    /// The app for a path with its percent-encoding undone.
    pub fn find(&self, path: &[u8]) -> Option<&Mounted> {
        self.mounts.iter().find(|mounted| is_below(path, mounted.prefix.as_bytes()))
    }

    /// The app mounted at exactly this prefix.
    pub fn mounted(&self, prefix: &str) -> Option<&Mounted> {
        self.mounts.iter().find(|mounted| &*mounted.prefix == prefix)
    }

    /// Every app once.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<dyn App>> {
        self.mounts.iter().map(|mounted| &mounted.app)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.mounts.iter().map(|mounted| &mounted.prefix)).finish()
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
