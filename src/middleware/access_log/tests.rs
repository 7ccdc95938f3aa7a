use super::*;
use crate::config::{Config, LogTarget};
use bytes::Bytes;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::UNIX_EPOCH;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry;

/// An ordinary request: 12.3456 ms long, ended at 1994-11-06T08:49:37.500Z.
fn ordinary() -> Entry<'static> {
    Entry {
        id: RequestId(0x5d1),
        client: Some(Client { address: [192, 0, 2, 1].into(), port: Some(4711) }),
        user: Some("demo"),
        remote_user: None,
        scheme: Scheme::Http,
        mount: "",
        method: b"GET",
        target: Some(target(b"/a?b=c")),
        version: Some(Version::HTTP_11),
        status: StatusCode::OK,
        bytes: 13,
        duration: Duration::from_nanos(12_345_600),
        referer: Some(b"http://example.org/"),
        user_agent: Some(b"curl/8"),
        request_fields: &[],
        response_fields: &[],
        refused: None,
    }
}

/// A target for the rest of the test.
fn target(raw: &[u8]) -> &'static Target {
    Box::leak(Box::new(
        Target::parse(Bytes::copy_from_slice(&[b"/", raw.strip_prefix(b"/").unwrap_or(raw)].concat()))
            .unwrap(),
    ))
}

/// A head that could not be read.
fn unreadable() -> Entry<'static> {
    Entry {
        user: None,
        method: b"",
        target: None,
        version: None,
        status: StatusCode::BAD_REQUEST,
        referer: None,
        user_agent: None,
        refused: Some("bare CR"),
        client: None,
        ..ordinary()
    }
}

/// Every value from outside is `bytes`.
fn hostile(bytes: &[u8]) -> Entry<'_> {
    Entry {
        user: std::str::from_utf8(bytes).ok(),
        method: bytes,
        target: Some(target(bytes)),
        referer: Some(bytes),
        user_agent: Some(bytes),
        refused: std::str::from_utf8(bytes).ok(),
        ..ordinary()
    }
}

fn written(format: &Format, entry: &Entry<'_>) -> String {
    line(format, entry, UNIX_EPOCH + Duration::from_millis(784_111_777_500))
}

#[test]
fn combined_lines_are_what_log_readers_expect() {
    assert_eq!(
        written(&Format::Combined, &ordinary()),
        "192.0.2.1 - demo [06/Nov/1994:08:49:37 +0000] \"GET /a?b=c HTTP/1.1\" 200 13 \
         \"http://example.org/\" \"curl/8\"\n"
    );
    assert_eq!(
        written(&Format::Combined, &unreadable()),
        "unix: - - [06/Nov/1994:08:49:37 +0000] \"-\" 400 13 \"-\" \"-\"\n"
    );
}

#[test]
fn json_lines_have_stable_names() {
    let pid = std::process::id();
    assert_eq!(
        written(&Format::Json, &ordinary()),
        format!(
            "{{\"time\":\"1994-11-06T08:49:37.487Z\",\"id\":\"00000000000005d1\",\"client\":\"192.0.2.1\",\
             \"user\":\"demo\",\"method\":\"GET\",\"target\":\"/a?b=c\",\"version\":\"HTTP/1.1\",\"status\":200,\
             \"bytes\":13,\"duration_ms\":12.345,\"referer\":\"http://example.org/\",\"user_agent\":\"curl/8\",\
             \"refused\":null,\"pid\":{pid}}}\n"
        )
    );
    let names = |entry: &Entry<'_>| {
        let object: serde_json::Value = serde_json::from_str(&written(&Format::Json, entry)).unwrap();
        object.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(names(&ordinary()), names(&unreadable()));
}

#[test]
fn no_value_forges_a_line_or_a_column() {
    for bytes in [
        &b"x\" 200 1 \"-\" \"-\"\n192.0.2.9 - root [06/Nov/1994:08:49:37 +0000] \"GET / HTTP/1.1"[..],
        b"\\\" \\",
        b"\r\n\x1b[2J\0\x7f\x80\xff",
        b"\",\"status\":200,\"user\":\"root\"}\n{\"time\":\"",
    ] {
        let line = written(&Format::Combined, &hostile(bytes));
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert_eq!(line.matches('"').count(), 6, "{line}");
        // Client, "-", user and the two words of the time stand before the first quote.
        assert_eq!(line.split('"').next().unwrap().split_whitespace().count(), 5, "{line}");
        let line = written(&Format::Json, &hostile(bytes));
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["status"], 200);
        assert_eq!(object["target"], format!("/{}", object["referer"].as_str().unwrap()));
        assert_eq!(object.as_object().unwrap().len(), 14);
    }
}

#[test]
fn no_line_is_longer_than_a_pipe_keeps_together() {
    let entry = |byte: u8| vec![byte; 20_000];
    for bytes in [entry(b'x'), entry(b'\\'), entry(b'"'), entry(0), entry(0xff)] {
        for format in [&Format::Combined, &Format::Json] {
            let address = "2001:db8:1111:2222:3333:4444:5555:6666".parse().unwrap();
            let client = Some(Client { address, port: None });
            let (bytes_sent, duration) = (u64::MAX, Duration::from_secs(1 << 40));
            let line = written(format, &Entry { client, bytes: bytes_sent, duration, ..hostile(&bytes) });
            assert!((3200..=4096).contains(&line.len()), "{}", line.len());
            assert!(line.contains("..."));
        }
    }
}

/// The line of a pattern, and the fields that it wanted.
fn patterned(pattern: &str, entry: &Entry<'_>) -> (String, WantedFields) {
    let mut flags = crate::config::Flags { access_logformat: Some(pattern.into()), ..Default::default() };
    flags.access_logfile = Some("-".into());
    let sources = crate::config::Sources { flags, ..Default::default() };
    let log = AccessLog::open(&crate::config::load(&sources).unwrap().config.log).unwrap().unwrap();
    (written(&log.format, entry).trim_end_matches('\n').to_owned(), log.wanted)
}

#[test]
fn patterns_show_what_gunicorns_atoms_stand_for() {
    let pid = std::process::id();
    for (pattern, expected) in [
        (
            r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#,
            "192.0.2.1 - demo [06/Nov/1994:08:49:37 +0000] \"GET /a?b=c HTTP/1.1\" 200 13 \"http://example.org/\" \"curl/8\"",
        ),
        ("%(m)s|%(U)s|%(q)s|%(H)s|%(B)d|100%%", "GET|/a|b=c|HTTP/1.1|13|100%"),
        ("%(T)s %(M)s %(D)s %(L)s", "0 12 12345 0.012345"),
        ("%(p)s", &format!("<{pid}>")),
        ("%({raw_uri}e)s %({REMOTE_PORT}e)s %({wsgi.url_scheme}e)s %({remote_user}e)s", "/a?b=c 4711 http -"),
    ] {
        assert_eq!(patterned(pattern, &ordinary()).0, expected, "{pattern}");
    }
    let mounted = Entry { mount: "/shop", target: Some(target(b"/shop/caf%C3%A9%0a")), ..ordinary() };
    let line = patterned("%({SCRIPT_NAME}e)s %({PATH_INFO}e)s %(U)s %(q)s.", &mounted).0;
    assert_eq!(line, "/shop /caf\\u00c3\\u00a9\\u000a /shop/caf\\u00c3\\u00a9\\u000a .");
    let line = patterned("%(h)s %(r)s %(m)s %(U)s %(H)s %(s)s %(a)s", &unreadable()).0;
    assert_eq!(line, "- - - - - 400 -");
}

#[test]
fn patterns_show_fields_of_both_sides() {
    let (request, response) = ([Some("one".parse().unwrap()), None], [Some("text/plain".parse().unwrap())]);
    let entry = Entry { request_fields: &request, response_fields: &response, ..ordinary() };
    let pattern = "%({X-One}i)s %({x-two}i)s %({HTTP_X_ONE}e)s %({Content-Type}o)s";
    let (line, wanted) = patterned(pattern, &entry);
    assert_eq!(line, "one - one text/plain");
    assert_eq!(
        (wanted.request, wanted.response),
        (vec!["x-one".parse().unwrap(), "x-two".parse().unwrap()], vec!["content-type".parse().unwrap()],)
    );
    assert_eq!(patterned(pattern, &ordinary()).0, "- - - -");
}

#[test]
fn patterns_show_no_token() {
    for (name, value, shown) in [
        ("authorization", "Bearer t.o.k", "Bearer ***"),
        ("AUTHORIZATION", "t.o.k", " ***"),
        ("proxy-authorization", "Basic dTpw", "Basic ***"),
        ("cookie", "a=t; __Host-access=t.o.k; t.o.k", "a=***; __Host-access=***; ***"),
        ("cookie", "t.o.k", "***"),
        ("cookie", "=t.o.k", "=***"),
        ("sec-websocket-protocol", "chat,bearer.t.o.k", "chat, bearer.***"),
        ("Sec-WebSocket-Protocol", "Bearer.t.o.k, x", "Bearer.***, x"),
        // The entry has it as it may be shown.
        ("Referer", "http://example.org/?access_token=t.o.k", "http://example.org/"),
    ] {
        let request = [Some(value.parse().unwrap())];
        let entry = Entry { request_fields: &request, ..ordinary() };
        assert_eq!(patterned(&format!("%({{{name}}}i)s"), &entry).0, shown);
    }
    let response = [Some("__Host-access=t.o.k; Path=/".parse().unwrap())];
    let entry = Entry { response_fields: &response, ..ordinary() };
    assert_eq!(patterned("%({set-cookie}o)s", &entry).0, "__Host-access=***; Path=***");
}

#[test]
fn no_value_forges_a_line_of_a_pattern_nor_breaks_its_json() {
    let pattern = r#"{"user":"%(u)s","target":"%({RAW_URI}e)s","path":"%(U)s","method":"%(m)s","agent":"%(a)s","x":"%({x}i)s"}"#;
    for bytes in [
        &b"x\" 200\n192.0.2.9 - root [06/Nov/1994:08:49:37 +0000] \"GET / HTTP/1.1"[..],
        b"\",\"user\":\"root\"}\n{\"time\":\"",
        b"\\\" \\",
        b"\r\n\x1b[2J\0\x7f\x80\xff %0a%22",
    ] {
        let value = [HeaderValue::from_bytes(
            &bytes
                .iter()
                .map(|byte| if *byte < 32 || *byte == 127 { b'"' } else { *byte })
                .collect::<Vec<_>>(),
        )
        .ok()];
        let line = patterned(pattern, &Entry { request_fields: &value, ..hostile(bytes) }).0;
        assert!(!line.contains('\n'), "{line}");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object.as_object().unwrap().len(), 6, "{line}");
    }
    let long = vec![b'"'; 20_000];
    let line = patterned(&"%(a)s".repeat(40), &hostile(&long)).0;
    assert!(line.len() < 4096 && line.ends_with("..."), "{}", line.len());
}

fn log_at(access: LogTarget) -> Log {
    Log { access, ..Config::default().log }
}

#[test]
fn access_log_is_off_by_default() {
    assert!(AccessLog::open(&Config::default().log).unwrap().is_none());
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_that_names_it() {
    let error = AccessLog::open(&log_at(LogTarget::File("/nonexistent/access.log".into()))).unwrap_err();
    assert!(error.to_string().starts_with("log file /nonexistent/access.log: "), "{error}");
}

#[test]
fn lines_of_several_writers_are_kept_whole_while_the_log_is_reopened() {
    let path = std::env::temp_dir().join(format!("ferricorn-access-log-{}", std::process::id()));
    let log = AccessLog::open(&log_at(LogTarget::File(path.clone()))).unwrap().unwrap();
    let rotated: Vec<_> = (0..20).map(|index| path.with_extension(index.to_string())).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).for_each(|_| log.write(&ordinary())));
        }
        for rotated in &rotated {
            fs::rename(&path, rotated).unwrap();
            log.reopen().unwrap();
        }
    });
    let lines = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        fs::remove_file(path).unwrap();
        assert!(text.lines().all(|line| line.starts_with("192.0.2.1 - ") && line.ends_with("\"curl/8\"")));
        text.lines().count()
    };
    let total: usize = rotated.iter().map(|path| lines(path)).sum::<usize>() + lines(&path);
    assert_eq!(total, 4000);
}

/// Counts events.
struct Counter(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> Layer<S> for Counter {
    fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_outage_is_reported_once() {
    let log = AccessLog::open(&log_at(LogTarget::File("/dev/full".into()))).unwrap().unwrap();
    let reports = Arc::new(AtomicUsize::new(0));
    tracing::subscriber::with_default(registry().with(Counter(Arc::clone(&reports))), || {
        (0..3).for_each(|_| log.write(&ordinary()));
    });
    assert_eq!(reports.load(Ordering::Relaxed), 1);
}
