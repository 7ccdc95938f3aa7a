//! One field line: `name ":" OWS value OWS` (RFC 9112 5).

use crate::config::is_token;
use crate::protocol::Rejection;
use std::ops::Range;

/// A field line, split.
#[derive(Debug)]
pub(super) struct FieldLine<'a> {
    pub(super) name: &'a [u8],
    /// Where the value stands in the line, without the white space around it.
    pub(super) value: Range<usize>,
}

/// Splits a line that holds no CR, LF or other control byte than TAB.
pub(super) fn split_field_line(line: &[u8]) -> Result<FieldLine<'_>, Rejection> {
    let colon = memchr::memchr(b':', line).ok_or(Rejection::FieldLine)?;
    // Refuses obs-fold and a space before the colon as well: neither is a token byte.
    if !is_token(&line[..colon]) {
        return Err(Rejection::FieldLine);
    }
    let mut start = colon + 1;
    let mut end = line.len();
    while start < end && matches!(line[start], b' ' | b'\t') {
        start += 1;
    }
    while end > start && matches!(line[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    Ok(FieldLine { name: &line[..colon], value: start..end })
}

/// Without the white space (SP, TAB) around it.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(start, |at| at + 1);
    &bytes[start..end]
}
