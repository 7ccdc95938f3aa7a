//! The app's own standard output and standard error: left to the app and written at each line's end, or taken into the
//! error log.

use super::log_stream::{LogStream, Source, set_slot};
use super::options::{Capture, ErrorStream, Options};
use pyo3::prelude::*;
use pyo3::types::IntoPyDict;

/// Has Python write each line when it is complete, also where nobody looks on.
///
/// On a pipe, a file or the journal it would collect 8 KiB first (io.TextIOWrapper, `line_buffering`), which are lost with a
/// worker that is killed, and appear long after what they are about. Not unbuffered as with `python -u`: that writes a
/// line and its end apart, and lines of several workers would be torn.
pub(super) fn write_line_by_line(py: Python<'_>) -> PyResult<()> {
    let sys = py.import("sys")?;
    for name in ["stdout", "stderr"] {
        let stream = sys.getattr(name)?;
        // Without a terminal there may be none; a host may have put something else in its place.
        if stream.hasattr("reconfigure")? {
            let options = [("line_buffering", true)].into_py_dict(py)?;
            stream.call_method("reconfigure", (), Some(&options))?;
        }
    }
    Ok(())
}

/// Takes what the app prints into the error log, if that is asked for.
pub(super) fn capture(py: Python<'_>, options: &Options<'_>) -> PyResult<()> {
    set_slot(options.slot);
    if options.capture == Capture::Off {
        return Ok(());
    }
    let sys = py.import("sys")?;
    for (name, source) in [("stdout", Source::Stdout), ("stderr", Source::Stderr)] {
        let original = sys.getattr(name)?;
        if !original.is_instance_of::<LogStream>() {
            sys.setattr(name, LogStream::new(source, Some(original.unbind())))?;
        }
    }
    Ok(())
}

/// `wsgi.errors`: standard error where that is the error log, for lines to stay as the app writes them.
pub(super) fn errors<'py>(py: Python<'py>, options: &Options<'_>) -> PyResult<Bound<'py, PyAny>> {
    match options.errors {
        ErrorStream::Stderr => py.import("sys")?.getattr("stderr"),
        ErrorStream::Log => Ok(Bound::new(py, LogStream::new(Source::Errors, None))?.into_any()),
    }
}
