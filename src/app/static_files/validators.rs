//! What tells one state of a file from another: entity tag and modification time (RFC 9110 8.8).

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The validators of one state of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validators {
    /// The entity tag.
    pub(super) tag: EntityTag,
    /// The modification time in whole seconds, as a date can say it; `None` outside 1970 to 9999.
    pub(super) modified: Option<SystemTime>,
}

/// An entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntityTag {
    /// How far it can be relied on.
    pub(super) strength: Strength,
    /// What stands between the quotes.
    pub(super) opaque: String,
}

/// Whether equal tags mean equal bytes (RFC 9110 8.8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    /// Equal bytes.
    Strong,
    /// Equal for most uses; never enough to put parts together.
    Weak,
}

impl Validators {
    /// The validators of a file as it is now.
    pub(super) fn of(metadata: &Metadata, now: SystemTime) -> Self {
        Self::new((metadata.mtime(), metadata.mtime_nsec()), metadata.len(), now)
    }

    /// The same for a coding of another file: equal times and sizes must not make them equal.
    pub(super) fn coded(mut self, coding: &str) -> Self {
        self.tag.opaque.push('-');
        self.tag.opaque.push_str(coding);
        self
    }

    /// The validators of a file of `size` bytes, modified so many seconds and nanoseconds after 1970.
    ///
    /// Modification time in nanoseconds and size make the tag, and not the inode: several servers that
    /// deploy the same files with their times then agree. The kernel counts time in ticks of some
    /// milliseconds (coarse file systems in up to 2 s), so a file might change twice within one. As
    /// RFC 9110 8.8.2.2 has it for dates, the tag is strong once that is over, and weak until then.
    fn new((seconds, nanoseconds): (i64, i64), size: u64, now: SystemTime) -> Self {
        let modified = u64::try_from(seconds)
            .ok()
            .filter(|seconds| *seconds <= LAST_SECOND)
            .map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        let settled =
            modified.and_then(|modified| now.duration_since(modified).ok()).is_some_and(|age| age > SETTLING);
        let strength = if settled { Strength::Strong } else { Strength::Weak };
        let opaque = format!("{seconds:x}.{nanoseconds:x}-{size:x}");
        // RFC 9110 8.8.2.1: never a date later than the response's own.
        Self { tag: EntityTag { strength, opaque }, modified: modified.filter(|modified| *modified <= now) }
    }

    /// The value of Last-Modified.
    pub(super) fn last_modified_field(&self) -> Option<String> {
        self.modified.map(httpdate::fmt_http_date)
    }
}

impl EntityTag {
    /// Whether both name the same bytes for sure (RFC 9110 8.8.3.2).
    pub(super) fn matches_strongly(&self, other: &Self) -> bool {
        self.strength == Strength::Strong && other.strength == Strength::Strong && self.opaque == other.opaque
    }

    /// Whether both name the same state, strength aside (RFC 9110 8.8.3.2).
    pub(super) fn matches_weakly(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }

    /// The first tag of `text` and what follows it; `None` when there is none (RFC 9110 8.8.3).
    pub(super) fn parse(text: &[u8]) -> Option<(Self, &[u8])> {
        let (strength, text) = match text.strip_prefix(b"W/") {
            Some(text) => (Strength::Weak, text),
            None => (Strength::Strong, text),
        };
        let text = text.strip_prefix(b"\"")?;
        let end = text.iter().position(|byte| *byte == b'"')?;
        let (opaque, rest) = (text.get(..end)?, text.get(end + 1..)?);
        // Our own tags are ASCII: one that is not is some other's and equals none of them.
        let opaque = String::from_utf8_lossy(opaque).into_owned();
        Some((Self { strength, opaque }, rest))
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.strength {
            Strength::Strong => "",
            Strength::Weak => "W/",
        };
        write!(f, "{prefix}\"{}\"", self.opaque)
    }
}

/// The last second that an HTTP date can say: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;
/// How long a file must have been left alone for its tag to be strong.
const SETTLING: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    /// A moment, in seconds after 1970.
    const NOW: i64 = 1_000_000;

    fn modified_at(seconds: i64) -> Validators {
        Validators::new((seconds, 0), 0, UNIX_EPOCH + Duration::from_secs(NOW.unsigned_abs()))
    }

    #[test]
    fn tag_is_strong_once_the_file_has_been_left_alone() {
        for (seconds, strength) in [
            (NOW + 5, Strength::Weak),
            (NOW, Strength::Weak),
            (NOW - 3, Strength::Weak),
            (NOW - 4, Strength::Strong),
            (0, Strength::Strong),
            (-1, Strength::Weak),
        ] {
            assert_eq!(modified_at(seconds).tag.strength, strength, "{seconds}");
        }
    }

    #[test]
    fn only_times_that_a_date_can_say_are_told() {
        let late = i64::try_from(LAST_SECOND).unwrap();
        for (seconds, expected) in [
            (0, Some("Thu, 01 Jan 1970 00:00:00 GMT")),
            (NOW, Some("Mon, 12 Jan 1970 13:46:40 GMT")),
            (NOW + 1, None),
            (-1, None),
            (i64::MIN, None),
            (i64::MAX, None),
        ] {
            assert_eq!(modified_at(seconds).last_modified_field().as_deref(), expected, "{seconds}");
        }
        let after = UNIX_EPOCH + Duration::from_secs(LAST_SECOND + 60);
        for (seconds, expected) in [(late, Some("Fri, 31 Dec 9999 23:59:59 GMT")), (late + 1, None)] {
            assert_eq!(Validators::new((seconds, 0), 0, after).last_modified_field().as_deref(), expected);
        }
    }

    #[test]
    fn a_nanosecond_or_a_byte_makes_another_tag() {
        let tag = |time, size| Validators::new(time, size, UNIX_EPOCH).tag.opaque;
        assert_eq!(tag((5, 6), 7), tag((5, 6), 7));
        for other in [tag((5, 7), 7), tag((6, 6), 7), tag((5, 6), 8), tag((-5, 6), 7)] {
            assert_ne!(tag((5, 6), 7), other);
        }
    }

    #[test]
    fn tags_are_parsed_as_they_are_printed() {
        for text in ["\"\"", "\"a-b\"", "W/\"a,b\""] {
            let (tag, rest) = EntityTag::parse(text.as_bytes()).unwrap();
            assert_eq!((tag.to_string().as_str(), rest), (text, &b""[..]));
        }
        for text in ["", "a", "\"", "\"a", "w/\"a\"", "W/ \"a\"", "W/a"] {
            assert_eq!(EntityTag::parse(text.as_bytes()), None, "{text}");
        }
    }
}
