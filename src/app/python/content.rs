//! An app's bytes as the content of a response.

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

/// Content from this size on is not copied, but kept as the app's own object until it has been sent.
const KEPT: usize = 32 << 10;

/// The content of a bytes object, which never changes.
pub(super) fn content(bytes: &Bound<'_, PyBytes>) -> Bytes {
    if bytes.as_bytes().len() < KEPT {
        return Bytes::copy_from_slice(bytes.as_bytes());
    }
    Bytes::from_owner(PyBackedBytes::from(bytes.clone()))
}
