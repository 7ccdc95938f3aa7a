//! Connection to request, response to connection.
#![forbid(unsafe_code)]

mod body_stream;
pub mod flight;
pub mod forwarded;
pub mod h1;
mod interim;
mod piece_queue;
mod prefix;
pub mod rejection;
mod request;
pub(crate) mod spare_fields;
mod substitute;
mod target;
#[cfg(any(test, fuzzing))]
pub(crate) mod target_laws;
pub(crate) mod upgrade;
mod upload;
#[cfg(feature = "websocket")]
pub mod websocket;

pub use body_stream::{BodyStream, Piece, Pieces, StreamAborted};
pub use interim::Interim;
pub use piece_queue::{Aborter, NotWanted, PieceSender};
pub use prefix::Prefix;
pub use rejection::Rejection;
pub use request::{
    Client, Content, Forwarded, Identity, Local, Peer, Reason, Request, RequestContext, RequestHead,
    RequestId, Response, ResponseBody, Scheme, StreamEnd, text_response,
};
pub use substitute::Substitute;
pub use target::{Target, is_below};
pub use upgrade::{NotUpgraded, OnUpgrade, Upgraded};
pub use upload::{More, Taken, Upload};

use crate::contract::entry::Stage;
use crate::contract::inflight::Arrival;
use bytes::{Bytes, BytesMut};
use flight::Flight;
use std::fmt;
use std::future::Future;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::time::Instant;

/// What a connection asks of the layers above it, in the order it asks.
pub trait Handler: Send + Sync + 'static {
    /// What [`admit`](Self::admit) found out and [`respond`](Self::respond) needs.
    type Route: Send + Sync;

    /// Judges a head before its content is read.
    ///
    /// # Errors
    /// The response for a request that is refused or that needs no app; or, at the first attempt, what must happen before
    /// it can be judged.
    fn admit(
        &self,
        head: &mut RequestHead,
        context: &mut RequestContext,
        attempt: Attempt,
    ) -> Result<Admitted<Self::Route>, Halt>;

    /// Notes a request that was admitted in the table of requests in flight; without a table there is nothing to do.
    fn enlist(&self, _head: &RequestHead, _context: &mut RequestContext, _stage: Stage) {}

    /// Notes a request there by what is known of its line: its head has not arrived, or is no longer at hand.
    fn enlist_raw(&self, _flight: &mut Flight, _arrival: Arrival<'_>) {}

    /// An answer in place of an app's as the sender of the request gets it. `route` is the request's, if its head could be
    /// understood.
    fn in_place(&self, answer: &Substitute, _route: Option<&Self::Route>) -> Response {
        answer.plain()
    }

    /// What ends a connection that this request turns into one of another protocol; `None`: nothing does.
    fn stream_end(&self, _context: &RequestContext) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        None
    }

    /// Answers a complete request.
    fn respond(
        &self,
        route: &Self::Route,
        request: Box<Request>,
        patience: Patience,
    ) -> impl Future<Output = Answer> + Send;

    /// A name for the next request.
    fn identify(&self) -> RequestId;

    /// Whether [`finish`](Self::finish) wants to hear of exchanges that were answered.
    fn keeps_records(&self) -> bool;

    /// The fields that [`finish`](Self::finish) wants to see of each exchange.
    fn wanted_fields(&self) -> &WantedFields {
        WantedFields::none()
    }

    /// Told of an exchange when it is over; always of refused ones.
    fn finish(&self, exchange: &Exchange<'_>);

    /// Whether another worker should serve this connection for a while, now that a request is answered; `stays` is the
    /// connection's own, nothing at first.
    fn lends(&self, _stays: &mut Option<Instant>) -> bool {
        false
    }

    /// Offers a connection to the other workers, with the request that cannot be answered here and what was
    /// received after it.
    fn relay(&self, connection: BorrowedFd<'_>, parcel: Parcel<'_>) -> Relayed;
}

/// Whether a request may wait for what is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It may.
    First,
    /// It has waited.
    Last,
}

/// Why a request does not go on.
pub enum Halt {
    /// This is its answer.
    Answer(Box<Response>),
    /// It is asked for again when this has ended, which it does in bounded time.
    Wait(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl fmt::Debug for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(response) => f.debug_tuple("Answer").field(response).finish(),
            Self::Wait(_) => f.write_str("Wait"),
        }
    }
}

/// A request that may go on, with the limits that hold for it.
#[derive(Debug)]
pub struct Admitted<R> {
    /// For [`Handler::respond`] and [`Handler::in_place`].
    pub route: R,
    /// Longest content taken, in bytes.
    pub body_limit: u64,
    /// Whether content must say its length beforehand.
    pub length: LengthRule,
    /// Whether the request is noted before the app has it.
    pub noting: Noting,
    /// What becomes of the request when its client leaves.
    pub on_disconnect: OnDisconnect,
    /// When its app is entered.
    pub entry: Entry,
}

/// When the app of a request with content is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Entry {
    /// Once the content is complete.
    #[default]
    Complete,
    /// At once; it has the content while that arrives.
    AtOnce,
}

/// What becomes of a request whose client leaves before it has its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisconnect {
    /// It ends: the future that stands for it is dropped, or the stream of its content.
    Cancel,
    /// It goes on; that nobody is there is noticed when the answer is written.
    Finish,
}

/// Whether a request is in the table of requests in flight while its app has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noting {
    /// From before the app is entered: it can be found also when that takes the thread, or the process, with it.
    Always,
    /// Only if its content had to be waited for: the app is code of this server that answers at once, and noting would
    /// cost a twentieth of the whole request.
    IfItWaits,
}

/// Whether content must say its length beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthRule {
    /// Chunked content is taken.
    Any,
    /// Chunked content is answered 411.
    Required,
}

/// Whether a request may be sent back when no app thread is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It may: a sibling will serve it.
    Move,
    /// It waits here.
    Wait,
}

/// What became of a request.
#[derive(Debug)]
pub enum Answer {
    /// It was answered. In a box, since it passes through many hands.
    Response(Box<Response>),
    /// No app has answered; this is said in its place.
    InPlace(Substitute),
    /// Nobody here is free; the request, untouched.
    Busy(Box<Request>),
    /// Nobody waits for the answer any more.
    Nothing,
}

/// What is kept of a request for the logs while an app has it.
#[derive(Debug)]
pub struct Record {
    /// The server's view of the request.
    pub context: RequestContext,
    /// Method, target and version; `None` when the head could not be understood.
    pub line: Option<(http::Method, Target, http::Version)>,
    /// The Referer field.
    pub referer: Option<http::HeaderValue>,
    /// The User-Agent field.
    pub user_agent: Option<http::HeaderValue>,
    /// The values of [`WantedFields::request`], in that order.
    pub fields: FieldValues,
}

/// Names of fields that the logs show, beside those that they always do.
#[derive(Debug, Clone, Default)]
pub struct WantedFields {
    /// Of requests.
    pub request: Vec<http::HeaderName>,
    /// Of responses, as the app gave them.
    pub response: Vec<http::HeaderName>,
}

impl WantedFields {
    /// No field.
    pub fn none() -> &'static Self {
        static NONE: WantedFields = WantedFields { request: Vec::new(), response: Vec::new() };
        &NONE
    }
}

/// Values of wanted fields; of repeated ones the last.
pub type FieldValues = Vec<Option<http::HeaderValue>>;

/// What `fields` have of the wanted ones.
pub fn field_values(wanted: &[http::HeaderName], fields: &http::HeaderMap) -> FieldValues {
    wanted.iter().map(|name| fields.get_all(name).iter().next_back().cloned()).collect()
}

/// One exchange, over.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// The request.
    pub record: &'a Record,
    /// The status code sent.
    pub status: http::StatusCode,
    /// Bytes of response content sent.
    pub sent: u64,
    /// The values of [`WantedFields::response`], in that order.
    pub fields: FieldValues,
    /// Why the server itself refused, if it did.
    pub refused: Option<Rejection>,
}

/// What has been done on a connection before this worker got it.
#[derive(Debug)]
pub enum Opening {
    /// Nothing: it has just been accepted.
    Fresh,
    /// Another worker has served it, and nothing of a further request has arrived.
    Idle,
    /// Another worker has received a request on it.
    Begun(Begun),
}

/// What is offered to other workers with a connection.
#[derive(Debug, Clone, Copy)]
pub enum Parcel<'a> {
    /// Nothing has been received that is not answered.
    Idle,
    /// The same, for a while: see [`Handler::lends`].
    Loan,
    /// A complete request, and what was received after it.
    Request(&'a Request, &'a [u8]),
}

/// What another worker received on a connection before it handed the connection over.
#[derive(Debug)]
pub struct Begun {
    /// The head of the request that waits for its answer.
    pub head: Bytes,
    /// Its content, decoded.
    pub content: Content,
    /// Whatever followed.
    pub rest: BytesMut,
    /// Since when it waits, in nanoseconds of [`monotonic_ns`](crate::sys::clock::monotonic_ns).
    pub since_ns: u64,
}

/// Whether a connection went to another worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relayed {
    /// Another worker has it now.
    Gone,
    /// Nobody could take it.
    Stayed,
}
