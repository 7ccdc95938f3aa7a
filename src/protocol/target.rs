//! The request target, taken apart once (RFC 9112 3.2).

use bytes::Bytes;
use std::ops::Range;

/// A request target: as sent, and its parts.
///
/// Router, auth rules and apps all read the same parts: two readings of one target are how
/// checks get bypassed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As the client sent it.
    raw: Bytes,
    /// Where the path is; empty where an absolute-form target has none.
    path: Range<usize>,
    /// Where that is which follows the first "?"; empty when there is none.
    query: Range<usize>,
    /// Where the authority of an absolute-form target is.
    authority: Option<Range<usize>>,
}

impl Target {
    /// Takes apart a target in origin-form, absolute-form or asterisk-form; `None` for any other.
    pub fn parse(raw: Bytes) -> Option<Self> {
        let (authority, path_start) = match raw.first()? {
            b'/' => (None, 0),
            b'*' if raw.len() == 1 => (None, 0),
            _ => {
                let authority = absolute_form_authority(&raw)?;
                let end = authority.end;
                (Some(authority), end)
            }
        };
        // A fragment is never part of a target (RFC 9112 3.2); what some clients send of one is cut off.
        let end = memchr::memchr(b'#', &raw).unwrap_or(raw.len()).max(path_start);
        let query_mark = memchr::memchr(b'?', &raw[path_start..end]).map(|at| path_start + at);
        let query = query_mark.map_or(end..end, |at| at + 1..end);
        Some(Self { path: path_start..query_mark.unwrap_or(end), query, authority, raw })
    }

    /// The path "/".
    pub fn root() -> Self {
        Self { raw: Bytes::from_static(b"/"), path: 0..1, query: 1..1, authority: None }
    }

    /// As the client sent it.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The path as sent, percent-encoding and repeated slashes kept: "/a%20b//c", or "*".
    pub fn path(&self) -> &[u8] {
        // RFC 9110 4.2.3: an empty path is that of the root.
        if self.path.is_empty() { b"/" } else { &self.raw[self.path.clone()] }
    }

    /// The path with its percent-encoding undone once. May hold any byte.
    pub fn decoded_path(&self) -> std::borrow::Cow<'_, [u8]> {
        percent_encoding::percent_decode(self.path()).into()
    }

    /// As the type that apps in Rust read; `None` when it is longer than that allows (64 KiB).
    ///
    /// Bytes that RFC 3986 does not allow in a target, and some clients send, are percent-encoded.
    /// An authority that the type cannot hold (`%41.example`) is left out: the Host field has it, too.
    pub fn to_uri(&self) -> Option<http::Uri> {
        uri(&self.raw).or_else(|| {
            self.authority.as_ref()?;
            let separator: &[u8] = if self.query.is_empty() { b"" } else { b"?" };
            uri(&[self.path(), separator, self.query()].concat().into())
        })
    }

    /// The same for an app that is mounted at a prefix, which the path is below: without that prefix. "/" where
    /// nothing is left of the path.
    pub fn to_uri_below(&self, prefix: &[u8]) -> Option<http::Uri> {
        if prefix.is_empty() {
            return self.to_uri();
        }
        let path = self.path();
        let rest = &path[encoded_length(path, prefix.len())..];
        let base =
            absolute_form_authority(&self.raw).map_or(&b""[..], |authority| &self.raw[..authority.end]);
        let mut raw = [base, b"/"].concat();
        // The slash behind the prefix may be a percent-encoded one.
        raw.extend_from_slice(rest.get(encoded_length(rest, 1)..).unwrap_or_default());
        if !self.query.is_empty() {
            raw.push(b'?');
            raw.extend_from_slice(self.query());
        }
        Self::parse(raw.into())?.to_uri()
    }

    /// The authority of an absolute-form target.
    pub fn authority(&self) -> Option<&[u8]> {
        self.authority.clone().map(|authority| &self.raw[authority])
    }

    /// What follows the first "?", without it.
    pub fn query(&self) -> &[u8] {
        &self.raw[self.query.clone()]
    }
}

fn uri(raw: &Bytes) -> Option<http::Uri> {
    http::Uri::from_maybe_shared(raw.clone()).ok().or_else(|| {
        let encoded = percent_encoding::percent_encode(raw, NOT_IN_TARGETS).to_string();
        http::Uri::try_from(encoded).ok()
    })
}

/// How many bytes of a path as sent stand for so many of the path decoded.
fn encoded_length(path: &[u8], decoded: usize) -> usize {
    let mut length = 0;
    for _ in 0..decoded {
        let is_encoded = matches!(path.get(length..length + 3), Some([b'%', high, low])
            if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
        length += if is_encoded { 3 } else { 1 };
    }
    length.min(path.len())
}

/// Where the authority stands in `http://authority/path`; RFC 9112 3.2.2 has servers accept it.
fn absolute_form_authority(raw: &[u8]) -> Option<Range<usize>> {
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| raw.len() > scheme.len() && raw[..scheme.len()].eq_ignore_ascii_case(scheme))?;
    let rest = &raw[scheme.len()..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    (end > 0).then_some(scheme.len()..scheme.len() + end)
}

/// Whether `path` is `prefix` or lies below it, on a segment boundary.
pub fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    let is_end = |rest: &[u8]| rest.first().is_none_or(|byte| *byte == b'/');
    prefix.is_empty() || path.strip_prefix(prefix).is_some_and(is_end)
}

/// RFC 3986 2: neither reserved nor unreserved. All of them have the same meaning when they are encoded.
const NOT_IN_TARGETS: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(raw: &'static str) -> Option<(String, String, Option<String>)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let target = Target::parse(Bytes::from_static(raw.as_bytes()))?;
        Some((text(target.path()), text(target.query()), target.authority().map(text)))
    }

    fn row(path: &str, query: &str, authority: Option<&str>) -> Option<(String, String, Option<String>)> {
        Some((path.into(), query.into(), authority.map(Into::into)))
    }

    #[test]
    fn each_form_is_taken_apart() {
        assert_eq!(parts("/a//b%20c?d?e"), row("/a//b%20c", "d?e", None));
        assert_eq!(parts("*"), row("*", "", None));
        assert_eq!(parts("http://h:80/a?b"), row("/a", "b", Some("h:80")));
        assert_eq!(parts("HTTPS://h?b"), row("/", "b", Some("h")));
        assert_eq!(parts("/a#f"), row("/a", "", None));
        assert_eq!(parts("h:80"), None);
        assert_eq!(parts("http:///a"), None);
    }

    #[test]
    fn every_target_that_is_taken_is_a_uri() {
        for (raw, expected) in [
            ("/a//b%20c?d?e", "/a//b%20c?d?e"),
            ("/a?b#c", "/a?b"),
            ("*", "*"),
            ("http://h:80/a?b", "http://h:80/a?b"),
            ("http://%41.example/a?b", "/a?b"),
            ("/a|b^c`<>\\\"{}", "/a%7Cb%5Ec%60%3C%3E%5C%22%7B%7D"),
            ("/ä", "/%C3%A4"),
            ("/a?b=[1]|", "/a?b=[1]%7C"),
        ] {
            let uri = Target::parse(Bytes::from_static(raw.as_bytes())).unwrap().to_uri().unwrap();
            let shown = uri.to_string();
            assert!(shown == expected || shown == raw, "{raw}: {shown}");
        }
        let long = Bytes::from(vec![b'/'; 70_000]);
        assert!(Target::parse(long).unwrap().to_uri().is_none());
    }

    #[test]
    fn an_app_below_a_prefix_sees_the_path_without_it() {
        for (raw, expected) in [
            ("/api", "/"),
            ("/api/", "/"),
            ("/api?x=1", "/?x=1"),
            ("/api/a%20b//c/?d?e", "/a%20b//c/?d?e"),
            ("/%61p%69/a", "/a"),
            ("/api%2Fa%2Fb", "/a%2Fb"),
            ("/api/%2Fa", "/%2Fa"),
            ("/api//a", "//a"),
            ("http://h:80/api/a?b", "http://h:80/a?b"),
            ("http://h/api", "http://h/"),
            ("http://%41.example/api/a?b", "/a?b"),
        ] {
            let uri =
                Target::parse(Bytes::from_static(raw.as_bytes())).unwrap().to_uri_below(b"/api").unwrap();
            assert_eq!(uri.to_string(), expected, "{raw}");
        }
        let target = Target::parse(Bytes::from_static(b"/api/x")).unwrap();
        assert_eq!(target.to_uri_below(b"").unwrap(), "/api/x");
    }

    #[test]
    fn prefixes_end_on_segment_boundaries() {
        for (path, prefix, expected) in [
            ("/static/a", "/static", true),
            ("/static", "/static", true),
            ("/statics", "/static", false),
            ("/a", "", true),
            ("*", "", true),
            ("/", "/static", false),
        ] {
            assert_eq!(is_below(path.as_bytes(), prefix.as_bytes()), expected, "{path} below {prefix}");
        }
    }
}
