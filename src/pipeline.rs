//! One request, told as a list: the order of the lines is the order of things.
#![forbid(unsafe_code)]

use crate::app::{AppError, CallLimits, CutOff, Late, Shed, say_too_slow};
use crate::contract::entry::Stage;
use crate::contract::inflight::Arrival;
use crate::contract::quarantine::Suspect;
use crate::contract::tally::Ledger;
use crate::middleware::access_log::{AccessLog, Entry};
use crate::middleware::bearer::{self, Asked, Authenticator, Permit};
use crate::middleware::health::HealthPaths;
use crate::middleware::limits::{RouteLimits, RouteTable};
use crate::middleware::overload::Overload;
use crate::middleware::quarantine::Quarantine;
use crate::middleware::refusals::RefusalLog;
use crate::middleware::times::Times;
use crate::middleware::{request_id, stream_end};
use crate::protocol::flight::{Board, Flight};
use crate::protocol::forwarded::Forwarding;
use crate::protocol::{
    Admitted, Answer, Attempt, Exchange, Halt, Handler, LengthRule, Parcel, Patience, Relayed, Request,
    RequestContext, RequestHead, RequestId, Response, ResponseBody, Substitute, Target, WantedFields,
};
use crate::router::{MountIndex, Mounted, Purpose, Router};
use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, StatusCode};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Offers a connection to the other workers, with what belongs to it.
pub type Relay = dyn Fn(BorrowedFd<'_>, Parcel<'_>) -> Relayed + Send + Sync;

/// Everything a request passes through in this worker.
pub struct Pipeline {
    /// Paths that tell how the server is, in place of any app.
    pub health: HealthPaths,
    /// Host and path to app.
    pub router: Router,
    /// Proxies in front.
    pub forwarding: Forwarding,
    /// Limits by route.
    pub routes: RouteTable,
    /// Tokens; `None` where nothing is checked.
    pub authenticator: Option<Arc<Authenticator>>,
    /// Told of every exchange; `None` when off.
    pub access_log: Option<AccessLog>,
    /// Requests that have ended workers; `None` where they are let in like others.
    pub quarantine: Option<Quarantine>,
    /// Says in the error log what was refused.
    pub refusals: RefusalLog,
    /// Told how long apps take; `None` where nobody can ask.
    pub times: Option<Times>,
    /// Told of every request, for counting.
    pub count_request: Box<dyn Fn() + Send + Sync>,
    /// Counts what is not served because there is too much, and says so.
    pub overload: Overload,
    /// Offers a connection to the other workers.
    pub relay: Box<Relay>,
    /// The requests in flight, for whoever asks and for the case of a crash.
    pub board: &'static Board,
    /// What the answers come to; `None` where there is no other worker to compare with.
    pub ledger: Option<Ledger>,
}

/// Where a request goes, and by which limits.
#[derive(Debug)]
pub struct Route {
    mount: MountIndex,
    limits: RouteLimits,
    suspect: Option<Suspect>,
    /// How the page that has asked may read an answer in place of the app's; `None`: no page is told.
    permit: Option<Permit>,
}

impl Handler for Pipeline {
    type Route = Route;

    /// Before the content is read.
    fn admit(
        &self,
        head: &mut RequestHead,
        context: &mut RequestContext,
        attempt: Attempt,
    ) -> Result<Admitted<Route>, Halt> {
        if attempt == Attempt::First {
            if let Some(response) = self.health.answer(head) {
                return Err(Halt::Answer(Box::new(response)));
            }
            (self.count_request)();
            self.forwarding.apply(head, context);
        }
        let is_for_the_server = head.target.path() == b"*";
        let path = head.target.decoded_path();
        let limits = self.routes.find(&head.method, &path);
        let found = self.router.find(head.host(), &path).filter(|_| !is_for_the_server);
        drop(path);
        let mounted = found.as_ref().map(|(_, mounted)| *mounted);
        let suspect = self.judge(head, context).map_err(|answer| self.halt(&answer, head, mounted))?;
        if is_for_the_server {
            return Err(Halt::Answer(Box::new(answer_for_the_server())));
        }
        let purpose = mounted.map_or(Purpose::Serving, |mounted| mounted.purpose);
        self.authenticate(head, context, (attempt, purpose))?;
        let Some((mount, mounted)) = found else { return Err(self.halt(&not_found(), head, None)) };
        context.mount = mounted.prefix.clone();
        let length = if limits.length_required { LengthRule::Required } else { LengthRule::Any };
        let (noting, on_disconnect, entry) = (mounted.noting, mounted.on_disconnect, mounted.entry);
        let route = Route { mount, limits, suspect, permit: self.permit(head) };
        Ok(Admitted { body_limit: limits.body, length, noting, on_disconnect, entry, route })
    }

    fn enlist(&self, head: &RequestHead, context: &mut RequestContext, stage: Stage) {
        let shown = self.shown(&head.target);
        let arrival = Arrival {
            id: context.id.0,
            method: head.method.as_str().as_bytes(),
            target: shown.as_ref().unwrap_or(&head.target).raw(),
            is_cut: false,
            client: context.client(),
            received: context.received,
            stage,
        };
        self.board.note_in(&mut context.flight, &arrival);
    }

    fn enlist_raw(&self, flight: &mut Flight, arrival: Arrival<'_>) {
        // What a query may hold of a token is known once the target can be read as a whole.
        let path = arrival.target.split(|byte| *byte == b'?').next().unwrap_or_default();
        let whole = (!arrival.is_cut).then(|| Target::parse(Bytes::copy_from_slice(arrival.target)));
        let shown = whole.flatten().map(|target| self.shown(&target).unwrap_or(target));
        let target = shown.as_ref().map_or(path, Target::raw);
        self.board.note_in(flight, &Arrival { target, ..arrival });
    }

    fn in_place(&self, answer: &Substitute, route: Option<&Route>) -> Response {
        let mounted = route.and_then(|route| self.router.mounted(route.mount));
        self.word(answer, mounted, route.and_then(|route| route.permit.as_ref()))
    }

    fn stream_end(&self, context: &RequestContext) -> Option<stream_end::End> {
        self.authenticator.as_ref()?.stream_end(context.identity.as_ref()?)
    }

    /// Once the content is complete.
    async fn respond(&self, route: &Route, request: Box<Request>, patience: Patience) -> Answer {
        let Some(mounted) = self.router.mounted(route.mount) else { return Answer::InPlace(not_found()) };
        let (id, received) = (request.context.id, request.context.received);
        let limits = CallLimits { time: route.limits.time, queue: route.limits.queue, patience };
        let attempt = match (&self.quarantine, route.suspect) {
            (Some(quarantine), Some(suspect)) => {
                // Who waits for another try of the same cannot be to blame for how that ends.
                request.context.flight.set_stage(Stage::Queued);
                match quarantine.attempt(suspect).await {
                    Ok(attempt) => {
                        request.context.flight.set_stage(Stage::App);
                        attempt
                    }
                    Err(answer) => return Answer::InPlace(answer),
                }
            }
            _ => None,
        };
        let identity = request.context.identity.clone();
        let began = self.ledger.as_ref().and_then(Ledger::began);
        let outcome = match mounted.app.call(request, limits).await {
            Ok(response) => match (&identity, &self.authenticator) {
                (Some(identity), Some(authenticator)) => {
                    Ok(stream_end::limit(response, || authenticator.stream_end(identity)))
                }
                (None, _) | (_, None) => Ok(response),
            },
            Err(AppError::Busy(request)) => return Answer::Busy(request),
            // Neither the app nor a successor that is tried out can do anything for it.
            Err(AppError::Shed(why, wait)) => return self.shed(why, wait),
            Err(AppError::TooSlow(limit)) => {
                say_too_slow(id, limit, Late::Head, self.board.entry(id.0).as_ref(), None);
                Err(too_slow())
            }
            Err(AppError::CutOff(CutOff::TimeLimit)) => Err(too_slow()),
            Err(AppError::CutOff(CutOff::Cancelled)) => Err(Substitute::cancelled()),
            Err(AppError::Failed(reason)) => {
                tracing::error!(request = %id, traceback = reason, "the app failed");
                Err(Substitute::failed())
            }
        };
        let status = outcome.as_ref().map_or_else(Substitute::status, Response::status);
        if let Some(times) = &self.times {
            times.note(status, received.elapsed());
        }
        if let Some(ledger) = &self.ledger {
            ledger.answered(began, status.is_server_error());
        }
        if let Some(attempt) = attempt {
            attempt.succeeded();
        }
        outcome.map_or_else(Answer::InPlace, |response| Answer::Response(Box::new(response)))
    }

    fn identify(&self) -> RequestId {
        request_id::next()
    }

    fn keeps_records(&self) -> bool {
        self.access_log.is_some()
    }

    fn wanted_fields(&self) -> &WantedFields {
        self.access_log.as_ref().map_or(WantedFields::none(), AccessLog::wanted_fields)
    }

    fn finish(&self, exchange: &Exchange<'_>) {
        if let Some(rejection) = exchange.refused {
            self.refusals.note(rejection.status(), rejection, &exchange.record.context);
        }
        let is_health_check = exchange
            .record
            .line
            .as_ref()
            .is_some_and(|(method, target, _)| self.health.has(method, target.path()));
        if let Some(access_log) = self.access_log.as_ref().filter(|_| !is_health_check) {
            let refused = exchange.refused.map(|rejection| rejection.to_string());
            let shown = exchange.record.line.as_ref().and_then(|(_, target, _)| self.shown(target));
            let referer = exchange.record.referer.as_ref().map(HeaderValue::as_bytes);
            let shown_referer = referer.and_then(|referer| self.shown_referer(referer));
            let referer = shown_referer.as_deref().or(referer);
            access_log.write(&entry(exchange, refused.as_deref(), (shown.as_ref(), referer)));
        }
    }

    fn lends(&self, stays: &mut Option<Instant>) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.lends(stays))
    }

    fn relay(&self, connection: BorrowedFd<'_>, parcel: Parcel<'_>) -> Relayed {
        (self.relay)(connection, parcel)
    }
}

impl Pipeline {
    /// A target as logs may show it, where that is not as it was sent.
    fn shown(&self, target: &Target) -> Option<Target> {
        self.authenticator.as_ref()?.without_tokens(target)
    }

    /// The same with the address that a client says it comes from.
    fn shown_referer(&self, referer: &[u8]) -> Option<Vec<u8>> {
        self.authenticator.as_ref()?.referer_without_tokens(referer)
    }

    fn authenticate(
        &self,
        head: &mut RequestHead,
        context: &mut RequestContext,
        (attempt, purpose): (Attempt, Purpose),
    ) -> Result<(), Halt> {
        let Some(authenticator) = &self.authenticator else { return Ok(()) };
        // On every route, before anything else reads a field: nobody but the server says who a client is.
        authenticator.strip(&mut head.fields);
        let asked = Asked {
            method: &head.method,
            target: &head.target,
            host: head.host(),
            fields: &head.fields,
            scheme: context.scheme,
        };
        let identity = authenticator.authenticate(asked, SystemTime::now(), attempt).inspect_err(|halt| {
            if let Halt::Answer(response) = halt
                && let Some(reason) = bearer::reason(response)
            {
                self.refusals.note(response.status(), reason, context);
            }
        })?;
        // Who issues tokens reads those that it has set.
        if purpose == Purpose::Serving {
            authenticator.forward(identity.as_deref(), &mut head.fields);
        }
        context.identity = identity;
        Ok(())
    }
}

impl Pipeline {
    /// Whether a request has ended workers before.
    fn judge(&self, head: &RequestHead, context: &RequestContext) -> Result<Option<Suspect>, Substitute> {
        let Some(quarantine) = &self.quarantine else { return Ok(None) };
        quarantine.judge(head).inspect_err(|answer| {
            self.refusals.note(answer.status(), "it has ended workers (workers.quarantine)", context);
        })
    }

    fn shed(&self, why: Shed, wait: Duration) -> Answer {
        self.overload.note(why);
        match why {
            Shed::Full | Shed::Late => Answer::InPlace(Overload::answer(wait)),
            Shed::Gone => Answer::Nothing,
        }
    }

    fn permit(&self, head: &RequestHead) -> Option<Permit> {
        self.authenticator.as_ref()?.permit(&head.fields)
    }

    /// The answer to a request that no app gets; `mounted` is the one that would have.
    fn halt(&self, answer: &Substitute, head: &RequestHead, mounted: Option<&Mounted>) -> Halt {
        Halt::Answer(Box::new(self.word(answer, mounted, self.permit(head).as_ref())))
    }

    /// An answer in place of an app's, in that app's words. Where tokens are checked, the page that has asked may read it,
    /// and nobody on the way keeps it.
    fn word(&self, answer: &Substitute, mounted: Option<&Mounted>, permit: Option<&Permit>) -> Response {
        let mut response = mounted.map_or_else(|| answer.plain(), |mounted| mounted.app.word(answer));
        if self.authenticator.is_some() {
            let fields = response.headers_mut();
            fields.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
            if let Some(permit) = permit {
                permit.add_to(fields);
            }
        }
        response
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("router", &self.router).finish_non_exhaustive()
    }
}

/// An exchange as the access log has it.
fn entry<'a>(
    exchange: &'a Exchange<'_>,
    refused: Option<&'a str>,
    (shown, referer): (Option<&'a Target>, Option<&'a [u8]>),
) -> Entry<'a> {
    let record = exchange.record;
    let line = record.line.as_ref();
    let identity = record.context.identity.as_ref();
    Entry {
        id: record.context.id,
        client: record.context.client(),
        user: identity.and_then(|identity| identity.subject.as_deref()),
        remote_user: identity.and_then(|identity| identity.remote_user.as_deref()),
        scheme: record.context.scheme,
        mount: &record.context.mount,
        method: line.map_or(b"", |(method, _, _)| method.as_str().as_bytes()),
        target: shown.or_else(|| line.map(|(_, target, _)| target)),
        version: line.map(|(_, _, version)| *version),
        status: exchange.status,
        bytes: exchange.sent,
        duration: record.context.received.elapsed(),
        referer,
        user_agent: record.user_agent.as_ref().map(HeaderValue::as_bytes),
        request_fields: &record.fields,
        response_fields: &exchange.fields,
        refused,
    }
}

/// `OPTIONS *` asks about the server, not about any app (RFC 9110 9.3.7).
fn answer_for_the_server() -> Response {
    let mut response = Response::new(ResponseBody::Empty);
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let allow = methods.map(|method| method.to_string()).join(", ") + ", OPTIONS";
    if let Ok(value) = allow.parse() {
        response.headers_mut().insert(http::header::ALLOW, value);
    }
    response
}

fn too_slow() -> Substitute {
    Substitute::new(StatusCode::GATEWAY_TIMEOUT, "The application took too long.")
}

fn not_found() -> Substitute {
    Substitute::new(StatusCode::NOT_FOUND, "Nothing is mounted here.")
}
