//! Frames: their heads, read and written (RFC 6455 5.2).

use super::Violation;
use bytes::{BufMut, BytesMut};

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    /// More of a message.
    Continuation,
    /// A message of text begins.
    Text,
    /// A message of bytes begins.
    Binary,
    /// The end of the connection.
    Close,
    /// To be answered.
    Ping,
    /// The answer.
    Pong,
}

impl Opcode {
    fn of(nibble: u8) -> Option<Self> {
        Some(match nibble {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn nibble(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// Whether it is about the connection, and may stand between the frames of a message.
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Where a frame stands in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Last,
    MoreFollows,
}

/// Whether a message is compressed (RFC 7692 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    Deflated,
}

/// The head of a client's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) opcode: Opcode,
    pub(super) place: Place,
    pub(super) coding: Coding,
    pub(super) mask: [u8; 4],
    /// Of the content behind it, in bytes.
    pub(super) length: u64,
    /// Its own, in bytes.
    pub(super) size: usize,
}

/// Reads the head of a client's frame; `None` while it is incomplete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Head>, Violation> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let opcode = Opcode::of(first & 0x0f).ok_or(Violation::Protocol("an unknown opcode"))?;
    let place = if first & 0x80 == 0 { Place::MoreFollows } else { Place::Last };
    let coding = if first & 0x40 == 0 { Coding::Plain } else { Coding::Deflated };
    if first & 0x30 != 0 {
        return Err(Violation::Protocol("a reserved bit"));
    }
    if second & 0x80 == 0 {
        return Err(Violation::Protocol("a frame of a client without a mask"));
    }
    let short = second & 0x7f;
    let (length, rest, extra) = match short {
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest, 2),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest, 8),
            None => return Ok(None),
        },
        _ => (u64::from(short), rest, 0),
    };
    if opcode.is_control() && (short > 125 || place == Place::MoreFollows || coding == Coding::Deflated) {
        return Err(Violation::Protocol("a control frame that is long, in pieces or compressed"));
    }
    if length >> 63 != 0 {
        return Err(Violation::Protocol("a length of 64 bits"));
    }
    let Some(mask) = rest.first_chunk() else { return Ok(None) };
    Ok(Some(Head { opcode, place, coding, mask: *mask, length, size: 2 + extra + 4 }))
}

/// Undoes the mask of a client's frame.
pub(super) fn unmask(content: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (whole, rest) = content.as_chunks_mut::<8>();
    for chunk in whole {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Writes a frame of the server's, which is a whole message.
pub(super) fn put(out: &mut BytesMut, opcode: Opcode, coding: Coding, content: &[u8]) {
    let compressed = if coding == Coding::Deflated { 0x40 } else { 0 };
    out.reserve(content.len() + 10);
    out.put_u8(0x80 | compressed | opcode.nibble());
    let length = content.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => out.put_u8(short),
        (_, Ok(medium)) => {
            out.put_u8(126);
            out.put_u16(medium);
        }
        (_, _) => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    out.put_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as clients write it.
    fn masked(first: u8, content: &[u8]) -> Vec<u8> {
        let mut plain = BytesMut::new();
        put(&mut plain, Opcode::Binary, Coding::Plain, content);
        let head = plain.len() - content.len();
        let mut frame = plain[..head].to_vec();
        frame[0] = first;
        frame[1] |= 0x80;
        let mask = [1, 2, 3, 4];
        frame.extend_from_slice(&mask);
        let mut content = content.to_vec();
        unmask(&mut content, mask);
        frame.extend_from_slice(&content);
        frame
    }

    #[test]
    fn what_is_written_is_read_back() {
        for length in [0, 1, 7, 8, 125, 126, 127, 65_535, 65_536, 100_000] {
            let content: Vec<u8> = (0..length).map(|number: usize| number.to_le_bytes()[0]).collect();
            let frame = masked(0x82, &content);
            let head = parse(&frame).unwrap().unwrap();
            assert_eq!((head.opcode, head.place, head.length), (Opcode::Binary, Place::Last, length as u64));
            let mut read = frame[head.size..].to_vec();
            unmask(&mut read, head.mask);
            assert!(read == content);
            for cut in 0..head.size {
                assert_eq!(parse(&frame[..cut]), Ok(None), "{length} {cut}");
            }
        }
    }

    #[test]
    fn what_no_client_may_send_is_refused() {
        for frame in [
            &[0x83, 0x80][..],
            &[0x91, 0x80],
            &[0xa1, 0x80],
            &[0x81, 0x00],
            &[0x09, 0x80, 0, 0, 0, 0],
            &[0xc9, 0x80, 0, 0, 0, 0],
            &[0x88, 0xfe, 0, 126, 0, 0, 0, 0],
            &[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
        ] {
            assert!(matches!(parse(frame), Err(Violation::Protocol(_))), "{frame:x?}");
        }
    }
}
