//! The error log of a process: begun once, opened anew on demand, shared with forked processes.

use ferricorn::config::{Config, Log, LogTarget};
use ferricorn::telemetry::{self, LogError};
use std::fs;

#[test]
fn error_log_goes_on_in_a_new_file_and_begins_only_once() {
    let path = std::env::temp_dir().join(format!("ferricorn-telemetry-{}.log", std::process::id()));
    let moved = path.with_extension("1");
    let log = Log { error: LogTarget::File(path.clone()), ..Config::default().log };
    telemetry::reopen().unwrap();
    telemetry::init(&log).unwrap();
    tracing::info!("one");
    fs::rename(&path, &moved).unwrap();
    tracing::info!("two");
    telemetry::reopen().unwrap();
    tracing::info!("three");
    assert!(matches!(telemetry::init(&log), Err(LogError::AlreadyBegun)));
    let messages = |path| {
        let text = fs::read_to_string(path).unwrap();
        fs::remove_file(path).unwrap();
        text.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(messages(&moved), ["one", "two"]);
    assert_eq!(messages(&path), ["three"]);
}
