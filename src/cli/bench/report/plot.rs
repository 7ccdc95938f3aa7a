//! Small plots of text: bars of throughput, and how many answers had come after how long.

use super::Look;
use super::table::{milliseconds, name_width};
use crate::cli::bench::contender::{Comparison, Contender, Role};
use hdrhistogram::Histogram;
use std::fmt::Write;

/// A bar for each server's throughput.
pub(super) fn throughput(comparison: &Comparison, look: Look) -> String {
    let width = name_width(comparison);
    let most = comparison.contenders.iter().map(Contender::per_second).fold(0.0, f64::max);
    let mut text = "requests per second\n".to_owned();
    for contender in &comparison.contenders {
        let rate = contender.per_second();
        let share = if most > 0.0 { rate / most } else { 0.0 };
        let bar = paint(&bar(share, look), contender.role, look);
        let _ = writeln!(text, "{:width$}{bar} {rate:.0}", contender.name);
    }
    text
}

/// The share of answers that had come after a time, which grows from left to right by equal factors.
pub(super) fn latency(comparison: &Comparison, look: Look) -> String {
    let width = name_width(comparison);
    let histograms: Vec<Histogram<u64>> =
        comparison.contenders.iter().map(|contender| contender.whole().latency).collect();
    let shortest = histograms.iter().map(Histogram::min_nz).min().unwrap_or(1).max(1);
    let longest = histograms.iter().map(Histogram::max).max().unwrap_or(1).max(shortest + 1);
    let times = scale(shortest, longest);
    let meaning = match look {
        Look::Plain => "digits: tenths of all; #: all",
        Look::Blocks | Look::Colours => "height: share of all",
    };
    let mut text = format!("answers that had come after a time ({meaning})\n");
    for (contender, histogram) in comparison.contenders.iter().zip(&histograms) {
        let row: String = times.iter().map(|time| mark(histogram, *time, look)).collect();
        let _ = writeln!(text, "{:width$}{}", contender.name, paint(&row, contender.role, look));
    }
    let (first, last) = (format!("{} ms", milliseconds(shortest)), format!("{} ms", milliseconds(longest)));
    let gap = COLUMNS.saturating_sub(first.len());
    let _ = writeln!(text, "{:width$}{first}{last:>gap$}", "");
    text
}

/// Times in microseconds, by equal factors from the one to the other.
#[expect(clippy::cast_precision_loss, reason = "latencies are at most some minutes, columns some dozens")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between two numbers of type u64"
)]
fn scale(from: u64, to: u64) -> Vec<u64> {
    let factor = to as f64 / from as f64;
    let step =
        |column: usize| (from as f64 * factor.powf(column as f64 / (COLUMNS - 1) as f64)).round() as u64;
    (0..COLUMNS).map(|column| if column + 1 == COLUMNS { to } else { step(column) }).collect()
}

/// One column: how many of the answers had come by then.
fn mark(histogram: &Histogram<u64>, time: u64, look: Look) -> char {
    if histogram.is_empty() || time < histogram.min() {
        return if look == Look::Plain { '.' } else { ' ' };
    }
    let levels: &[char] = match look {
        Look::Plain => &['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '#'],
        Look::Blocks | Look::Colours => {
            &['\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}']
        }
    };
    let come = histogram.count_between(0, time);
    let last = levels.len() as u64 - 1;
    // Rounded down: the last level is reached by the last answer only.
    let level = (come * last).checked_div(histogram.len()).unwrap_or(0).min(last);
    usize::try_from(level).ok().and_then(|level| levels.get(level)).copied().unwrap_or(' ')
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and the number of columns"
)]
#[expect(clippy::cast_precision_loss, reason = "some dozens")]
fn bar(share: f64, look: Look) -> String {
    let columns = (share.clamp(0.0, 1.0) * COLUMNS as f64).round() as usize;
    let cell = if look == Look::Plain { "#" } else { "\u{2588}" };
    // Whoever answers at all is seen.
    cell.repeat(columns.max(1))
}

fn paint(text: &str, role: Role, look: Look) -> String {
    match (look, role) {
        (Look::Colours, Role::Ferricorn) => format!("\u{1b}[32m{text}\u{1b}[0m"),
        (Look::Colours, Role::SingleThreaded) => format!("\u{1b}[33m{text}\u{1b}[0m"),
        (Look::Colours, Role::Gunicorn | Role::Url) | (Look::Plain | Look::Blocks, _) => text.to_owned(),
    }
}

const COLUMNS: usize = 56;
