//! A request head, from bytes to [`RequestHead`]: strict where readings could differ (RFC 9112 2-5).

use super::field_line::{split_field_line, trim};
use super::host::is_host;
use crate::config::{Limits, is_token};
use crate::protocol::{Rejection, RequestHead, Target, spare_fields};
use crate::sys::field_value::field_value;
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Version};

/// A head and what it says about the connection.
#[derive(Debug)]
pub(super) struct ParsedHead {
    pub(super) head: Box<RequestHead>,
    pub(super) framing: Framing,
    pub(super) persistence: Persistence,
    pub(super) expectation: Expectation,
}

/// How the content is delimited (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// Whether the client wants the connection to go on (RFC 9112 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persistence {
    KeepAlive,
    Close,
}

/// Whether the client waits for 100 (Continue) (RFC 9110 10.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expectation {
    None,
    Continue,
}

/// Finds the end of a head as bytes arrive, and judges each byte once.
#[derive(Debug, Default)]
pub(super) struct HeadScanner {
    scanned: usize,
    /// Whether an empty line before the request line has been passed over.
    has_skipped: bool,
}

impl HeadScanner {
    /// The length of the head in `buffer`, once it is complete.
    pub(super) fn scan(
        &mut self,
        buffer: &mut BytesMut,
        limits: &Limits,
    ) -> Result<Option<usize>, Rejection> {
        // RFC 9112 2.2: a server should ignore at least one empty line before the request line.
        while self.scanned == 0 && buffer.starts_with(b"\r\n") {
            if self.has_skipped {
                return Err(Rejection::RequestLine);
            }
            self.has_skipped = true;
            let _ = buffer.split_to(2);
        }
        if self.scanned == 0 && buffer.as_ref() == b"\r" {
            return Ok(None);
        }
        let limit = usize::try_from(limits.head.0).unwrap_or(usize::MAX);
        let bytes = &buffer[..];
        let mut at = self.scanned;
        while at < bytes.len() {
            at += plain_bytes(&bytes[at..]);
            let Some(&byte) = bytes.get(at) else { break };
            if byte == b'\t' {
                at += 1;
                continue;
            }
            if byte != b'\r' {
                return Err(if byte == b'\n' { Rejection::LineEnd } else { Rejection::ControlByte });
            }
            match bytes.get(at + 1) {
                None => break,
                Some(b'\n') => {}
                Some(_) => return Err(Rejection::LineEnd),
            }
            if at > 1 && bytes[..at].ends_with(b"\r\n") {
                if at + 2 > limit {
                    return Err(Rejection::HeadTooLarge);
                }
                *self = Self::default();
                return Ok(Some(at + 2));
            }
            at += 2;
        }
        self.scanned = at;
        if bytes.len() > limit {
            let line_ended = memchr::memchr(b'\n', bytes).is_some();
            return Err(if line_ended { Rejection::HeadTooLarge } else { Rejection::TargetTooLong });
        }
        Ok(None)
    }
}

/// How many bytes at the start are no control bytes.
fn plain_bytes(bytes: &[u8]) -> usize {
    let is_control = |byte: &u8| *byte < b' ' || *byte == 0x7F;
    // Without a branch for each byte the compiler looks at a whole piece at once.
    let holds_control = |piece: &[u8]| piece.iter().fold(false, |found, byte| found | is_control(byte));
    let pieces = bytes.chunks_exact(PIECE).take_while(|piece| !holds_control(piece)).count();
    let start = pieces * PIECE;
    start + bytes[start..].iter().take_while(|byte| !is_control(byte)).count()
}

/// Bytes that are judged at once: a wide register.
const PIECE: usize = 32;

/// The head of a request that the server itself has written, without a control byte in its lines.
///
/// # Errors
/// Why a client would be refused it.
pub fn head_of(raw: Bytes, limits: &Limits) -> Result<Box<RequestHead>, Rejection> {
    parse(raw, limits).map(|parsed| parsed.head)
}

/// Takes a complete head apart. `raw` ends with the empty line and has passed [`HeadScanner::scan`].
pub(super) fn parse(raw: Bytes, limits: &Limits) -> Result<ParsedHead, Rejection> {
    let line_end = memchr::memchr(b'\r', &raw).ok_or(Rejection::RequestLine)?;
    let (method, target, version) = parse_request_line(&raw, line_end, limits)?;
    let mut fields = spare_fields::take(0).map_err(|_| Rejection::HeadTooLarge)?;
    let mut framing = FramingFields::default();
    let mut at = line_end + 2;
    let mut count = 0_u16;
    while raw[at..] != *b"\r\n" {
        let end = at + memchr::memchr(b'\r', &raw[at..]).ok_or(Rejection::FieldLine)?;
        count += 1;
        if count > limits.fields {
            return Err(Rejection::HeadTooLarge);
        }
        let line = split_field_line(&raw[at..end])?;
        // A name with "_" reads like its twin with "-" once it is an environment variable.
        if !line.name.contains(&b'_') {
            let name = HeaderName::from_bytes(line.name).map_err(|_| Rejection::FieldLine)?;
            let value = raw.slice(at + line.value.start..at + line.value.end);
            framing.note(&name, &value)?;
            let value = field_value(value).ok_or(Rejection::FieldLine)?;
            fields.try_append(name, value).map_err(|_| Rejection::HeadTooLarge)?;
        }
        at = end + 2;
    }
    let head = Box::new(RequestHead { method, target, version, fields, raw });
    framing.conclude(head)
}

/// The line at the start of `raw` that ends at `end`.
fn parse_request_line(
    raw: &Bytes,
    end: usize,
    limits: &Limits,
) -> Result<(Method, Target, Version), Rejection> {
    let line = &raw[..end];
    let first = memchr::memchr(b' ', line).ok_or(Rejection::RequestLine)?;
    let last = memchr::memrchr(b' ', line).ok_or(Rejection::RequestLine)?;
    if last <= first + 1 || !is_token(&line[..first]) {
        return Err(Rejection::RequestLine);
    }
    let version = match &line[last + 1..] {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Rejection::Version);
        }
        _ => return Err(Rejection::RequestLine),
    };
    let raw_target = &line[first + 1..last];
    if raw_target.len() as u64 > limits.target.0 {
        return Err(Rejection::TargetTooLong);
    }
    // Without a branch for each byte the compiler looks at many at once.
    if !raw_target.iter().fold(true, |clean, byte| clean & (0x21..0x7F).contains(byte)) {
        return Err(Rejection::Target);
    }
    let method = Method::from_bytes(&line[..first]).map_err(|_| Rejection::RequestLine)?;
    if method == Method::CONNECT {
        return Err(Rejection::Connect);
    }
    if raw_target == b"*" && method != Method::OPTIONS {
        return Err(Rejection::Target);
    }
    let target = Target::parse(raw.slice(first + 1..last)).ok_or(Rejection::Target)?;
    Ok((method, target, version))
}

/// The fields that decide where a message ends and whom it is for.
#[derive(Debug, Default)]
struct FramingFields {
    length: Option<u64>,
    encoding: Option<TransferCoding>,
    hosts: u16,
    close: bool,
    keep_alive: bool,
    expects: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TransferCoding {
    Chunked,
    Unknown,
}

impl FramingFields {
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), Rejection> {
        if *name == CONTENT_LENGTH {
            if self.length.replace(parse_length(value)?).is_some() {
                return Err(Rejection::ContentLength);
            }
        } else if *name == TRANSFER_ENCODING {
            if self.encoding.replace(parse_coding(value)?).is_some() {
                return Err(Rejection::TransferEncoding);
            }
        } else if *name == HOST {
            self.hosts += 1;
            if self.hosts > 1 || !is_host(value) {
                return Err(Rejection::Host);
            }
        } else if *name == CONNECTION {
            for option in value.split(|byte| *byte == b',') {
                let option = trim(option);
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if *name == EXPECT {
            self.expects = Some(value.eq_ignore_ascii_case(b"100-continue") && self.expects != Some(false));
        }
        Ok(())
    }

    fn conclude(self, mut head: Box<RequestHead>) -> Result<ParsedHead, Rejection> {
        let is_http_11 = head.version == Version::HTTP_11;
        if is_http_11 && self.hosts == 0 {
            return Err(Rejection::Host);
        }
        let framing = match (self.length, self.encoding) {
            // RFC 9112 6.3: a request with both is likely an attempt at smuggling.
            (Some(_), Some(_)) => return Err(Rejection::ContentLength),
            (None, Some(TransferCoding::Unknown)) => return Err(Rejection::UnknownCoding),
            // RFC 9112 6.1: Transfer-Encoding in HTTP/1.0 means the framing is faulty.
            (None, Some(TransferCoding::Chunked)) if !is_http_11 => return Err(Rejection::TransferEncoding),
            (None, Some(TransferCoding::Chunked)) => Framing::Chunked,
            (Some(0) | None, None) => Framing::None,
            (Some(length), None) => Framing::Length(length),
        };
        let expectation = match self.expects {
            Some(false) if is_http_11 => return Err(Rejection::Expectation),
            Some(true) if is_http_11 && framing != Framing::None => Expectation::Continue,
            _ => Expectation::None,
        };
        // RFC 9112 3.2.2: an absolute-form target's authority replaces Host.
        if let Some(authority) = head.target.authority() {
            if !is_host(authority) || authority.is_empty() {
                return Err(Rejection::Target);
            }
            let value = HeaderValue::from_bytes(authority).map_err(|_| Rejection::Target)?;
            head.fields.insert(HOST, value);
        }
        let keeps = if is_http_11 { !self.close } else { self.keep_alive && !self.close };
        let persistence = if keeps { Persistence::KeepAlive } else { Persistence::Close };
        Ok(ParsedHead { head, framing, persistence, expectation })
    }
}

/// RFC 9110 8.6: digits and nothing else; a list of equal values is refused too.
fn parse_length(value: &[u8]) -> Result<u64, Rejection> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Rejection::ContentLength);
    }
    Ok(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

fn parse_coding(value: &[u8]) -> Result<TransferCoding, Rejection> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(TransferCoding::Chunked);
    }
    let codings: Vec<&[u8]> = value.split(|byte| *byte == b',').map(trim).collect();
    let chunked = codings.iter().filter(|coding| coding.eq_ignore_ascii_case(b"chunked")).count();
    let well_formed = codings.iter().all(|coding| is_token(coding));
    // RFC 9112 6.1: chunked is never applied twice, and is the last coding of a request.
    let last_is_chunked = codings.last().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    if !well_formed || chunked > 1 || (chunked == 1 && !last_is_chunked) {
        return Err(Rejection::TransferEncoding);
    }
    Ok(TransferCoding::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn judge(text: &[u8]) -> Result<ParsedHead, Rejection> {
        let limits = Config::default().limits;
        let mut buffer = BytesMut::from(text);
        let end = HeadScanner::default().scan(&mut buffer, &limits)?.expect("the head is complete");
        parse(buffer.split_to(end).freeze(), &limits)
    }

    fn framing(fields: &str) -> Result<Framing, Rejection> {
        judge(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).map(|parsed| parsed.framing)
    }

    #[test]
    fn framing_fields_have_one_reading() {
        assert_eq!(framing("Content-Length: 5\r\n"), Ok(Framing::Length(5)));
        assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
        for refused in ["+5", "5, 5", "0x5", "", "-1", "5 5", "99999999999999999999"] {
            assert_eq!(framing(&format!("Content-Length: {refused}\r\n")), Err(Rejection::ContentLength));
        }
        assert_eq!(framing("Content-Length: 5\r\nContent-Length: 5\r\n"), Err(Rejection::ContentLength));
        assert_eq!(
            framing("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            Err(Rejection::ContentLength)
        );
        assert_eq!(framing("Transfer-Encoding: gzip, chunked\r\n"), Err(Rejection::UnknownCoding));
        assert_eq!(framing("Transfer-Encoding: chunked, chunked\r\n"), Err(Rejection::TransferEncoding));
    }

    #[test]
    fn names_with_underscore_are_dropped() {
        let parsed =
            judge(b"GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1\r\nX-A: 2\r\n\r\n").expect("valid");
        assert_eq!(parsed.head.fields.len(), 2);
    }

    #[test]
    fn heads_may_arrive_byte_by_byte() {
        let limits = Config::default().limits;
        let text = b"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        let (mut buffer, mut scanner) = (BytesMut::new(), HeadScanner::default());
        for (at, byte) in text.iter().enumerate() {
            buffer.extend_from_slice(&[*byte]);
            let found = scanner.scan(&mut buffer, &limits).expect("valid so far");
            assert_eq!(found.is_some(), at + 1 == text.len(), "at {at}");
        }
    }
}
