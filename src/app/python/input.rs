//! `wsgi.input` (PEP 3333): the content, which is complete.

use super::ffi;
use crate::protocol::Content;
use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The content of one request, as a file to read.
#[pyclass(frozen, name = "Input", module = "ferricorn")]
pub(super) struct Input {
    /// Whether there is anything to let go of.
    has_content: AtomicBool,
    source: Mutex<Source>,
}

enum Source {
    Memory(Cursor<Bytes>),
    File(BufReader<File>),
}

impl Default for Input {
    fn default() -> Self {
        Self { has_content: AtomicBool::new(false), source: Mutex::new(Source::nothing()) }
    }
}

impl Input {
    /// From now on it reads this.
    pub(super) fn fill(&self, content: Content) {
        // Most requests have none, and most inputs have been used by such requests alone: they need no lock.
        let has_content = !matches!(content, Content::Empty);
        if !has_content && !self.has_content.load(Ordering::Relaxed) {
            return;
        }
        self.has_content.store(has_content, Ordering::Relaxed);
        *self.lock() = match content {
            Content::Empty => Source::nothing(),
            Content::Memory(bytes) => Source::Memory(Cursor::new(bytes)),
            Content::File { file, .. } => Source::File(BufReader::with_capacity(64 << 10, file)),
        };
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Input {
    /// Reads up to `size` bytes; all of them when it is negative or None.
    #[pyo3(signature = (size=None))]
    fn read<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let limit = size.and_then(|size| u64::try_from(size).ok()).unwrap_or(u64::MAX);
        let mut source = self.lock();
        if let Source::Memory(cursor) = &mut *source {
            // Copied once, into the object itself.
            let rest = cursor.fill_buf()?;
            let rest = &rest[..rest.len().min(usize::try_from(limit).unwrap_or(usize::MAX))];
            let (bytes, length) = (ffi::bytes(py, rest)?, rest.len());
            cursor.consume(length);
            return Ok(bytes);
        }
        let mut bytes = Vec::new();
        (&mut *source).take(limit).read_to_end(&mut bytes)?;
        ffi::bytes(py, &bytes)
    }

    /// Reads one line, its end included, of up to `size` bytes.
    #[pyo3(signature = (size=None))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let mut line = Vec::new();
        let limit = size.and_then(|size| u64::try_from(size).ok()).unwrap_or(u64::MAX);
        (&mut *self.lock()).take(limit).read_until(b'\n', &mut line)?;
        ffi::bytes(py, &line)
    }

    /// Reads lines until about `hint` bytes have been read.
    #[pyo3(signature = (hint=None))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<i64>) -> PyResult<Bound<'py, PyList>> {
        let lines = PyList::empty(py);
        let limit = hint.and_then(|hint| usize::try_from(hint).ok()).filter(|hint| *hint > 0);
        let mut total = 0;
        loop {
            let line = self.readline(py, None)?;
            let length = line.as_bytes().len();
            if length == 0 {
                return Ok(lines);
            }
            lines.append(line)?;
            total += length;
            if limit.is_some_and(|limit| total >= limit) {
                return Ok(lines);
            }
        }
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.readline(py, None)?;
        Ok(if line.as_bytes().is_empty() { None } else { Some(line) })
    }

    /// Does nothing: the server closes it.
    fn close(&self) {}
}

impl Source {
    fn nothing() -> Self {
        Self::Memory(Cursor::new(Bytes::new()))
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(memory) => memory.read(into),
            Self::File(file) => file.read(into),
        }
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Memory(memory) => memory.fill_buf(),
            Self::File(file) => file.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match self {
            Self::Memory(memory) => memory.consume(amount),
            Self::File(file) => file.consume(amount),
        }
    }
}
