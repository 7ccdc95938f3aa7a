//! What holds for any bytes that arrive or leave as HTTP: tried on random ones by `fuzz/`, on the kept ones by the tests.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a law that is broken panics: that is how it is told"
)]

use super::content::{ContentReader, Gathered};
use super::head::{Framing, HeadScanner, ParsedHead, Persistence, head_of, parse};
use super::write::{Asked, put_head};
use crate::config::{Config, Limits};
use crate::protocol::flight::Flight;
use crate::protocol::{Content, Rejection, RequestHead, Response, ResponseBody};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version};
use std::io::Read;

/// A head is read alike whether its bytes arrive at once or one by one, and as another parser reads it.
pub fn request_head(bytes: &[u8]) {
    let limits = Config::default().limits;
    let at_once = scan(&limits, [bytes]);
    let one_by_one = scan(&limits, bytes.chunks(1));
    assert_eq!(at_once.as_ref().ok(), one_by_one.as_ref().ok(), "{at_once:?}, one by one {one_by_one:?}");
    let Ok(Some(raw)) = at_once else { return };
    let Ok(ParsedHead { head, framing, .. }) = parse(raw.clone(), &limits) else { return };
    let again = head_of(raw, &limits).expect("what was taken is taken again");
    assert_eq!((&again.method, &again.target, &again.fields), (&head.method, &head.target, &head.fields));
    judge_framing(&head, framing);
    judge_by_another_parser(&head);
}

/// The head that these bytes begin with, if it is one that is taken.
#[cfg(feature = "python")]
pub(crate) fn taken_head(bytes: &[u8]) -> Option<Box<RequestHead>> {
    let limits = Config::default().limits;
    let raw = scan(&limits, [bytes]).ok()??;
    head_of(raw, &limits).ok()
}

/// Chunked content is read alike however it is cut, keeps to its limit, and is what another reader finds.
pub fn chunked_content(bytes: &[u8]) {
    let Some((&cut, bytes)) = bytes.split_first() else { return };
    let at_once = gather([bytes]);
    let in_pieces = gather(bytes.chunks(usize::from(cut) + 1));
    assert_eq!(at_once, in_pieces, "in pieces of {}", usize::from(cut) + 1);
    let Ok(Some((content, rest))) = at_once else { return };
    assert!(content.len() as u64 <= CONTENT_LIMIT);
    assert_eq!(content, by_another_reader(bytes), "two readings of the chunks");
    assert!(bytes.ends_with(&rest), "what follows the content is not touched");
}

/// A response of any status and fields is written as one head that says just that.
///
/// Two bytes are the status; then come lines, each a name, a colon and a value, of which those are left out that could not
/// be set.
pub fn response_head(bytes: &[u8]) {
    let Some((status, lines)) = bytes.split_first_chunk() else { return };
    let Ok(status) = StatusCode::from_u16(u16::from_be_bytes(*status)) else { return };
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = status;
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().append(name, value);
        }
    }
    judge_response(&response);
}

/// Its head is one head with its status and its fields, whatever they hold.
pub(crate) fn judge_response(response: &Response) {
    let mut written = BytesMut::new();
    let asked = Asked { method: &Method::GET, version: Version::HTTP_11, flight: &Flight::unnoted() };
    put_head(&mut written, response, asked, &mut Persistence::KeepAlive);
    let mut fields = vec![httparse::EMPTY_HEADER; response.headers().len() + OWN_FIELDS];
    let mut read = httparse::Response::new(&mut fields);
    let status = read.parse(&written).expect("our own heads are well-formed");
    assert_eq!(status, httparse::Status::Complete(written.len()), "the head ends before its end");
    assert_eq!(read.code, Some(response.status().as_u16()));
    for field in read.headers.iter() {
        let name = field.name;
        let values = response.headers().get_all(name);
        let is_the_apps =
            values.iter().any(|value| value.as_bytes().trim_ascii() == field.value.trim_ascii());
        let is_ours = ["date", "connection", "content-length", "transfer-encoding"].contains(&name);
        assert!(is_the_apps || is_ours, "{name} is not of the response");
    }
}

/// The head in bytes that arrive in pieces; `None` when there is no end of it.
fn scan<'a>(limits: &Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Bytes>, Rejection> {
    let (mut scanner, mut buffer) = (HeadScanner::default(), BytesMut::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if let Some(end) = scanner.scan(&mut buffer, limits)? {
            return Ok(Some(buffer.split_to(end).freeze()));
        }
    }
    Ok(None)
}

/// Content, and what follows it.
type Gained = (Vec<u8>, Vec<u8>);

/// The content in bytes that arrive in pieces; `None` when there is no end of it.
fn gather<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Gained>, Rejection> {
    let mut reader = ContentReader::new(Framing::Chunked, CONTENT_LIMIT, MEMORY_LIMIT)?;
    let (mut buffer, mut is_whole) = (BytesMut::new(), false);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        is_whole = is_whole || reader.take(&mut buffer)? == Gathered::Complete;
    }
    if !is_whole {
        return Ok(None);
    }
    let mut content = Vec::new();
    match reader.finish()? {
        Content::Empty => {}
        Content::Memory(bytes) => content.extend_from_slice(&bytes),
        Content::File { mut file, length } => {
            let read = file.read_to_end(&mut content).expect("the file can be read");
            assert_eq!(read as u64, length);
        }
    }
    Ok(Some((content, buffer.to_vec())))
}

/// RFC 9112 6.3: the end of a request has one reading, and the fields say the same.
fn judge_framing(head: &RequestHead, framing: Framing) {
    let lengths: Vec<_> = head.fields.get_all(CONTENT_LENGTH).iter().collect();
    let codings: Vec<_> = head.fields.get_all(TRANSFER_ENCODING).iter().collect();
    match framing {
        Framing::Chunked => {
            assert!(lengths.is_empty() && head.version == Version::HTTP_11);
            assert!(matches!(codings[..], [coding] if coding.as_bytes().eq_ignore_ascii_case(b"chunked")));
        }
        Framing::Length(length) => {
            assert!(codings.is_empty() && length > 0);
            let said = lengths[0].to_str().map(str::parse);
            assert!(lengths.len() == 1 && said.is_ok_and(|said| said == Ok(length)));
        }
        Framing::None => assert!(codings.is_empty() && lengths.len() <= 1),
    }
    assert!(head.fields.get_all(HOST).iter().count() == 1 || head.version == Version::HTTP_10);
}

/// Strict is one thing, and another meaning would be another: httparse finds the same parts.
fn judge_by_another_parser(head: &RequestHead) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut read = httparse::Request::new(&mut fields);
    let mut config = httparse::ParserConfig::default();
    config.allow_multiple_spaces_in_request_line_delimiters(false);
    let status = config.parse_request(&mut read, &head.raw);
    // It has a smaller alphabet for targets.
    if matches!(status, Err(httparse::Error::Token)) && read.path.is_none() {
        return;
    }
    assert_eq!(status, Ok(httparse::Status::Complete(head.raw.len())), "another parser's view");
    assert_eq!(read.method, Some(head.method.as_str()));
    assert_eq!(read.path.map(str::as_bytes), Some(head.target.raw()));
    assert_eq!(read.version == Some(1), head.version == Version::HTTP_11);
    let mut seen = 0;
    for field in read.headers.iter().filter(|field| !field.name.contains('_')) {
        seen += 1;
        let mut values = head.fields.get_all(field.name).iter();
        let is_replaced = field.name.eq_ignore_ascii_case("host") && head.target.authority().is_some();
        assert!(values.any(|value| value == field.value) || is_replaced, "{} has another value", field.name);
    }
    let added = usize::from(head.fields.contains_key(HOST) && !read.headers.iter().any(is_host));
    assert_eq!(head.fields.len(), seen + added, "a field too many, or too few");
}

fn is_host(field: &httparse::Header<'_>) -> bool {
    field.name.eq_ignore_ascii_case("host")
}

/// The content of chunks that have been taken, by somebody else's reading of their sizes.
fn by_another_reader(mut bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(bytes) else {
            panic!("no chunk begins at {:?}", bytes.escape_ascii().to_string());
        };
        if size == 0 {
            return content;
        }
        let size = usize::try_from(size).expect("the chunk is there, so it has a size of this machine's");
        content.extend_from_slice(&bytes[start..start + size]);
        bytes = bytes[start + size..].strip_prefix(b"\r\n").expect("a chunk ends with its line");
    }
}

/// More than the inputs have, so that what is refused is so for its form; and less, so that the limit is met.
const CONTENT_LIMIT: u64 = 600;
/// Content beyond it goes to a file.
const MEMORY_LIMIT: u64 = 300;
/// Fields that the server adds to a response.
const OWN_FIELDS: usize = 4;
