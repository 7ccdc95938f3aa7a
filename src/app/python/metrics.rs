//! Figures of Python apps (`ferricorn.metrics`), in the registry that all workers share.
//!
//! An app makes them when it is imported: in a worker, in a mold, or in an interpreter without a server, where they count for
//! that process alone. A figure therefore finds its place anew when the process has become another.

use crate::contract::metrics::{Definition, Merge, MetricError, MetricKind, Metrics, Place};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// Has this process's figures be those of a worker or of a mold.
pub fn adopt_metrics(metrics: Metrics) {
    let mut current = CURRENT.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(before) = &*current {
        metrics.take_over(before);
    }
    *current = Some(metrics);
    EPOCH.fetch_add(1, Ordering::AcqRel);
}

/// In a process that was just forked, before any code of the app runs there: what it does is not to be seen by its siblings.
pub(super) fn leave_to_parent() {
    let mut current = CURRENT.write().unwrap_or_else(PoisonError::into_inner);
    // Without memory for it the fork has worse to come.
    if let Some(Ok(own)) = current.as_ref().map(Metrics::forked) {
        *current = Some(own);
        EPOCH.fetch_add(1, Ordering::AcqRel);
    }
}

/// One series: a counter, a gauge, a histogram or a summary with its labels.
///
/// It never fails an app that runs: a series for which there is no room counts nothing, which the log says once.
#[pyclass(frozen, module = "ferricorn._ferricorn")]
pub(super) struct Figure {
    kind: MetricKind,
    name: String,
    help: String,
    labels: Vec<(String, String)>,
    bounds: Vec<f64>,
    binding: RwLock<Binding>,
}

/// Where a figure counts, as of a time.
#[derive(Default)]
struct Binding {
    epoch: u64,
    /// `None` where there is no room for it.
    place: Option<Place>,
}

#[pymethods]
impl Figure {
    /// `kind`: "counter", "gauge sum", "gauge max", "gauge min", "gauge last", "histogram" or "summary".
    #[new]
    fn new(
        kind: &str,
        name: String,
        help: String,
        labels: Vec<(String, Bound<'_, PyString>)>,
        bounds: Vec<f64>,
    ) -> PyResult<Self> {
        // A value may be a client's, and of bytes that are no text (PEP 383).
        let labels =
            labels.into_iter().map(|(name, value)| (name, value.to_string_lossy().into_owned())).collect();
        let (kind, help) = (parsed(kind)?, shortened(help));
        let figure = Self { kind, name, help, labels, bounds, binding: RwLock::default() };
        match figure.find()? {
            Ok(place) => *figure.binding.write().unwrap_or_else(PoisonError::into_inner) = place,
            Err(
                error @ (MetricError::Name(_)
                | MetricError::Label(_)
                | MetricError::Kind(_)
                | MetricError::Twice(..)
                | MetricError::Bounds),
            ) => {
                return Err(refused(error));
            }
            Err(MetricError::TooLong | MetricError::Full) => {}
        }
        Ok(figure)
    }

    /// Adds to one of its numbers.
    #[pyo3(signature = (amount, part = 0))]
    fn add(&self, amount: f64, part: usize) {
        self.with_place((), |place| place.add(part, amount));
    }

    /// Sets this process's part of one of its numbers.
    #[pyo3(signature = (value, part = 0))]
    fn set(&self, value: f64, part: usize) {
        self.with_place((), |place| place.set(part, value));
    }

    /// Counts a value in its bucket, and adds it up.
    fn observe(&self, value: f64) {
        self.with_place((), |place| place.observe(value, &self.bounds));
    }

    /// Whether there is room for it.
    fn is_told(&self) -> bool {
        self.with_place(false, |_| true)
    }

    /// One of its numbers over all workers.
    #[pyo3(signature = (part = 0))]
    fn read(&self, part: usize) -> f64 {
        self.with_place(0.0, |place| place.read(part))
    }
}

impl Figure {
    fn with_place<T>(&self, otherwise: T, run: impl FnOnce(&Place) -> T) -> T {
        {
            let binding = self.binding.read().unwrap_or_else(PoisonError::into_inner);
            if binding.epoch == EPOCH.load(Ordering::Acquire) {
                return binding.place.as_ref().map_or(otherwise, run);
            }
        }
        let found = self.find().ok().and_then(Result::ok).unwrap_or_default();
        let mut binding = self.binding.write().unwrap_or_else(PoisonError::into_inner);
        *binding = found;
        binding.place.as_ref().map_or(otherwise, run)
    }

    /// The place as of now.
    fn find(&self) -> io::Result<Result<Binding, MetricError>> {
        let labels: Vec<(&str, &str)> =
            self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let Self { kind, name, help, bounds, .. } = self;
        let definition = Definition { kind: *kind, name, help, labels: &labels, bounds };
        let (epoch, place) = with_current(|metrics| metrics.place(&definition))?;
        Ok(match place {
            Ok(place) => Ok(Binding { epoch, place: Some(place) }),
            Err(error) => {
                say_once(name, &error);
                Err(error)
            }
        })
    }
}

/// Says what a name is to be, before any value of a label is known; what cannot be made is refused.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "a list of Python is taken apart into these")]
pub(super) fn metrics_define(kind: &str, name: &str, labels: Vec<String>, bounds: Vec<f64>) -> PyResult<()> {
    let labels: Vec<(&str, &str)> = labels.iter().map(|label| (label.as_str(), "")).collect();
    let definition = Definition { kind: parsed(kind)?, name, help: "", labels: &labels, bounds: &bounds };
    with_current(|metrics| metrics.define(&definition))?.1.map_err(refused)
}

/// All figures of the apps in all workers as a page in Prometheus's text format.
#[pyfunction]
pub(super) fn metrics_page() -> PyResult<String> {
    let (_, page) = with_current(|metrics| metrics.table().apps_page())?;
    Ok(page)
}

/// The labels in braces of all series of all workers, by their names.
#[pyfunction]
pub(super) fn metrics_labels() -> PyResult<BTreeMap<String, Vec<String>>> {
    let (_, families) = with_current(|metrics| metrics.table().families())?;
    let labels = families.into_iter().map(|(name, family)| {
        (name, family.series.into_iter().map(|series| series.labels).collect::<Vec<_>>())
    });
    Ok(labels.collect())
}

/// Runs with the figures of this process, and since when they are that.
fn with_current<T>(run: impl FnOnce(&Metrics) -> T) -> io::Result<(u64, T)> {
    {
        let current = CURRENT.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = &*current {
            return Ok((EPOCH.load(Ordering::Acquire), run(metrics)));
        }
    }
    let mut current = CURRENT.write().unwrap_or_else(PoisonError::into_inner);
    if current.is_none() {
        *current = Some(Metrics::alone()?);
    }
    // Between the two locks somebody else may have been here.
    let done = current.as_ref().map(|metrics| (EPOCH.load(Ordering::Acquire), run(metrics)));
    done.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Once of each kind: one name that is too long does not hide that there is no room for any.
fn say_once(name: &str, error: &MetricError) {
    let said = match error {
        MetricError::Full => &SAID_FULL,
        MetricError::TooLong => &SAID_TOO_LONG,
        MetricError::Name(_)
        | MetricError::Label(_)
        | MetricError::Kind(_)
        | MetricError::Twice(..)
        | MetricError::Bounds => return,
    };
    if !said.swap(true, Ordering::Relaxed) {
        tracing::warn!("a metric of the app is not told: {name}: {error}");
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: MetricError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn parsed(word: &str) -> PyResult<MetricKind> {
    Ok(match word {
        "counter" => MetricKind::Counter,
        "gauge sum" => MetricKind::Gauge(Merge::Sum),
        "gauge max" => MetricKind::Gauge(Merge::Max),
        "gauge min" => MetricKind::Gauge(Merge::Min),
        "gauge last" => MetricKind::Gauge(Merge::Last),
        "histogram" => MetricKind::Histogram,
        "summary" => MetricKind::Summary,
        _ => return Err(PyValueError::new_err(format!("there is no kind {word:?} of metric"))),
    })
}

/// A help that fits: no metric is lost for being explained too well.
fn shortened(mut help: String) -> String {
    // A line end or a backslash is told by two bytes.
    let told = |help: &str| help.len() + help.matches(['\n', '\\']).count();
    while told(&help) > Definition::HELP_MAX {
        help.pop();
    }
    help
}

/// The figures of this process; none until somebody asks.
static CURRENT: RwLock<Option<Metrics>> = RwLock::new(None);

/// Counted up when they become others.
static EPOCH: AtomicU64 = AtomicU64::new(1);

/// Whether the log has it that there is no room.
static SAID_FULL: AtomicBool = AtomicBool::new(false);

/// Whether the log has it that a name with its labels is too long.
static SAID_TOO_LONG: AtomicBool = AtomicBool::new(false);
