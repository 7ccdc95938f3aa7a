//! Whether a page of another site may have made a browser send a request (RFC 6749 10.12, Fetch Metadata).

use crate::auth::Reason;
use crate::config::{Csrf, Extract};
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue, ORIGIN, UPGRADE};

/// Which pages may send requests with cookies that can change anything.
#[derive(Debug, Clone)]
pub struct SenderRule {
    csrf: Csrf,
    /// Further origins whose pages may.
    origins: Vec<String>,
}

/// The site that a request was sent to, as the client knows it.
#[derive(Debug, Clone, Copy)]
pub struct Site<'r> {
    /// The host, as sent.
    pub host: Option<&'r [u8]>,
    /// "http" or "https".
    pub scheme: &'r str,
}

/// Whose page has sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// One of this origin, or of one that is allowed; or nobody's, but a person's.
    Ours,
    /// One of another.
    Foreign,
    /// It is not said, as by everything that is no browser.
    Unknown,
}

impl SenderRule {
    /// By this configuration.
    pub fn new(config: &Extract) -> Self {
        Self { csrf: config.csrf, origins: config.allowed_origins.clone() }
    }

    /// Who has sent a request of these fields; everybody is ours where nobody is to be told apart.
    pub fn sender(&self, fields: &HeaderMap, site: Site<'_>) -> Sender {
        if self.csrf == Csrf::Off {
            return Sender::Ours;
        }
        // Browsers send each of them once. What two of a kind say was put together by somebody else.
        if [ORIGIN, SEC_FETCH_SITE].iter().any(|name| fields.get_all(name).iter().nth(1).is_some()) {
            return Sender::Foreign;
        }
        let origin = fields.get(ORIGIN).map(HeaderValue::as_bytes);
        if origin.is_some_and(|origin| self.origins.iter().any(|ours| ours.as_bytes() == origin)) {
            return Sender::Ours;
        }
        match (fields.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes), origin) {
            (Some(b"same-origin"), _) => Sender::Ours,
            // Without a page: an address that was typed, a bookmark.
            (Some(b"none"), None) => Sender::Ours,
            (Some(_), _) => Sender::Foreign,
            // Browsers send the field above over TLS and from this machine alone.
            (None, Some(origin)) if is_same_origin(origin, site) => Sender::Ours,
            (None, Some(_)) => Sender::Foreign,
            (None, None) => Sender::Unknown,
        }
    }

    /// Judges a request whose token is in a cookie, which browsers send by themselves.
    ///
    /// Methods that change nothing pass, but not the opening of a WebSocket: the same-origin policy does not hold
    /// for what is then sent on it.
    ///
    /// # Errors
    /// [`Reason::CrossSite`] where it is not proven that the sender is ours.
    pub fn judge_cookie(&self, method: &Method, fields: &HeaderMap, site: Site<'_>) -> Result<(), Reason> {
        let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(method);
        if is_safe && !fields.contains_key(UPGRADE) || self.sender(fields, site) == Sender::Ours {
            return Ok(());
        }
        Err(Reason::CrossSite)
    }
}

/// Whether an origin is that of the request. A server that does not know the scheme (behind a proxy that does not say
/// it) sees http and takes both.
fn is_same_origin(origin: &[u8], site: Site<'_>) -> bool {
    let (host, port): (&[u8], &[u8]) =
        match (origin.strip_prefix(b"https://"), origin.strip_prefix(b"http://")) {
            (Some(host), _) => (host, b":443"),
            (None, Some(host)) if site.scheme == "http" => (host, b":80"),
            (None, _) => return false,
        };
    let bare = |host: &[u8]| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    site.host.is_some_and(|ours| bare(ours) == bare(host))
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
