//! What the requests of one connection have in common, and what is kept of each for the logs.

use crate::contract::inflight::Flight;
use crate::net::{Local, Peer};
use crate::protocol::{Handler, Record, RequestContext, RequestHead, Scheme, field_values};
use http::header::{REFERER, USER_AGENT};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Instant;

/// Both ends of the connection, as every request of it has them.
pub(super) struct Ends {
    pub(super) peer: Peer,
    pub(super) local: Local,
    pub(super) mount: Arc<str>,
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
            mount: Arc::clone(&self.mount),
            received: Instant::now(),
            waits_since: None,
            socket: Some(self.socket),
            flight: Flight::unnoted(),
        }
    }

    pub(super) fn record<H: Handler>(&self, handler: &H, head: Option<&RequestHead>) -> Record {
        record(&self.context(handler), head, handler)
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
