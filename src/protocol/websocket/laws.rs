//! What holds for any bytes that a client sends on a WebSocket: tried on random ones by `fuzz/`, on the kept ones by the
//! tests.
#![expect(clippy::missing_panics_doc, reason = "a law that is broken panics: that is how it is told")]

use super::frame::{self, Coding, Opcode};
use super::reader::{Event, Reader};
use super::{Close, Deflate, Message, Violation, deflate};
use bytes::BytesMut;

/// Frames are read alike however they are cut; what comes of them keeps to the rules.
pub fn frames(bytes: &[u8]) {
    let Some((&cut, bytes)) = bytes.split_first() else { return };
    let at_once = read([bytes]);
    let in_pieces = read(bytes.chunks(usize::from(cut) % 16 + 1));
    assert_eq!(at_once, in_pieces, "in pieces of {}", cut % 16 + 1);
    for event in at_once.0 {
        judge(&event);
    }
}

/// A message comes back from the wire as it was; nothing that can be inflated is longer than the limit.
pub fn compression(bytes: &[u8]) {
    if let Ok(content) = deflate::inflate(bytes, MESSAGE_LIMIT) {
        assert!(content.len() <= MESSAGE_LIMIT);
        let again = deflate::inflate(bytes, content.len());
        assert_eq!(again.as_ref(), Ok(&content), "a message has no past");
        if let Some(shorter) = content.len().checked_sub(1) {
            assert_eq!(deflate::inflate(bytes, shorter), Err(Violation::TooBig));
        }
    }
    let deflated = deflate::deflate(bytes);
    let wire = match &deflated {
        Some(short) => {
            assert!(short.len() < bytes.len());
            masked(short, Coding::Deflated)
        }
        None => masked(bytes, Coding::Plain),
    };
    let (events, violation) = read([&wire[..]]);
    if bytes.len() > MESSAGE_LIMIT {
        assert_eq!((&events[..], violation), (&[][..], Some(Violation::TooBig)));
        return;
    }
    assert_eq!(violation, None);
    assert_eq!(events, [Event::Message(Message::Binary(bytes.to_vec().into()))]);
}

/// What a client's bytes say, and what is wrong with them.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Option<Violation>) {
    let mut reader = Reader::new(MESSAGE_LIMIT, Deflate::Offered);
    let (mut buffer, mut events) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match reader.next(&mut buffer) {
                Ok(None) => break,
                // Nothing behind it is read.
                Ok(Some(event @ Event::Close(_))) => {
                    events.push(event);
                    return (events, None);
                }
                Ok(Some(event)) => events.push(event),
                Err(violation) => return (events, Some(violation)),
            }
        }
    }
    (events, None)
}

fn judge(event: &Event) {
    match event {
        Event::Message(message) => {
            assert!(message.content().len() <= MESSAGE_LIMIT);
            if let Message::Text(text) = message {
                assert!(std::str::from_utf8(text).is_ok(), "text that is none");
            }
        }
        Event::Ping(content) => assert!(content.len() <= 125),
        Event::Pong | Event::Close(None) => {}
        Event::Close(Some(Close { code, reason })) => {
            assert!((1000..5000).contains(code) && ![1004, 1005, 1006, 1015].contains(code), "{code}");
            assert!(reason.len() <= 123);
        }
    }
}

/// The frame that a client would send.
fn masked(content: &[u8], coding: Coding) -> Vec<u8> {
    let mut frame = BytesMut::new();
    frame::put(&mut frame, Opcode::Binary, coding, content);
    let (head, content) = frame.split_at(frame.len() - content.len());
    let mut content = content.to_vec();
    frame::unmask(&mut content, MASK);
    let mut masked = head.to_vec();
    masked[1] |= 0x80;
    [masked, MASK.to_vec(), content].concat()
}

const MASK: [u8; 4] = [0x5a, 0x01, 0xff, 0x80];
/// Met by inputs of a few bytes.
const MESSAGE_LIMIT: usize = 4000;
