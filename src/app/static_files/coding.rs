//! Which finished coding of a file a client takes (RFC 9110 12.5.3).

use crate::config::Coding;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// A coding as fields and file names have it.
pub(super) trait Names {
    /// The value of Content-Encoding.
    fn token(self) -> &'static str;
    /// What is added to the original's name.
    fn suffix(self) -> &'static str;
}

impl Names for Coding {
    fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }
}

/// Those of `offered` that the client takes and likes at least as much as the original, best first.
///
/// Among equals the order is that of `offered`. The original is what remains when none of them is there, also for
/// a client that refuses it: RFC 9110 12.1 leaves it to the server to disregard that, and any answer helps
/// more than 406.
pub(super) fn acceptable(fields: &HeaderMap, offered: &[Coding]) -> Vec<Coding> {
    if offered.is_empty() || !fields.contains_key(ACCEPT_ENCODING) {
        return Vec::new();
    }
    let original = weight(fields, |name| name.eq_ignore_ascii_case(b"identity")).unwrap_or(0);
    let everything = weight(fields, |name| name == b"*").unwrap_or(0);
    let liking = |coding: &Coding| weight(fields, |name| is(*coding, name)).unwrap_or(everything);
    let mut liked: Vec<(u16, Coding)> = offered.iter().map(|coding| (liking(coding), *coding)).collect();
    liked.retain(|(weight, _)| *weight > 0 && *weight >= original);
    liked.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    liked.into_iter().map(|(_, coding)| coding).collect()
}

/// RFC 9110 8.4.1: names of codings are compared without case, and `x-gzip` is `gzip`.
fn is(coding: Coding, name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(coding.token().as_bytes())
        || (coding == Coding::Gzip && name.eq_ignore_ascii_case(b"x-gzip"))
}

/// The lowest weight of the elements with such a name, in thousandths; `None` when there is none.
///
/// The lowest, so that what was refused once is never sent. A malformed element says nothing.
fn weight(fields: &HeaderMap, is_meant: impl Fn(&[u8]) -> bool) -> Option<u16> {
    fields
        .get_all(ACCEPT_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(element)
        .filter(|(name, _)| is_meant(name))
        .map(|(_, weight)| weight)
        .min()
}

/// `name` or `name;q=0.5`, with blanks around each part.
fn element(text: &[u8]) -> Option<(&[u8], u16)> {
    let Some(at) = memchr::memchr(b';', text) else { return Some((text.trim_ascii(), 1000)) };
    match text[at + 1..].trim_ascii() {
        [b'q' | b'Q', b'=', weight @ ..] => Some((text[..at].trim_ascii(), thousandths(weight)?)),
        _ => None,
    }
}

/// RFC 9110 12.4.2: 0 or 1, with up to three decimals.
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, decimals) = match text {
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        [whole] => (whole, &b""[..]),
        _ => return None,
    };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let weight = [whole, decimals.first().unwrap_or(&b'0'), decimals.get(1).unwrap_or(&b'0')]
        .into_iter()
        .chain([decimals.get(2).unwrap_or(&b'0')])
        .try_fold(0_u16, |weight, byte| Some(weight * 10 + digit(byte)?))?;
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

    fn play(values: &[&str], offered: &[Coding]) -> Vec<&'static str> {
        let values = values.iter().map(|value| (ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap()));
        let mut fields = HeaderMap::new();
        values.for_each(|(name, value)| {
            fields.append(name, value);
        });
        acceptable(&fields, offered).into_iter().map(Coding::token).collect()
    }

    #[test]
    fn clients_choose_by_weight_and_the_server_among_equals() {
        for (value, expected) in [
            ("gzip, deflate, br, zstd", &["br", "zstd", "gzip"][..]),
            ("gzip, deflate", &["gzip"]),
            ("GZip", &["gzip"]),
            ("x-gzip", &["gzip"]),
            ("br;q=0.5, gzip", &["gzip", "br"]),
            ("br;q=0.5,gzip;q=0.51", &["gzip", "br"]),
            ("br ; q=0.501 , gzip;Q=0.5", &["br", "gzip"]),
            ("br;q=1.000, gzip;q=1", &["br", "gzip"]),
            ("br;q=0, gzip", &["gzip"]),
            ("br;q=0.000", &[]),
            ("*", &["br", "zstd", "gzip"]),
            ("*;q=0.1, gzip;q=0.2", &["gzip", "br", "zstd"]),
            ("*, br;q=0", &["zstd", "gzip"]),
            ("*;q=0", &[]),
            ("gzip, *;q=0", &["gzip"]),
            ("identity", &[]),
            ("identity, gzip", &["gzip"]),
            ("identity, gzip;q=0.9", &[]),
            ("identity;q=0.5, gzip;q=0.4, br;q=0.5", &["br"]),
            ("identity;q=0", &[]),
            ("identity;q=0, *", &["br", "zstd", "gzip"]),
            ("gzip, gzip;q=0", &[]),
            ("", &[]),
            (",, gzip ,", &["gzip"]),
            ("gzip;q=2", &[]),
            ("gzip;q=1.001", &[]),
            ("gzip;q=0.1234", &[]),
            ("gzip;q=-1", &[]),
            ("gzip;q=", &[]),
            ("gzip;q", &[]),
            ("gzip;level=9", &[]),
            ("gzip;q=0.5;q=1", &[]),
            ("gz ip", &[]),
            ("gzip\tbr", &[]),
        ] {
            assert_eq!(play(&[value], &ALL), expected, "{value:?}");
        }
    }

    #[test]
    fn several_fields_are_one_list() {
        assert_eq!(play(&["br;q=0", "gzip"], &ALL), ["gzip"]);
        assert_eq!(play(&["gzip", "br"], &ALL), ["br", "gzip"]);
    }

    #[test]
    fn only_what_is_offered_is_chosen() {
        assert!(play(&[], &ALL).is_empty());
        assert!(play(&["gzip"], &[]).is_empty());
        assert_eq!(play(&["gzip, br"], &[Coding::Gzip]), ["gzip"]);
        assert_eq!(play(&["*"], &[Coding::Gzip, Coding::Brotli]), ["gzip", "br"]);
    }
}
