use super::*;
use crate::config::{Config, LogTarget};
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the log holds after `events`, with the time and the pid checked and taken off.
fn logged(format: LogFormat, level: LogLevel, events: impl FnOnce()) -> Vec<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("ferricorn-error-log-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let log = Log { format, level, error: LogTarget::File(path.clone()), ..Config::default().log };
    let (subscriber, _) = Present(ErrorLog::open(&log).unwrap()).into_subscriber();
    tracing::subscriber::with_default(subscriber, events);
    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(ToOwned::to_owned).collect()
}

/// One event as text, without its time.
fn line(events: impl FnOnce()) -> String {
    let lines = logged(LogFormat::Text, LogLevel::Trace, events);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let (time, rest) = lines[0].split_at(25);
    assert!(time.starts_with("20") && time.ends_with("Z "), "{time}");
    rest.replace(&format!("[{}]", std::process::id()), "[pid]")
}

#[test]
fn an_event_is_one_line_that_people_can_read() {
    assert_eq!(
        line(|| tracing::info!(slot = 1, pid = 4711, generation = 1_u64, "worker ready")),
        "INFO  [pid] worker ready slot=1 pid=4711 generation=1"
    );
    assert_eq!(
        line(|| tracing::error!(ok = false, share = 0.5, "odd")),
        "ERROR [pid] odd ok=false share=0.5"
    );
    assert_eq!(line(|| tracing::warn!("ready: {} workers", 2)), "WARN  [pid] ready: 2 workers");
}

#[test]
fn values_that_could_be_misread_are_quoted_once() {
    let hostile = "x admin=\"1\"";
    assert_eq!(
        line(|| tracing::info!(a = hostile, b = %hostile, "m")),
        r#"INFO  [pid] m a="x admin=\"1\"" b="x admin=\"1\"""#
    );
    assert_eq!(line(|| tracing::info!(a = ?"two words", b = "", "m")), r#"INFO  [pid] m a="two words" b="""#);
    assert_eq!(line(|| tracing::info!(a = %"\"x\" b=\"y\"", "m")), r#"INFO  [pid] m a="\"x\" b=\"y\"""#);
    assert_eq!(line(|| tracing::info!(a = %"\"x\\\"", "m")), r#"INFO  [pid] m a="\"x\\\"""#);
}

#[test]
fn no_value_forges_a_line() {
    let forged = "x\n2026-01-01T00:00:00.000Z INFO  [1] all is well\r\u{1b}[2J\u{85}\u{2028}";
    let expected = r"x\n2026-01-01T00:00:00.000Z INFO  [1] all is well\r\x1b[2J\x85\u{2028}";
    assert_eq!(
        line(|| tracing::info!(a = forged, "{forged}")),
        format!("INFO  [pid] {expected} a=\"{expected}\"")
    );
}

#[test]
fn tracebacks_stay_readable_below_their_line() {
    let traceback = "Traceback:\r\n  File \"a.py\"\n\tx\n\nValueError: \u{1b}[31m\n";
    let lines = logged(LogFormat::Text, LogLevel::Info, || {
        tracing::error!(traceback, request = "05", "the app failed");
    });
    assert!(lines[0].ends_with("] the app failed request=05"), "{}", lines[0]);
    let expected =
        ["    | Traceback:", "    |   File \"a.py\"", "    | \tx", "    | ", "    | ValueError: \\x1b[31m"];
    assert_eq!(lines[1..], expected);
}

#[test]
fn no_line_is_longer_than_a_pipe_keeps_together() {
    let long = "ü".repeat(10_000);
    let lines = logged(LogFormat::Text, LogLevel::Info, || tracing::error!(stack = %long, long, "m"));
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert!((PIPE_BUF - 2..PIPE_BUF).contains(&line.len()) && line.ends_with("ü..."), "{}", line.len());
    }
}

#[test]
fn json_has_one_object_a_line_with_stable_names() {
    let lines = logged(LogFormat::Json, LogLevel::Info, || {
        tracing::warn!(pid = 7, name = "a\n\"b\"", part = f64::NAN, traceback = "one\ntwo", "went\nwrong");
        tracing::info!("second");
    });
    assert_eq!(lines.len(), 2);
    let object: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    let names: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "Attributes",
        "Body",
        "InstrumentationScope",
        "Resource",
        "SeverityNumber",
        "SeverityText",
        "Timestamp",
    ];
    assert_eq!(names, expected);
    assert_eq!((&object["SeverityText"], &object["SeverityNumber"]), (&"WARN".into(), &13.into()));
    assert_eq!(object["Resource"]["process.pid"], std::process::id());
    assert_eq!(object["InstrumentationScope"]["Name"], "ferricorn::telemetry::error_log::tests");
    assert_eq!(object["Body"], "went\nwrong");
    let nanoseconds: u128 = object["Timestamp"].as_str().unwrap().parse().unwrap();
    assert!(nanoseconds > 1_700_000_000_000_000_000, "{nanoseconds}");
    let expected = serde_json::json!(
        {"pid": 7, "name": "a\n\"b\"", "part": "NaN", "exception.stacktrace": "one\ntwo"}
    );
    assert_eq!(object["Attributes"], expected);
}

#[test]
fn only_events_of_the_level_or_above_are_written() {
    let lines = logged(LogFormat::Text, LogLevel::Warn, || {
        tracing::error!("one");
        tracing::warn!("two");
        tracing::info!("three");
        tracing::debug!("four");
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

#[test]
fn colours_are_only_the_levels() {
    let fields = Fields { message: "m".into(), named: vec![] };
    let moment = Moment { time: SystemTime::UNIX_EPOCH, level: Level::ERROR, target: "t", pid: 1 };
    assert_eq!(
        text(&moment, &fields, Paint::Coloured),
        "1970-01-01T00:00:00.000Z \x1b[31mERROR\x1b[0m [1] m\n"
    );
}

#[test]
fn the_journal_gets_priorities_instead_of_times_and_levels() {
    let nobody = Journal::new("/nonexistent/journal").unwrap();
    let named = [("slot", Value::Bare("1".into())), ("traceback", Value::Text("a\nb".into()))];
    let fields =
        |count: usize| Fields { message: "m".into(), named: named[..count].iter().map(copy).collect() };
    fn copy((name, value): &(&'static str, Value)) -> (&'static str, Value) {
        match value {
            Value::Bare(text) => (name, Value::Bare(text.clone())),
            Value::Text(text) => (name, Value::Text(text.clone())),
        }
    }
    let master = std::process::id();
    for (level, pid, count, expected) in [
        (Level::INFO, master, 1, "<6>m slot=1\n"),
        (Level::DEBUG, 7, 1, "<7>[7] m slot=1\n"),
        (Level::WARN, master, 0, "<4>m\n"),
        // The journal's socket is not there: each line is an entry then.
        (Level::ERROR, master, 2, "<3>m slot=1\n<3>    | a\n<3>    | b\n"),
    ] {
        let moment = Moment { time: SystemTime::UNIX_EPOCH, level, target: "t", pid };
        assert_eq!(journal::text(&nobody, &moment, &fields(count)).as_deref(), Some(expected));
    }
}

#[test]
fn an_error_log_that_is_off_is_none() {
    let log = Log { error: LogTarget::Off, ..Config::default().log };
    assert!(ErrorLog::open(&log).unwrap().is_none());
}
