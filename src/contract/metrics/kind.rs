//! The kinds of figures: which numbers each has, and how the numbers of several processes become one.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a figure can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge(Merge),
    /// It counts what it is shown, by size.
    Histogram,
    /// It counts and adds up what it is shown.
    Summary,
}

/// What becomes of the gauges of several workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Merge {
    /// Their sum, over the workers that run now.
    #[default]
    Sum,
    /// The largest of those that run now.
    Max,
    /// The smallest of those that run now.
    Min,
    /// What was set last, by whichever worker; it stays when that worker has ended.
    Last,
}

/// What one number of a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// How often; a `u64`.
    Count,
    /// How much; an `f64`.
    Amount,
    /// How high; an `f64` of which 0 says that it was never set. A zero that was set is the negative one.
    Level(Merge),
}

impl MetricKind {
    /// How many numbers a figure has: a counter its whole and its broken part; a histogram its buckets, the one without bound, and the
    /// sum; a summary count and sum.
    pub(super) fn numbers(self, bounds: usize) -> usize {
        match self {
            Self::Counter | Self::Summary => 2,
            Self::Gauge(_) => 1,
            Self::Histogram => bounds + 2,
        }
    }

    /// How many bounds a figure of so many numbers has.
    pub(super) fn bounds(self, numbers: usize) -> usize {
        match self {
            Self::Counter | Self::Summary | Self::Gauge(_) => 0,
            Self::Histogram => numbers.saturating_sub(2),
        }
    }

    /// What the number at a place is.
    pub(super) fn number(self, part: usize, numbers: usize) -> Number {
        match self {
            Self::Gauge(merge) => Number::Level(merge),
            Self::Counter | Self::Histogram | Self::Summary if part + 1 == numbers => Number::Amount,
            Self::Counter | Self::Histogram | Self::Summary => Number::Count,
        }
    }

    /// What stands behind the name in the lines that tell it; none where the name stands alone.
    pub(super) fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Counter | Self::Gauge(_) => &[],
            Self::Histogram => &["_bucket", "_sum", "_count"],
            Self::Summary => &["_sum", "_count"],
        }
    }

    /// As Prometheus calls it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

impl Number {
    /// Whether it counts when its process has ended.
    pub(super) fn outlives(self) -> bool {
        match self {
            Self::Count | Self::Amount => true,
            Self::Level(_) => false,
        }
    }

    /// Two processes' numbers as one.
    pub(super) fn merge(self, one: u64, other: u64) -> u64 {
        let of = f64::from_bits;
        match self {
            Self::Count => one.wrapping_add(other),
            Self::Amount => (of(one) + of(other)).to_bits(),
            Self::Level(_) if one == 0 => other,
            Self::Level(_) if other == 0 => one,
            Self::Level(Merge::Sum) => level(of(one) + of(other)),
            Self::Level(Merge::Max) => level(of(one).max(of(other))),
            Self::Level(Merge::Min) => level(of(one).min(of(other))),
            // There is one place for all processes.
            Self::Level(Merge::Last) => other,
        }
    }

    /// Merges a number into a word that others change as well.
    pub(super) fn merge_into(self, word: &AtomicU64, value: u64) {
        if self == Self::Count {
            word.fetch_add(value, Ordering::AcqRel);
        } else {
            change(word, |found| self.merge(found, value));
        }
    }
}

/// A level as it is kept.
pub(super) fn level(value: f64) -> u64 {
    if value == 0.0 { (-0.0_f64).to_bits() } else { value.to_bits() }
}

/// What a kept level or amount is.
pub(super) fn value_of(bits: u64) -> f64 {
    // Makes a plain zero of the negative one.
    f64::from_bits(bits) + 0.0
}

/// Changes a word that others change as well.
pub(super) fn change(word: &AtomicU64, new: impl Fn(u64) -> u64) {
    let mut found = word.load(Ordering::Relaxed);
    while let Err(other) = word.compare_exchange_weak(found, new(found), Ordering::AcqRel, Ordering::Relaxed)
    {
        found = other;
    }
}
