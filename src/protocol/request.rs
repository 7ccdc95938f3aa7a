//! What travels between protocol, middleware and apps: request, response, context.

pub use crate::contract::entry::Client;
pub use crate::net::{Local, Peer};
use crate::protocol::body_stream::BodyStream;
use crate::protocol::flight::Flight;
use crate::protocol::interim::Interim;
use crate::protocol::prefix::Prefix;
use crate::protocol::target::Target;
use crate::protocol::upgrade::OnUpgrade;
use crate::protocol::upload::Upload;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use std::fmt;
use std::fs::File;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// One request, complete: its content has been received, however slow the client, unless its app wants it as it comes.
#[derive(Debug)]
pub struct Request {
    /// Everything before the content; boxed, as a request passes through many hands.
    pub head: Box<RequestHead>,
    /// The content, decoded.
    pub content: Content,
    /// Where the content comes from instead, for an app that is entered before it is complete ([`Entry`](super::Entry)).
    pub upload: Option<Upload>,
    /// What the server knows beyond what the client wrote.
    pub context: RequestContext,
    /// The connection itself, where the client asks for another protocol on it.
    pub upgrade: Option<OnUpgrade>,
    /// For early hints; `None` for a client that would not understand them.
    pub interim: Option<Interim>,
}

/// Everything before the content.
#[derive(Debug)]
pub struct RequestHead {
    /// The method, case kept.
    pub method: Method,
    /// The target as sent, and its parts.
    pub target: Target,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The fields; those with `_` in their name are already gone.
    pub fields: HeaderMap,
    /// The head as received, from the request line to the empty line.
    pub raw: Bytes,
}

impl RequestHead {
    /// The host that the request is for, with its port if one was sent; the one reading of it.
    ///
    /// RFC 9112 3.2.2: the authority of an absolute-form target has taken the place of the Host field, and what a
    /// trusted proxy says of the host that of both.
    pub fn host(&self) -> Option<&[u8]> {
        self.fields.get(http::header::HOST).map(HeaderValue::as_bytes)
    }
}

/// Content of a request.
#[derive(Debug)]
pub enum Content {
    /// There is none.
    Empty,
    /// In memory.
    Memory(Bytes),
    /// In an unnamed temporary file, positioned at its start.
    File {
        /// The file.
        file: File,
        /// Its length in bytes.
        length: u64,
    },
}

impl Content {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the server knows of a request beyond what the client wrote.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Names the request in logs.
    pub id: RequestId,
    /// The peer of the connection.
    pub peer: Peer,
    /// The address the connection was accepted on.
    pub local: Local,
    /// The scheme the client used.
    pub scheme: Scheme,
    /// What a trusted proxy says of the request; `None` when it says nothing, or the peer is no such proxy.
    pub forwarded: Option<Box<Forwarded>>,
    /// Who the client has proven to be; `None` for anonymous requests.
    pub identity: Option<Arc<Identity>>,
    /// Where the app is mounted.
    pub mount: Prefix,
    /// When the head was complete.
    pub received: Instant,
    /// When the request was complete, on the clock of all processes; `None`: when the head was.
    pub waits_since: Option<u64>,
    /// The connection's descriptor, to see whether the client is still there. Open for as long as somebody waits for the
    /// answer; `None` where there is no connection.
    pub socket: Option<RawFd>,
    /// Its place in the table of requests in flight.
    pub flight: Flight,
}

impl RequestContext {
    /// The client: whom a trusted proxy speaks for, else the peer. `None` for a local one on a UNIX socket.
    pub fn client(&self) -> Option<Client> {
        let forwarded = self.forwarded.as_ref().and_then(|forwarded| forwarded.client);
        forwarded.or(match self.peer {
            Peer::Address(peer) => {
                Some(Client { address: peer.ip().to_canonical(), port: Some(peer.port()) })
            }
            Peer::Unix => None,
        })
    }
}

/// What a trusted proxy says of a request that it passes on. The scheme is in [`RequestContext::scheme`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// Who has sent the request.
    pub client: Option<Client>,
    /// The host that the client asked for; it also stands in the Host field.
    pub host: Option<HeaderValue>,
    /// The port that the client asked.
    pub port: Option<u16>,
}

/// Names a request in logs: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The scheme the client used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS, here or in a trusted proxy.
    Https,
}

impl Scheme {
    /// "http" or "https".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Who a client has proven to be by a token.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The payload as signed, JSON text.
    pub claims_json: Bytes,
    /// The claims, parsed.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// The JOSE header as signed, JSON text.
    pub header_json: Bytes,
    /// The provider whose rules the token met.
    pub provider: Arc<str>,
    /// The key that verified it.
    pub kid: Option<Arc<str>>,
    /// That key, as a number that means nothing to another process.
    pub key: u64,
    /// The value of the provider's subject claim.
    pub subject: Option<String>,
    /// What the app gets as REMOTE_USER, if configured.
    pub remote_user: Option<String>,
    /// When the token ends.
    pub expires: SystemTime,
    /// When what is still open must end; `None` where it may go on (`auth.stream_expiry`).
    pub stream_end: Option<StreamEnd>,
    /// What the other tokens say that came with it, where the route asks for one of each of several providers.
    pub beside: Vec<Arc<Self>>,
}

/// When a WebSocket or an event stream must end that a token has opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEnd {
    /// The end of the token, with the provider's tolerance for clocks.
    pub at: SystemTime,
    /// The code to close a WebSocket with (RFC 6455 7.4), `auth.ws_close_code`.
    pub close_code: u16,
}

/// One response.
pub type Response = http::Response<ResponseBody>;

/// Content of a response.
#[derive(Debug)]
pub enum ResponseBody {
    /// Nothing.
    Empty,
    /// All of it, in memory.
    Full(Bytes),
    /// Part of a file.
    File {
        /// The open file.
        file: File,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        length: u64,
    },
    /// Pieces, as the app makes them.
    Stream(BodyStream),
}

impl ResponseBody {
    /// Whether it may be more than a connection takes at once, so that its client can make the rest wait.
    pub fn may_wait(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Full(bytes) => bytes.len() > AT_ONCE,
            Self::File { length, .. } => usize::try_from(*length).map_or(true, |length| length > AT_ONCE),
            Self::Stream(_) => true,
        }
    }
}

/// A fresh connection takes so much without a reader: the kernel's default for a socket's buffer (`tcp_wmem`).
const AT_ONCE: usize = 16 << 10;

/// A reason phrase other than the usual one, as a response's extension (RFC 9112 4).
#[derive(Debug, Clone)]
pub struct Reason(Bytes);

impl Reason {
    /// A phrase; `None` when it holds a control character, which could forge a field.
    pub fn new(phrase: impl Into<Bytes>) -> Option<Self> {
        let phrase = phrase.into();
        let is_plain = phrase.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..));
        is_plain.then_some(Self(phrase))
    }

    /// As sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A response with a short text, for answers the server gives itself.
pub fn text_response(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(ResponseBody::Full(text.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(any(test, fuzzing))]
impl Request {
    /// A GET request without fields, on a UNIX socket.
    pub(crate) fn get(target: &'static str) -> Self {
        let head = RequestHead {
            method: Method::GET,
            target: Target::parse(Bytes::from_static(target.as_bytes())).unwrap_or_else(Target::root),
            version: Version::HTTP_11,
            fields: HeaderMap::new(),
            raw: Bytes::new(),
        };
        let context = RequestContext {
            id: RequestId(1),
            peer: Peer::Unix,
            local: Local::Unix(Arc::default()),
            scheme: Scheme::Http,
            forwarded: None,
            identity: None,
            mount: Prefix::default(),
            received: Instant::now(),
            waits_since: None,
            socket: None,
            flight: Flight::unnoted(),
        };
        Self {
            head: Box::new(head),
            content: Content::Empty,
            upload: None,
            context,
            upgrade: None,
            interim: None,
        }
    }
}
