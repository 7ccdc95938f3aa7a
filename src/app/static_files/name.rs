//! From a request's path to the name of a file beneath the directory.

use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A file, or a directory whose slash is missing.
    File(PathBuf),
    /// A directory, with its slash; empty for the mounted one.
    Directory(PathBuf),
}

impl Named {
    /// Reads the path of a target; `None` for what can name nothing here. `mount` has no slash at its end.
    ///
    /// The path is decoded once, so `%252e` is the text `%2e`. Dot segments and backslashes name no file
    /// even where the system would find one: a check in front that reads them otherwise would be evaded.
    /// Repeated slashes count as one, as everywhere on the web.
    pub(super) fn parse(raw: &[u8], mount: &str) -> Option<Self> {
        let path: Cow<'_, [u8]> = percent_decode(raw).into();
        let rest = path.strip_prefix(mount.as_bytes())?;
        if rest.iter().any(|byte| matches!(byte, 0 | b'\\')) {
            return None;
        }
        if rest.is_empty() {
            return Some(Self::File(PathBuf::new()));
        }
        let rest = rest.strip_prefix(b"/")?;
        let mut name = PathBuf::with_capacity(rest.len());
        for segment in rest.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()) {
            if matches!(segment, b"." | b"..") {
                return None;
            }
            name.push(OsStr::from_bytes(segment));
        }
        match (rest.is_empty() || rest.ends_with(b"/"), raw.ends_with(b"/")) {
            (false, _) => Some(Self::File(name)),
            (true, true) => Some(Self::Directory(name)),
            // An encoded slash is none to a client: links in the answer would lead elsewhere.
            (true, false) => None,
        }
    }
}

/// A reference from a path without its last slash to the same path with it (RFC 3986 4.2).
///
/// Relative, so that it holds behind every proxy, and so that no path can make it name another host.
pub(super) fn with_slash(raw: &[u8], query: &[u8]) -> Vec<u8> {
    let last = memchr::memrchr(b'/', raw).map_or(raw, |at| &raw[at + 1..]);
    // Without "./" a colon in the segment would make it a scheme.
    let mut reference = [b"./", last, b"/"].concat();
    if !query.is_empty() {
        reference.push(b'?');
        reference.extend_from_slice(query);
    }
    reference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_files_and_directories() {
        let file = |name: &str| Some(Named::File(name.into()));
        let directory = |name: &str| Some(Named::Directory(name.into()));
        for (raw, mount, expected) in [
            ("/s/a.txt", "/s", file("a.txt")),
            ("/s//sub///b", "/s", file("sub/b")),
            ("/s/sub%2Fb", "/s", file("sub/b")),
            ("/%73/a%2etxt", "/s", file("a.txt")),
            ("/s/%252e", "/s", file("%2e")),
            ("/s", "/s", file("")),
            ("/s/", "/s", directory("")),
            ("/s//", "/s", directory("")),
            ("/s/sub/", "/s", directory("sub")),
            ("/", "", directory("")),
            ("/a", "", file("a")),
            ("/s%2F", "/s", None),
            ("/s/sub%2F", "/s", None),
            ("/sa", "/s", None),
            ("/s/..", "/s", None),
            ("/s/%2e%2e/", "/s", None),
            ("/s/./a", "/s", None),
            ("/s/a%00", "/s", None),
            ("/s/a%5cb", "/s", None),
            ("*", "", None),
        ] {
            assert_eq!(Named::parse(raw.as_bytes(), mount), expected, "{raw}");
        }
    }

    #[test]
    fn slashes_are_added_by_relative_references() {
        for (raw, query, expected) in [
            ("/s/sub", "", "./sub/"),
            ("/s/sub", "a=b&c", "./sub/?a=b&c"),
            ("//evil.example", "", "./evil.example/"),
            ("/s/a:b", "", "./a:b/"),
            ("/s/sub%2Fdeep", "", "./sub%2Fdeep/"),
        ] {
            assert_eq!(with_slash(raw.as_bytes(), query.as_bytes()), expected.as_bytes(), "{raw}");
        }
    }
}
