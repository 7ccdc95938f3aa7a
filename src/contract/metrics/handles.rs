//! What an app counts with.

use super::kind::{Merge, MetricKind, Number, change, level, value_of};
use super::table::{MetricTable, Span};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A figure that only grows: the sum over all workers since the server was started.
#[derive(Debug, Clone)]
pub struct Counter(pub(super) Place);

/// A figure that goes up and down: the sum over the workers that run now, or another [`Merge`] of theirs.
#[derive(Debug, Clone)]
pub struct Gauge(pub(super) Place);

/// How often something was how large, in buckets; over all workers since the server was started.
#[derive(Debug, Clone)]
pub struct Histogram(pub(super) Place, pub(super) Arc<[f64]>);

/// The numbers of a series, and the row to count in.
#[derive(Debug, Clone)]
pub struct Place {
    pub(super) table: MetricTable,
    pub(super) row: usize,
    pub(super) span: Span,
    pub(super) kind: MetricKind,
}

impl Counter {
    /// Counts one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts so many.
    pub fn add(&self, count: u64) {
        self.0.word(0).fetch_add(count, Ordering::Relaxed);
    }
}

impl Gauge {
    /// This worker's part is now so much.
    pub fn set(&self, value: f64) {
        self.0.set(0, value);
    }

    /// This worker's part is so much more, or less.
    pub fn add(&self, change: f64) {
        self.0.add(0, change);
    }
}

impl Histogram {
    /// Counts a value, in the first bucket whose bound is not below it. What is not a number is not counted.
    pub fn observe(&self, value: f64) {
        self.0.observe(value, &self.1);
    }
}

impl Place {
    /// Adds to one of its numbers; of a counter there is one to be added to.
    pub fn add(&self, part: usize, amount: f64) {
        if part >= self.span.count || !amount.is_finite() {
            return;
        }
        match self.kind.number(part, self.span.count) {
            Number::Count if is_count(amount) => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "just checked")]
                let count = amount as u64;
                self.word(part).fetch_add(count, Ordering::Relaxed);
            }
            // What a counter has broken parts of stands beside its whole.
            Number::Count if self.kind == MetricKind::Counter && amount > 0.0 => self.add(part + 1, amount),
            // No counter shrinks, and of a histogram's buckets there are no parts.
            Number::Count => {}
            Number::Amount => change(self.word(part), |found| (f64::from_bits(found) + amount).to_bits()),
            Number::Level(_) => change(self.word(part), |found| level(f64::from_bits(found) + amount)),
        }
    }

    /// This process's part of one of its numbers is now so much.
    pub fn set(&self, part: usize, value: f64) {
        if part >= self.span.count {
            return;
        }
        match self.kind.number(part, self.span.count) {
            Number::Count | Number::Amount => {
                for part in part..if self.kind == MetricKind::Counter { 2 } else { part + 1 } {
                    self.word(part).store(0, Ordering::Relaxed);
                }
                self.add(part, value);
            }
            Number::Level(_) => self.word(part).store(level(value), Ordering::Relaxed),
        }
    }

    /// Counts a value and adds it up.
    pub fn observe(&self, value: f64, bounds: &[f64]) {
        if value.is_nan() {
            return;
        }
        let bucket = bounds.partition_point(|bound| *bound < value).min(self.span.count.saturating_sub(2));
        self.word(bucket).fetch_add(1, Ordering::Relaxed);
        // Added as it is: an infinite one makes the sum infinite.
        change(self.word(self.span.count - 1), |found| (f64::from_bits(found) + value).to_bits());
    }

    /// One of its numbers over all workers.
    pub fn read(&self, part: usize) -> f64 {
        if part >= self.span.count {
            return 0.0;
        }
        let merged = |part| self.table.merged(self.kind, self.span, part).0;
        let count = |part| {
            #[expect(clippy::cast_precision_loss, reason = "Prometheus's numbers are doubles")]
            let count = merged(part) as f64;
            count
        };
        self.table.at_rest(|| match self.kind.number(part, self.span.count) {
            Number::Count if self.kind == MetricKind::Counter => count(part) + value_of(merged(part + 1)),
            Number::Count => count(part),
            Number::Amount | Number::Level(_) => value_of(merged(part)),
        })
    }

    fn word(&self, part: usize) -> &AtomicU64 {
        let row = match self.kind {
            // One place for all, which nobody's end empties.
            MetricKind::Gauge(Merge::Last) => super::table::ENDED,
            MetricKind::Counter | MetricKind::Gauge(_) | MetricKind::Histogram | MetricKind::Summary => {
                self.row
            }
        };
        self.table.value(row, self.span.start + part)
    }
}

/// Whether a number is one that things can be counted by, exactly.
fn is_count(amount: f64) -> bool {
    (0.0..=EXACT).contains(&amount) && amount.fract() == 0.0
}

/// Up to here every whole number is a double.
const EXACT: f64 = 9_007_199_254_740_992.0;
