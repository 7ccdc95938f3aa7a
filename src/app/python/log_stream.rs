//! Text streams of an app whose lines become entries of the error log.

use crate::telemetry;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

/// The slot of this worker; 0 in a process that is none.
static SLOT: AtomicU16 = AtomicU16::new(0);

/// Says which worker's lines these are.
pub(super) fn set_slot(slot: u16) {
    SLOT.store(slot, Ordering::Relaxed);
}

/// What the lines are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// `wsgi.errors`
    Errors,
    /// `sys.stdout`
    Stdout,
    /// `sys.stderr`
    Stderr,
}

/// A text stream (io.TextIOBase) that writes to the error log.
#[pyclass(frozen, name = "LogStream", module = "ferricorn")]
pub(super) struct LogStream {
    source: Source,
    /// The stream that this one stands for.
    original: Option<Py<PyAny>>,
    /// A line that has not ended yet.
    begun: Mutex<String>,
}

impl LogStream {
    pub(super) fn new(source: Source, original: Option<Py<PyAny>>) -> Self {
        Self { source, original, begun: Mutex::new(String::new()) }
    }

    fn push(&self, text: &str) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.push_str(text);
        let whole = match begun.rfind('\n') {
            Some(end) => end + 1,
            None if begun.len() > LONGEST => begun.len(),
            None => return,
        };
        let entry: String = begun.drain(..whole).collect();
        // The log may have to wait for whoever reads it.
        drop(begun);
        self.source.log(entry.trim_end_matches('\n'));
    }
}

impl Source {
    /// One entry: what is written at once belongs together, as a traceback does.
    fn log(self, entry: &str) {
        let (first, traceback) = telemetry::parts(entry);
        let slot = SLOT.load(Ordering::Relaxed);
        macro_rules! entry {
            ($level:ident, $stream:literal) => {
                tracing::$level!(stream = $stream, slot, traceback, "{first}")
            };
        }
        match self {
            Self::Errors => entry!(error, "wsgi.errors"),
            Self::Stdout => entry!(info, "stdout"),
            Self::Stderr => entry!(warn, "stderr"),
        }
    }
}

#[pymethods]
impl LogStream {
    fn write(&self, text: &Bound<'_, PyString>) -> PyResult<usize> {
        self.push(&text.to_string_lossy());
        text.len()
    }

    fn writelines(&self, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        for line in lines.try_iter()? {
            self.push(&line?.cast::<PyString>()?.to_string_lossy());
        }
        Ok(())
    }

    /// Whole lines are written when they end; what is begun waits for its end.
    fn flush(&self) {}

    /// There is no setting that would change anything.
    #[pyo3(signature = (**_options))]
    fn reconfigure(&self, _options: Option<&Bound<'_, PyDict>>) {}

    fn isatty(&self) -> bool {
        false
    }

    fn readable(&self) -> bool {
        false
    }

    fn seekable(&self) -> bool {
        false
    }

    fn writable(&self) -> bool {
        true
    }

    /// That of the stream this one stands for: what a child process writes there is not seen here.
    fn fileno(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.stands_for(py)?.call_method0("fileno")?.unbind())
    }

    /// That of the stream this one stands for.
    #[getter]
    fn buffer(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.stands_for(py)?.getattr("buffer")?.unbind())
    }

    #[getter]
    fn encoding(&self) -> &'static str {
        "utf-8"
    }

    #[getter]
    fn errors(&self) -> &'static str {
        "replace"
    }

    #[getter]
    fn closed(&self) -> bool {
        false
    }

    #[getter]
    fn line_buffering(&self) -> bool {
        true
    }

    #[getter]
    fn name(&self) -> &'static str {
        match self.source {
            Source::Errors => "<wsgi.errors>",
            Source::Stdout => "<stdout>",
            Source::Stderr => "<stderr>",
        }
    }
}

impl LogStream {
    fn stands_for<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.original {
            Some(original) => Ok(original.bind(py).clone()),
            None => py.import("sys")?.getattr("__stderr__"),
        }
    }
}

/// A line without an end is written in parts of this many bytes.
const LONGEST: usize = 64 << 10;
