//! Responses of any HTTP/1.x server, read as a client reads them (RFC 9112 6.3, 7.1).
//!
//! Content is counted and forgotten, so that memory stays the same whatever a server sends.

use bytes::{Buf, BytesMut};
use httparse::Status;

/// Reads one response from a buffer that others fill.
#[derive(Debug)]
pub(super) struct ResponseReader {
    state: State,
    expects: Expects,
    status: u16,
    persistence: Persistence,
    content: u64,
}

/// One response, complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    /// The status code.
    pub(super) status: u16,
    /// Length of the content in bytes, decoded.
    pub(super) content: u64,
    /// Whether the connection takes another request.
    pub(super) persistence: Persistence,
}

/// What follows the head of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expects {
    /// Whatever the head says.
    Content,
    /// Nothing, as the request was HEAD (RFC 9110 9.3.2).
    HeadAlone,
}

/// Whether a connection takes another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persistence {
    /// It does.
    Kept,
    /// The server ends it.
    Closed,
}

/// What is no HTTP response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadResponse {
    /// The head cannot be read.
    #[error("the head of the response is no HTTP/1.x")]
    Head,
    /// The chunks cannot be read.
    #[error("the response is not chunked as HTTP/1.1 has it")]
    Chunk,
    /// It ended too early.
    #[error("the connection ended before the response did")]
    Truncated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailer,
    Done,
}

impl ResponseReader {
    /// A reader for the answer to one request.
    pub(super) fn new(expects: Expects) -> Self {
        Self { state: State::Head, expects, status: 0, persistence: Persistence::Closed, content: 0 }
    }

    /// Takes what it can from the buffer; the response, once it is complete.
    ///
    /// # Errors
    /// The connection can be used no more.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Reply>, BadResponse> {
        while self.state != State::Done {
            if !self.step(buffer)? {
                return Ok(None);
            }
        }
        // What nobody has asked for cannot be the answer to the next request.
        let persistence = if buffer.is_empty() { self.persistence } else { Persistence::Closed };
        Ok(Some(Reply { status: self.status, content: self.content, persistence }))
    }

    /// The connection has ended: that completes a response without a length, and no other.
    ///
    /// # Errors
    /// The response was not complete.
    pub(super) fn end(&self) -> Result<Reply, BadResponse> {
        match self.state {
            State::UntilClose | State::Done => {
                Ok(Reply { status: self.status, content: self.content, persistence: Persistence::Closed })
            }
            State::Head
            | State::Length(_)
            | State::ChunkSize
            | State::ChunkData(_)
            | State::ChunkEnd
            | State::Trailer => Err(BadResponse::Truncated),
        }
    }

    /// Whether anything has been read.
    pub(super) fn has_begun(&self) -> bool {
        self.state != State::Head || self.status != 0
    }

    /// One step; false when the buffer holds too little for it.
    fn step(&mut self, buffer: &mut BytesMut) -> Result<bool, BadResponse> {
        match self.state {
            State::Head => self.head(buffer),
            State::Length(left) => {
                let left = left - self.skip(buffer, left);
                self.state = if left == 0 { State::Done } else { State::Length(left) };
                Ok(left == 0)
            }
            State::UntilClose => {
                self.skip(buffer, u64::MAX);
                Ok(false)
            }
            State::ChunkSize => match httparse::parse_chunk_size(buffer) {
                Ok(Status::Complete((length, size))) => {
                    buffer.advance(length);
                    self.state = if size == 0 { State::Trailer } else { State::ChunkData(size) };
                    Ok(true)
                }
                Ok(Status::Partial) if buffer.len() < LINE_LIMIT => Ok(false),
                Ok(Status::Partial) | Err(_) => Err(BadResponse::Chunk),
            },
            State::ChunkData(left) => {
                let left = left - self.skip(buffer, left);
                self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                Ok(left == 0)
            }
            State::ChunkEnd => self.line(buffer, |line| match line {
                b"" => Ok(State::ChunkSize),
                _ => Err(BadResponse::Chunk),
            }),
            State::Trailer => self.line(buffer, |line| match line {
                b"" => Ok(State::Done),
                _ => Ok(State::Trailer),
            }),
            State::Done => Ok(true),
        }
    }

    fn head(&mut self, buffer: &mut BytesMut) -> Result<bool, BadResponse> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_LIMIT];
        let mut head = httparse::Response::new(&mut fields);
        let length = match head.parse(buffer) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if buffer.len() < HEAD_LIMIT => return Ok(false),
            Ok(Status::Partial) | Err(_) => return Err(BadResponse::Head),
        };
        let (Some(status), Some(version)) = (head.code, head.version) else { return Err(BadResponse::Head) };
        self.status = status;
        self.persistence = persistence(version, head.headers);
        self.state = match status {
            // RFC 9110 15.2: interim responses come before the one that counts.
            100..=199 => State::Head,
            204 | 304 => State::Done,
            _ if self.expects == Expects::HeadAlone => State::Done,
            _ => framing(head.headers)?,
        };
        if self.state == State::UntilClose {
            self.persistence = Persistence::Closed;
        }
        buffer.advance(length);
        Ok(true)
    }

    fn skip(&mut self, buffer: &mut BytesMut, most: u64) -> u64 {
        let count = buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        buffer.advance(count);
        self.content += count as u64;
        count as u64
    }

    fn line(
        &mut self,
        buffer: &mut BytesMut,
        next: impl Fn(&[u8]) -> Result<State, BadResponse>,
    ) -> Result<bool, BadResponse> {
        match memchr::memchr(b'\n', buffer) {
            Some(at) => {
                let line = buffer.split_to(at + 1);
                self.state = next(line.trim_ascii_end())?;
                Ok(true)
            }
            None if buffer.len() < LINE_LIMIT => Ok(false),
            None => Err(BadResponse::Chunk),
        }
    }
}

fn persistence(version: u8, fields: &[httparse::Header<'_>]) -> Persistence {
    let says = |word: &str| {
        let options = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("connection"));
        options
            .flat_map(|field| field.value.split(|byte| *byte == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    // RFC 9112 9.3
    if says("close") || (version == 0 && !says("keep-alive")) {
        Persistence::Closed
    } else {
        Persistence::Kept
    }
}

fn framing(fields: &[httparse::Header<'_>]) -> Result<State, BadResponse> {
    let named = |name: &str| fields.iter().rev().find(|field| field.name.eq_ignore_ascii_case(name));
    if let Some(codings) = named("transfer-encoding") {
        let last = codings.value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
        let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        return Ok(if chunked { State::ChunkSize } else { State::UntilClose });
    }
    let Some(length) = named("content-length") else { return Ok(State::UntilClose) };
    let text = std::str::from_utf8(length.value.trim_ascii()).map_err(|_| BadResponse::Head)?;
    match text.parse() {
        Ok(0) => Ok(State::Done),
        Ok(length) => Ok(State::Length(length)),
        Err(_) => Err(BadResponse::Head),
    }
}

/// Longest head, and longest line of chunked framing, in bytes.
const HEAD_LIMIT: usize = 64 << 10;
const LINE_LIMIT: usize = 8 << 10;
const FIELDS_LIMIT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    /// The reply to these bytes, whether they arrive at once or one by one, and then an end.
    fn read(bytes: &str) -> Result<Reply, BadResponse> {
        let whole = read_pieces(bytes, usize::MAX);
        assert_eq!(whole, read_pieces(bytes, 1), "{bytes:?} in pieces");
        whole
    }

    fn read_pieces(bytes: &str, size: usize) -> Result<Reply, BadResponse> {
        let mut reader = ResponseReader::new(Expects::Content);
        let mut buffer = BytesMut::new();
        for piece in bytes.as_bytes().chunks(size.min(bytes.len().max(1))) {
            buffer.extend_from_slice(piece);
            if let Some(reply) = reader.take(&mut buffer)? {
                return Ok(reply);
            }
        }
        reader.end()
    }

    fn reply(status: u16, content: u64, persistence: Persistence) -> Result<Reply, BadResponse> {
        Ok(Reply { status, content, persistence })
    }

    #[test]
    fn every_framing_is_read() {
        use Persistence::{Closed, Kept};
        for (bytes, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", reply(200, 3, Kept)),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", reply(200, 0, Kept)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: x, Close\r\n\r\na", reply(200, 1, Closed)),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", reply(200, 1, Closed)),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\na", reply(200, 1, Kept)),
            ("HTTP/1.1 200 OK\r\n\r\nuntil the end", reply(200, 13, Closed)),
            ("HTTP/1.1 204 No Content\r\n\r\n", reply(204, 0, Kept)),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", reply(304, 0, Kept)),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
                reply(200, 1, Kept),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
                reply(200, 13, Kept),
            ),
            (
                "HTTP/1.1 500 No\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n",
                reply(500, 1, Kept),
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", reply(200, 3, Closed)),
            // No reason phrase; lines that end in a bare line feed.
            ("HTTP/1.1 404\nContent-Length: 1\n\na", reply(404, 1, Kept)),
        ] {
            assert_eq!(read(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn an_answer_to_head_ends_with_its_head() {
        let mut buffer = BytesMut::from("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
        let reply = ResponseReader::new(Expects::HeadAlone).take(&mut buffer).unwrap().unwrap();
        assert_eq!(Ok(reply), self::reply(200, 0, Persistence::Kept));
    }

    #[test]
    fn what_is_cut_off_or_no_http_is_an_error() {
        for (bytes, expected) in [
            ("", BadResponse::Truncated),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", BadResponse::Truncated),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", BadResponse::Truncated),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", BadResponse::Chunk),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", BadResponse::Chunk),
            ("HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc", BadResponse::Head),
            ("SSH-2.0-OpenSSH\r\n", BadResponse::Head),
        ] {
            assert_eq!(read(bytes), Err(expected), "{bytes:?}");
        }
    }

    #[test]
    fn what_follows_a_response_unasked_ends_the_connection() {
        let mut buffer = BytesMut::from("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200");
        let reply = ResponseReader::new(Expects::Content).take(&mut buffer).unwrap().unwrap();
        assert_eq!(reply.persistence, Persistence::Closed);
    }

    #[test]
    fn heads_and_lines_have_a_limit() {
        let mut endless = BytesMut::from("HTTP/1.1 200 OK\r\nA: ");
        endless.extend_from_slice(&vec![b'a'; HEAD_LIMIT]);
        assert_eq!(ResponseReader::new(Expects::Content).take(&mut endless), Err(BadResponse::Head));
        let mut endless = BytesMut::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ");
        endless.extend_from_slice(&vec![b'a'; LINE_LIMIT]);
        assert_eq!(ResponseReader::new(Expects::Content).take(&mut endless), Err(BadResponse::Chunk));
    }
}
