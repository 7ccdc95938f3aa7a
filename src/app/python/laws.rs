//! What holds for any bytes on their way to a Python app and back: tried on random ones by `fuzz/`, in an interpreter of the
//! fuzzer's own.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a law that is broken panics: that is how it is told"
)]

use super::environ::Environs;
use super::ffi::native_string;
use super::input::Input;
use super::kit::Kit;
use super::options::{Capture, ErrorStream, Options};
use super::outgoing::response;
use super::start_response::parse_head;
use super::{asgi, describe};
use crate::config::{Interface, Lifespan, RequestContent};
use crate::protocol::h1::laws::{judge_response, taken_head};
use crate::protocol::{Content, Prefix, Request, RequestHead, ResponseBody};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderName, TRANSFER_ENCODING};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use std::sync::LazyLock;

/// A request that is taken reaches WSGI and ASGI apps byte for byte.
///
/// Its head, and behind it its content. It is asked for below its first segment, too.
pub fn python_request(bytes: &[u8]) {
    let Some(head) = taken_head(bytes) else { return };
    let start = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let mut request = Request::get("/");
    request.head = head;
    Python::initialize();
    Python::attach(|py| {
        let mut judge = |mount: &str| {
            request.context.mount = Prefix::from(mount);
            judge_environ(py, &request, &bytes[start..])?;
            asgi::laws::judge_scope(py, &request)
        };
        judge("").unwrap_or_else(|error| panic!("{}", describe(py, &error)));
        if let Some(mount) = first_segment(&taken_head(bytes).expect("it was taken before")) {
            judge(&mount).unwrap_or_else(|error| panic!("{}", describe(py, &error)));
        }
    });
}

/// What a WSGI or ASGI app says is sent as it says it, or refused; and refused only for what no response may hold.
///
/// A byte chooses how bytes become text; then come parts, each behind its length: the status, then names and values in turn.
pub fn python_response(bytes: &[u8]) {
    let Some((&coding, rest)) = bytes.split_first() else { return };
    let mut parts = parts(rest);
    let Some(status) = parts.next() else { return };
    let parts: Vec<&[u8]> = parts.collect();
    let pairs: Vec<(&[u8], &[u8])> = parts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    Python::initialize();
    Python::attach(|py| {
        let judged = judge_start(py, coding, status, &pairs)
            .and_then(|()| asgi::laws::judge_message(py, status, &pairs));
        judged.unwrap_or_else(|error| panic!("{}", describe(py, &error)));
    });
}

/// Whether a name, or a value, may stand in a message (RFC 9110 5.1, 5.5).
pub(super) fn is_field((name, value): &(&[u8], &[u8])) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(is_tchar) && is_text(value)
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f))
}

fn judge_environ(py: Python<'_>, request: &Request, content: &[u8]) -> PyResult<()> {
    static ENVIRONS: LazyLock<Environs> = LazyLock::new(|| {
        Python::attach(|py| Environs::new(py, &OPTIONS).expect("an interpreter as it should be"))
    });
    let mut kit = Kit::new(py)?;
    // One that is used again makes them by its template.
    let earlier = (0..2).map(|_| ENVIRONS.make(py, &mut kit, content.len() as u64, request));
    let earlier: Vec<_> = earlier.collect::<PyResult<_>>()?;
    let environ = ENVIRONS.make(py, &mut kit, content.len() as u64, request)?;
    for earlier in earlier {
        assert!(earlier.eq(&environ)?, "{earlier} became {environ}");
    }
    let input = kit.input(py);
    input.get().fill(Content::Memory(Bytes::copy_from_slice(content)));
    let RequestHead { method, target, fields, .. } = &*request.head;
    let path = target.decoded_path();
    let mount = request.context.mount.as_bytes();
    assert_eq!([native(&environ, "SCRIPT_NAME")?, native(&environ, "PATH_INFO")?].concat(), &*path);
    assert_eq!(native(&environ, "SCRIPT_NAME")?, mount);
    assert_eq!(native(&environ, "QUERY_STRING")?, target.query());
    assert_eq!(native(&environ, "RAW_URI")?, target.raw());
    assert_eq!(native(&environ, "REQUEST_URI")?, target.raw());
    assert_eq!(native(&environ, "REQUEST_METHOD")?, method.as_str().as_bytes());
    for name in fields.keys().filter(|name| *name != TRANSFER_ENCODING) {
        assert_eq!(native(&environ, &key(name))?, joined(fields, name), "{name}");
    }
    let asserted = environ.keys().iter().filter(|key| key.to_string().starts_with("HTTP_")).count();
    let own = [&CONTENT_TYPE, &CONTENT_LENGTH, &TRANSFER_ENCODING];
    assert_eq!(asserted, fields.keys().filter(|name| !own.contains(name)).count(), "a field from nowhere");
    for value in environ.values() {
        if let Ok(text) = value.cast::<PyString>() {
            text.call_method1("encode", ("latin-1",))?;
        }
    }
    judge_input(input, content)
}

/// `wsgi.input` gives the content, by whichever method.
fn judge_input(input: &Bound<'_, Input>, content: &[u8]) -> PyResult<()> {
    let (py, fill) = (input.py(), || input.get().fill(Content::Memory(Bytes::copy_from_slice(content))));
    assert_eq!(input.call_method0("read")?.cast::<PyBytes>()?.as_bytes(), content);
    fill();
    let lines = input.call_method0("readlines")?;
    let expected = PyBytes::new(py, content).call_method1("splitlines", (true,))?;
    // Python's own splits at a lone CR, too.
    if !content.contains(&b'\r') {
        assert!(lines.eq(&expected)?, "other lines");
    }
    let whole = PyBytes::new(py, b"").call_method1("join", (&lines,))?;
    assert_eq!(whole.cast::<PyBytes>()?.as_bytes(), content);
    fill();
    let mut read = Vec::new();
    loop {
        let piece = input.call_method1("read", (3,))?;
        let piece = piece.cast::<PyBytes>()?.as_bytes().to_vec();
        let line = input.call_method1("readline", (5,))?;
        let line = line.cast::<PyBytes>()?.as_bytes().to_vec();
        assert!(piece.len() <= 3 && line.len() <= 5);
        if piece.is_empty() && line.is_empty() {
            break;
        }
        read.extend(piece.into_iter().chain(line));
    }
    assert_eq!(read, content);
    Ok(())
}

fn judge_start(py: Python<'_>, coding: u8, status: &[u8], pairs: &[(&[u8], &[u8])]) -> PyResult<()> {
    let text = |bytes: &[u8]| -> PyResult<Bound<'_, PyString>> {
        match coding % 3 {
            0 => native_string(py, bytes),
            1 => Ok(PyString::new(py, &String::from_utf8_lossy(bytes))),
            // With lone surrogates, which are no characters.
            _ => Ok(PyBytes::new(py, bytes)
                .call_method1("decode", ("utf-8", "surrogateescape"))?
                .cast_into::<PyString>()?),
        }
    };
    let headers = PyList::empty(py);
    for (name, value) in pairs {
        headers.append(PyTuple::new(py, [text(name)?, text(value)?])?)?;
    }
    let parsed = parse_head(&text(status)?, &headers);
    let is_length = |(name, _): &(&[u8], &[u8])| name.eq_ignore_ascii_case(b"content-length");
    let is_latin_1 = coding.is_multiple_of(3);
    let is_good = is_latin_1
        && matches!(status, [b'2'..=b'9', b'0'..=b'9', b'0'..=b'9', rest @ ..]
            if rest.is_empty() || rest[0] == b' ' && is_text(&rest[1..]))
        && pairs.iter().all(|pair| is_field(pair) && !is_length(pair));
    match parsed {
        Err(error) => {
            assert!(!is_good, "refused: {error}");
            // What the log is told.
            let _told = describe(py, &error);
        }
        Ok(head) => {
            assert_eq!(head.status.as_str().as_bytes(), &status[..3]);
            if is_latin_1 {
                let kept = pairs.iter().filter(|pair| !is_length(pair));
                judge_fields(&head.fields, kept);
            }
            judge_response(&response(head, ResponseBody::Full(Bytes::from_static(b"content"))));
        }
    }
    Ok(())
}

/// Each pair that an app gave is there, in their order.
pub(super) fn judge_fields<'a>(fields: &HeaderMap, pairs: impl Iterator<Item = &'a (&'a [u8], &'a [u8])>) {
    let mut seen: Vec<(HeaderName, usize)> = Vec::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name).expect("it was taken");
        let before = seen.iter().filter(|(other, _)| *other == name).count();
        let found = fields.get_all(&name).iter().nth(before);
        assert_eq!(found.map(http::HeaderValue::as_bytes), Some(*value), "{name}");
        seen.push((name, before));
    }
}

/// The bytes that a native string stands for.
fn native(environ: &Bound<'_, PyDict>, key: &str) -> PyResult<Vec<u8>> {
    let value = environ.get_item(key)?.unwrap_or_else(|| panic!("{key} is missing"));
    Ok(value.call_method1("encode", ("latin-1",))?.cast::<PyBytes>()?.as_bytes().to_vec())
}

fn key(name: &HeaderName) -> String {
    let key = name.as_str().replace('-', "_").to_uppercase();
    if [CONTENT_TYPE, CONTENT_LENGTH].contains(name) { key } else { format!("HTTP_{key}") }
}

fn joined(fields: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let values: Vec<&[u8]> = fields.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
    values.join(if *name == COOKIE { &b"; "[..] } else { b"," })
}

/// Where an app could be mounted.
fn first_segment(head: &RequestHead) -> Option<String> {
    let path = head.target.decoded_path();
    let end = path.iter().skip(1).position(|byte| *byte == b'/').map_or(path.len(), |at| at + 1);
    path.starts_with(b"/").then(|| String::from_utf8(path[..end].to_vec()).ok()).flatten()
}

/// Each a byte that is its length, and so many bytes.
fn parts(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first()?;
        let (part, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        bytes = rest;
        Some(part)
    })
}

const OPTIONS: Options<'_> = Options {
    path: &[],
    slot: 0,
    threads: 1,
    workers: 1,
    response_buffer: 1 << 20,
    errors: ErrorStream::Stderr,
    capture: Capture::Off,
    interface: Interface::Auto,
    content: RequestContent::Complete,
    lifespan: Lifespan::Auto,
    event_loop: None,
};
