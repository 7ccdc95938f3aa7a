//! `environ["ferricorn.jwt"]`: what a verified token says, as a plain dict.
//!
//! A class of our own could wait with the parsing until somebody reads it. But apps log tokens by `json.dumps`, ask for
//! `isinstance(token, dict)`, and hand them to libraries that look into dicts past any method; all of these want a dict.

use crate::protocol::Identity;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use std::time::UNIX_EPOCH;

/// claims, header, provider, kid, expires.
pub(super) fn token<'py>(py: Python<'py>, identity: &Identity) -> PyResult<Bound<'py, PyDict>> {
    let token = PyDict::new(py);
    token.set_item(intern!(py, "claims"), parsed(py, &identity.claims_json)?)?;
    token.set_item(intern!(py, "header"), parsed(py, &identity.header_json)?)?;
    token.set_item(intern!(py, "provider"), &*identity.provider)?;
    token.set_item(intern!(py, "kid"), identity.kid.as_deref())?;
    let expires = identity.expires.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    token.set_item(intern!(py, "expires"), expires)?;
    Ok(token)
}

/// The object that this text is, as Python's own decoder reads it: numbers of any size, members in their order.
///
/// `raw_decode` is what `json.loads` ends in, and takes half its time: that there is nothing but one object, in UTF-8, has been seen to already.
fn parsed<'py>(py: Python<'py>, json: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    static DECODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let decode = DECODE.get_or_try_init(py, || {
        let decoder = py.import("json")?.getattr("JSONDecoder")?.call0()?;
        decoder.getattr("raw_decode").map(Bound::unbind)
    })?;
    let text = String::from_utf8_lossy(json);
    decode.bind(py).call1((text.trim_ascii_start(),))?.get_item(0)
}
