//! The raw numbers.

use super::Run;
use crate::cli::bench::contender::{Comparison, Contender};
use crate::cli::bench::tally::{PERCENTILES, Tally};
use serde_json::{Map, Value, json};

/// Everything that was counted, and what it was counted on.
pub(in crate::cli::bench) fn json(run: &Run<'_>) -> String {
    let fields: Vec<&str> = run.fields.iter().map(|(name, _)| name.as_str()).collect();
    let whole = json!({
        "ferricorn": env!("CARGO_PKG_VERSION"),
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
        "machine": { "cpu": run.machine.cpu, "cpus": run.machine.cpus, "kernel": run.machine.kernel },
        "load": {
            "loop": "closed",
            // Their values may be secrets.
            "fields": fields,
            "connections": run.dose.connections,
            "threads": run.dose.threads,
            "rounds": run.rounds,
            "round_seconds": run.dose.duration.as_secs_f64(),
            "round_requests": run.dose.requests,
        },
        "comparisons": run.comparisons.iter().map(comparison).collect::<Vec<_>>(),
    });
    format!("{whole}\n")
}

fn comparison(comparison: &Comparison) -> Value {
    json!({
        "subject": comparison.subject,
        "method": comparison.question.method.as_str(),
        "path": comparison.question.path,
        "request_content_bytes": comparison.question.content.as_ref().map_or(0, bytes::Bytes::len),
        "servers": comparison.contenders.iter().map(contender).collect::<Vec<_>>(),
        "left_out": comparison.left_out,
    })
}

fn contender(contender: &Contender) -> Value {
    let whole = contender.whole();
    let histogram: Vec<[u64; 2]> =
        whole.latency.iter_recorded().map(|step| [step.value_iterated_to(), step.count_at_value()]).collect();
    json!({
        "name": contender.name,
        "role": contender.role.as_str(),
        "about": contender.about,
        "command": contender.command,
        "content_bytes": contender.reply.content,
        "requests_per_second_median": contender.per_second(),
        "cpu_us_per_request_median": contender.cpu_micros(),
        "whole": numbers(&whole),
        "rounds": contender.rounds.iter().map(numbers).collect::<Vec<_>>(),
        "latency_histogram_us": histogram,
    })
}

fn numbers(tally: &Tally) -> Value {
    let mut latency: Map<String, Value> = PERCENTILES
        .iter()
        .map(|(name, percent)| ((*name).to_owned(), tally.percentile(*percent).into()))
        .collect();
    latency.insert("max".into(), tally.latency.max().into());
    json!({
        "seconds": tally.length.as_secs_f64(),
        "requests": tally.begun,
        "answers": tally.answers(),
        "answers_in_time": tally.in_time,
        "requests_per_second": tally.per_second(),
        "failed": { "status": tally.refused, "broken": tally.broken, "unanswered": tally.unanswered() },
        "connections": tally.connections,
        "content_bytes": tally.content,
        "cpu_seconds": tally.cpu.map(|cpu| cpu.as_secs_f64()),
        "cpu_us_per_request": tally.cpu_micros(),
        "latency_us": latency,
    })
}
