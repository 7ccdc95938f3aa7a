//! Compression of single messages (RFC 7692), without anything kept from one to the next.

use super::Violation;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::cell::RefCell;

/// Whether messages may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deflate {
    /// They may, if the client can.
    Offered,
    /// They may not.
    Never,
}

/// Shorter messages are not worth it.
pub(super) const WORTH: usize = 128;

/// RFC 7692 7.2.1: what ends each message, and is left out.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Room added at a time.
const STEP: usize = 16 << 10;

thread_local! {
    // One for all connections of a thread: none of them has a past.
    static INFLATER: RefCell<Decompress> = RefCell::new(Decompress::new(false));
    static DEFLATER: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// Inflates a message of at most `limit` bytes; stops as soon as there are more.
pub(super) fn inflate(message: &[u8], limit: usize) -> Result<Vec<u8>, Violation> {
    INFLATER.with_borrow_mut(|inflater| {
        inflater.reset(false);
        let mut out = Vec::with_capacity((message.len() * 3).clamp(64, STEP));
        for part in [message, &TAIL] {
            let mut part = part;
            loop {
                if out.len() == out.capacity() {
                    out.reserve(STEP);
                }
                let before = inflater.total_in();
                let status = inflater.decompress_vec(part, &mut out, FlushDecompress::None);
                let taken = usize::try_from(inflater.total_in() - before).unwrap_or(usize::MAX);
                part = part.get(taken..).unwrap_or(&[]);
                if out.len() > limit {
                    return Err(Violation::TooBig);
                }
                match status {
                    Err(_) => return Err(Violation::Content),
                    // RFC 7692 7.2.3.5: a last block may end the stream; a further one begins anew.
                    Ok(Status::StreamEnd) => {
                        inflater.reset(false);
                        if part.is_empty() {
                            break;
                        }
                    }
                    Ok(Status::Ok | Status::BufError) => {
                        if part.is_empty() && out.len() < out.capacity() {
                            break;
                        }
                        if taken == 0 && out.len() < out.capacity() {
                            return Err(Violation::Content);
                        }
                    }
                }
            }
        }
        Ok(out)
    })
}

/// Deflates a message; `None` where that makes it no shorter.
pub(super) fn deflate(message: &[u8]) -> Option<Vec<u8>> {
    DEFLATER.with_borrow_mut(|deflater| {
        deflater.reset();
        // Room for the worst case: the deflater is never at a loss for it.
        let mut out = Vec::with_capacity(message.len() + message.len() / 8 + WORTH);
        deflater.compress_vec(message, &mut out, FlushCompress::Sync).ok()?;
        let is_whole = usize::try_from(deflater.total_in()) == Ok(message.len());
        let without_tail = out.strip_suffix(&TAIL)?.len();
        if !is_whole {
            return None;
        }
        out.truncate(without_tail);
        (out.len() < message.len()).then_some(out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deflated_is_inflated_again() {
        let text = b"a text that repeats itself, ".repeat(1000);
        for length in [130, 1000, 28_000] {
            let short = deflate(&text[..length]).unwrap();
            assert!(short.len() < length);
            assert_eq!(inflate(&short, length).unwrap(), &text[..length]);
            assert_eq!(inflate(&short, length - 1), Err(Violation::TooBig));
        }
        assert_eq!(deflate(b"x"), None);
        let mut noise = 1u32;
        let random: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_be_bytes()[0]
        })
        .take(1 << 20)
        .collect();
        for length in [128, 129, 1000, 16_384, 65_535, 65_536, 1 << 20] {
            assert_eq!(deflate(&random[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_bomb_is_given_up_at_the_limit() {
        let bomb = deflate(&vec![0; 64 << 20]).unwrap();
        assert!(bomb.len() < 1 << 20);
        assert_eq!(inflate(&bomb, 1 << 20), Err(Violation::TooBig));
    }

    #[test]
    fn the_example_of_the_standard_is_read() {
        // RFC 7692 7.2.3.1, 7.2.3.2, 7.2.3.3 and 7.2.3.4.
        assert_eq!(inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 5).unwrap(), b"Hello");
        let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
        assert_eq!(inflate(&stored, 5).unwrap(), b"Hello");
        assert_eq!(inflate(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], 5).unwrap(), b"Hello");
        for nonsense in [&b"\xff\xff\xff\xff"[..], b"\x07"] {
            assert_eq!(inflate(nonsense, 100), Err(Violation::Content), "{nonsense:x?}");
        }
    }
}
