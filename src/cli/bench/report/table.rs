//! The figures, one server a line.

use crate::cli::bench::contender::{Comparison, Contender};
use crate::cli::bench::tally::PERCENTILES;
use std::fmt::Write;

/// The figures, one server a line, aligned.
pub(super) fn table(comparison: &Comparison) -> String {
    let width = name_width(comparison);
    let mut text = format!("{:width$}{:>10}{:>8}", "", "req/s", "ratio");
    for (name, _) in PERCENTILES {
        let _ = write!(text, "{:>10}", format!("{name} ms"));
    }
    let _ = writeln!(text, "{:>10}{:>12}{:>8}", "max ms", "CPU us/req", "failed");
    let measure = comparison.measure().map(Contender::per_second).filter(|rate| *rate > 0.0);
    for contender in &comparison.contenders {
        let whole = contender.whole();
        let rate = contender.per_second();
        let ratio = measure.map_or_else(|| "-".into(), |measure| format!("{:.2} x", rate / measure));
        let cpu = contender.cpu_micros().map_or_else(|| "-".into(), |cpu| format!("{cpu:.1}"));
        let _ = write!(text, "{:width$}{rate:>10.0}{ratio:>8}", contender.name);
        for (_, percent) in PERCENTILES {
            let _ = write!(text, "{:>10}", milliseconds(whole.percentile(percent)));
        }
        let _ = writeln!(text, "{:>10}{cpu:>12}{:>8}", milliseconds(whole.latency.max()), whole.failed());
    }
    text
}

/// Room for the longest name.
pub(super) fn name_width(comparison: &Comparison) -> usize {
    comparison.contenders.iter().map(|contender| contender.name.chars().count()).max().unwrap_or(0) + 2
}

/// Microseconds as milliseconds, to two places.
pub(super) fn milliseconds(micros: u64) -> String {
    format!("{}.{:02}", micros / 1000, micros % 1000 / 10)
}
