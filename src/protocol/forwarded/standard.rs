//! The Forwarded field (RFC 7239), for proxies that write it.
//!
//! Read from its end: what the nearest proxy has added stands there, and is well-formed, whatever a client has
//! written before it. An open quote further left thus never reaches into it.

use super::{Statement, TrustedPeers, host_field};
use crate::config::{is_token, is_token_byte};
use crate::protocol::{Forwarded, Scheme};
use http::header::{FORWARDED, HeaderMap, HeaderValue};

/// What one proxy has added.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) r#for: Option<Vec<u8>>,
    pub(super) proto: Option<Vec<u8>>,
    pub(super) host: Option<Vec<u8>>,
}

/// Scheme and host as the nearest proxy saw them; the client as far as proxies of ours go.
pub(super) fn read(fields: &HeaderMap, trusted: &TrustedPeers) -> Statement {
    let lines = fields.get_all(FORWARDED).iter().rev().map(HeaderValue::as_bytes);
    // What cannot be read ends the list: nothing beyond it is believed.
    let elements: Vec<Element> = lines.flat_map(elements_from_the_end).map_while(element).collect();
    let nearest = elements.first();
    let scheme = nearest.and_then(|element| match element.proto.as_deref()? {
        word if word.eq_ignore_ascii_case(b"https") => Some(Scheme::Https),
        word if word.eq_ignore_ascii_case(b"http") => Some(Scheme::Http),
        _ => None,
    });
    let host = nearest.and_then(|element| host_field(element.host.as_deref()?));
    // An element without "for" hides its client, and so ends the list too.
    let nodes = elements.iter().map_while(|element| element.r#for.as_deref());
    Statement { scheme, forwarded: Forwarded { client: trusted.farthest_client(nodes), host, port: None } }
}

/// The elements of one field, the last first.
fn elements_from_the_end(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let mut quoted = false;
        for at in (0..line.len()).rev() {
            match line[at] {
                b'"' if !is_escaped(line, at) => quoted = !quoted,
                b',' if !quoted => {
                    rest = Some(&line[..at]);
                    return Some(&line[at + 1..]);
                }
                _ => {}
            }
        }
        rest = None;
        Some(line)
    })
    .filter(|element| !element.trim_ascii().is_empty())
}

/// Whether an odd number of backslashes stands before a byte.
fn is_escaped(line: &[u8], at: usize) -> bool {
    line[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// `for=…;proto=…`; `None` when it is not well-formed, or says a thing twice (RFC 7239 4).
pub(super) fn element(text: &[u8]) -> Option<Element> {
    let mut element = Element::default();
    let mut rest = text.trim_ascii();
    while !rest.is_empty() {
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let name = &rest[..equals];
        let (value, behind) = value(&rest[equals + 1..])?;
        let place = if name.eq_ignore_ascii_case(b"for") {
            Some(&mut element.r#for)
        } else if name.eq_ignore_ascii_case(b"proto") {
            Some(&mut element.proto)
        } else if name.eq_ignore_ascii_case(b"host") {
            Some(&mut element.host)
        } else if is_token(name) {
            None
        } else {
            return None;
        };
        if let Some(place) = place
            && place.replace(value).is_some()
        {
            return None;
        }
        rest = match behind {
            [] => behind,
            [b';', behind @ ..] => behind,
            _ => return None,
        };
    }
    Some(element)
}

/// A token or a quoted string (RFC 9110 5.6), unquoted, and what follows it.
fn value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        // Proxies write addresses with ":" and brackets without the quotes that they should have.
        let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
        let token = &text[..end];
        let is_plain = |byte: &u8| is_token_byte(*byte) || matches!(byte, b':' | b'[' | b']');
        return (!token.is_empty() && token.iter().all(is_plain)).then(|| (token.to_vec(), &text[end..]));
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((value, &quoted[at + 1..])),
            b'\\' => value.push(*bytes.next()?.1),
            byte => value.push(*byte),
        }
    }
    None
}
