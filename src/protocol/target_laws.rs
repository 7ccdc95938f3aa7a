//! What holds for any target: tried on random ones by `fuzz/`, on the kept ones by the tests.
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a law that is broken panics: that is how it is told"
)]

use super::h1::is_host;
use super::{Target, is_below};
use bytes::Bytes;
use std::borrow::Cow;

/// The parts of a target are its own bytes, and what Rust apps see of it stands for the same path and query.
pub fn target(bytes: &[u8]) {
    let Some(target) = Target::parse(Bytes::copy_from_slice(bytes)) else { return };
    let (path, query) = (target.path(), target.query());
    assert_eq!(target.raw(), bytes);
    assert!(path == b"*" || path.starts_with(b"/"));
    assert!(!path.iter().any(|byte| b"?#".contains(byte)) && !query.contains(&b'#'));
    assert!(path == b"/" || memchr::memmem::find(bytes, path).is_some(), "a path from nowhere");
    assert!(memchr::memmem::find(bytes, query).is_some(), "a query from nowhere");
    // What a request line may hold: see `h1::head`.
    let is_named = target.authority().is_none_or(|authority| is_host(authority) && !authority.is_empty());
    if !is_named || !bytes.iter().all(|byte| (0x21..0x7f).contains(byte)) {
        return;
    }
    let uri = target.to_uri().expect("every target that arrives is a URI");
    assert_eq!(decoded(uri.path()), target.decoded_path(), "another path in {uri}");
    assert_eq!(decoded(uri.query().unwrap_or_default()), decode(query), "another query in {uri}");
    judge_below(&target);
}

/// Below each prefix that a path has, it is the rest of that path.
fn judge_below(target: &Target) {
    let path = target.decoded_path();
    let ends = (1..=path.len()).filter(|end| *end == path.len() || path[*end] == b'/');
    for prefix in ends.map(|end| &path[..end]).filter(|prefix| prefix.starts_with(b"/")).take(PREFIXES) {
        assert!(is_below(&path, prefix));
        let uri = target.to_uri_below(prefix).expect("what is left of a URI is one");
        let rest = &path[prefix.len()..];
        let rest = if rest.is_empty() { b"/" } else { rest };
        assert_eq!(decoded(uri.path()), rest, "below {:?}", prefix.escape_ascii().to_string());
        assert_eq!(decoded(uri.query().unwrap_or_default()), decode(target.query()));
    }
}

fn decoded(text: &str) -> Cow<'_, [u8]> {
    decode(text.as_bytes())
}

fn decode(bytes: &[u8]) -> Cow<'_, [u8]> {
    percent_encoding::percent_decode(bytes).into()
}

/// Prefixes tried of one path.
const PREFIXES: usize = 8;
