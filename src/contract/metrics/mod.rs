//! Figures of the apps: one registry in shared memory for all workers, added up when it is read.
//!
//! Each process counts in a row of its own, so nobody ever waits for anybody; when a process ends, the master adds what it has
//! counted to the row of those who have ended. A process that is killed while it makes a series leaves an entry that nobody
//! uses; two that make the same series at once may get two entries, which are added up as well.

mod families;
mod handles;
mod kind;
mod names;
mod table;
mod text;

#[cfg(test)]
mod tests;

pub use families::{Family, Series};
pub use handles::{Counter, Gauge, Histogram, Place};
pub use kind::{Merge, MetricKind};
pub use table::MetricTable;

use names::Names;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use table::{ENDED, ENTRIES, VALUES};
use text::{HELP_MAX, KEY_MAX, OWN, Text};

/// The figures of one process, by which an app makes them.
#[derive(Debug, Clone)]
pub struct Metrics {
    table: MetricTable,
    row: usize,
    /// In a mold: its gauges, until the workers that it forks take them over.
    drafts: Option<MetricTable>,
    /// What this process has said each name to be.
    names: Arc<Mutex<Names>>,
}

/// What a series is.
#[derive(Debug, Clone, Copy)]
pub struct Definition<'a> {
    /// What it can do.
    pub kind: MetricKind,
    /// Its name.
    pub name: &'a str,
    /// What it is about.
    pub help: &'a str,
    /// Names and values.
    pub labels: &'a [(&'a str, &'a str)],
    /// Of a histogram: the bounds of its buckets, which rise; without the infinite one.
    pub bounds: &'a [f64],
}

/// Why a figure cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// A name or label is not one of Prometheus's, or one of the server's own.
    #[error(
        "{0:?} is no name for a metric or label; \"ferricorn_\", \"le\" and \"quantile\" are not the app's"
    )]
    Name(String),
    /// Two labels have one name.
    #[error("the label {0:?} is there twice")]
    Label(String),
    /// The name, the labels or the help are too long.
    #[error("the name with its labels may have {KEY_MAX} bytes, the help {HELP_MAX}")]
    TooLong,
    /// The name stands for another kind, or for other buckets, in this process.
    #[error("{0} exists as another kind of metric, or with other buckets")]
    Kind(String),
    /// A histogram is told by lines under names of their own, and one of them is another metric's in this process.
    #[error(
        "{0} cannot stand beside {1}: a histogram h is told as h_bucket, h_sum and h_count, so that one name would be told twice"
    )]
    Twice(String, String),
    /// The bounds of the buckets are none, do not rise, or are too many.
    #[error("a histogram has 1 to {BOUNDS_MAX} finite bounds, each larger than the one before")]
    Bounds,
    /// All room is taken.
    #[error(
        "there is room for {ENTRIES} series of {VALUES} numbers, and it is taken; labels should have few values"
    )]
    Full,
}

impl<'a> Definition<'a> {
    /// A series of any kind that has no bounds.
    pub fn of(kind: MetricKind, name: &'a str, help: &'a str, labels: &'a [(&'a str, &'a str)]) -> Self {
        Self { kind, name, help, labels, bounds: &[] }
    }
}

impl Definition<'_> {
    /// Bytes that a help may have; line ends and backslashes count twice.
    pub const HELP_MAX: usize = HELP_MAX;

    fn check(&self) -> Result<Text, MetricError> {
        if self.name.starts_with(OWN) {
            return Err(MetricError::Name(self.name.to_owned()));
        }
        if fit(self.kind, self.bounds) { Text::new(self) } else { Err(MetricError::Bounds) }
    }
}

impl Metrics {
    fn new(table: MetricTable, row: usize, drafts: Option<MetricTable>) -> Self {
        Self { table, row, drafts, names: Arc::default() }
    }

    /// For an app without a master: figures that nobody else sees.
    ///
    /// # Errors
    /// When memory has run out.
    pub fn alone() -> io::Result<Self> {
        Ok(Self::new(MetricTable::new(0)?, ENDED, None))
    }

    /// A counter; the same one for the same name and labels, in every worker.
    ///
    /// Labels with many values, such as paths or users, fill the registry: it has room for 2048 series.
    ///
    /// # Errors
    /// [`MetricError`]: the name is bad, or there is no room.
    pub fn counter(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<Counter, MetricError> {
        self.place(&Definition::of(MetricKind::Counter, name, help, labels)).map(Counter)
    }

    /// A gauge: the sum over the workers that run now; otherwise like [`counter`](Self::counter).
    ///
    /// # Errors
    /// [`MetricError`]: the name is bad, or there is no room.
    pub fn gauge(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<Gauge, MetricError> {
        self.merged_gauge(name, help, labels, Merge::Sum)
    }

    /// A gauge of another [`Merge`] than the sum.
    ///
    /// # Errors
    /// [`MetricError`]: the name is bad, or there is no room.
    pub fn merged_gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        merge: Merge,
    ) -> Result<Gauge, MetricError> {
        self.place(&Definition::of(MetricKind::Gauge(merge), name, help, labels)).map(Gauge)
    }

    /// A histogram with these bounds, which rise; what is larger than the last one has a bucket, too.
    ///
    /// # Errors
    /// [`MetricError`]: the name or the bounds are bad, or there is no room.
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        bounds: &[f64],
    ) -> Result<Histogram, MetricError> {
        let kind = MetricKind::Histogram;
        let place = self.place(&Definition { kind, name, help, labels, bounds })?;
        Ok(Histogram(place, bounds.into()))
    }

    /// A histogram of the server's own, whose name is one that no app can have.
    ///
    /// # Errors
    /// [`MetricError::Full`], or a name that cannot be.
    pub(crate) fn own_histogram(&self, definition: &Definition<'_>) -> Result<Histogram, MetricError> {
        Ok(Histogram(self.own(definition)?, definition.bounds.into()))
    }

    /// A counter of the server's own.
    ///
    /// # Errors
    /// As for [`own_histogram`](Self::own_histogram).
    pub(crate) fn own_counter(&self, definition: &Definition<'_>) -> Result<Counter, MetricError> {
        self.own(definition).map(Counter)
    }

    /// A gauge of the server's own.
    ///
    /// # Errors
    /// As for [`own_histogram`](Self::own_histogram).
    #[cfg(feature = "jwt")]
    pub(crate) fn own_gauge(&self, definition: &Definition<'_>) -> Result<Gauge, MetricError> {
        self.own(definition).map(Gauge)
    }

    fn own(&self, definition: &Definition<'_>) -> Result<Place, MetricError> {
        let span = self.table.find_or_insert(&Text::new(definition)?, definition.bounds)?;
        Ok(Place { table: self.table.clone(), row: self.row, span, kind: definition.kind })
    }

    /// Says what a name is to be, before any of its series is made.
    ///
    /// # Errors
    /// [`MetricError`]: what is said of it is bad, or the name is another metric's in this process.
    pub fn define(&self, definition: &Definition<'_>) -> Result<(), MetricError> {
        definition.check()?;
        self.names().note(definition)
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers of any series.
    ///
    /// # Errors
    /// [`MetricError`]: what is said of it is bad, or there is no room.
    pub fn place(&self, definition: &Definition<'_>) -> Result<Place, MetricError> {
        let Definition { kind, bounds, .. } = *definition;
        let text = definition.check()?;
        self.names().note(definition)?;
        let (table, row) = match (&self.drafts, kind) {
            (Some(drafts), MetricKind::Gauge(Merge::Sum | Merge::Max | Merge::Min)) => (drafts, ENDED),
            (Some(_) | None, _) => (&self.table, self.row),
        };
        let span = table.find_or_insert(&text, bounds)?;
        Ok(Place { table: table.clone(), row, span, kind })
    }

    /// Takes the gauges of the process that this one was forked from: what they were set to at import is each worker's own.
    pub fn take_over(&self, other: &Self) {
        let names = other.names().clone();
        self.names().extend(names);
        let drafts = other.drafts.as_ref().unwrap_or(&other.table);
        for entry in drafts.entries() {
            let value = drafts.value(ENDED, entry.span.start).load(Ordering::Relaxed);
            let is_gauge = matches!(entry.text.kind, MetricKind::Gauge(Merge::Sum | Merge::Max | Merge::Min));
            if !is_gauge || value == 0 {
                continue;
            }
            // Without room it is not told, as if it were made only now.
            if let Ok(span) = self.table.find_or_insert(&entry.text, &[]) {
                self.table.value(self.row, span.start).store(value, Ordering::Relaxed);
            }
        }
    }

    /// The figures of a process that was forked from this one, a mold or one without a master, until it gets its own.
    ///
    /// # Errors
    /// When memory has run out.
    pub fn forked(&self) -> io::Result<Self> {
        let own = Self::alone()?;
        own.take_over(self);
        Ok(match self.drafts {
            Some(_) => {
                Self { table: self.table.clone(), row: self.row, drafts: Some(own.table), names: own.names }
            }
            None => own,
        })
    }

    /// All figures of all processes.
    pub fn table(&self) -> &MetricTable {
        &self.table
    }
}

/// Whether a kind can have these bounds.
fn fit(kind: MetricKind, bounds: &[f64]) -> bool {
    match kind {
        MetricKind::Histogram => {
            let rise = bounds.windows(2).all(|pair| pair[0] < pair[1]);
            (1..=BOUNDS_MAX).contains(&bounds.len()) && rise && bounds.iter().all(|bound| bound.is_finite())
        }
        MetricKind::Counter | MetricKind::Gauge(_) | MetricKind::Summary => bounds.is_empty(),
    }
}

/// Bounds of a histogram: each is a series for whoever stores them.
const BOUNDS_MAX: usize = 100;
