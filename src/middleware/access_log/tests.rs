use super::*;
use crate::config::{Config, LogTarget};
use std::fs;
use std::net::SocketAddr;
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
        peer: Peer::Address(SocketAddr::from(([192, 0, 2, 1], 4711))),
        user: Some("demo"),
        method: b"GET",
        target: b"/a?b=c",
        version: Some(Version::HTTP_11),
        status: StatusCode::OK,
        bytes: 13,
        duration: Duration::from_nanos(12_345_600),
        referer: Some(b"http://example.org/"),
        user_agent: Some(b"curl/8"),
        refused: None,
    }
}

/// A head that could not be read.
fn unreadable() -> Entry<'static> {
    Entry {
        user: None,
        method: b"",
        target: b"",
        version: None,
        status: StatusCode::BAD_REQUEST,
        referer: None,
        user_agent: None,
        refused: Some("bare CR"),
        peer: Peer::Unix,
        ..ordinary()
    }
}

/// Every value from outside is `bytes`.
fn hostile(bytes: &[u8]) -> Entry<'_> {
    Entry {
        user: std::str::from_utf8(bytes).ok(),
        method: bytes,
        target: bytes,
        referer: Some(bytes),
        user_agent: Some(bytes),
        refused: std::str::from_utf8(bytes).ok(),
        ..ordinary()
    }
}

fn written(format: AccessFormat, entry: &Entry<'_>) -> String {
    line(format, entry, UNIX_EPOCH + Duration::from_millis(784_111_777_500))
}

#[test]
fn combined_lines_are_what_log_readers_expect() {
    assert_eq!(
        written(AccessFormat::Combined, &ordinary()),
        "192.0.2.1 - demo [06/Nov/1994:08:49:37 +0000] \"GET /a?b=c HTTP/1.1\" 200 13 \
         \"http://example.org/\" \"curl/8\"\n"
    );
    assert_eq!(
        written(AccessFormat::Combined, &unreadable()),
        "unix: - - [06/Nov/1994:08:49:37 +0000] \"-\" 400 13 \"-\" \"-\"\n"
    );
}

#[test]
fn json_lines_have_stable_names() {
    let pid = std::process::id();
    assert_eq!(
        written(AccessFormat::Json, &ordinary()),
        format!(
            "{{\"time\":\"1994-11-06T08:49:37.487Z\",\"id\":\"00000000000005d1\",\"client\":\"192.0.2.1\",\
             \"user\":\"demo\",\"method\":\"GET\",\"target\":\"/a?b=c\",\"version\":\"HTTP/1.1\",\"status\":200,\
             \"bytes\":13,\"duration_ms\":12.345,\"referer\":\"http://example.org/\",\"user_agent\":\"curl/8\",\
             \"refused\":null,\"pid\":{pid}}}\n"
        )
    );
    let names = |entry: &Entry<'_>| {
        let object: serde_json::Value = serde_json::from_str(&written(AccessFormat::Json, entry)).unwrap();
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
        let line = written(AccessFormat::Combined, &hostile(bytes));
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert_eq!(line.matches('"').count(), 6, "{line}");
        // Client, "-", user and the two words of the time stand before the first quote.
        assert_eq!(line.split('"').next().unwrap().split_whitespace().count(), 5, "{line}");
        let line = written(AccessFormat::Json, &hostile(bytes));
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["status"], 200);
        assert_eq!(object["target"], object["referer"]);
        assert_eq!(object.as_object().unwrap().len(), 14);
    }
}

#[test]
fn no_line_is_longer_than_a_pipe_keeps_together() {
    let entry = |byte: u8| vec![byte; 20_000];
    for bytes in [entry(b'x'), entry(b'\\'), entry(b'"'), entry(0), entry(0xff)] {
        for format in [AccessFormat::Combined, AccessFormat::Json] {
            let address = "[2001:db8:1111:2222:3333:4444:5555:6666]:1".parse().unwrap();
            let peer = Peer::Address(address);
            let (bytes_sent, duration) = (u64::MAX, Duration::from_secs(1 << 40));
            let line = written(format, &Entry { peer, bytes: bytes_sent, duration, ..hostile(&bytes) });
            assert!((3200..=4096).contains(&line.len()), "{}", line.len());
            assert!(line.contains("..."));
        }
    }
}

#[test]
fn an_ipv4_client_of_an_ipv6_socket_has_its_ipv4_address() {
    let peer = Peer::Address("[::ffff:192.0.2.1]:80".parse().unwrap());
    assert!(written(AccessFormat::Combined, &Entry { peer, ..ordinary() }).starts_with("192.0.2.1 - "));
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
