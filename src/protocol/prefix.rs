//! Where an app is mounted, as its requests know it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The URL prefix below which an app is mounted, without a trailing slash: "" for "/". Cheap to clone; it reads like a `str`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Prefix(
    /// `None` for "", which most apps have: it is cloned for each request, and then costs nothing.
    Option<Arc<str>>,
);

impl From<&str> for Prefix {
    fn from(prefix: &str) -> Self {
        Self((!prefix.is_empty()).then(|| Arc::from(prefix)))
    }
}

impl Deref for Prefix {
    type Target = str;

    fn deref(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl AsRef<str> for Prefix {
    fn as_ref(&self) -> &str {
        self
    }
}

impl PartialEq<str> for Prefix {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Prefix {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}
