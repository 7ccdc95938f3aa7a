//! Panics are counted where they are caught: each has cost the one request, or the one connection, that it happened in.

use crate::contract::metrics::{Counter, Definition, MetricKind, Metrics};
use std::any::Any;
use std::sync::OnceLock;

/// From now on panics of this process are among the figures. The first call counts.
pub(crate) fn count_in(metrics: &Metrics) {
    let help = "Panics: bugs of the server or of a Rust app, each of which has cost one request.";
    // Without room for it, as when apps have filled the registry, it is not told.
    if let Ok(counter) =
        metrics.own_counter(&Definition::of(MetricKind::Counter, "ferricorn_panics_total", help, &[]))
    {
        COUNTER.get_or_init(|| counter);
    }
}

/// Counts one that was caught. What it said is on standard error, where Rust puts it.
pub(crate) fn caught() {
    if let Some(counter) = COUNTER.get() {
        counter.increment();
    }
}

/// What it has said.
pub(crate) fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

/// That of this process: it has to be at hand wherever anything can panic.
static COUNTER: OnceLock<Counter> = OnceLock::new();
