use super::*;
use crate::config::Config;
use crate::protocol::Request;

/// What an app would see of a request with these fields.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    scheme: &'static str,
    /// Empty: the peer itself.
    client: String,
    host: String,
    port: Option<u16>,
    /// Fields of proxies that are left.
    left: usize,
}

struct Rule<'a> {
    allowed: &'a [&'a str],
    believed: &'a [ForwardedField],
    peer: &'a str,
}

const X_FIELDS: &[ForwardedField] =
    &[ForwardedField::For, ForwardedField::Proto, ForwardedField::Host, ForwardedField::Port];
const STANDARD: &[ForwardedField] = &[ForwardedField::Forwarded];

/// Behind a proxy on this machine.
const USUAL: Rule<'_> =
    Rule { allowed: &["127.0.0.1", "10.0.0.0/8"], believed: X_FIELDS, peer: "127.0.0.1:5000" };

fn play(rule: &Rule<'_>, fields: &[(&str, &[u8])]) -> Seen {
    let mut server = Config::default().server;
    server.forwarded_allow_ips = rule.allowed.iter().map(ToString::to_string).collect();
    server.forwarded_fields = rule.believed.to_vec();
    let forwarding = Forwarding::new(&server);
    let peer = if rule.peer.is_empty() { Peer::Unix } else { Peer::Address(rule.peer.parse().unwrap()) };
    let Request { mut head, mut context, .. } = Request::get("/");
    context.peer = peer;
    head.fields.insert(HOST, HeaderValue::from_static("inside"));
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        if let Ok(value) = HeaderValue::from_bytes(value) {
            head.fields.append(name, value);
        }
    }
    forwarding.apply(&mut head, &mut context);
    let said = context.forwarded.clone().unwrap_or_default();
    let port = |client: Client| client.port.map(|port| format!(" {port}")).unwrap_or_default();
    Seen {
        scheme: context.scheme.as_str(),
        client: said.client.map(|client| format!("{}{}", client.address, port(client))).unwrap_or_default(),
        host: head.fields[HOST].to_str().unwrap().to_owned(),
        port: said.port,
        left: head.fields.len() - 1,
    }
}

fn client_of(rule: &Rule<'_>, list: &str) -> String {
    play(rule, &[("x-forwarded-for", list.as_bytes())]).client
}

#[test]
fn a_trusted_peer_speaks_for_its_client_and_its_fields_stay() {
    let fields: [(&str, &[u8]); 5] = [
        ("X-Forwarded-For", b"192.0.2.7"),
        ("X-Forwarded-Proto", b"https"),
        ("X-Forwarded-Host", b"site.example:8443"),
        ("X-Forwarded-Port", b"8443"),
        ("X-Real-IP", b"192.0.2.7"),
    ];
    let expected = Seen {
        scheme: "https",
        client: "192.0.2.7".into(),
        host: "site.example:8443".into(),
        port: Some(8443),
        left: 5,
    };
    assert_eq!(play(&USUAL, &fields), expected);
    assert_eq!(play(&Rule { peer: "", allowed: &[], ..USUAL }, &fields), expected);
    assert_eq!(play(&Rule { allowed: &["*"], peer: "203.0.113.1:9", ..USUAL }, &fields), expected);
}

#[test]
fn from_all_others_the_fields_are_removed_however_they_are_spelt() {
    let stranger = Rule { peer: "203.0.113.1:9", ..USUAL };
    for name in [
        "X-Forwarded-For",
        "x-forwarded-for",
        "X-FORWARDED-PROTO",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Ssl",
        "X-Forwarded-Protocol",
        "X-Forwarded-Prefix",
        "X-Forwarded-Anything",
        "Forwarded",
        "fORWARDED",
        "X-Real-Ip",
    ] {
        let seen = play(&stranger, &[(name, b"https"), (name, b"127.0.0.1"), ("accept", b"*/*")]);
        assert_eq!((seen.left, seen.scheme, seen.client.as_str()), (1, "http", ""), "{name}");
        assert_eq!(seen.host, "inside");
    }
}

#[test]
fn the_client_is_the_nearest_address_that_is_no_proxy_of_ours() {
    for (list, expected) in [
        ("192.0.2.7", "192.0.2.7"),
        // A client has written the first.
        ("6.6.6.6, 192.0.2.7", "192.0.2.7"),
        ("6.6.6.6, 192.0.2.7, 10.1.1.1", "192.0.2.7"),
        ("192.0.2.7,10.1.1.1 ,  10.2.2.2", "192.0.2.7"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("192.0.2.7:4711", "192.0.2.7 4711"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1 4711"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[::ffff:192.0.2.7]", "192.0.2.7"),
        ("192.0.2.7, [::ffff:10.1.1.1]", "192.0.2.7"),
        ("192.0.2.7, ,", "192.0.2.7"),
        // What cannot be read is not passed over: who stands behind it is not known.
        ("6.6.6.6, unknown", ""),
        ("6.6.6.6, unknown, 10.1.1.1", "10.1.1.1"),
        ("6.6.6.6, 10.1.1", ""),
        ("6.6.6.6, 192.0.2.256", ""),
        ("6.6.6.6 192.0.2.7", ""),
        ("6.6.6.6, 192.0.2.7:99999", ""),
        ("\"192.0.2.7\"", ""),
        ("unix:", ""),
        ("", ""),
    ] {
        assert_eq!(client_of(&USUAL, list), expected, "{list:?}");
    }
    // "*" believes whoever connects, and nobody beyond.
    assert_eq!(client_of(&Rule { allowed: &["*"], ..USUAL }, "6.6.6.6, 192.0.2.7"), "192.0.2.7");
    let lines: [(&str, &[u8]); 2] =
        [("x-forwarded-for", b"6.6.6.6"), ("x-forwarded-for", b"192.0.2.7, 10.0.0.1")];
    assert_eq!(play(&USUAL, &lines).client, "192.0.2.7");
}

#[test]
fn the_nearest_proxy_names_the_scheme() {
    let scheme = |believed, fields: &[(&str, &[u8])]| play(&Rule { believed, ..USUAL }, fields).scheme;
    for (value, expected) in [
        ("https", "https"),
        ("HTTPS", "https"),
        ("http, https", "https"),
        ("https, http", "http"),
        ("ftp", "http"),
    ] {
        assert_eq!(scheme(X_FIELDS, &[("x-forwarded-proto", value.as_bytes())]), expected, "{value}");
    }
    // Gunicorn's other two count only where the operator says that the proxy writes them.
    assert_eq!(scheme(X_FIELDS, &[("x-forwarded-ssl", b"on")]), "http");
    let all = &[ForwardedField::Proto, ForwardedField::Ssl, ForwardedField::Protocol];
    assert_eq!(scheme(all, &[("x-forwarded-ssl", b"on")]), "https");
    assert_eq!(scheme(all, &[("x-forwarded-protocol", b"ssl")]), "https");
    assert_eq!(scheme(all, &[("x-forwarded-ssl", b"on"), ("x-forwarded-proto", b"https")]), "https");
    assert_eq!(scheme(all, &[("x-forwarded-ssl", b"on"), ("x-forwarded-proto", b"http")]), "http");
}

#[test]
fn values_that_are_none_are_passed_over() {
    for (name, value) in [
        ("x-forwarded-host", &b"a/b"[..]),
        ("x-forwarded-host", b"a b"),
        ("x-forwarded-host", b""),
        ("x-forwarded-host", b"user@a"),
        ("x-forwarded-host", b"\xff"),
        ("x-forwarded-port", b"+80"),
        ("x-forwarded-port", b"0"),
        ("x-forwarded-port", b"65536"),
        ("x-forwarded-port", b"80x"),
        ("x-forwarded-proto", b"\xff"),
    ] {
        let seen = play(&USUAL, &[(name, value)]);
        let told = (seen.scheme, seen.client.as_str(), seen.host.as_str(), seen.port);
        assert_eq!(told, ("http", "", "inside", None), "{name}: {value:?}");
    }
    assert_eq!(play(&USUAL, &[("x-forwarded-host", b"evil.example, site.example")]).host, "site.example");
}

#[test]
fn one_family_of_fields_is_believed_and_the_other_is_not() {
    let both: [(&str, &[u8]); 3] = [
        ("forwarded", b"for=192.0.2.1;proto=https;host=one.example"),
        ("x-forwarded-for", b"192.0.2.2"),
        ("x-forwarded-host", b"two.example"),
    ];
    let seen = play(&USUAL, &both);
    assert_eq!((seen.scheme, seen.client.as_str(), seen.host.as_str()), ("http", "192.0.2.2", "two.example"));
    let seen = play(&Rule { believed: STANDARD, ..USUAL }, &both);
    assert_eq!(
        (seen.scheme, seen.client.as_str(), seen.host.as_str()),
        ("https", "192.0.2.1", "one.example")
    );
    let seen = play(&Rule { believed: &[], ..USUAL }, &both);
    assert_eq!((seen.scheme, seen.client.as_str(), seen.host.as_str()), ("http", "", "inside"));
}

#[test]
fn the_standard_field_is_read_from_its_end() {
    for (value, scheme, client, host) in [
        ("for=192.0.2.7;proto=https;host=a.example", "https", "192.0.2.7", "a.example"),
        ("For=\"[2001:db8::1]:4711\" ; proto=https", "http", "", "inside"),
        ("For=\"[2001:db8::1]:4711\";Proto=HTTPS", "https", "2001:db8::1 4711", "inside"),
        ("for=6.6.6.6;proto=https, for=192.0.2.7", "http", "192.0.2.7", "inside"),
        ("for=6.6.6.6, for=192.0.2.7, for=10.0.0.1;proto=https", "https", "192.0.2.7", "inside"),
        // A quote that a client has left open.
        ("for=\"6.6.6.6, for=192.0.2.7;host=a.example", "http", "192.0.2.7", "a.example"),
        ("for=6.6.6.6;x=\", for=\"192.0.2.7\";proto=https", "https", "192.0.2.7", "inside"),
        ("for=6.6.6.6;x=\"\\\", for=10.0.0.1;proto=https", "https", "10.0.0.1", "inside"),
        ("for=unknown;proto=https", "https", "", "inside"),
        ("for=_hidden", "http", "", "inside"),
        ("for=6.6.6.6, proto=https", "https", "", "inside"),
        ("for=1.1.1.1;for=2.2.2.2", "http", "", "inside"),
        ("for", "http", "", "inside"),
        ("=1.1.1.1", "http", "", "inside"),
        ("for=1.1.1.1 for=2.2.2.2", "http", "", "inside"),
        ("for=192.0.2.7;host=\"a/b\"", "http", "192.0.2.7", "inside"),
        (", ,", "http", "", "inside"),
    ] {
        let seen = play(&Rule { believed: STANDARD, ..USUAL }, &[("forwarded", value.as_bytes())]);
        assert_eq!(
            (seen.scheme, seen.client.as_str(), seen.host.as_str()),
            (scheme, client, host),
            "{value}"
        );
    }
}

/// Numbers without a pattern, the same in every run (Marsaglia's xorshift).
fn numbers(mut state: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    }
}

#[test]
fn whatever_a_client_writes_before_it_the_proxys_own_entry_counts() {
    let pieces: [&[u8]; 22] = [
        b"6.6.6.6",
        b",",
        b", ",
        b";",
        b"\"",
        b"\\",
        b"for=",
        b"proto=https",
        b"host=",
        b"=",
        b"[",
        b"]",
        b":",
        b" ",
        b"::1",
        b"127.0.0.1",
        b"10.0.0.1",
        b"unknown",
        b"\xff",
        b"evil.example",
        b"\t",
        b"99999999999999",
    ];
    let mut next = numbers(0x5eed_cafe);
    for _ in 0..20_000 {
        let mut written: Vec<u8> = (0..next(12)).flat_map(|_| pieces[next(pieces.len())]).copied().collect();
        let separator: &[u8] = if next(2) == 0 { b"," } else { b", " };
        let with = |own: &[u8], written: &[u8]| [written, separator, own].concat();
        let list = with(b"192.0.2.7", &written);
        let seen =
            play(&USUAL, &[("x-forwarded-for", &list), ("x-forwarded-host", &with(b"a.example", &written))]);
        assert_eq!((seen.client.as_str(), seen.host.as_str()), ("192.0.2.7", "a.example"), "{list:?}");
        let own = b"for=\"192.0.2.7\";host=\"a.example\";proto=http";
        let seen = play(&Rule { believed: STANDARD, ..USUAL }, &[("forwarded", &with(own, &written))]);
        let told = (seen.client.as_str(), seen.host.as_str(), seen.scheme);
        assert_eq!(told, ("192.0.2.7", "a.example", "http"), "{written:?}");
        // And alone it never panics.
        written.truncate(next(40));
        play(
            &Rule { believed: STANDARD, ..USUAL },
            &[("forwarded", &written), ("x-forwarded-for", &written)],
        );
        play(
            &USUAL,
            &[("forwarded", &written), ("x-forwarded-for", &written), ("x-forwarded-port", &written)],
        );
    }
}
