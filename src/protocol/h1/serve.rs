//! One connection from its first byte to its last (RFC 9112 9).

use super::Settings;
use super::content::{ContentReader, Gathered};
use super::early::{answer_cancelled, answer_early, refuse};
use super::ends::{Ends, Unnoted, record};
use super::faults::Asker;
use super::head::{Expectation, Framing, ParsedHead, Persistence, parse};
use super::next_head::NextHead;
use super::session::Session;
use super::write::Asked;
use crate::contract::entry::Stage;
use crate::net::{Connection, Drain, Occupation, Occupied};
use crate::protocol::{
    Admitted, Answer, Attempt, Begun, Content, Entry, Exchange, Halt, Handler, LengthRule, Noting, Opening,
    Parcel, Patience, Record, Rejection, Relayed, Request, RequestContext, RequestHead, Substitute, Upload,
    field_values, upgrade,
};
use crate::sys::clock;
use bytes::Bytes;
use http::{StatusCode, Version};
use std::os::fd::{AsFd, AsRawFd};
use std::pin::pin;
use std::sync::Arc;

/// No answer was sent, as the client had left; not registered, but what operators know from nginx.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Serves a connection until it ends, another worker has it, or its time is over in a worker that leaves.
pub async fn serve<H: Handler>(
    connection: Connection,
    opening: Opening,
    settings: Arc<Settings>,
    drain: Arc<Drain>,
    handler: Arc<H>,
) {
    let occupied = Occupied::default();
    let served = serve_on(connection, opening, (&settings, &drain, &occupied), &*handler);
    drain.limit(&settings.timeouts, &occupied, served).await;
}

async fn serve_on<H: Handler>(
    connection: Connection,
    opening: Opening,
    (settings, drain, occupied): (&Settings, &Drain, &Occupied),
    handler: &H,
) {
    let Connection { stream, peer, local } = connection;
    let ends = Ends { peer, local, socket: stream.as_fd().as_raw_fd() };
    let mut session = Session::new(stream, settings, (drain, occupied));
    let mut outcome = match opening {
        Opening::Fresh => Next::Head,
        Opening::Idle => {
            session.was_served();
            Next::Head
        }
        Opening::Begun(Begun { head, content, rest, since_ns }) => {
            occupied.with(Occupation::Request);
            session.was_served();
            session.buffer = rest;
            exchange(&mut session, head, Some((content, since_ns)), (&ends, handler)).await
        }
    };
    let mut stays = None;
    loop {
        match outcome {
            Next::Head if session.is_between() && handler.lends(&mut stays) => {
                if handler.relay(session.stream.as_fd(), Parcel::Loan) == Relayed::Gone {
                    return;
                }
            }
            Next::Head => {}
            Next::Close => return,
            Next::Linger => return session.linger().await,
            Next::HandOver => return session.hand_over().await,
        }
        outcome = match session.read_head(|arriving, line| ends.note_arriving(arriving, line, handler)).await
        {
            NextHead::Head(raw) => exchange(&mut session, raw, None, (&ends, handler)).await,
            NextHead::Refused(rejection) => {
                let record = record(&ends.next_context(&mut session.arriving, handler), None, handler);
                refuse(&mut session, rejection, (&record, None), handler).await
            }
            NextHead::Cancelled => {
                let record = record(&ends.next_context(&mut session.arriving, handler), None, handler);
                answer_cancelled(&mut session, &record, handler).await
            }
            NextHead::Gone => {
                session.arriving = None;
                Next::Linger
            }
            NextHead::Moves => match handler.relay(session.stream.as_fd(), Parcel::Idle) {
                Relayed::Gone => Next::Close,
                Relayed::Stayed => {
                    session.stays();
                    Next::Head
                }
            },
        };
    }
}

/// What a connection does after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Waits for the next request.
    Head,
    /// Ends at once: the client asked for it, or is gone, or another worker has it.
    Close,
    /// Ends by us: the client must be able to read our last answer, whatever it is sending.
    Linger,
    /// Becomes the app's, which has changed its protocol.
    HandOver,
}

/// One request and its answer; `received` is the content, where another worker has received it already, and since when it
/// has waited there.
async fn exchange<H: Handler>(
    session: &mut Session<'_>,
    raw: Bytes,
    received: Option<(Content, u64)>,
    (ends, handler): (&Ends, &H),
) -> Next {
    let mut context = ends.next_context(&mut session.arriving, handler);
    let parsed = match parse(raw, &session.settings.limits) {
        Ok(parsed) => parsed,
        Err(rejection) => {
            let record = record(&context, None, handler);
            return refuse(session, rejection, (&record, None), handler).await;
        }
    };
    let ParsedHead { mut head, framing, persistence, expectation } = parsed;
    let (received, waits_since) = received.unzip();
    context.waits_since = waits_since;
    let admitted = match handler.admit(&mut head, &mut context, Attempt::First) {
        Err(Halt::Wait(what)) => {
            what.await;
            handler.admit(&mut head, &mut context, Attempt::Last)
        }
        judged => judged,
    };
    let turn = Turn { framing, persistence, expectation };
    match admitted {
        // Nobody waits twice. Closing is the safe reading.
        Err(Halt::Wait(_)) => Next::Close,
        Err(Halt::Answer(response)) => {
            let record = record(&context, Some(&head), handler);
            answer_early(session, turn, *response, &record, handler).await
        }
        Ok(admitted) => {
            let is_complete = turn.framing == Framing::None || received.is_some();
            let stage = if is_complete { Stage::App } else { Stage::Reading };
            if !is_complete || admitted.noting == Noting::Always || !context.flight.is_unnoted() {
                handler.enlist(&head, &mut context, stage);
            }
            let received = match received {
                None if turn.framing == Framing::None => Ok((Content::Empty, None)),
                received => {
                    let bell = std::mem::take(&mut session.bell);
                    let receiving = receive(session, turn, &admitted, received);
                    let received = context.flight.unless_cancelled(&bell, pin!(receiving)).await;
                    session.bell = bell;
                    received.unwrap_or(Err(Stop::Cancelled))
                }
            };
            match received {
                Ok((content, upload)) => {
                    if stage == Stage::Reading {
                        has_arrived(&head, &mut context, handler);
                    }
                    let (handover, upgrade) = upgrade::offer(&head).unzip();
                    session.handover = handover.map(|handover| handover.until(handler.stream_end(&context)));
                    session.on_disconnect = admitted.on_disconnect;
                    // RFC 9110 15.2: a client of HTTP/1.0 knows no 1xx.
                    let interim = (head.version == Version::HTTP_11).then(|| session.interim.clone());
                    let request = Box::new(Request { head, content, upload, context, upgrade, interim });
                    answer(session, turn, &admitted.route, request, handler).await
                }
                Err(Stop::Refuse(rejection)) => {
                    let record = record(&context, Some(&head), handler);
                    refuse(session, rejection, (&record, Some(&admitted.route)), handler).await
                }
                Err(Stop::Cancelled) => {
                    let record = record(&context, Some(&head), handler);
                    let turn = Turn { persistence: Persistence::Close, ..turn };
                    let response = handler.in_place(&Substitute::cancelled(), Some(&admitted.route));
                    answer_early(session, turn, response, &record, handler).await
                }
                Err(Stop::Gone) => Next::Close,
            }
        }
    }
}

/// A request whose content had to be waited for is the app's from now on.
fn has_arrived<H: Handler>(head: &RequestHead, context: &mut RequestContext, handler: &H) {
    if context.flight.is_unnoted() {
        // There was no room for those that arrive.
        handler.enlist(head, context, Stage::App);
    } else {
        context.flight.set_stage(Stage::App);
    }
    // A client that takes its time does not wait for the app.
    context.waits_since = Some(clock::monotonic_ns());
}

/// What a head says of its own exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) framing: Framing,
    pub(super) persistence: Persistence,
    pub(super) expectation: Expectation,
}

/// Why content did not become complete.
pub(super) enum Stop {
    Refuse(Rejection),
    Gone,
    /// An operator wants the request to end.
    Cancelled,
}

async fn receive<R>(
    session: &mut Session<'_>,
    turn: Turn,
    admitted: &Admitted<R>,
    received: Option<Content>,
) -> Result<(Content, Option<Upload>), Stop> {
    match received {
        // The limits of this worker may be newer ones.
        Some(content) if content.len() > admitted.body_limit => {
            return Err(Stop::Refuse(Rejection::ContentTooLarge));
        }
        Some(content) => return Ok((content, None)),
        None => {}
    }
    if turn.framing == Framing::Chunked && admitted.length == LengthRule::Required {
        return Err(Stop::Refuse(Rejection::LengthRequired));
    }
    let memory = match admitted.entry {
        Entry::Complete => session.settings.limits.body_memory.0,
        // No more than the connection has read already.
        Entry::AtOnce => u64::MAX,
    };
    let mut reader = ContentReader::new(turn.framing, admitted.body_limit, memory).map_err(Stop::Refuse)?;
    if turn.expectation == Expectation::Continue && session.buffer.is_empty() {
        session.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| Stop::Gone)?;
    }
    if admitted.entry == Entry::AtOnce {
        return session.begin_upload(reader).map_err(Stop::Refuse);
    }
    gather(session, &mut reader).await?;
    reader.finish().map(|content| (content, None)).map_err(Stop::Refuse)
}

pub(super) async fn gather(session: &mut Session<'_>, reader: &mut ContentReader) -> Result<(), Stop> {
    while reader.gather(&mut session.buffer).map_err(Stop::Refuse)? == Gathered::NeedMore {
        session.fill_content(reader.room(&session.buffer)).await.map_err(Stop::Refuse)?;
    }
    Ok(())
}

async fn answer<H: Handler>(
    session: &mut Session<'_>,
    turn: Turn,
    route: &H::Route,
    request: Box<Request>,
    handler: &H,
) -> Next {
    let (method, version) = (request.head.method.clone(), request.head.version);
    let keeps_record = handler.keeps_records() || request.upload.is_some();
    let record = keeps_record.then(|| record(&request.context, Some(&request.head), handler));
    let mut flight = request.context.flight.clone();
    let unnoted = flight.is_unnoted().then(|| Unnoted::of(&request));
    let bell = std::mem::take(&mut session.bell);
    let answered = {
        // Content that is still arriving stays with its connection, which stays here.
        let patience = if request.upload.is_some() { Patience::Wait } else { Patience::Move };
        let responding = pin!(handler.respond(route, request, patience));
        let responding = pin!(session.attend(responding));
        flight.unless_cancelled(&bell, responding).await
    };
    session.bell = bell;
    let in_place = |answer: Substitute| Box::new(handler.in_place(&answer, Some(route)));
    // What the app has done so far is all that will be.
    let mut response = match answered {
        None => in_place(Substitute::cancelled()),
        Some(None) => return gone(session, (record.as_ref(), route), handler).await,
        Some(Some(Answer::Response(response))) => response,
        Some(Some(Answer::InPlace(answer))) => in_place(answer),
        Some(Some(Answer::Nothing)) => return Next::Close,
        Some(Some(Answer::Busy(request))) => {
            let parcel = Parcel::Request(&request, &session.buffer);
            if handler.relay(session.stream.as_fd(), parcel) == Relayed::Gone {
                return Next::Close;
            }
            let bell = std::mem::take(&mut session.bell);
            let waited = {
                let waiting = pin!(handler.respond(route, request, Patience::Wait));
                let waiting = pin!(session.attend(waiting));
                flight.unless_cancelled(&bell, waiting).await
            };
            session.bell = bell;
            match waited {
                None => in_place(Substitute::cancelled()),
                Some(None) => return gone(session, (record.as_ref(), route), handler).await,
                Some(Some(Answer::Response(response))) => response,
                Some(Some(Answer::InPlace(answer))) => in_place(answer),
                // Not reached: a request that waits is answered. Closing is the safe reading.
                Some(Some(Answer::Busy(_) | Answer::Nothing)) => return Next::Close,
            }
        }
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS && session.handover.is_none() {
        // A client that did not ask for another protocol would take what follows for its answer (RFC 9110 15.2.2).
        Asker { flight: &flight, unnoted: unnoted.as_ref() }.tell_switch();
        response = in_place(Substitute::failed());
    }
    let status = response.status();
    // Who waits for the connection learns it at once.
    session.handover.take_if(|_| status != StatusCode::SWITCHING_PROTOCOLS);
    let fields = field_values(&handler.wanted_fields().response, response.headers());
    match &unnoted {
        Some(unnoted) if response.body().may_wait() => unnoted.note(&mut flight, handler),
        Some(_) => {}
        None => flight.set_stage(Stage::Writing),
    }
    let asked = Asked { method: &method, version, flight: &flight };
    let written = session.write_response(response, asked, turn.persistence).await;
    if let Err(error) = &written.end {
        Asker { flight: &flight, unnoted: unnoted.as_ref() }.tell_cut(error);
    }
    drop(flight);
    if let Some(record) = &record {
        handler.finish(&Exchange { record, status, sent: written.sent, fields, refused: None });
    }
    match written.end {
        Ok(_) if status == StatusCode::SWITCHING_PROTOCOLS => Next::HandOver,
        Ok(told) => after(session, turn, told),
        Err(_) => Next::Close,
    }
}

/// What follows an answer that the client has, of which it was told so.
fn after(session: &Session<'_>, turn: Turn, told: Persistence) -> Next {
    match told {
        Persistence::KeepAlive => Next::Head,
        Persistence::Close if turn.persistence == Persistence::Close && session.is_exhausted() => Next::Close,
        Persistence::Close => Next::Linger,
    }
}

/// The client has left before there was an answer, for which the log has nginx's number; or its content has turned out to
/// be none, which it is told.
async fn gone<H: Handler>(
    session: &mut Session<'_>,
    (record, route): (Option<&Record>, &H::Route),
    handler: &H,
) -> Next {
    if let (Some(rejection), Some(record)) = (session.refused.take(), record)
        && rejection != Rejection::ContentEnd
    {
        return refuse(session, rejection, (record, Some(route)), handler).await;
    }
    if let (Some(record), Ok(status)) = (record, StatusCode::from_u16(CLIENT_CLOSED_REQUEST)) {
        handler.finish(&Exchange { record, status, sent: 0, fields: Vec::new(), refused: None });
    }
    Next::Close
}
