//! What is wrong with an app's answer, in the error log: with the request that it was for.

use super::ends::Unnoted;
use crate::protocol::RequestId;
use crate::protocol::flight::Flight;
use std::io;

/// Where it is still known what an app was asked.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) flight: &'a Flight,
    /// Where it was in no table while the app had it.
    pub(super) unnoted: Option<&'a Unnoted>,
}

/// An app has sent less content than it declared.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{sent} bytes of {declared}")]
pub(super) struct Short {
    pub(super) declared: u64,
    pub(super) sent: u64,
}

impl From<Short> for io::Error {
    fn from(short: Short) -> Self {
        Self::new(io::ErrorKind::UnexpectedEof, short)
    }
}

impl Asker<'_> {
    /// Tells of a response that has not ended as it should, where its app is to blame.
    pub(super) fn tell_cut(self, error: &io::Error) {
        let short = error.get_ref().and_then(|error| error.downcast_ref::<Short>());
        let Some(Short { declared, sent }) = short else { return };
        let (id, line) = self.named();
        tracing::error!(request = %id, declared, sent, "the app sent less content than it declared: {line}");
    }

    /// Tells of a 101 that nobody has asked for.
    pub(super) fn tell_switch(self) {
        let (id, line) = self.named();
        tracing::error!(request = %id, "the app changes the protocol of a connection whose client did not ask for that: {line}");
    }

    /// The request's id; its method and target, escaped.
    fn named(self) -> (RequestId, String) {
        match (self.unnoted, self.flight.entry()) {
            (Some(unnoted), _) => unnoted.named(),
            (None, Some(entry)) => (RequestId(entry.id), entry.line()),
            // Not reached: what is not kept has a place in the table.
            (None, None) => (RequestId(0), String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::time::Instant;

    #[test]
    fn a_request_that_was_in_no_table_is_named_by_its_head() {
        let head = Bytes::from_static(b"GET /a\x1b?b HTTP/1.1\r\nHost: a\r\n\r\n");
        let unnoted = Unnoted { id: RequestId(0x2a), client: None, received: Instant::now(), head };
        let asker = Asker { flight: &Flight::unnoted(), unnoted: Some(&unnoted) };
        assert_eq!(asker.named(), (RequestId(0x2a), r"GET /a\x1b?b".to_owned()));
    }

    #[test]
    fn what_is_short_is_told_from_a_client_that_has_left() {
        let short = io::Error::from(Short { declared: 3, sent: 1 });
        let told = short.get_ref().and_then(|error| error.downcast_ref::<Short>());
        assert!(matches!(told, Some(Short { declared: 3, sent: 1 })), "{short}");
        assert!(io::Error::from(io::ErrorKind::UnexpectedEof).get_ref().is_none());
    }
}
