//! What holds for any bytes on their way to an ASGI app and back: see `laws` of the folder above.
#![expect(clippy::expect_used, reason = "a law that is broken panics: that is how it is told")]

use super::super::laws::{is_field, judge_fields};
use super::message;
use super::scope::{Kind, Scopes};
use crate::protocol::{Request, RequestHead};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyMemoryView, PyTuple};
use std::sync::LazyLock;

/// The scope of a request says what was sent.
pub(in crate::app::python) fn judge_scope(py: Python<'_>, request: &Request) -> PyResult<()> {
    static SCOPES: LazyLock<Scopes> = LazyLock::new(|| Scopes::new(None));
    let RequestHead { method, target, fields, .. } = &*request.head;
    for kind in [Kind::Http, Kind::WebSocket] {
        let scope = SCOPES.make(py, kind, request)?;
        let item = |name: &str| scope.get_item(name).map(|item| item.expect("scopes have all of these"));
        assert_eq!(item("raw_path")?.cast::<PyBytes>()?.as_bytes(), target.path());
        assert_eq!(item("query_string")?.cast::<PyBytes>()?.as_bytes(), target.query());
        assert_eq!(item("path")?.extract::<String>()?, String::from_utf8_lossy(&target.decoded_path()));
        assert_eq!(item("root_path")?.extract::<String>()?, &*request.context.mount);
        if kind == Kind::Http {
            assert_eq!(item("method")?.extract::<String>()?, method.as_str());
        }
        let headers = item("headers")?;
        let mut sent = fields.iter();
        for pair in headers.try_iter()? {
            let (name, value): (Bound<'_, PyBytes>, Bound<'_, PyBytes>) = pair?.extract()?;
            let (expected, its) = sent.next().expect("as many as were sent");
            assert_eq!((name.as_bytes(), value.as_bytes()), (expected.as_str().as_bytes(), its.as_bytes()));
        }
        assert!(sent.next().is_none(), "fewer fields than were sent");
    }
    Ok(())
}

/// A message is taken as it is, or refused; and refused only for what no response may hold.
pub(in crate::app::python) fn judge_message(
    py: Python<'_>,
    content: &[u8],
    pairs: &[(&[u8], &[u8])],
) -> PyResult<()> {
    let message = PyDict::new(py);
    let headers = PyList::empty(py);
    for (name, value) in pairs {
        headers.append(PyTuple::new(py, [PyBytes::new(py, name), PyBytes::new(py, value)])?)?;
    }
    message.set_item("headers", headers)?;
    match message::fields(&message, intern!(py, "headers")) {
        Ok(fields) => judge_fields(&fields, pairs.iter()),
        Err(error) => assert!(!pairs.iter().all(is_field), "refused: {error}"),
    }
    let number = content.iter().take(3).fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    message.set_item("status", number)?;
    assert_eq!(message::status(&message).is_ok(), (200..1000).contains(&number), "{number}");
    let bytes = PyBytes::new(py, content);
    let forms = [
        bytes.clone().into_any(),
        PyByteArray::new(py, content).into_any(),
        PyMemoryView::from(&bytes.into_any())?.into_any(),
    ];
    for form in forms {
        message.set_item("body", form)?;
        assert_eq!(message::content(&message, intern!(py, "body"))?, content);
    }
    Ok(())
}
