//! Conditional requests (RFC 9110 13): is the file sent, and all of it?

use super::validators::{EntityTag, Strength, Validators};
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName};
use std::time::SystemTime;

/// What the conditions of a GET or HEAD come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// 412: the file is not in the state the client wants.
    Failed,
    /// 304: the client has it already.
    NotModified,
    /// Send the file; a Range field does not count.
    Whole,
    /// Send the file, or the part that is asked for.
    Send,
}

/// Evaluates the conditions in the order of RFC 9110 13.2.2.
pub(super) fn judge(fields: &HeaderMap, current: &Validators) -> Verdict {
    if fields.contains_key(IF_MATCH) {
        if !lists(fields, &IF_MATCH, |tag| tag.matches_strongly(&current.tag)) {
            return Verdict::Failed;
        }
    } else if let (Some(since), Some(modified)) = (date(fields, &IF_UNMODIFIED_SINCE), current.modified)
        && modified > since
    {
        return Verdict::Failed;
    }
    if fields.contains_key(IF_NONE_MATCH) {
        if lists(fields, &IF_NONE_MATCH, |tag| tag.matches_weakly(&current.tag)) {
            return Verdict::NotModified;
        }
    } else if let (Some(since), Some(modified)) = (date(fields, &IF_MODIFIED_SINCE), current.modified)
        && modified <= since
    {
        return Verdict::NotModified;
    }
    if_range(fields, current)
}

/// RFC 9110 13.1.5: parts only if they are parts of what the client has, compared strongly.
fn if_range(fields: &HeaderMap, current: &Validators) -> Verdict {
    let Some(value) = fields.get(IF_RANGE) else { return Verdict::Send };
    let same = match EntityTag::parse(value.as_bytes()) {
        Some((tag, rest)) => rest.is_empty() && tag.matches_strongly(&current.tag),
        // A date must be exactly the file's, and is as strong as a tag of that moment.
        None => {
            current.tag.strength == Strength::Strong
                && current.modified.is_some()
                && date(fields, &IF_RANGE) == current.modified
        }
    };
    if same { Verdict::Send } else { Verdict::Whole }
}

/// Whether a field is `*` or lists a tag that matches. What follows a malformed element is not read.
fn lists(fields: &HeaderMap, name: &HeaderName, matches: impl Fn(&EntityTag) -> bool) -> bool {
    fields.get_all(name).iter().any(|value| {
        let mut text = value.as_bytes().trim_ascii();
        if text == b"*" {
            return true;
        }
        loop {
            // RFC 9110 5.6.1.2: empty elements are to be skipped.
            while let [b',' | b' ' | b'\t', rest @ ..] = text {
                text = rest;
            }
            let Some((tag, rest)) = EntityTag::parse(text) else { return false };
            if matches(&tag) {
                return true;
            }
            text = rest.trim_ascii_start();
            if !text.starts_with(b",") {
                return false;
            }
        }
    })
}

/// A date; `None` when the field is absent, repeated or no date, and therefore does not count.
fn date(fields: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut values = fields.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::time::{Duration, UNIX_EPOCH};

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const EXACT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn check(strength: Strength, fields: &[(&HeaderName, &str)], expected: Verdict) {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let tag = EntityTag { strength, opaque: "now".into() };
        let current = Validators { tag, modified: Some(UNIX_EPOCH + Duration::from_secs(784_111_777)) };
        assert_eq!(judge(&map, &current), expected, "{fields:?}");
    }

    #[test]
    fn single_conditions() {
        use Verdict::{Failed, NotModified, Send};
        for (name, value, expected) in [
            (&IF_MATCH, "*", Send),
            (&IF_MATCH, "\"now\"", Send),
            (&IF_MATCH, "\"old\", \"now\"", Send),
            (&IF_MATCH, "W/\"now\"", Failed),
            (&IF_MATCH, "\"old\"", Failed),
            (&IF_MATCH, "now", Failed),
            (&IF_MATCH, "", Failed),
            (&IF_NONE_MATCH, "*", NotModified),
            (&IF_NONE_MATCH, "\"now\"", NotModified),
            (&IF_NONE_MATCH, "W/\"now\"", NotModified),
            (&IF_NONE_MATCH, ",, \"a,b\" ,\tW/\"now\"", NotModified),
            (&IF_NONE_MATCH, "\"old\"", Send),
            (&IF_NONE_MATCH, "\"old\" \"now\"", Send),
            (&IF_NONE_MATCH, "broken, \"now\"", Send),
            (&IF_NONE_MATCH, "\"NOW\"", Send),
            (&IF_MODIFIED_SINCE, BEFORE, Send),
            (&IF_MODIFIED_SINCE, EXACT, NotModified),
            (&IF_MODIFIED_SINCE, AFTER, NotModified),
            (&IF_MODIFIED_SINCE, "Sunday, 06-Nov-94 08:49:37 GMT", NotModified),
            (&IF_MODIFIED_SINCE, "yesterday", Send),
            (&IF_UNMODIFIED_SINCE, BEFORE, Failed),
            (&IF_UNMODIFIED_SINCE, EXACT, Send),
            (&IF_UNMODIFIED_SINCE, AFTER, Send),
            (&IF_UNMODIFIED_SINCE, "yesterday", Send),
        ] {
            check(Strength::Strong, &[(name, value)], expected);
        }
        check(Strength::Strong, &[], Send);
    }

    #[test]
    fn conditions_are_evaluated_in_their_order() {
        use Verdict::{Failed, NotModified, Send, Whole};
        for (fields, expected) in [
            // If-Match decides, If-Unmodified-Since is then not looked at.
            (vec![(&IF_MATCH, "\"now\""), (&IF_UNMODIFIED_SINCE, BEFORE)], Send),
            (vec![(&IF_MATCH, "\"old\""), (&IF_NONE_MATCH, "\"now\"")], Failed),
            (vec![(&IF_MATCH, "\"now\""), (&IF_NONE_MATCH, "\"now\"")], NotModified),
            (vec![(&IF_UNMODIFIED_SINCE, BEFORE), (&IF_NONE_MATCH, "\"now\"")], Failed),
            // If-None-Match decides, If-Modified-Since is then not looked at.
            (vec![(&IF_NONE_MATCH, "\"old\""), (&IF_MODIFIED_SINCE, AFTER)], Send),
            (vec![(&IF_NONE_MATCH, "\"old\""), (&IF_NONE_MATCH, "\"now\"")], NotModified),
            (vec![(&IF_RANGE, "\"old\""), (&IF_NONE_MATCH, "\"now\"")], NotModified),
            (vec![(&IF_RANGE, "\"old\""), (&IF_NONE_MATCH, "\"old\"")], Whole),
            (vec![(&IF_MODIFIED_SINCE, AFTER), (&IF_MODIFIED_SINCE, AFTER)], Send),
        ] {
            check(Strength::Strong, &fields, expected);
        }
    }

    #[test]
    fn parts_are_sent_only_of_what_is_certainly_the_same() {
        for (strength, value, expected) in [
            (Strength::Strong, "\"now\"", Verdict::Send),
            (Strength::Strong, "\"old\"", Verdict::Whole),
            (Strength::Strong, "W/\"now\"", Verdict::Whole),
            (Strength::Strong, "\"now\", \"old\"", Verdict::Whole),
            (Strength::Strong, EXACT, Verdict::Send),
            (Strength::Strong, BEFORE, Verdict::Whole),
            (Strength::Strong, AFTER, Verdict::Whole),
            (Strength::Strong, "nonsense", Verdict::Whole),
            (Strength::Weak, "\"now\"", Verdict::Whole),
            (Strength::Weak, "W/\"now\"", Verdict::Whole),
            (Strength::Weak, EXACT, Verdict::Whole),
        ] {
            check(strength, &[(&IF_RANGE, value)], expected);
        }
    }
}
