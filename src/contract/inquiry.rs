//! What is wanted of a worker or of one of its requests, and how that is written.

use crate::contract::message::Malformed;

/// A wish about one request in flight, or about the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inquiry {
    /// The request's name in the logs; 0 where none is meant.
    pub request: u64,
    /// What is wanted.
    pub wish: Wish,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It is to end.
    Cancel,
    /// Where the thread that serves it is.
    Stack,
    /// Key sets that were fetched are to be taken over.
    TakeKeys,
    /// All keys are to be read anew.
    ReadKeys,
}

impl Inquiry {
    /// Adds its bytes to a message.
    pub(super) fn put(self, bytes: &mut Vec<u8>) {
        bytes.push(match self.wish {
            Wish::Cancel => 1,
            Wish::Stack => 2,
            Wish::TakeKeys => 3,
            Wish::ReadKeys => 4,
        });
        bytes.extend(self.request.to_le_bytes());
    }

    /// From the rest of a message.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (wish, request) = bytes.split_first().ok_or(Malformed)?;
        let wish = match wish {
            1 => Wish::Cancel,
            2 => Wish::Stack,
            3 => Wish::TakeKeys,
            4 => Wish::ReadKeys,
            _ => return Err(Malformed),
        };
        let request = request.try_into().map_err(|_| Malformed)?;
        Ok(Self { request: u64::from_le_bytes(request), wish })
    }
}
