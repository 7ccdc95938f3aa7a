//! The state of a server for people.

use crate::telemetry;
use serde_json::Value;
use std::time::Duration;

/// A few lines and a table.
pub(super) fn status(status: &Value) -> String {
    let text = |key: &str| status.get(key).and_then(Value::as_str).unwrap_or("");
    let number = |key: &str| status.get(key).and_then(Value::as_u64).unwrap_or(0);
    let bind = status.get("bind").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut lines = vec![
        ("state", text("state").to_owned()),
        ("workers", format!("{} of {} ready", number("workers_ready"), number("workers_wanted"))),
        ("generation", number("generation").to_string()),
        ("mold", text("mold").to_owned()),
        ("requests", number("requests").to_string()),
        ("connections", number("connections").to_string()),
        ("listening", bind.collect::<Vec<_>>().join(" ")),
        ("config", text("config").to_owned()),
        (
            "master",
            format!("pid {}, version {}, up {}", number("pid"), text("version"), age(number("uptime"))),
        ),
    ];
    if !text("trouble").is_empty() {
        lines.insert(1, ("because", text("trouble").to_owned()));
    }
    if let Some(canary) = status.get("canary").filter(|canary| canary.is_object()) {
        let number = |key: &str| canary.get(key).and_then(Value::as_u64).unwrap_or(0);
        let (pid, slot) = (number("pid"), number("slot"));
        let (answers, errors) = (number("answers"), number("server_errors"));
        let text = format!("pid {pid} in slot {slot}: {answers} answers, {errors} of them 5xx");
        lines.insert(1, ("canary", text));
    }
    let sets = status.get("key_sets").and_then(Value::as_array).into_iter().flatten();
    lines.extend(sets.map(|set| ("keys", key_set(set))));
    let lines = lines.into_iter().filter(|(_, value)| !value.is_empty());
    let head: String = lines.map(|(name, value)| format!("{name:<12}{}\n", harmless(&value))).collect();
    format!("{head}\n{}", workers(status))
}

/// How it stands with a key set that is fetched.
fn key_set(set: &Value) -> String {
    let text = |key: &str| set.get(key).and_then(Value::as_str);
    let number = |key: &str| set.get(key).and_then(Value::as_u64);
    let age = number("age").map(|seconds| format!(", fetched {} ago", age(seconds))).unwrap_or_default();
    let error = text("error").map(|error| format!("; the last fetch failed: {error}")).unwrap_or_default();
    let (source, keys) = (text("source").unwrap_or("-"), number("keys").unwrap_or(0));
    format!("{source}: {keys} in use{age}{error}")
}

/// One line per worker.
pub(super) fn workers(status: &Value) -> String {
    let head = ["slot", "pid", "generation", "state", "age", "requests", "connections", "memory"];
    let mut rows = vec![head.map(str::to_owned)];
    for worker in status.get("workers").and_then(Value::as_array).into_iter().flatten() {
        let number = |key: &str| worker.get(key).and_then(Value::as_u64);
        let count = |key: &str| number(key).map_or_else(|| "-".into(), |number| number.to_string());
        rows.push([
            count("slot"),
            count("pid"),
            count("generation"),
            match worker.get("canary") {
                Some(Value::Bool(true)) => "canary".to_owned(),
                _ => harmless(worker.get("state").and_then(Value::as_str).unwrap_or("-")),
            },
            number("age").map_or_else(|| "-".into(), age),
            count("requests"),
            count("connections"),
            number("resident_bytes").map_or_else(|| "-".into(), size),
        ]);
    }
    aligned(&rows).into_iter().map(|line| line + "\n").collect()
}

/// One line per request, the oldest first.
pub(super) fn requests(found: &Value) -> String {
    let head = ["slot", "pid", "age", "state", "client", "id"];
    let mut rows = vec![head.map(str::to_owned)];
    let mut lines = vec!["request".to_owned()];
    for request in found.get("requests").and_then(Value::as_array).into_iter().flatten() {
        let number = |key: &str| request.get(key).and_then(Value::as_u64).unwrap_or(0);
        let text = |key: &str| harmless(request.get(key).and_then(Value::as_str).unwrap_or("-"));
        let age = Duration::from_millis(number("age_ms"));
        let (slot, pid) = (number("slot").to_string(), number("pid").to_string());
        rows.push([slot, pid, format!("{age:.1?}"), text("state"), text("client"), text("id")]);
        lines.push(text("request"));
    }
    // Last and not aligned, as it is long.
    aligned(&rows).iter().zip(&lines).map(|(row, line)| format!("{row}  {line}\n")).collect()
}

/// The rows, with columns of equal width.
fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> Vec<String> {
    let widths: Vec<usize> =
        (0..COLUMNS).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    let line = |row: &[String; COLUMNS]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        cells.join("  ")
    };
    rows.iter().map(line).collect()
}

/// A duration, in its two largest units.
pub(super) fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// What a terminal may show as it is; lines stay lines.
pub(super) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            out.push('\n');
        }
        telemetry::push_text(&mut out, line);
    }
    out
}

fn size(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_state_and_each_worker_have_a_line() {
        let shown = status(&json!({
            "version": "1.2", "pid": 7, "state": "degraded", "generation": 2, "trouble": "reload failed: no\u{1b}",
            "workers_ready": 1, "workers_wanted": 2, "uptime": 3700, "config": null, "bind": ["a:1", "b:2"],
            "requests": 12, "connections": 3,
            "key_sets": [
                {"source": "https://idp/k", "keys": 2, "age": 61, "fetched": 3, "failed": 1, "error": "no\u{1b}"},
                {"source": "https://idp/l", "keys": 0, "age": null, "fetched": 0, "failed": 0, "error": null},
            ],
            "workers": [
                {"slot": 1, "pid": 123, "generation": 2, "state": "ready", "age": 59, "requests": 12, "connections": 3,
                 "resident_bytes": 3 << 20},
                {"slot": 2, "pid": 124, "generation": 2, "state": "starting", "age": 0, "requests": 0, "connections": 0,
                 "resident_bytes": null},
            ],
        }));
        let expected = "state       degraded\nbecause     reload failed: no\\x1b\nworkers     1 of 2 ready\n\
                        generation  2\nrequests    12\nconnections 3\nlistening   a:1 b:2\n\
                        master      pid 7, version 1.2, up 1h 1m\n\
                        keys        https://idp/k: 2 in use, fetched 1m 1s ago; the last fetch failed: no\\x1b\n\
                        keys        https://idp/l: 0 in use\n\n\
                        slot  pid  generation     state  age  requests  connections  memory\n   \
                        1  123           2     ready  59s        12            3   3 MiB\n   \
                        2  124           2  starting   0s         0            0       -\n";
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn each_request_has_a_line() {
        let shown = requests(&json!({ "requests": [
            {"slot": 1, "pid": 99, "id": "00ff", "request": "GET /a", "client": "::1", "state": "in app", "age_ms": 1500},
            {"slot": 12, "pid": 100, "id": "01ff", "request": "PUT /b", "client": null, "state": "reading", "age_ms": 2},
        ] }));
        let expected = "slot  pid    age    state  client    id  request\n   \
                        1   99   1.5s   in app     ::1  00ff  GET /a\n  \
                        12  100  2.0ms  reading       -  01ff  PUT /b\n";
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn ages_have_two_units() {
        for (seconds, expected) in [(0, "0s"), (61, "1m 1s"), (3600, "1h 0m"), (90_000, "1d 1h"), (59, "59s")]
        {
            assert_eq!(age(seconds), expected);
        }
    }
}
