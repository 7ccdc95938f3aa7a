//! Lines as an operator's pattern describes them, in Gunicorn's notation.
//!
//! Values are escaped as JSON escapes them (a quote is `\"`, as with Gunicorn): none ends a quoted column or a
//! line, and a pattern that writes JSON gets JSON. What is not known is "-".

use super::{Entry, METHOD, NAME, REFERER, TARGET, USER_AGENT, push_request_line};
use crate::config::{AccessPattern, Atom, Piece};
use crate::protocol::{Target, WantedFields};
use crate::telemetry::{Stamp, Within, push, push_bytes};
use http::header::{
    AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, REFERER as REFERER_FIELD, SEC_WEBSOCKET_PROTOCOL, SET_COOKIE,
};
use http::{HeaderName, HeaderValue};

/// A pattern, with the places of the fields that it names.
#[derive(Debug)]
pub(super) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Atom(Atom),
    /// Place among the wanted fields of the request.
    RequestField(usize, Shown),
    /// Place among those of the response.
    ResponseField(usize, Shown),
}

/// What of a field's value is written: whoever reads a log must not be able to log in by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Value,
    /// Of credentials (RFC 9110 11.4) the scheme.
    Scheme,
    /// Of cookies the names.
    Names,
    /// Of what a WebSocket client offers to speak everything but tokens: `bearer.TOKEN`.
    Protocols,
}

impl Pattern {
    /// Makes a pattern ready, and says which fields it needs.
    pub(super) fn new(pattern: &AccessPattern) -> (Self, WantedFields) {
        let mut wanted = WantedFields::default();
        let part = |piece: &Piece| match piece {
            Piece::Text(text) => Part::Text(text.clone()),
            // The entry has it without tokens.
            Piece::Atom(Atom::RequestField(name)) if name.eq_ignore_ascii_case(REFERER_FIELD.as_str()) => {
                Part::Atom(Atom::Referer)
            }
            Piece::Atom(Atom::RequestField(name)) => place(&mut wanted.request, name, Part::RequestField),
            Piece::Atom(Atom::ResponseField(name)) => place(&mut wanted.response, name, Part::ResponseField),
            Piece::Atom(atom) => Part::Atom(atom.clone()),
        };
        let parts = pattern.pieces().iter().map(part).collect();
        (Self { parts }, wanted)
    }

    pub(super) fn line(&self, entry: &Entry<'_>, began: &Stamp) -> String {
        let mut out = String::with_capacity(256);
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Atom(atom) => push_atom(&mut out, atom, entry, began),
                Part::RequestField(at, shown) => push_field(&mut out, entry.request_fields.get(*at), *shown),
                Part::ResponseField(at, shown) => {
                    push_field(&mut out, entry.response_fields.get(*at), *shown)
                }
            }
            if out.len() > LINE {
                out.truncate(out.floor_char_boundary(LINE));
                out.push_str("...");
                break;
            }
        }
        out.push('\n');
        out
    }
}

fn place(names: &mut Vec<HeaderName>, name: &str, part: impl Fn(usize, Shown) -> Part) -> Part {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return Part::Text("-".into()) };
    let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    });
    let shown = match &names[at] {
        name if [AUTHORIZATION, PROXY_AUTHORIZATION].contains(name) => Shown::Scheme,
        name if [COOKIE, SET_COOKIE].contains(name) => Shown::Names,
        name if *name == SEC_WEBSOCKET_PROTOCOL => Shown::Protocols,
        _ => Shown::Value,
    };
    part(at, shown)
}

fn push_atom(out: &mut String, atom: &Atom, entry: &Entry<'_>, began: &Stamp) {
    let text = |out: &mut String, value: Option<&str>| push_value(out, value.map(str::as_bytes), NAME);
    let number = |out: &mut String, value: u128| push(out, format_args!("{value}"));
    match atom {
        Atom::Client => match entry.client {
            Some(client) => push(out, format_args!("{}", client.address)),
            None => out.push('-'),
        },
        Atom::ClientPort => match entry.client.and_then(|client| client.port) {
            Some(port) => number(out, port.into()),
            None => out.push('-'),
        },
        Atom::Nothing => out.push('-'),
        Atom::User => text(out, entry.user),
        Atom::RemoteUser => text(out, entry.remote_user),
        Atom::Time => push(out, format_args!("[{}]", began.combined())),
        Atom::RequestLine if entry.method.is_empty() => out.push('-'),
        Atom::RequestLine => push_request_line(out, entry, Within::Pattern),
        Atom::Method => push_value(out, Some(entry.method), METHOD),
        Atom::Target => push_value(out, entry.target.map(Target::raw), TARGET),
        Atom::Path => push_path(out, entry, ""),
        Atom::PathInfo => push_path(out, entry, entry.mount),
        Atom::Mount => out.push_str(entry.mount),
        // Empty is what Gunicorn writes for a target without one.
        Atom::Query => push_bytes(out, entry.target.map_or(b"", Target::query), Within::Pattern, TARGET),
        Atom::Protocol => match entry.version {
            Some(version) => push(out, format_args!("{version:?}")),
            None => out.push('-'),
        },
        Atom::Scheme => out.push_str(entry.scheme.as_str()),
        Atom::Status => out.push_str(entry.status.as_str()),
        Atom::Bytes => number(out, entry.bytes.into()),
        Atom::Referer => push_value(out, entry.referer, REFERER),
        Atom::UserAgent => push_value(out, entry.user_agent, USER_AGENT),
        Atom::Seconds => number(out, entry.duration.as_secs().into()),
        Atom::Milliseconds => number(out, entry.duration.as_millis()),
        Atom::Microseconds => number(out, entry.duration.as_micros()),
        Atom::PreciseSeconds => {
            push(out, format_args!("{}.{:06}", entry.duration.as_secs(), entry.duration.subsec_micros()));
        }
        Atom::Pid => push(out, format_args!("<{}>", std::process::id())),
        // These have places of their own.
        Atom::RequestField(_) | Atom::ResponseField(_) => out.push('-'),
    }
}

fn push_path(out: &mut String, entry: &Entry<'_>, mount: &str) {
    let path = entry.target.map(Target::decoded_path);
    let path = path.as_deref().map(|path| path.strip_prefix(mount.as_bytes()).unwrap_or(path));
    push_value(out, path, TARGET);
}

fn push_field(out: &mut String, value: Option<&Option<HeaderValue>>, shown: Shown) {
    let value = value.and_then(Option::as_ref).map(HeaderValue::as_bytes);
    match (value, shown) {
        (None, _) | (_, Shown::Value) => push_value(out, value, FIELD),
        (Some(value), Shown::Scheme) => {
            let scheme =
                value.split(u8::is_ascii_whitespace).next().filter(|scheme| scheme.len() < value.len());
            push_value(out, Some(&[scheme.unwrap_or_default(), b" ***"].concat()), FIELD);
        }
        (Some(value), Shown::Names) => {
            // What has no name may be anything, so a value, too.
            let name = |pair: &[u8]| match memchr::memchr(b'=', pair) {
                Some(equals) => [&pair[..equals], b"=***"].concat(),
                None => b" ***".to_vec(),
            };
            let pairs: Vec<Vec<u8>> = value.split(|byte| *byte == b';').map(name).collect();
            push_value(out, Some(pairs.join(&b';').trim_ascii_start()), FIELD);
        }
        (Some(value), Shown::Protocols) => {
            let protocol = |protocol: &[u8]| match protocol.trim_ascii().split_at_checked(BEARER.len()) {
                Some((scheme, _)) if scheme.eq_ignore_ascii_case(BEARER) => [scheme, b"***"].concat(),
                Some(_) | None => protocol.trim_ascii().to_vec(),
            };
            let protocols: Vec<Vec<u8>> = value.split(|byte| *byte == b',').map(protocol).collect();
            push_value(out, Some(&protocols.join(&b", "[..])), FIELD);
        }
    }
}

fn push_value(out: &mut String, value: Option<&[u8]>, limit: usize) {
    match value {
        Some(value) if !value.is_empty() => push_bytes(out, value, Within::Pattern, limit),
        Some(_) | None => out.push('-'),
    }
}

/// How a protocol begins that is a token.
const BEARER: &[u8] = b"bearer.";
/// Longest value of a field that a pattern names.
const FIELD: usize = 768;
/// Longest line, without the mark of what was cut and the line end: what pipe(7) keeps in one piece.
const LINE: usize = 4096 - 4;
