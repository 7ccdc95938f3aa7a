//! A pattern of the access log in Gunicorn's notation: `%(h)s`, `%({user-agent}i)s`.

use super::setting::{Setting, mismatch};
use super::suggest::nearest;
use super::value::Value;
use super::{AccessFormat, is_token};
use std::sync::Arc;

/// A pattern, taken apart once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPattern {
    text: String,
    pieces: Vec<Piece>,
}

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// Filled in for each request.
    Atom(Atom),
}

/// What a request has to say of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Atom {
    /// `h`: the client's address.
    Client,
    /// `l`: always "-".
    Nothing,
    /// `u`: who the client has proven to be.
    User,
    /// `t`: when the request began.
    Time,
    /// `r`: method, target and version.
    RequestLine,
    /// `m`
    Method,
    /// `U`: the path, decoded.
    Path,
    /// `q`: the query.
    Query,
    /// `H`: the version.
    Protocol,
    /// `s`: the status code.
    Status,
    /// `b`, `B`: bytes of content sent.
    Bytes,
    /// `f`: the Referer field.
    Referer,
    /// `a`: the User-Agent field.
    UserAgent,
    /// `T`: whole seconds.
    Seconds,
    /// `M`: whole milliseconds.
    Milliseconds,
    /// `D`: whole microseconds.
    Microseconds,
    /// `L`: seconds with six decimals.
    PreciseSeconds,
    /// `p`: the worker's pid.
    Pid,
    /// `{name}i`: a field of the request, in lower case.
    RequestField(String),
    /// `{name}o`: a field of the response, in lower case.
    ResponseField(String),
    /// `{RAW_URI}e`: the target as sent.
    Target,
    /// `{SCRIPT_NAME}e`: where the app is mounted.
    Mount,
    /// `{PATH_INFO}e`: the path below the mount, decoded.
    PathInfo,
    /// `{REMOTE_PORT}e`: the client's port.
    ClientPort,
    /// `{REMOTE_USER}e`
    RemoteUser,
    /// `{wsgi.url_scheme}e`
    Scheme,
}

impl AccessPattern {
    /// The parts, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Takes a pattern apart; the error names what cannot be understood, and its column.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            plain.push_str(&rest[..at]);
            let column = text[..text.len() - rest.len() + at].chars().count() + 1;
            let behind = &rest[at + 1..];
            if let Some(behind) = behind.strip_prefix('%') {
                plain.push('%');
                rest = behind;
                continue;
            }
            let (atom, behind) =
                conversion(behind).map_err(|problem| format!("column {column}: {problem}"))?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Atom(atom));
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        // A line end in the pattern would be a line of its own in the log.
        match text.chars().position(|character| character.is_control() && character != '\t') {
            Some(at) => Err(format!("column {}: a line has no control characters", at + 1)),
            None => Ok(Self { text: text.into(), pieces }),
        }
    }
}

/// `(NAME)s` and what follows it; numbers may be `(NAME)d` as well.
fn conversion(text: &str) -> Result<(Atom, &str), String> {
    let inner =
        text.strip_prefix('(').ok_or("a single \"%\"; write \"%(NAME)s\", or \"%%\" for the sign itself")?;
    let (name, behind) = inner.split_once(')').ok_or("\"%(\" without its \")\"")?;
    let (atom, is_number) = atom(name)?;
    let mut characters = behind.chars();
    match characters.next() {
        Some('s') => Ok((atom, characters.as_str())),
        Some('d' | 'i') if is_number => Ok((atom, characters.as_str())),
        Some(other) => Err(format!("%({name}){other} cannot be shown; write %({name})s")),
        None => Err(format!("%({name}) has no \"s\" behind it; write %({name})s")),
    }
}

/// The atom of this name, and whether Python has it as a number.
fn atom(name: &str) -> Result<(Atom, bool), String> {
    if let Some(braced) = name.strip_prefix('{') {
        return braced_atom(name, braced).map(|atom| (atom, false));
    }
    LETTERS
        .iter()
        .find(|(letter, ..)| *letter == name)
        .map(|(_, atom, number)| (atom.clone(), *number))
        .ok_or_else(|| {
            let letters: Vec<&str> = LETTERS.iter().map(|(letter, ..)| *letter).collect();
            format!(
                "there is no atom %({name})s; there are {} and {{NAME}}i, {{NAME}}o, {{NAME}}e",
                letters.join(" ")
            )
        })
}

fn braced_atom(whole: &str, braced: &str) -> Result<Atom, String> {
    let (name, kind) =
        braced.split_once('}').ok_or_else(|| format!("%({whole})s has a \"{{\" without its \"}}\""))?;
    let lower = name.to_ascii_lowercase();
    if matches!(kind, "i" | "o") && !is_token(name.as_bytes()) {
        return Err(format!("{name:?} in %({whole})s is no name of a field"));
    }
    match kind {
        "i" => Ok(Atom::RequestField(lower)),
        "o" => Ok(Atom::ResponseField(lower)),
        "e" => variable(&lower).ok_or_else(|| {
            let known: Vec<&str> = VARIABLES.iter().map(|(name, _)| *name).collect();
            format!(
                "%({whole})s cannot be shown: the log knows HTTP_NAME, CONTENT_TYPE, CONTENT_LENGTH, {}",
                known.join(", ")
            )
        }),
        _ => {
            Err(format!("%({whole})s does not end in i (request field), o (response field) or e (variable)"))
        }
    }
}

/// What stands in a variable of the environ.
fn variable(lower: &str) -> Option<Atom> {
    if let Some(field) = lower.strip_prefix("http_") {
        return Some(Atom::RequestField(field.replace('_', "-"))).filter(|_| is_token(field.as_bytes()));
    }
    // The two fields whose variables have no prefix.
    if matches!(lower, "content_type" | "content_length") {
        return Some(Atom::RequestField(lower.replace('_', "-")));
    }
    VARIABLES.iter().find(|(name, _)| name.eq_ignore_ascii_case(lower)).map(|(_, atom)| atom.clone())
}

impl Setting for AccessFormat {
    fn takes() -> String {
        "\"combined\", \"json\" or a pattern such as \"%(h)s %(t)s %(r)s\"".into()
    }

    fn read(value: &Value) -> Result<Self, String> {
        match value.text().ok_or_else(|| mismatch::<Self>(value))? {
            "combined" => Ok(Self::Combined),
            "json" => Ok(Self::Json),
            text if text.contains('%') => {
                AccessPattern::parse(text).map(|pattern| Self::Pattern(Arc::new(pattern)))
            }
            text => Err(match nearest(text, ["combined", "json"].into_iter()) {
                Some(word) => format!("{}; did you mean \"{word}\"?", mismatch::<Self>(value)),
                None => mismatch::<Self>(value),
            }),
        }
    }

    fn show(&self) -> toml::Value {
        match self {
            Self::Combined => "combined".into(),
            Self::Json => "json".into(),
            Self::Pattern(pattern) => pattern.text().into(),
        }
    }
}

/// Gunicorn's letters, and whether Python can also write their values by `d`.
static LETTERS: [(&str, Atom, bool); 19] = [
    ("h", Atom::Client, false),
    ("l", Atom::Nothing, false),
    ("u", Atom::User, false),
    ("t", Atom::Time, false),
    ("r", Atom::RequestLine, false),
    ("m", Atom::Method, false),
    ("U", Atom::Path, false),
    ("q", Atom::Query, false),
    ("H", Atom::Protocol, false),
    ("s", Atom::Status, false),
    ("b", Atom::Bytes, false),
    ("B", Atom::Bytes, true),
    ("f", Atom::Referer, false),
    ("a", Atom::UserAgent, false),
    ("T", Atom::Seconds, true),
    ("M", Atom::Milliseconds, true),
    ("D", Atom::Microseconds, true),
    ("L", Atom::PreciseSeconds, false),
    ("p", Atom::Pid, false),
];

/// Variables of the environ that the server makes and still knows when the request is over.
static VARIABLES: [(&str, Atom); 10] = [
    ("REQUEST_METHOD", Atom::Method),
    ("SCRIPT_NAME", Atom::Mount),
    ("PATH_INFO", Atom::PathInfo),
    ("QUERY_STRING", Atom::Query),
    ("RAW_URI", Atom::Target),
    ("SERVER_PROTOCOL", Atom::Protocol),
    ("REMOTE_ADDR", Atom::Client),
    ("REMOTE_PORT", Atom::ClientPort),
    ("REMOTE_USER", Atom::RemoteUser),
    ("wsgi.url_scheme", Atom::Scheme),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn atoms(text: &str) -> Vec<Atom> {
        let pattern = AccessPattern::parse(text).unwrap();
        let atom = |piece: &Piece| match piece {
            Piece::Atom(atom) => Some(atom.clone()),
            Piece::Text(_) => None,
        };
        pattern.pieces().iter().filter_map(atom).collect()
    }

    #[test]
    fn gunicorns_own_default_is_understood() {
        let text = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;
        assert_eq!(
            atoms(text),
            [
                Atom::Client,
                Atom::Nothing,
                Atom::User,
                Atom::Time,
                Atom::RequestLine,
                Atom::Status,
                Atom::Bytes,
                Atom::Referer,
                Atom::UserAgent
            ]
        );
        assert_eq!(AccessPattern::parse(text).unwrap().text(), text);
    }

    #[test]
    fn fields_and_variables_are_found_in_any_case() {
        assert_eq!(
            atoms(
                "%({X-Request-ID}i)s%({content-TYPE}o)s%({HTTP_ACCEPT_LANGUAGE}e)s%({Content_Type}e)s%({raw_uri}e)s"
            ),
            [
                Atom::RequestField("x-request-id".into()),
                Atom::ResponseField("content-type".into()),
                Atom::RequestField("accept-language".into()),
                Atom::RequestField("content-type".into()),
                Atom::Target
            ]
        );
    }

    #[test]
    fn signs_and_numbers_are_written_as_python_has_them() {
        let pattern = AccessPattern::parse("100%% %(D)d %(T)i").unwrap();
        assert_eq!(pattern.pieces()[0], Piece::Text("100% ".into()));
        assert_eq!(atoms("100%% %(D)d %(T)i"), [Atom::Microseconds, Atom::Seconds]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_column() {
        for (text, part) in [
            ("%(h)s %(x)s", "column 7: there is no atom %(x)s"),
            ("é %(s)d", "column 3: %(s)d cannot be shown; write %(s)s"),
            ("%(h)", "column 1: %(h) has no \"s\""),
            ("%(h", "column 1: \"%(\" without its \")\""),
            ("50% of", "column 3: a single \"%\""),
            ("%({a b}i)s", "column 1: \"a b\" in %({a b}i)s is no name of a field"),
            ("%({host}x)s", "does not end in i"),
            ("%({host)s", "without its \"}\""),
            ("%({django.user}e)s", "cannot be shown"),
            ("%({HTTP_}e)s", "cannot be shown"),
            ("%(h)s\n%(u)s", "column 6: a line has no control characters"),
            ("%(H)-10s", "%(H)- cannot be shown"),
        ] {
            let error = AccessPattern::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
