//! How the workers are, for the app `status`.

use crate::contract::scoreboard::Scoreboard;
use std::sync::atomic::Ordering;

/// The workers as JSON.
pub(super) fn as_json(scoreboard: &Scoreboard) -> String {
    let workers: Vec<serde_json::Value> = scoreboard
        .records()
        .filter(|record| record.pid().0 != 0)
        .map(|record| {
            serde_json::json!({
                "slot": record.slot().0,
                "pid": record.pid().0,
                "generation": record.generation().0,
                "state": format!("{:?}", record.state()).to_lowercase(),
                "requests": record.requests_total().load(Ordering::Relaxed),
                "connections": record.connections_open().load(Ordering::Relaxed),
                "connections_total": record.connections_total().load(Ordering::Relaxed),
            })
        })
        .collect();
    serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "workers": workers }).to_string()
}
