//! What an app may take a path for, beyond what it says.

use std::borrow::Cow;

/// Every other path that some reader takes this one for, which has been decoded once; `None`: they are too many.
///
/// A reader takes `\` for `/`, or collapses runs of slashes, or resolves dot segments, or decodes once more; or does
/// several of these, in an order of its own. `/x/../admin//..` is `/` to one who collapses before resolving, and
/// `/admin/` to one who does not.
pub(super) fn readings(path: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut found = vec![(path.to_vec(), Decoded::Once)];
    let mut next = 0;
    while next < found.len() {
        let (reading, decoded) = found[next].clone();
        next += 1;
        let further = STEPS.iter().map(|step| (step(&reading), decoded));
        let again: Cow<'_, [u8]> = percent_encoding::percent_decode(&reading).into();
        let again = (decoded == Decoded::Once).then(|| (again.into_owned(), Decoded::Twice));
        for reading in further.chain(again) {
            if !found.contains(&reading) {
                found.push(reading);
            }
        }
        if found.len() > READINGS_MAX {
            return None;
        }
    }
    Some(found.into_iter().skip(1).map(|(reading, _)| reading).collect())
}

/// Whether everybody reads this decoded path alike.
pub(super) fn is_plain(path: &[u8]) -> bool {
    memchr::memchr2(b'%', b'\\', path).is_none()
        && memchr::memmem::find(path, b"//").is_none()
        && !has_dot_segment(path)
}

pub(super) fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|segment| dots(segment).is_some())
}

/// How often a path has been decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decoded {
    Once,
    Twice,
}

type Step = fn(&[u8]) -> Vec<u8>;

/// What readers do to paths, besides decoding.
const STEPS: [Step; 4] = [turn, collapse, resolve, resolve_encoded];

/// With `\` as `/`.
fn turn(path: &[u8]) -> Vec<u8> {
    path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()
}

/// With each run of slashes as one.
fn collapse(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    for byte in path {
        if *byte != b'/' || out.last() != Some(&b'/') {
            out.push(*byte);
        }
    }
    out
}

/// With dot segments resolved (RFC 3986 5.2.4).
fn resolve(path: &[u8]) -> Vec<u8> {
    resolve_dots(path, dots)
}

/// Likewise, with encoded dots taken for dots, as browsers do.
fn resolve_encoded(path: &[u8]) -> Vec<u8> {
    resolve_dots(path, |segment| match segment.len() {
        1..=6 => dots(&percent_encoding::percent_decode(segment).collect::<Vec<u8>>()),
        _ => None,
    })
}

/// What a dot segment means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dots {
    Here,
    Up,
}

fn dots(segment: &[u8]) -> Option<Dots> {
    match segment {
        b"." => Some(Dots::Here),
        b".." => Some(Dots::Up),
        _ => None,
    }
}

fn resolve_dots(path: &[u8], dots: impl Fn(&[u8]) -> Option<Dots>) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut rest = path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/').peekable();
    while let Some(segment) = rest.next() {
        let Some(dots) = dots(segment) else {
            segments.push(segment);
            continue;
        };
        if dots == Dots::Up {
            segments.pop();
        }
        if rest.peek().is_none() {
            // A directory is left.
            segments.push(b"");
        }
    }
    [b"/", &segments.join(&b'/')[..]].concat()
}

/// More readings than any path has that was not made to have them.
const READINGS_MAX: usize = 64;
