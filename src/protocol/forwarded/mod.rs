//! What a proxy in front says of its client, believed from trusted peers alone.
//!
//! A client can write these fields too. From a peer that is no proxy of ours they are removed, so that no app
//! takes them for true. Of a list, whose entries each proxy adds at the end, what the nearest proxy wrote counts;
//! further entries count only as long as the ones behind them name proxies of ours.

#[cfg(any(test, fuzzing))]
pub(crate) mod laws;
mod standard;
#[cfg(test)]
mod tests;
mod trust;

pub use trust::TrustedPeers;

use super::h1::is_host;
use super::{Client, Forwarded, Peer, RequestContext, RequestHead, Scheme};
use crate::config::{ForwardedField, Server};
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whose word is taken for what, in this worker.
#[derive(Debug)]
pub struct Forwarding {
    trusted: TrustedPeers,
    believed: Vec<ForwardedField>,
    /// Whether it has been said that fields were removed.
    removal_noted: AtomicBool,
}

/// What the believed fields of one request say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Statement {
    scheme: Option<Scheme>,
    forwarded: Forwarded,
}

impl Forwarding {
    /// As the configuration has it.
    pub fn new(server: &Server) -> Self {
        Self {
            trusted: TrustedPeers::new(server.forwarded_allow_ips.iter().map(String::as_str)),
            believed: server.forwarded_fields.clone(),
            removal_noted: AtomicBool::new(false),
        }
    }

    /// Takes from the fields what a trusted peer says; removes them when the peer is not trusted.
    pub fn apply(&self, head: &mut RequestHead, context: &mut RequestContext) {
        if !head.fields.keys().any(speaks_for_another) {
            return;
        }
        if !self.trusted.trusts(context.peer) {
            return self.remove(&mut head.fields, context.peer);
        }
        let Statement { scheme, forwarded } = self.statement(&head.fields);
        if let Some(scheme) = scheme {
            context.scheme = scheme;
        }
        if let Some(host) = &forwarded.host {
            head.fields.insert(HOST, host.clone());
        }
        if forwarded != Forwarded::default() {
            context.forwarded = Some(Box::new(forwarded));
        }
    }

    fn statement(&self, fields: &HeaderMap) -> Statement {
        if self.believes(ForwardedField::Forwarded) {
            return standard::read(fields, &self.trusted);
        }
        let client = self.believes(ForwardedField::For).then(|| {
            let lines = fields.get_all(X_FORWARDED_FOR).iter().rev().map(HeaderValue::as_bytes);
            self.trusted.farthest_client(lines.flat_map(|line| line.rsplit(|byte| *byte == b',')))
        });
        let host = self
            .believes(ForwardedField::Host)
            .then(|| host_field(trim(last_entry(fields, X_FORWARDED_HOST)?)));
        let port =
            self.believes(ForwardedField::Port).then(|| port(trim(last_entry(fields, X_FORWARDED_PORT)?)));
        Statement {
            scheme: self.scheme(fields),
            forwarded: Forwarded { client: client.flatten(), host: host.flatten(), port: port.flatten() },
        }
    }

    /// The scheme that the believed fields name; the plain one when they disagree, since then one of them was
    /// written by somebody else than the proxy.
    fn scheme(&self, fields: &HeaderMap) -> Option<Scheme> {
        let said = SCHEME_FIELDS.iter().filter(|(field, ..)| self.believes(*field)).filter_map(
            |(_, name, secure, plain)| {
                let word = trim(last_entry(fields, name)?);
                let is_any =
                    |words: &[&str]| words.iter().any(|text| word.eq_ignore_ascii_case(text.as_bytes()));
                if is_any(secure) {
                    Some(Scheme::Https)
                } else if is_any(plain) {
                    Some(Scheme::Http)
                } else {
                    None
                }
            },
        );
        said.reduce(|one, other| if one == other { one } else { Scheme::Http })
    }

    fn believes(&self, field: ForwardedField) -> bool {
        self.believed.contains(&field)
    }

    fn remove(&self, fields: &mut HeaderMap, peer: Peer) {
        let names: Vec<HeaderName> = fields.keys().filter(|name| speaks_for_another(name)).cloned().collect();
        for name in &names {
            fields.remove(name);
        }
        if !self.removal_noted.swap(true, Ordering::Relaxed) {
            let name = names.first().map_or("", HeaderName::as_str);
            tracing::warn!(
                %peer,
                field = name,
                "fields that only a proxy should write are removed from this peer's requests; if it is a proxy of yours, name it in server.forwarded_allow_ips (said once per worker)"
            );
        }
    }
}

/// Whether apps read a field of this name as somebody's word about another. `_` cannot occur in names here.
fn speaks_for_another(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-forwarded-") || name == "forwarded" || name == "x-real-ip"
}

/// What stands behind the last comma of the last field of this name.
fn last_entry<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let line = fields.get_all(name).iter().next_back()?.as_bytes();
    line.rsplit(|byte| *byte == b',').next()
}

/// A host that could stand in Host, and is not empty.
fn host_field(host: &[u8]) -> Option<HeaderValue> {
    (!host.is_empty() && is_host(host)).then(|| HeaderValue::from_bytes(host).ok()).flatten()
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn client(node: &[u8]) -> Option<Client> {
    let text = std::str::from_utf8(trim(node)).ok()?;
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(address) = bracketed {
        let address: Ipv6Addr = address.parse().ok()?;
        return Some(Client { address: address.to_canonical(), port: None });
    }
    let (address, port) = match text.parse::<IpAddr>() {
        Ok(address) => (address, None),
        Err(_) => {
            let socket: SocketAddr = text.parse().ok()?;
            (socket.ip(), Some(socket.port()).filter(|port| *port != 0))
        }
    };
    Some(Client { address: address.to_canonical(), port })
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// A port; digits alone, since `u16::from_str` would take a sign.
fn port(digits: &[u8]) -> Option<u16> {
    let text =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok().filter(|port| *port != 0)
}

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_HOST: &str = "x-forwarded-host";
const X_FORWARDED_PORT: &str = "x-forwarded-port";

/// Fields that name the scheme, and the words that mean TLS or none.
const SCHEME_FIELDS: [(ForwardedField, &str, &[&str], &[&str]); 3] = [
    (ForwardedField::Proto, "x-forwarded-proto", &["https", "wss"], &["http", "ws"]),
    (ForwardedField::Protocol, "x-forwarded-protocol", &["https", "ssl"], &["http"]),
    (ForwardedField::Ssl, "x-forwarded-ssl", &["on"], &["off"]),
];
