//! What an operator wants of one request, and how that is written.

use crate::contract::message::Malformed;

/// A wish about one request in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inquiry {
    /// The request's name in the logs.
    pub request: u64,
    /// What is wanted.
    pub wish: Wish,
}

/// What is wanted of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It is to end.
    Cancel,
    /// Where the thread that serves it is.
    Stack,
}

impl Inquiry {
    /// Adds its bytes to a message.
    pub(super) fn put(self, bytes: &mut Vec<u8>) {
        bytes.push(match self.wish {
            Wish::Cancel => 1,
            Wish::Stack => 2,
        });
        bytes.extend(self.request.to_le_bytes());
    }

    /// From the rest of a message.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (wish, request) = bytes.split_first().ok_or(Malformed)?;
        let wish = match wish {
            1 => Wish::Cancel,
            2 => Wish::Stack,
            _ => return Err(Malformed),
        };
        let request = request.try_into().map_err(|_| Malformed)?;
        Ok(Self { request: u64::from_le_bytes(request), wish })
    }
}
