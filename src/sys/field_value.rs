//! Field values (RFC 9110 5.5) whose bytes are judged many at once.

use bytes::Bytes;
use http::HeaderValue;

/// Bytes as a field value; `None` where they hold a control byte other than TAB.
///
/// [`HeaderValue::from_maybe_shared`] says the same, and looks at each byte by itself, of which a browser sends about a
/// thousand with its cookies.
pub fn field_value(bytes: Bytes) -> Option<HeaderValue> {
    if !is_field_value(&bytes) {
        return None;
    }
    // SAFETY: a value holds what the function has just asked for, and nothing else is asked of it; the bytes cannot change.
    Some(unsafe { HeaderValue::from_maybe_shared_unchecked(bytes) })
}

fn is_field_value(bytes: &[u8]) -> bool {
    // Without a branch for each byte the compiler looks at a whole piece at once.
    let is_clean = |piece: &[u8]| {
        piece.iter().fold(true, |clean, byte| clean & ((*byte >= b' ') & (*byte != 0x7F) | (*byte == b'\t')))
    };
    // The last piece may overlap with the one before.
    if let Some(last) = bytes.last_chunk::<PIECE>() {
        return bytes.chunks_exact(PIECE).all(is_clean) && is_clean(last);
    }
    match (bytes.first_chunk::<SMALL_PIECE>(), bytes.last_chunk::<SMALL_PIECE>()) {
        (Some(first), Some(last)) => is_clean(first) && is_clean(last),
        (_, _) => is_clean(bytes),
    }
}

/// Bytes that are judged at once: a register that every machine has.
const PIECE: usize = 16;
/// The same of a short value.
const SMALL_PIECE: usize = PIECE / 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_judged_as_by_the_library_wherever_it_stands() {
        for length in 0..=3 * PIECE + 1 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut value = vec![b'a'; length];
                    value[at] = byte;
                    let expected = HeaderValue::from_bytes(&value).ok();
                    assert_eq!(field_value(value.into()), expected, "{byte} at {at} of {length}");
                }
            }
        }
        assert_eq!(field_value(Bytes::new()), Some(HeaderValue::from_static("")));
    }
}
