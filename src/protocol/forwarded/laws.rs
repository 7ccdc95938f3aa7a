//! What holds for whatever clients write into the fields of proxies: tried on random ones by `fuzz/`, on the kept ones by
//! the tests.
#![expect(clippy::expect_used, reason = "a law that is broken panics: that is how it is told")]

use super::{Forwarding, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, speaks_for_another};
use crate::config::{Config, ForwardedField};
use crate::protocol::h1::is_host;
use crate::protocol::{Peer, Request, RequestHead, Scheme};
use http::header::{FORWARDED, HOST, HeaderName, HeaderValue};
use std::net::IpAddr;
use std::sync::LazyLock;

/// Each line is a value of one of the fields, which its first byte chooses.
///
/// From strangers nothing of it is left. From a proxy nothing of it counts that stands before what that proxy added.
pub fn forwarded(bytes: &[u8]) {
    let lines: Vec<(&str, HeaderValue)> = bytes.split(|byte| *byte == b'\n').filter_map(field).collect();
    from_a_stranger(&lines);
    for believed in [&[ForwardedField::Forwarded][..], X_FIELDS] {
        as_a_proxy_says(&lines, believed);
        before_what_a_proxy_adds(&lines, believed);
    }
}

fn field(line: &[u8]) -> Option<(&'static str, HeaderValue)> {
    let (first, rest) = line.split_first()?;
    Some((NAMES[usize::from(*first) % NAMES.len()], HeaderValue::from_bytes(rest).ok()?))
}

fn from_a_stranger(lines: &[(&str, HeaderValue)]) {
    let Request { head, context, .. } = asked(lines, X_FIELDS, "198.51.100.7:4000");
    assert!(!head.fields.keys().any(speaks_for_another), "a stranger's word is left");
    assert!(context.forwarded.is_none() && context.scheme == Scheme::Http);
    assert_eq!(head.fields[HOST], "inside");
}

/// What is believed is at least well-formed.
fn as_a_proxy_says(lines: &[(&str, HeaderValue)], believed: &[ForwardedField]) {
    let Request { head, context, .. } = asked(lines, believed, PROXY);
    assert!(is_host(head.fields[HOST].as_bytes()) && !head.fields[HOST].is_empty());
    let Some(said) = context.forwarded else { return };
    assert!(said.host.is_none_or(|host| host == head.fields[HOST]));
    assert!(said.port != Some(0));
    if let Some(client) = said.client {
        assert!(client.port != Some(0));
        assert_eq!(client.address, client.address.to_canonical(), "an address in a second form");
    }
}

/// The proxy appends to what the client sent, in the same line or in one of its own.
fn before_what_a_proxy_adds(lines: &[(&str, HeaderValue)], believed: &[ForwardedField]) {
    for (name, addition) in ADDED {
        let mut lines = lines.to_vec();
        let added = HeaderValue::from_static(addition);
        match lines.iter_mut().rev().find(|(its, _)| *its == name) {
            Some((_, value)) => *value = joined(value, addition),
            None => lines.push((name, added.clone())),
        }
        judge_added(asked(&lines, believed, PROXY), name, believed);
        lines.push((name, added));
        judge_added(asked(&lines, believed, PROXY), name, believed);
    }
}

/// What the proxy has added is what counts.
fn judge_added(request: Request, name: &str, believed: &[ForwardedField]) {
    let is_standard = believed == [ForwardedField::Forwarded];
    if is_standard != (name == FORWARDED) {
        return;
    }
    let Request { head, context, .. } = request;
    let said = context.forwarded.expect("the proxy's word is believed");
    let address = said.client.map(|client| client.address);
    match name {
        X_FORWARDED_FOR => assert_eq!(address, Some(CLIENT)),
        X_FORWARDED_HOST => assert_eq!(head.fields[HOST], "site.example"),
        X_FORWARDED_PORT => assert_eq!(said.port, Some(8443)),
        _ => {
            assert_eq!((address, context.scheme), (Some(CLIENT), Scheme::Https));
            assert_eq!(head.fields[HOST], "site.example");
        }
    }
}

fn joined(value: &HeaderValue, addition: &str) -> HeaderValue {
    let text = [value.as_bytes(), b", ", addition.as_bytes()].concat();
    HeaderValue::from_bytes(&text).expect("two values make one")
}

/// What becomes of a request of this peer.
fn asked(lines: &[(&str, HeaderValue)], believed: &[ForwardedField], peer: &str) -> Request {
    let mut request = Request::get("/");
    request.context.peer = Peer::Address(peer.parse().expect("an address"));
    let RequestHead { fields, .. } = &mut *request.head;
    fields.insert(HOST, HeaderValue::from_static("inside"));
    for (name, value) in lines {
        fields.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value.clone());
    }
    let forwarding = if believed == X_FIELDS { &*BY_X_FIELDS } else { &*BY_STANDARD };
    forwarding.apply(&mut request.head, &mut request.context);
    request
}

fn believing(fields: &[ForwardedField]) -> Forwarding {
    let mut server = Config::default().server;
    server.forwarded_allow_ips = vec!["127.0.0.1".into(), "10.0.0.0/8".into()];
    server.forwarded_fields = fields.to_vec();
    Forwarding::new(&server)
}

static BY_X_FIELDS: LazyLock<Forwarding> = LazyLock::new(|| believing(X_FIELDS));
static BY_STANDARD: LazyLock<Forwarding> = LazyLock::new(|| believing(&[ForwardedField::Forwarded]));

const PROXY: &str = "127.0.0.1:5000";
/// No proxy of ours.
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

const X_FIELDS: &[ForwardedField] = &[
    ForwardedField::For,
    ForwardedField::Proto,
    ForwardedField::Host,
    ForwardedField::Port,
    ForwardedField::Protocol,
    ForwardedField::Ssl,
];

/// What the proxy writes behind what it has received.
const ADDED: [(&str, &str); 4] = [
    (X_FORWARDED_FOR, "203.0.113.9"),
    (X_FORWARDED_HOST, "site.example"),
    (X_FORWARDED_PORT, "8443"),
    ("forwarded", "for=203.0.113.9;proto=https;host=site.example"),
];

const NAMES: [&str; 9] = [
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    "forwarded",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-ssl",
    "x-real-ip",
    "x-forwarded-user",
];
