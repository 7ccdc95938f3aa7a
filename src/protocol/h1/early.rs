//! Answers of the server's own, to requests that no app gets.

use super::content::ContentReader;
use super::head::{Expectation, Framing, Persistence};
use super::serve::{Next, Turn, gather};
use super::session::Session;
use super::write::Asked;
use crate::protocol::flight::Flight;
use crate::protocol::{Exchange, Handler, Record, Rejection, Response, Substitute, field_values};
use bytes::BytesMut;
use http::{Method, StatusCode, Version};

/// Answers without an app, before the content is read.
pub(super) async fn answer_early<H: Handler>(
    session: &mut Session<'_>,
    turn: Turn,
    response: Response,
    record: &Record,
    handler: &H,
) -> Next {
    let Some((method, _, version)) = &record.line else { return Next::Close };
    let status = response.status();
    let fields = field_values(&handler.wanted_fields().response, response.headers());
    let keeps = turn.persistence == Persistence::KeepAlive && may_discard(turn, &session.buffer);
    let persistence = if keeps { Persistence::KeepAlive } else { Persistence::Close };
    let asked = Asked { method, version: *version, flight: &record.context.flight };
    let written = session.write_response(Box::new(response), asked, persistence).await;
    handler.finish(&Exchange { record, status, sent: written.sent, fields, refused: None });
    if written.end.is_err() {
        return Next::Close;
    }
    if keeps {
        let discarded = match ContentReader::discarding(turn.framing, DISCARD_LIMIT) {
            Ok(mut reader) => gather(session, &mut reader).await.is_ok(),
            Err(_) => false,
        };
        if discarded && matches!(written.end, Ok(Persistence::KeepAlive)) {
            return Next::Head;
        }
    }
    Next::Linger
}

/// RFC 9110 10.1.1: after a final answer a client that expected 100 may send its content or not,
/// so only content that has begun to arrive can be told from the next request.
fn may_discard(turn: Turn, buffer: &BytesMut) -> bool {
    let announced = turn.expectation == Expectation::None || !buffer.is_empty();
    announced
        && match turn.framing {
            Framing::None => true,
            Framing::Length(length) => length <= DISCARD_LIMIT,
            Framing::Chunked => true,
        }
}

/// Says why, to a request of this route if it could be understood, and closes: what follows on this connection can no longer be
/// told apart.
pub(super) async fn refuse<H: Handler>(
    session: &mut Session<'_>,
    rejection: Rejection,
    (record, route): (&Record, Option<&H::Route>),
    handler: &H,
) -> Next {
    let get = Method::GET;
    let (method, version) = match &record.line {
        Some((method, _, version)) => (method, *version),
        None => (&get, Version::HTTP_11),
    };
    let response = handler.in_place(&rejection.answer(), route);
    let status: StatusCode = response.status();
    let asked = Asked { method, version, flight: &record.context.flight };
    let written = session.write_response(Box::new(response), asked, Persistence::Close).await;
    let (sent, fields) = (written.sent, Vec::new());
    handler.finish(&Exchange { record, status, sent, fields, refused: Some(rejection) });
    if written.end.is_ok() { Next::Linger } else { Next::Close }
}

/// An operator has ended a request whose head had not arrived: nothing that follows can be understood.
pub(super) async fn answer_cancelled<H: Handler>(
    session: &mut Session<'_>,
    record: &Record,
    handler: &H,
) -> Next {
    let response = handler.in_place(&Substitute::cancelled(), None);
    let status = response.status();
    let asked = Asked { method: &Method::GET, version: Version::HTTP_11, flight: &Flight::unnoted() };
    let written = session.write_response(Box::new(response), asked, Persistence::Close).await;
    handler.finish(&Exchange { record, status, sent: written.sent, fields: Vec::new(), refused: None });
    if written.end.is_ok() { Next::Linger } else { Next::Close }
}

/// Content of a refused request that is read and forgotten so that its connection can go on.
const DISCARD_LIMIT: u64 = 256 << 10;
