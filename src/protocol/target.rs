//! The request target, taken apart once (RFC 9112 3.2).

use bytes::Bytes;

/// A request target: as sent, and its parts.
///
/// Router, auth rules and apps all read the same parts: two readings of one target are how
/// checks get bypassed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As the client sent it.
    raw: Bytes,
    /// The path as sent: "/a%20b//c", or "*".
    path: Bytes,
    /// What follows the first "?", without it; empty when there is none.
    query: Bytes,
}

impl Target {
    /// Takes apart a target in origin-form, absolute-form or asterisk-form; `None` for any other.
    pub fn parse(raw: Bytes) -> Option<Self> {
        let path_start = match raw.first()? {
            b'/' => 0,
            b'*' if raw.len() == 1 => 0,
            _ => absolute_form_path(&raw)?,
        };
        let rest = raw.slice(path_start..);
        let query_start = memchr::memchr(b'?', &rest);
        let path = rest.slice(..query_start.unwrap_or(rest.len()));
        let query = query_start.map_or_else(Bytes::new, |at| rest.slice(at + 1..));
        let path = if path.is_empty() { Bytes::from_static(b"/") } else { path };
        Some(Self { raw, path, query })
    }

    /// As the client sent it.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The path as sent, percent-encoding and repeated slashes kept.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The path with its percent-encoding undone once. May hold any byte.
    pub fn decoded_path(&self) -> std::borrow::Cow<'_, [u8]> {
        percent_encoding::percent_decode(&self.path).into()
    }

    /// What follows the first "?", without it.
    pub fn query(&self) -> &[u8] {
        &self.query
    }
}

/// Where the path begins in `http://authority/path`; RFC 9112 3.2.2 has servers accept it.
fn absolute_form_path(raw: &[u8]) -> Option<usize> {
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| raw.len() > scheme.len() && raw[..scheme.len()].eq_ignore_ascii_case(scheme))?;
    let authority = &raw[scheme.len()..];
    let end = authority.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(authority.len());
    (end > 0).then_some(scheme.len() + end)
}
