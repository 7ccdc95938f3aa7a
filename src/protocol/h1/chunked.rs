//! Chunked content (RFC 9112 7.1): strict, because a lenient reading is a smuggled request.

use super::field_line::{split_field_line, trim};
use crate::config::is_token;
use crate::protocol::Rejection;
use bytes::{Buf, Bytes, BytesMut};

/// Longest chunk-size line with its extensions, and longest trailer section, in bytes.
const LINE_LIMIT: usize = 4096;
const TRAILER_LIMIT: usize = 16 << 10;
/// Extension bytes in one message: more is an attack, not a use.
const EXTENSIONS_LIMIT: usize = 64 << 10;

/// Takes chunks out of a buffer.
#[derive(Debug)]
pub(super) struct ChunkedDecoder {
    state: State,
    overhead: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailer,
    Done,
}

/// What a buffer held.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    NeedMore,
    End,
}

impl ChunkedDecoder {
    pub(super) fn new() -> Self {
        Self { state: State::Size, overhead: 0 }
    }

    /// The next piece of content.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Piece, Rejection> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = take_line(buffer, LINE_LIMIT)? else { return Ok(Piece::NeedMore) };
                    self.overhead += line.len();
                    let size = parse_size_line(&line)?;
                    if size == 0 {
                        self.overhead = 0;
                        self.state = State::Trailer;
                    } else if self.overhead > EXTENSIONS_LIMIT && line.len() > 16 {
                        return Err(Rejection::Chunk);
                    } else {
                        self.state = State::Data(size);
                    }
                }
                State::Data(left) => {
                    if buffer.is_empty() {
                        return Ok(Piece::NeedMore);
                    }
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let left = left - take as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Piece::Data(buffer.split_to(take).freeze()));
                }
                State::DataEnd => match buffer[..] {
                    [] | [b'\r'] => return Ok(Piece::NeedMore),
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        self.state = State::Size;
                    }
                    _ => return Err(Rejection::Chunk),
                },
                State::Trailer => {
                    let Some(line) = take_line(buffer, TRAILER_LIMIT)? else { return Ok(Piece::NeedMore) };
                    self.overhead += line.len();
                    if self.overhead > TRAILER_LIMIT {
                        return Err(Rejection::HeadTooLarge);
                    }
                    if line.is_empty() {
                        self.state = State::Done;
                    } else {
                        // RFC 9110 6.5.1: a recipient may drop trailer fields; they are only judged.
                        split_field_line(&line).map_err(|_| Rejection::Chunk)?;
                    }
                }
                State::Done => return Ok(Piece::End),
            }
        }
    }
}

/// One line without its CR LF, once it is complete.
fn take_line(buffer: &mut BytesMut, limit: usize) -> Result<Option<BytesMut>, Rejection> {
    for (at, byte) in buffer.iter().enumerate() {
        match byte {
            b'\r' => match buffer.get(at + 1) {
                None => return Ok(None),
                Some(b'\n') => {
                    let line = buffer.split_to(at);
                    buffer.advance(2);
                    return Ok(Some(line));
                }
                Some(_) => return Err(Rejection::Chunk),
            },
            b'\t' => {}
            0..=0x1F | 0x7F => return Err(Rejection::Chunk),
            _ if at >= limit => return Err(Rejection::Chunk),
            _ => {}
        }
    }
    Ok(None)
}

fn parse_size_line(line: &[u8]) -> Result<u64, Rejection> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    // Fifteen digits are beyond any limit on content, and cannot overflow.
    if digits == 0 || digits > 15 {
        return Err(Rejection::Chunk);
    }
    let size = line[..digits].iter().fold(0_u64, |size, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            _ => (digit | 0x20) - b'a' + 10,
        };
        size << 4 | u64::from(value)
    });
    if extensions_are_valid(&line[digits..]) { Ok(size) } else { Err(Rejection::Chunk) }
}

/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`
fn extensions_are_valid(mut rest: &[u8]) -> bool {
    if rest.is_empty() {
        return true;
    }
    while !rest.is_empty() {
        rest = trim_start(rest);
        let Some((b';', after)) = rest.split_first() else { return false };
        rest = trim_start(after);
        let name_end = rest.iter().position(|byte| matches!(byte, b';' | b'=')).unwrap_or(rest.len());
        if !is_token(trim(&rest[..name_end])) {
            return false;
        }
        rest = &rest[name_end..];
        if let Some((b'=', after)) = rest.split_first() {
            let Some(left) = skip_value(trim_start(after)) else { return false };
            rest = left;
        }
    }
    true
}

fn skip_value(value: &[u8]) -> Option<&[u8]> {
    if value.first() == Some(&b'"') {
        let mut at = 1;
        while at < value.len() {
            match value[at] {
                b'\\' => at += 2,
                b'"' => return Some(&value[at + 1..]),
                _ => at += 1,
            }
        }
        return None;
    }
    let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
    is_token(trim(&value[..end])).then(|| &value[end..])
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(bytes.len());
    &bytes[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &[u8]) -> Result<Option<Vec<u8>>, Rejection> {
        let (mut buffer, mut decoder, mut content) =
            (BytesMut::from(text), ChunkedDecoder::new(), Vec::new());
        loop {
            match decoder.next(&mut buffer)? {
                Piece::Data(data) => content.extend_from_slice(&data),
                Piece::NeedMore => return Ok(None),
                Piece::End => return Ok(Some(content)),
            }
        }
    }

    #[test]
    fn well_formed_content_is_decoded() {
        for text in [
            "5\r\nhello\r\n0\r\n\r\n",
            "2\r\nhe\r\n3\r\nllo\r\n000\r\n\r\n",
            "5;a=b;c=\"d;\\\"e\"\r\nhello\r\n0;x\r\nTrailer: 1\r\n\r\n",
            "5 ; a = b\r\nhello\r\n0\r\n\r\n",
        ] {
            assert_eq!(decode(text.as_bytes()), Ok(Some(b"hello".to_vec())), "{text:?}");
        }
    }

    #[test]
    fn malformed_content_is_refused() {
        for text in [
            "5\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "\r\nhello\r\n0\r\n\r\n",
            "5;a\rb\r\nhello\r\n0\r\n\r\n",
            "5;\r\nhello\r\n0\r\n\r\n",
            "ffffffffffffffffff\r\n",
            "0\r\nbad trailer\r\n\r\n",
        ] {
            assert!(decode(text.as_bytes()).is_err(), "{text:?}");
        }
        assert_eq!(decode(b"5\r\nhel"), Ok(None));
    }
}
