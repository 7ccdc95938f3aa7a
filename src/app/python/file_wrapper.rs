//! `wsgi.file_wrapper` (PEP 3333): a file that the server sends itself.

use crate::protocol::ResponseBody;
use crate::sys;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyType};
use std::fs::File;
use std::os::fd::RawFd;

/// Bytes read at a time where the app does not say.
const BLOCK: i64 = 64 << 10;

/// Wraps a file-like object; iterating over it reads the object in blocks.
#[pyclass(frozen, name = "FileWrapper", module = "ferricorn")]
pub(super) struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    #[pyo3(get)]
    blksize: i64,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=BLOCK))]
    fn new(filelike: Py<PyAny>, blksize: i64) -> Self {
        Self { filelike, blksize }
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    /// The next block; the end is where `read` gives nothing.
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let block = self.filelike.bind(py).call_method1(intern!(py, "read"), (self.blksize,))?;
        Ok(if block.is_truthy()? { Some(block) } else { None })
    }

    /// Closes the file-like object, if it can be closed.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.filelike.bind(py).getattr_opt(intern!(py, "close"))? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.filelike)
    }
}

impl FileWrapper {
    /// The rest of the file, from where it stands now, to be sent without Python; `None` when only reading
    /// can tell what the object holds.
    pub(super) fn body(&self, py: Python<'_>) -> PyResult<Option<ResponseBody>> {
        let Some(plain) = plain_file(self.filelike.bind(py))? else { return Ok(None) };
        if !plain.call_method0(intern!(py, "readable"))?.is_truthy()? {
            return Ok(None);
        }
        // What was written and is still buffered is content too.
        plain.call_method0(intern!(py, "flush"))?;
        let descriptor: RawFd = plain.call_method0(intern!(py, "fileno"))?.extract()?;
        // A descriptor of its own: the app's is closed before the last byte has been sent.
        let file = File::from(sys::process::duplicate(descriptor)?);
        let metadata = file.metadata()?;
        // proc(5): files that are made as they are read say that they are regular and empty.
        if !metadata.is_file() || metadata.len() == 0 {
            return Ok(None);
        }
        let offset: u64 = plain.call_method0(intern!(py, "tell"))?.extract()?;
        let length = metadata.len().saturating_sub(offset);
        Ok(Some(ResponseBody::File { file, offset, length }))
    }
}

/// The plain file that the object's `read` reads, if that is what it does.
///
/// A descriptor alone proves nothing: `gzip.GzipFile` has one, and what it reads is not what the descriptor
/// holds. So the very `read` that iterating would call must be that of a binary file of `io`, as it is with
/// `open(..., "rb")` and with Django's files on disk.
fn plain_file<'py>(filelike: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = filelike.py();
    let Some(read) = filelike.getattr_opt(intern!(py, "read"))? else { return Ok(None) };
    if !read.is_exact_instance_of::<PyCFunction>() || !read.getattr(intern!(py, "__name__"))?.eq("read")? {
        return Ok(None);
    }
    let file = read.getattr(intern!(py, "__self__"))?;
    let types = IoTypes::get(py)?;
    if types.is_raw(&file) {
        return Ok(Some(file));
    }
    let reads_raw = types.is_buffered(&file) && types.is_raw(&file.getattr(intern!(py, "raw"))?);
    Ok(reads_raw.then_some(file))
}

/// The classes of binary files.
struct IoTypes {
    raw: Py<PyType>,
    buffered: [Py<PyType>; 2],
}

impl IoTypes {
    fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static TYPES: PyOnceLock<IoTypes> = PyOnceLock::new();
        TYPES.get_or_try_init(py, || {
            let io = py.import("io")?;
            let class = |name| Ok::<_, PyErr>(io.getattr(name)?.cast_into::<PyType>()?.unbind());
            Ok(Self { raw: class("FileIO")?, buffered: [class("BufferedReader")?, class("BufferedRandom")?] })
        })
    }

    fn is_raw(&self, object: &Bound<'_, PyAny>) -> bool {
        object.get_type().is(&self.raw)
    }

    fn is_buffered(&self, object: &Bound<'_, PyAny>) -> bool {
        self.buffered.iter().any(|class| object.get_type().is(class))
    }
}
