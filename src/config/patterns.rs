//! Names with placeholders: hosts that an app is for, files that never change.

use std::fmt;

/// A host, or all below a domain, that an app is mounted for.
///
/// Lower case, without port and final dot. More specific ones come first in the order of patterns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostPattern {
    /// Exactly this host: `a.example`, `192.0.2.1`, `[2001:db8::1]`.
    Exact(String),
    /// Every host below this domain, however deep, but not the domain itself: `*.a.example`.
    Below(String),
}

impl HostPattern {
    /// Reads `a.example` or `*.a.example`.
    ///
    /// # Errors
    /// What it should look like.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_suffix('.').unwrap_or(&lower);
        if !text.is_ascii() {
            return Err("write the name as it is sent, in ASCII: \"xn--…\"".into());
        }
        if name.starts_with('[') {
            let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
            let is_address = address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
            return if is_address {
                Ok(Self::Exact(name.into()))
            } else {
                Err("an IPv6 address stands in brackets, without a port".into())
            };
        }
        if name.contains(':') {
            return Err("a host has neither scheme nor port here".into());
        }
        let (domain, make): (&str, fn(String) -> Self) = match name.strip_prefix("*.") {
            Some(domain) => (domain, Self::Below),
            None => (name, Self::Exact),
        };
        let label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if domain.split('.').all(label) {
            Ok(make(domain.into()))
        } else {
            Err("write \"a.example\", or \"*.a.example\" for every host below it".into())
        }
    }
}

impl HostPattern {
    /// A Host field's value without its port and final dot. What the head's parser has let through has this form.
    pub fn name_in(host: &[u8]) -> &[u8] {
        let end = if host.starts_with(b"[") {
            memchr::memchr(b']', host).map_or(host.len(), |at| at + 1)
        } else {
            memchr::memchr(b':', host).unwrap_or(host.len())
        };
        let name = &host[..end];
        name.strip_suffix(b".").unwrap_or(name)
    }

    /// Whether it is for this name. RFC 9110 4.2.3: hosts are compared without case.
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Exact(host) => name.eq_ignore_ascii_case(host.as_bytes()),
            Self::Below(domain) => name
                .len()
                .checked_sub(domain.len() + 1)
                // Something stands before the dot: ".a.example" is no host below "a.example".
                .filter(|dot| *dot > 0 && name[*dot] == b'.')
                .is_some_and(|dot| name[dot + 1..].eq_ignore_ascii_case(domain.as_bytes())),
        }
    }

    /// The greater, the earlier it is asked: an exact host before one with a star, of those the longer domain first.
    pub fn specificity(&self) -> (u8, usize) {
        match self {
            Self::Exact(_) => (2, 0),
            Self::Below(domain) => (1, domain.len()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

/// Names of files, relative to their directory: `assets/*`, `**.{hash}.js`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    parts: Vec<NamePart>,
}

/// Part of a [`NamePattern`].
#[derive(Debug, Clone, PartialEq, Eq)]
enum NamePart {
    /// These characters.
    Text(String),
    /// `*`: any characters but slashes.
    Segment,
    /// `**`: any characters.
    Any,
    /// `{hash}`: a hash in hexadecimal.
    Hash,
}

impl NamePattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.strip_prefix('/').unwrap_or(text);
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let known = [("**", NamePart::Any), ("*", NamePart::Segment), ("{hash}", NamePart::Hash)];
            if let Some((sign, part)) = known.into_iter().find(|(sign, _)| rest.starts_with(sign)) {
                parts.push(part);
                rest = &rest[sign.len()..];
            } else if rest.starts_with(['{', '}']) {
                return Err("the one thing in braces is {hash}".into());
            } else {
                let end = rest.find(['*', '{', '}']).unwrap_or(rest.len());
                parts.push(NamePart::Text(rest[..end].into()));
                rest = &rest[end..];
            }
        }
        if parts.is_empty() { Err("it is empty".into()) } else { Ok(Self { parts }) }
    }

    /// Whether a name is one of these.
    pub fn matches(&self, name: &[u8]) -> bool {
        matches_from(&self.parts, name, 0)
    }
}

/// Whether `parts` stand for what of `name` begins at `at`.
///
/// Several stars try each other's ends; names are those of files that exist, never longer than a path.
fn matches_from(parts: &[NamePart], name: &[u8], at: usize) -> bool {
    let rest = &name[at..];
    let Some((part, parts)) = parts.split_first() else { return rest.is_empty() };
    let any_end = |longest: usize| (0..=longest).any(|length| matches_from(parts, name, at + length));
    match part {
        NamePart::Text(text) => {
            rest.starts_with(text.as_bytes()) && matches_from(parts, name, at + text.len())
        }
        NamePart::Segment => any_end(memchr::memchr(b'/', rest).unwrap_or(rest.len())),
        NamePart::Any => any_end(rest.len()),
        NamePart::Hash => {
            let begins = at == 0 || !name[at - 1].is_ascii_alphanumeric();
            let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
            begins && is_hash(&rest[..end]) && matches_from(parts, name, at + end)
        }
    }
}

/// Eight or more hexadecimal digits, letters and numerals among them: a date or the word "facade" is no hash.
fn is_hash(word: &[u8]) -> bool {
    word.len() >= 8
        && word.iter().all(u8::is_ascii_hexdigit)
        && word.iter().any(u8::is_ascii_digit)
        && word.iter().any(u8::is_ascii_alphabetic)
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            NamePart::Text(text) => f.write_str(text),
            NamePart::Segment => f.write_str("*"),
            NamePart::Any => f.write_str("**"),
            NamePart::Hash => f.write_str("{hash}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_kept_in_one_spelling() {
        let exact = |host: &str| Ok(HostPattern::Exact(host.into()));
        for (text, expected) in [
            ("a.example", exact("a.example")),
            ("A.Example.", exact("a.example")),
            ("localhost", exact("localhost")),
            ("192.0.2.1", exact("192.0.2.1")),
            ("[2001:DB8::1]", exact("[2001:db8::1]")),
            ("*.B.example", Ok(HostPattern::Below("b.example".into()))),
        ] {
            assert_eq!(HostPattern::parse(text), expected, "{text}");
        }
        for text in [
            "",
            "*",
            "*.",
            ".",
            "a..b",
            "a.example:80",
            "http://a.example",
            "a.*.example",
            "*a.example",
            "a b",
            "2001:db8::1",
            "[x]",
            "[::1",
            "[::1]:80",
            "ü.example",
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn file_names_match_patterns_as_a_whole() {
        for (pattern, name, expected) in [
            ("assets/*", "assets/a.js", true),
            ("/assets/*", "assets/a.js", true),
            ("assets/*", "assets/sub/a.js", false),
            ("assets/**", "assets/sub/a.js", true),
            ("assets/*", "other/assets/a.js", false),
            ("*.js", "a.js", true),
            ("*.js", "a.js.map", false),
            ("**.{hash}.*", "css/site.1f2e3d4c5b6a.css", true),
            ("**.{hash}.*", "css/site.1f2e3d4.css", false),
            ("**.{hash}.*", "css/site.20240131.css", false),
            ("**.{hash}.*", "css/site.deadbeef.css", false),
            ("**.{hash}.*", "css/site.min.css", false),
            ("**-{hash}.js", "main-0a1b2c3d.js", true),
            ("**-{hash}.js", "main-component.js", false),
            ("**{hash}**", "x1f2e3d4c5b6a", false),
            ("{hash}", "1f2e3d4c5b6a", true),
            ("{hash}", "1f2e3d4c5b6axyz", false),
        ] {
            assert_eq!(
                NamePattern::parse(pattern).unwrap().matches(name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn patterns_print_what_they_were_read_from() {
        for text in ["assets/*", "**.{hash}.js", "a**b*c", "x"] {
            assert_eq!(NamePattern::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "/", "{ha}", "a}b", "{", "{hash"] {
            assert!(NamePattern::parse(text).is_err(), "{text}");
        }
    }
}
