//! The handshake (RFC 6455 4.2), and what is agreed on in it.

use super::Deflate;
use crate::protocol::{RequestHead, Response, ResponseBody, text_response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, Method, StatusCode};
use sha1::{Digest, Sha1};

/// A client's wish for a WebSocket.
#[derive(Debug, Clone)]
pub struct Handshake {
    accept: HeaderValue,
    can_inflate: bool,
    /// The fields that offer subprotocols.
    offered: Vec<HeaderValue>,
}

/// Why a request that asks for another protocol gets no WebSocket.
#[derive(Debug)]
pub enum NoWebSocket {
    /// It asks for something else.
    Other,
    /// It is no proper handshake; the answer to it.
    Refused(Box<Response>),
}

/// The answer to a handshake that is accepted.
#[derive(Debug)]
pub struct Accepted {
    /// 101.
    pub response: Response,
    /// Whether messages of both sides may be compressed.
    pub deflate: Deflate,
}

impl Handshake {
    /// Reads a request's head.
    ///
    /// # Errors
    /// When there is no WebSocket to be had by it.
    pub fn read(head: &RequestHead) -> Result<Self, NoWebSocket> {
        let is_websocket =
            tokens(&head.fields, &UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"));
        if !is_websocket {
            return Err(NoWebSocket::Other);
        }
        let refused =
            |text: &'static str| NoWebSocket::Refused(Box::new(text_response(StatusCode::BAD_REQUEST, text)));
        if head.method != Method::GET {
            return Err(refused("A WebSocket begins with GET.\n"));
        }
        if head.fields.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version.as_bytes() != b"13") {
            let mut response =
                text_response(StatusCode::UPGRADE_REQUIRED, "Version 13 of WebSocket is spoken here.\n");
            response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return Err(NoWebSocket::Refused(Box::new(response)));
        }
        let key = head.fields.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
        // RFC 6455 4.1: 16 bytes in base64.
        if STANDARD.decode(key).ok().is_none_or(|nonce| nonce.len() != 16) {
            return Err(refused("Sec-WebSocket-Key is missing or malformed.\n"));
        }
        let accept =
            HeaderValue::from_str(&accept(key)).map_err(|_| refused("Sec-WebSocket-Key is malformed.\n"))?;
        let can_inflate = head
            .fields
            .get_all(SEC_WEBSOCKET_EXTENSIONS)
            .iter()
            .any(|value| value.to_str().is_ok_and(|offers| offers.split(',').any(fits)));
        let offered = head.fields.get_all(SEC_WEBSOCKET_PROTOCOL).iter().cloned().collect();
        Ok(Self { accept, can_inflate, offered })
    }

    /// Whether the client has offered this subprotocol, without which it cannot be agreed on (RFC 6455 4.2.2).
    pub fn offers(&self, subprotocol: &HeaderValue) -> bool {
        self.offered.iter().flat_map(subprotocols).any(|offered| offered == subprotocol.as_bytes())
    }

    /// Accepts, with a subprotocol if one was chosen and the app's own fields.
    pub fn accept(&self, subprotocol: Option<HeaderValue>, fields: HeaderMap, deflate: Deflate) -> Accepted {
        let mut response = Response::new(ResponseBody::Empty);
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = fields;
        let own = response.headers_mut();
        own.insert(UPGRADE, HeaderValue::from_static("websocket"));
        own.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        own.remove(SEC_WEBSOCKET_EXTENSIONS);
        if let Some(subprotocol) = subprotocol {
            own.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
        let deflate = if self.can_inflate { deflate } else { Deflate::Never };
        if deflate == Deflate::Offered {
            own.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(AGREED));
        }
        Accepted { response, deflate }
    }
}

/// The subprotocols that a field offers (RFC 6455 4.1), in the order of preference.
pub fn subprotocols(offer: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let names = offer.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    names.filter(|name| !name.is_empty())
}

/// RFC 6455 4.2.2.
fn accept(key: &[u8]) -> String {
    let mut digest = Sha1::new();
    digest.update(key);
    digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest.finalize())
}

/// Whether an offer of compression is one that our answer fits (RFC 7692 7.1): any but one that limits our window, as
/// ours has 15 bits, or that has something unknown or twice.
fn fits(offer: &str) -> bool {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next() != Some("permessage-deflate") {
        return false;
    }
    let mut seen = Vec::new();
    parts.all(|part| {
        let (name, value) = part
            .split_once('=')
            .map_or((part, None), |(name, value)| (name.trim(), Some(value.trim().trim_matches('"'))));
        let is_new = !seen.contains(&name);
        seen.push(name);
        is_new
            && match name {
                "server_no_context_takeover" | "client_no_context_takeover" => value.is_none(),
                "client_max_window_bits" => value.is_none_or(|bits| BITS.contains(&bits)),
                "server_max_window_bits" => value == Some("15"),
                _ => false,
            }
    })
}

/// The members of a list field.
fn tokens<'a>(fields: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = fields.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(str::trim))
}

/// RFC 7692 7.1.1: both sides begin anew with each message.
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

const BITS: [&str; 8] = ["8", "9", "10", "11", "12", "13", "14", "15"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_is_accepted() {
        // RFC 6455 1.3.
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn offers_of_compression_are_judged() {
        for (offer, expected) in [
            ("permessage-deflate", true),
            ("permessage-deflate; client_max_window_bits", true),
            ("permessage-deflate; client_max_window_bits=10; server_no_context_takeover", true),
            ("permessage-deflate; server_max_window_bits=15", true),
            ("permessage-deflate; server_max_window_bits=\"15\"", true),
            ("permessage-deflate; server_max_window_bits=10", false),
            ("permessage-deflate; client_max_window_bits=7", false),
            ("permessage-deflate; client_max_window_bits; client_max_window_bits", false),
            ("permessage-deflate; unknown", false),
            ("permessage-bzip2", false),
            ("", false),
        ] {
            assert_eq!(fits(offer), expected, "{offer}");
        }
    }
}
