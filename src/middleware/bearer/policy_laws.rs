//! What holds for any path under rules: tried on random ones by `fuzz/`, on the kept ones by the tests.
#![expect(clippy::missing_panics_doc, reason = "a law that is broken panics: that is how it is told")]

use super::{Asked, Policy, Requirement};
use crate::config::{AuthRoute, Require};
use crate::protocol::{Scheme, Target, is_below};
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::collections::BTreeMap;

/// Whatever an app takes a path for, the rule of what it finds there has been asked; and a plain path is refused to nobody.
///
/// The first four bytes are what the app does to paths, one step each; the target follows.
pub fn path_under_rules(bytes: &[u8]) {
    let Some((steps, raw)) = bytes.split_first_chunk::<STEPS>() else { return };
    let Some(target) = Target::parse(Bytes::copy_from_slice(raw)) else { return };
    let Ok(policy) = Policy::new(&[route("/admin", closed()), route("/", Require::None)], &["local"]) else {
        return;
    };
    let asked = Asked {
        method: &Method::GET,
        target: &target,
        host: None,
        fields: &HeaderMap::new(),
        scheme: Scheme::Http,
    };
    let path = target.decoded_path();
    let mut is_decoded_again = false;
    let mut seen = path.to_vec();
    for step in steps {
        seen = match step % 6 {
            0 => seen.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect(),
            1 => without_runs(&seen),
            2 => without_dots(&seen),
            3 => as_python_normalizes(&seen),
            4 if !is_decoded_again => {
                is_decoded_again = true;
                percent_encoding::percent_decode(&seen).collect()
            }
            _ => seen,
        };
    }
    let rules = policy.rules_for(&asked);
    let is_open = rules.is_ok_and(|rules| rules.iter().all(|rule| rule.requirement == Requirement::Nothing));
    let shown = seen.escape_ascii();
    assert!(!is_open || !is_below(&seen, b"/admin"), "an app that sees {shown} is reached without a token");
    let is_plain = path.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/-_".contains(byte))
        && !path.windows(2).any(|pair| pair == b"//");
    assert!(!is_plain || is_open != is_below(&path, b"/admin"), "a plain path is judged by another rule");
}

fn without_runs(path: &[u8]) -> Vec<u8> {
    let mut out = path.to_vec();
    out.dedup_by(|one, other| (*one, *other) == (b'/', b'/'));
    out
}

/// RFC 3986 5.2.4, to the letter.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let (mut input, mut output) = (path.to_vec(), Vec::new());
    while !input.is_empty() {
        if input.starts_with(b"../") {
            input.drain(..3);
        } else if input.starts_with(b"./") || input.starts_with(b"/./") {
            input.drain(..2);
        } else if input == b"/." {
            input = b"/".to_vec();
        } else if input.starts_with(b"/../") || input == b"/.." {
            input.splice(..input.len().min(4), *b"/");
            output.truncate(output.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
        } else if input == b"." || input == b".." {
            input.clear();
        } else {
            let end = input.iter().skip(1).position(|byte| *byte == b'/').map_or(input.len(), |at| at + 1);
            output.extend(input.drain(..end));
        }
    }
    output
}

/// `posixpath.normpath`.
fn as_python_normalizes(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/').filter(|segment| !matches!(*segment, b"" | b".")) {
        if segment == b".." {
            segments.pop();
        } else {
            segments.push(segment);
        }
    }
    [b"/", &segments.join(&b'/')[..]].concat()
}

pub(in crate::middleware) fn route(prefix: &str, require: Require) -> AuthRoute {
    AuthRoute {
        prefix: prefix.into(),
        hosts: Vec::new(),
        methods: Vec::new(),
        require,
        allow_query: false,
        scopes_all: Vec::new(),
        scopes_any: Vec::new(),
        claims: BTreeMap::new(),
    }
}

pub(super) fn closed() -> Require {
    Require::Any(vec!["local".into()])
}

/// Steps that an app takes.
const STEPS: usize = 4;
