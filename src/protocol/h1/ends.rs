//! What the requests of one connection have in common, and what is kept of each for the logs.

use super::next_head::RequestLine;
use crate::contract::entry::Stage;
use crate::contract::inflight::Arrival;
use crate::net::{Local, Peer};
use crate::protocol::flight::Flight;
use crate::protocol::{
    Client, Handler, Prefix, Record, Request, RequestContext, RequestHead, RequestId, Scheme, field_values,
};
use bytes::Bytes;
use http::header::{REFERER, USER_AGENT};
use std::os::fd::RawFd;
use std::time::Instant;

/// Both ends of the connection, as every request of it has them.
pub(super) struct Ends {
    pub(super) peer: Peer,
    pub(super) local: Local,
    pub(super) socket: RawFd,
}

impl Ends {
    pub(super) fn context<H: Handler>(&self, handler: &H) -> RequestContext {
        RequestContext {
            id: handler.identify(),
            peer: self.peer,
            local: self.local.clone(),
            scheme: Scheme::Http,
            forwarded: None,
            identity: None,
            mount: Prefix::default(),
            received: Instant::now(),
            waits_since: None,
            socket: Some(self.socket),
            flight: Flight::unnoted(),
        }
    }

    /// That of the next request, which may have begun to arrive before.
    pub(super) fn next_context<H: Handler>(
        &self,
        arriving: &mut Option<Box<RequestContext>>,
        handler: &H,
    ) -> RequestContext {
        match arriving.take() {
            Some(context) => RequestContext { received: Instant::now(), ..*context },
            None => self.context(handler),
        }
    }

    /// Notes a request whose head is waited for.
    pub(super) fn note_arriving<H: Handler>(
        &self,
        arriving: &mut Option<Box<RequestContext>>,
        line: RequestLine<'_>,
        handler: &H,
    ) {
        let had_no_room = arriving.as_ref().is_some_and(|context| context.flight.is_unnoted());
        if had_no_room {
            return;
        }
        let context = arriving.get_or_insert_with(|| Box::new(self.context(handler)));
        let arrival = Arrival {
            id: context.id.0,
            method: line.method,
            target: line.target,
            is_cut: !line.is_whole,
            client: context.client(),
            received: context.received,
            stage: Stage::Reading,
        };
        handler.enlist_raw(&mut context.flight, arrival);
    }
}

/// What of a request is kept that is in no table while its app has it: its answer may take long.
pub(super) struct Unnoted {
    pub(super) id: RequestId,
    pub(super) client: Option<Client>,
    pub(super) received: Instant,
    pub(super) head: Bytes,
}

impl Unnoted {
    pub(super) fn of(request: &Request) -> Self {
        let RequestContext { id, received, .. } = request.context;
        Self { id, client: request.context.client(), received, head: request.head.raw.clone() }
    }

    /// Notes the request now that its answer is on its way.
    pub(super) fn note<H: Handler>(&self, flight: &mut Flight, handler: &H) {
        let line = RequestLine::beginning(&self.head);
        let arrival = Arrival {
            id: self.id.0,
            method: line.method,
            target: line.target,
            is_cut: false,
            client: self.client,
            received: self.received,
            stage: Stage::Writing,
        };
        handler.enlist_raw(flight, arrival);
    }

    /// Its id; its method and target, with everything escaped that is no printable ASCII.
    pub(super) fn named(&self) -> (RequestId, String) {
        let line = RequestLine::beginning(&self.head);
        (self.id, format!("{} {}", line.method.escape_ascii(), line.target.escape_ascii()))
    }
}

/// What is kept of a request for the logs.
pub(super) fn record<H: Handler>(
    context: &RequestContext,
    head: Option<&RequestHead>,
    handler: &H,
) -> Record {
    Record {
        context: context.clone(),
        line: head.map(|head| (head.method.clone(), head.target.clone(), head.version)),
        referer: head.and_then(|head| head.fields.get(REFERER).cloned()),
        user_agent: head.and_then(|head| head.fields.get(USER_AGENT).cloned()),
        fields: head
            .map(|head| field_values(&handler.wanted_fields().request, &head.fields))
            .unwrap_or_default(),
    }
}
