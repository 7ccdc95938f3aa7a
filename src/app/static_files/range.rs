//! Range requests (RFC 9110 14): which bytes are asked for?
//!
//! One range is answered with it. Several are answered with the whole file, which RFC 9110 14.2 leaves
//! to the server: hardly any client asks for several, and lists of tiny or overlapping ranges are a
//! way to make a server work (CVE-2011-3192).

use http::HeaderMap;
use http::header::RANGE;

/// Which bytes of a file are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Requested {
    /// All of them.
    Whole,
    /// Some, at least one.
    Part {
        /// The first.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// 416: none that the file has.
    Unsatisfiable,
}

/// What the Range field of a GET asks of a file of `size` bytes.
///
/// RFC 9110 14.2: a field that is malformed, or of another unit, is ignored.
pub(super) fn requested(fields: &HeaderMap, size: u64) -> Requested {
    let mut values = fields.get_all(RANGE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => parse(value.as_bytes(), size).unwrap_or(Requested::Whole),
        // Repeated, it is no list but an error.
        (Some(_), Some(_)) | (None, _) => Requested::Whole,
    }
}

/// The one range of `bytes=FIRST-LAST`, `bytes=FIRST-`, `bytes=-LENGTH`; `None` for any other.
fn parse(value: &[u8], size: u64) -> Option<Requested> {
    let (unit, set) = value.split_at_checked(b"bytes=".len())?;
    // RFC 9110 14.1: units are compared without case.
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut ranges =
        set.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|range| !range.is_empty());
    let range = ranges.next()?;
    if ranges.next().is_some() {
        return None;
    }
    let dash = memchr::memchr(b'-', range)?;
    let (first, last) = (&range[..dash], &range[dash + 1..]);
    let (offset, end) = match (first.is_empty(), last.is_empty()) {
        (true, true) => return None,
        (true, false) => (size.saturating_sub(number(last)?), size),
        (false, true) => (number(first)?, size),
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            (first, last.saturating_add(1).min(size))
        }
    };
    Some(match end.checked_sub(offset) {
        Some(length @ 1..) => Requested::Part { offset, length },
        Some(0) | None => Requested::Unsatisfiable,
    })
}

/// A decimal number; one that is too large for any file counts as the largest.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn part(offset: u64, length: u64) -> Requested {
        Requested::Part { offset, length }
    }

    #[test]
    fn ranges_of_a_file_of_ten_bytes() {
        use Requested::{Unsatisfiable, Whole};
        for (value, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-9", part(0, 10)),
            ("bytes=0-10", part(0, 10)),
            ("bytes=3-5", part(3, 3)),
            ("bytes=3-", part(3, 7)),
            ("bytes=9-", part(9, 1)),
            ("bytes=-1", part(9, 1)),
            ("bytes=-10", part(0, 10)),
            ("bytes=-11", part(0, 10)),
            ("BYTES=3-5", part(3, 3)),
            ("bytes= 3-5 ,", part(3, 3)),
            ("bytes=3-99999999999999999999999", part(3, 7)),
            ("bytes=0-18446744073709551615", part(0, 10)),
            ("bytes=-99999999999999999999999", part(0, 10)),
            ("bytes=10-", Unsatisfiable),
            ("bytes=10-20", Unsatisfiable),
            ("bytes=18446744073709551615-", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=5-3", Whole),
            ("bytes=", Whole),
            ("bytes=-", Whole),
            ("bytes=--1", Whole),
            ("bytes=1", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1-2-3", Whole),
            ("bytes=1 -2", Whole),
            ("bytes =1-2", Whole),
            ("bytes", Whole),
            ("", Whole),
            ("lines=1-2", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=0-1,20-30", Whole),
        ] {
            let fields = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(value))]);
            assert_eq!(requested(&fields, 10), expected, "{value}");
        }
    }

    #[test]
    fn a_part_always_lies_within_the_file() {
        let pieces = ["0", "1", "9", "10", "11", "18446744073709551615", "-", "-", ",", " ", "a"];
        let mut parts = 0;
        for number in 0..pieces.len().pow(4) {
            let set: String =
                (0..4).map(|place| pieces[number / pieces.len().pow(place) % pieces.len()]).collect();
            for size in [0, 1, 10, u64::MAX] {
                if let Some(Requested::Part { offset, length }) =
                    parse(format!("bytes={set}").as_bytes(), size)
                {
                    assert!(
                        length > 0 && offset.checked_add(length).is_some_and(|end| end <= size),
                        "{set} {size}"
                    );
                    parts += 1;
                }
            }
        }
        assert!(parts > 1000, "{parts}");
    }

    #[test]
    fn an_empty_file_has_no_part() {
        for value in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"] {
            assert_eq!(parse(value.as_bytes(), 0), Some(Requested::Unsatisfiable), "{value}");
        }
    }

    #[test]
    fn absent_and_repeated_fields_ask_for_the_whole() {
        let mut fields = HeaderMap::new();
        assert_eq!(requested(&fields, 10), Requested::Whole);
        fields.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        fields.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        assert_eq!(requested(&fields, 10), Requested::Whole);
    }
}
