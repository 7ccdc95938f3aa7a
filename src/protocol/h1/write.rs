//! A response's head as bytes, and how its content will be delimited (RFC 9112 6).

use super::head::Persistence;
use crate::protocol::flight::Flight;
use crate::protocol::{Reason, Response, ResponseBody};
use crate::sys::clock;
use bytes::{BufMut, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HOST, HeaderName, HeaderValue, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, StatusCode, Version};
use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

/// What of the content is sent, and how its end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delimiter {
    /// No content is sent.
    Nothing,
    /// Exactly so many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// The end of the connection.
    Close,
}

/// What a response needs to know of its request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) version: Version,
    /// Its place in the table of requests in flight.
    pub(super) flight: &'a Flight,
}

/// Writes the status line and fields into `out`.
pub(super) fn put_head(
    out: &mut BytesMut,
    response: &Response,
    asked: Asked<'_>,
    persistence: &mut Persistence,
) -> Delimiter {
    let fields = response.headers();
    put_status_line(out, response);
    let mut given = Given::default();
    for (name, value) in fields {
        let counts = given.note(name, value);
        if !is_connection_field(name)
            && (name != CONTENT_LENGTH || counts == Counts::Yes && keeps_length(response.status()))
        {
            put_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    let delimiter = delimiter(response, asked, given.length);
    if delimiter == Delimiter::Close || given.closes {
        *persistence = Persistence::Close;
    }
    if !given.date {
        put_field(out, b"date", date().as_slice());
    }
    match delimiter {
        Delimiter::Length(length) if given.length.is_none() => {
            put_field(out, b"content-length", length.to_string().as_bytes());
        }
        Delimiter::Chunked => put_field(out, b"transfer-encoding", b"chunked"),
        Delimiter::Nothing if asked.method == Method::HEAD && given.length.is_none() => {
            put_head_length(out, response);
        }
        Delimiter::Length(_) | Delimiter::Nothing | Delimiter::Close => {}
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        put_switch(out, fields);
        return delimiter;
    }
    match (*persistence, asked.version) {
        (Persistence::Close, _) => put_field(out, b"connection", b"close"),
        (Persistence::KeepAlive, Version::HTTP_10) => put_field(out, b"connection", b"keep-alive"),
        (Persistence::KeepAlive, _) => {}
    }
    out.put_slice(b"\r\n");
    delimiter
}

/// RFC 9110 15.2.2: a 101 says which protocol comes next; nothing else is said of a connection that ends as HTTP's.
fn put_switch(out: &mut BytesMut, fields: &http::HeaderMap) {
    for protocol in fields.get_all(UPGRADE) {
        put_field(out, b"upgrade", protocol.as_bytes());
    }
    out.put_slice(b"connection: upgrade\r\n\r\n");
}

/// Writes a response 103 (RFC 8297).
pub(super) fn put_hints(out: &mut BytesMut, fields: &http::HeaderMap) {
    out.put_slice(b"HTTP/1.1 103 Early Hints\r\n");
    for (name, value) in fields {
        if !is_connection_field(name) && name != CONTENT_LENGTH {
            put_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    out.put_slice(b"\r\n");
}

/// Writes the fields behind chunked content, and the end of it.
///
/// RFC 9110 6.5.1: none that frames, routes or controls a message may stand there.
pub(super) fn put_trailers(out: &mut BytesMut, fields: &http::HeaderMap) {
    for (name, value) in fields {
        let is_ours = is_connection_field(name) || name == CONTENT_LENGTH || name == TRAILER || name == HOST;
        if !is_ours {
            put_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    out.put_slice(b"\r\n");
}

/// RFC 9112 6.3: which responses have content, and how its end is found.
fn delimiter(response: &Response, asked: Asked<'_>, declared: Option<u64>) -> Delimiter {
    if asked.method == Method::HEAD || !has_content(response.status()) {
        return Delimiter::Nothing;
    }
    match response.body() {
        ResponseBody::Empty => Delimiter::Length(declared.unwrap_or(0)),
        ResponseBody::Full(bytes) => {
            // More than was declared is cut off: it would be read as the next response.
            Delimiter::Length(declared.map_or(bytes.len() as u64, |length| length))
        }
        ResponseBody::File { length, .. } => Delimiter::Length(declared.unwrap_or(*length)),
        ResponseBody::Stream(_) => match declared {
            Some(length) => Delimiter::Length(length),
            None if asked.version == Version::HTTP_11 => Delimiter::Chunked,
            None => Delimiter::Close,
        },
    }
}

/// What the app's own fields say of the message.
#[derive(Debug, Default)]
struct Given {
    /// The first Content-Length that is a number.
    length: Option<u64>,
    date: bool,
    closes: bool,
}

/// Whether a field means what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    Yes,
    /// A Content-Length that is none, or a second one: the recipient must not read another length than ours.
    No,
}

impl Given {
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) -> Counts {
        if name == CONTENT_LENGTH {
            let first = if self.length.is_none() { length_of(value) } else { None };
            self.length = self.length.or(first);
            return if first.is_some() { Counts::Yes } else { Counts::No };
        }
        self.date |= name == DATE;
        self.closes |= name == CONNECTION && value.as_bytes().eq_ignore_ascii_case(b"close");
        Counts::Yes
    }
}

/// RFC 9110 8.6: digits and nothing else, not even a sign.
fn length_of(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn has_content(status: StatusCode) -> bool {
    !(status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED)
}

/// RFC 9110 8.6: Content-Length must not be sent with 1xx and 204.
fn keeps_length(status: StatusCode) -> bool {
    !(status.is_informational() || status == StatusCode::NO_CONTENT)
}

/// A HEAD response says the length that GET would have, where it is known (RFC 9110 9.3.2).
fn put_head_length(out: &mut BytesMut, response: &Response) {
    if !has_content(response.status()) {
        return;
    }
    match response.body() {
        ResponseBody::Full(bytes) if !bytes.is_empty() => {
            put_field(out, b"content-length", bytes.len().to_string().as_bytes());
        }
        ResponseBody::File { length, .. } => put_field(out, b"content-length", length.to_string().as_bytes()),
        ResponseBody::Full(_) | ResponseBody::Empty | ResponseBody::Stream(_) => {}
    }
}

/// Fields that belong to the connection, which is the server's (RFC 9110 7.6.1).
fn is_connection_field(name: &HeaderName) -> bool {
    name == CONNECTION || name == TRANSFER_ENCODING || name == UPGRADE || name == "keep-alive"
}

/// The status line; responses to HTTP/1.0 clients say 1.1 too (RFC 9110 2.5).
fn put_status_line(out: &mut BytesMut, response: &Response) {
    let status = response.status();
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    match response.extensions().get::<Reason>() {
        Some(reason) => out.put_slice(reason.as_bytes()),
        None => out.put_slice(status.canonical_reason().unwrap_or("").as_bytes()),
    }
    out.put_slice(b"\r\n");
}

fn put_field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// The value of Date, made once a second.
fn date() -> [u8; 29] {
    thread_local! {
        static NOW: RefCell<(u64, [u8; 29])> = const { RefCell::new((0, [0; 29])) };
    }
    let second = clock::unix_seconds();
    NOW.with_borrow_mut(|cached| {
        if cached.0 != second {
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            *cached = (second, *text.as_bytes().first_chunk().unwrap_or(&cached.1));
        }
        cached.1
    })
}
