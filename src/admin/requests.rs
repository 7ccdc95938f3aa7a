//! The requests in flight as JSON.

use crate::contract::entry::Entry;
use crate::contract::scoreboard::{Record, Scoreboard};
use crate::sys::clock;
use serde_json::{Value, json};

/// The requests of all workers, the oldest first, and how many had no room in the table.
pub(super) fn value(scoreboard: &Scoreboard) -> Value {
    let now_ns = clock::monotonic_ns();
    let mut unnoted = 0;
    let mut found: Vec<(u64, Value)> = Vec::new();
    for (index, record) in scoreboard.indexed_records() {
        unnoted += scoreboard.unnoted(index);
        let entries = scoreboard.in_flight(index);
        found.extend(entries.iter().map(|entry| (entry.since_ns, one(entry, record, now_ns))));
    }
    found.sort_by_key(|(since_ns, _)| *since_ns);
    let requests: Vec<Value> = found.into_iter().map(|(_, request)| request).collect();
    json!({ "requests": requests, "not_noted_total": unnoted })
}

fn one(entry: &Entry, record: Record<'_>, now_ns: u64) -> Value {
    json!({
        "slot": record.slot().0,
        "pid": record.pid().0,
        "id": format!("{:016x}", entry.id),
        "request": entry.line(),
        "client": entry.client.map(|client| client.to_string()),
        "state": entry.stage.name(),
        "age_ms": u64::try_from(entry.age(now_ns).as_millis()).unwrap_or(u64::MAX),
        "thread": entry.thread,
    })
}
