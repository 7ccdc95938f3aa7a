//! What a client sends becomes messages (RFC 6455 5.4 to 5.6).

use super::frame::{self, Coding, Opcode, Place};
use super::{Close, Deflate, Message, Violation, deflate};
use bytes::{Buf, Bytes, BytesMut};

/// Puts messages together.
#[derive(Debug)]
pub(super) struct Reader {
    limit: usize,
    deflate: Deflate,
    /// The message whose end is awaited.
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    opcode: Opcode,
    coding: Coding,
    content: BytesMut,
    /// So much of it is known to be text, where it has to be.
    judged: usize,
}

/// Something that a client has said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Message(Message),
    Ping(Bytes),
    Pong,
    /// `None`: without a status code.
    Close(Option<Close>),
}

impl Reader {
    pub(super) fn new(limit: usize, deflate: Deflate) -> Self {
        Self { limit, deflate, begun: None }
    }

    /// The next thing in the buffer; `None` when more is needed.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, Violation> {
        loop {
            let Some(head) = frame::parse(buffer)? else { return Ok(None) };
            self.judge(&head)?;
            // No longer than the limit, which is one of this machine's sizes.
            let length = usize::try_from(head.length).map_err(|_| Violation::TooBig)?;
            if buffer.len() < head.size + length {
                return Ok(None);
            }
            buffer.advance(head.size);
            let mut content = buffer.split_to(length);
            frame::unmask(&mut content, head.mask);
            if let Some(event) = self.take(&head, content)? {
                return Ok(Some(event));
            }
        }
    }

    /// Judges a frame before its content has arrived.
    fn judge(&self, head: &frame::Head) -> Result<(), Violation> {
        if head.opcode.is_control() {
            return Ok(());
        }
        let begun = match (head.opcode, &self.begun) {
            (Opcode::Continuation, None) => return Err(Violation::Protocol("a continuation of nothing")),
            (Opcode::Continuation, Some(begun)) => begun.content.len(),
            (_, Some(_)) => return Err(Violation::Protocol("a message within another")),
            (_, None) => 0,
        };
        // RFC 7692 6.1: the first frame says it for the whole message.
        if head.coding == Coding::Deflated
            && (self.deflate == Deflate::Never || head.opcode == Opcode::Continuation)
        {
            return Err(Violation::Protocol("compression that was not agreed on"));
        }
        if head.length > self.limit.saturating_sub(begun) as u64 {
            return Err(Violation::TooBig);
        }
        Ok(())
    }

    fn take(&mut self, head: &frame::Head, content: BytesMut) -> Result<Option<Event>, Violation> {
        match head.opcode {
            Opcode::Ping => return Ok(Some(Event::Ping(content.freeze()))),
            Opcode::Pong => return Ok(Some(Event::Pong)),
            Opcode::Close => return close(&content).map(|close| Some(Event::Close(close))),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {}
        }
        let mut begun = match self.begun.take() {
            None => Begun { opcode: head.opcode, coding: head.coding, content, judged: 0 },
            Some(mut begun) => {
                begun.content.unsplit(content);
                begun
            }
        };
        if begun.coding == Coding::Plain && begun.opcode == Opcode::Text {
            begun.judge_text(head.place)?;
        }
        if head.place == Place::MoreFollows {
            self.begun = Some(begun);
            return Ok(None);
        }
        let content = match begun.coding {
            Coding::Plain => begun.content.freeze(),
            Coding::Deflated => deflate::inflate(&begun.content, self.limit)?.into(),
        };
        if begun.opcode == Opcode::Text {
            if begun.coding == Coding::Deflated {
                std::str::from_utf8(&content).map_err(|_| Violation::Content)?;
            }
            return Ok(Some(Event::Message(Message::Text(content))));
        }
        Ok(Some(Event::Message(Message::Binary(content))))
    }
}

impl Begun {
    /// RFC 6455 8.1. Text is judged as it comes: the end of what is none is not waited for. A character may end in a later
    /// frame.
    fn judge_text(&mut self, place: Place) -> Result<(), Violation> {
        match std::str::from_utf8(&self.content[self.judged..]) {
            Ok(_) => self.judged = self.content.len(),
            Err(error) if error.error_len().is_none() && place == Place::MoreFollows => {
                self.judged += error.valid_up_to();
            }
            Err(_) => return Err(Violation::Content),
        }
        Ok(())
    }
}

/// RFC 6455 5.5.1, 7.4: a code and a reason, or neither.
fn close(content: &[u8]) -> Result<Option<Close>, Violation> {
    if content.is_empty() {
        return Ok(None);
    }
    let Some((code, reason)) = content.split_first_chunk() else {
        return Err(Violation::Protocol("half a status code"));
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::Protocol("a status code that is never sent"));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Violation::Content)?;
    Ok(Some(Close { code, reason: reason.to_owned() }))
}
