//! The state of the server as JSON.

use super::site::Site;
use crate::contract::control::{MoldState, Stage, State, Unity};
use crate::contract::figures::Figure;
use crate::contract::scoreboard::{Record, Scoreboard, WorkerState};
use crate::contract::tally::{Part, Tally};
use crate::sys::process;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// All there is to know.
pub(super) fn value(site: &Site) -> Value {
    let Site { desk, scoreboard, facts, .. } = site;
    let state = desk.state();
    let now = seconds(SystemTime::now());
    let mut records: Vec<_> = scoreboard.records().filter(|record| record.pid().0 != 0).collect();
    records.sort_by_key(|record| (record.slot(), record.started(), record.pid()));
    let canary = records.iter().find(|record| record.part() == Part::Canary).map(|record| {
        let Tally { answers, errors, .. } = record.tally();
        json!({ "pid": record.pid().0, "slot": record.slot().0, "answers": answers, "server_errors": errors })
    });
    let workers: Vec<Value> = records.into_iter().map(|record| worker(record, now)).collect();
    let totals = scoreboard.totals();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": facts.pid.0,
        "state": state.as_ref().map_or("starting", word),
        "ready": scoreboard.is_ready(),
        "generation": state.as_ref().map(|state| state.generation.0),
        "trouble": state.as_ref().and_then(|state| state.trouble.clone()),
        "mold": state.as_ref().and_then(|state| state.mold).map(MoldState::name),
        "canary": canary,
        "workers_ready": state.as_ref().map(|state| state.ready),
        "workers_wanted": state.as_ref().map(|state| state.wanted),
        "scaling": scaling(scoreboard),
        "started": seconds(facts.started),
        "uptime": now.saturating_sub(seconds(facts.started)),
        "config": facts.config_file.as_ref().map(|path| path.display().to_string()),
        "bind": facts.bind,
        "control": facts.place.as_ref().map(ToString::to_string),
        "requests": totals.requests,
        "requests_waiting": totals.waiting,
        "requests_shed": totals.shed_full + totals.shed_late + totals.shed_gone,
        "key_sets": key_sets(site),
        "connections": totals.open,
        "connections_total": totals.connections,
        "workers": workers,
    })
}

/// How it stands with each key set that is fetched.
#[cfg(feature = "jwt")]
fn key_sets(site: &Site) -> Value {
    let report = |report: crate::auth::jwks::Report| {
        json!({
            "source": report.source,
            "keys": report.keys,
            "age": report.age.map(|age| age.as_secs()),
            "fetched": report.fetched,
            "failed": report.failed,
            "error": report.error,
        })
    };
    site.keys.upkeep.reports().into_iter().map(report).collect()
}

#[cfg(not(feature = "jwt"))]
fn key_sets(_: &Site) -> Value {
    Value::Array(Vec::new())
}

/// Where the number of workers follows the load: between which numbers, by how much work, and what keeps it as it is.
fn scaling(scoreboard: &Scoreboard) -> Value {
    let figure = |figure| scoreboard.figure(figure).load(Ordering::Relaxed);
    match figure(Figure::WorkersMost) {
        0 => Value::Null,
        most => json!({
            "min": figure(Figure::WorkersLeast),
            "max": most,
            "busy": Duration::from_millis(figure(Figure::Busy)).as_secs_f64(),
            "held": scoreboard.hold(),
            "grown": figure(Figure::Grown),
            "shrunk": figure(Figure::Shrunk),
        }),
    }
}

/// The state in one word: what an operator must do something about goes before what passes by itself.
pub(super) fn word(state: &State) -> &'static str {
    match (state.stage, state.unity, &state.trouble) {
        (Stage::Stopping, _, _) => "stopping",
        (Stage::Starting, _, _) => "starting",
        (Stage::Reloading, _, _) => "reloading",
        (Stage::Serving, Unity::Mixed, _) => "mixed",
        (Stage::Serving, Unity::One, Some(_)) => "degraded",
        (Stage::Serving, Unity::One, None) => "serving",
    }
}

fn worker(record: Record<'_>, now: u64) -> Value {
    json!({
        "slot": record.slot().0,
        "pid": record.pid().0,
        "generation": record.generation().0,
        "state": state_word(record.state()),
        "age": now.saturating_sub(record.started()),
        "requests": record.requests_total().load(Ordering::Relaxed),
        "waiting": record.waiting().load(Ordering::Relaxed),
        "connections": record.connections_open().load(Ordering::Relaxed),
        "connections_total": record.connections_total().load(Ordering::Relaxed),
        "server_errors": record.tally().errors,
        "canary": record.part() == Part::Canary,
        "resident_bytes": process::resident_bytes(record.pid()),
    })
}

pub(super) fn state_word(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Free => "gone",
        WorkerState::Starting => "starting",
        WorkerState::Ready => "ready",
        WorkerState::Draining => "draining",
    }
}

pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::slot::Generation;

    #[test]
    fn the_word_says_what_is_to_be_done() {
        let state = |stage, unity, trouble: Option<&str>| State {
            stage,
            generation: Generation(1),
            ready: 1,
            wanted: 1,
            unity,
            mold: None,
            trouble: trouble.map(Into::into),
        };
        for (stage, unity, trouble, expected) in [
            (Stage::Starting, Unity::One, None, "starting"),
            (Stage::Serving, Unity::One, None, "serving"),
            (Stage::Serving, Unity::One, Some("reload failed"), "degraded"),
            (Stage::Serving, Unity::Mixed, Some("reload stopped"), "mixed"),
            (Stage::Reloading, Unity::Mixed, None, "reloading"),
            (Stage::Stopping, Unity::One, Some("x"), "stopping"),
        ] {
            assert_eq!(word(&state(stage, unity, trouble)), expected);
        }
    }
}
