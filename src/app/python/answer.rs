//! The iterable that a WSGI app returns becomes a response (PEP 3333).

use super::describe;
use super::start_response::{Head, Said, StartResponse};
use crate::app::AppError;
use crate::app::calls::Answering;
use crate::protocol::{BodyStream, Response, ResponseBody, StreamAborted};
use bytes::Bytes;
use pyo3::exceptions::{PyAssertionError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList, PyTuple};
use tokio::sync::mpsc::Sender;

/// Longest piece sent at once, and how many wait for a slow client before the app does: 1 MiB together.
const PIECE: usize = 16 << 10;
const PIECES: usize = 64;

/// Turns the iterable into a response; `None` when the response was given piece by piece.
pub(super) fn collect(
    iterable: &Bound<'_, PyAny>,
    start_response: &StartResponse,
    answering: &Answering,
) -> Option<Result<Response, AppError>> {
    let py = iterable.py();
    let outcome = whole(iterable, start_response)
        .transpose()
        .or_else(|| stream(iterable, start_response, answering).transpose());
    // PEP 3333: close() is called however the iteration ended.
    let closed = close(iterable);
    match (outcome, closed) {
        (Some(Err(error)), _) | (Some(Ok(_)) | None, Err(error)) => {
            let failure = failed(py, &error);
            // Without effect on an answer that has begun; there the stream has been cut.
            Some(Err(failure))
        }
        (Some(Ok(response)), Ok(())) => Some(Ok(response)),
        (None, Ok(())) => None,
    }
}

/// An exception for the error log.
pub(super) fn failed(py: Python<'_>, error: &PyErr) -> AppError {
    AppError::Failed(format!("the app raised an exception\n{}", describe(py, error)))
}

/// The response of an app that returned all its content at once.
fn whole(iterable: &Bound<'_, PyAny>, start_response: &StartResponse) -> PyResult<Option<Response>> {
    let items = if let Ok(list) = iterable.cast::<PyList>() {
        list.to_tuple()
    } else if let Ok(tuple) = iterable.cast::<PyTuple>() {
        tuple.clone()
    } else {
        return Ok(None);
    };
    let mut content = Vec::new();
    let content = match items.len() {
        1 => Bytes::copy_from_slice(bytes_of(&items.get_item(0)?)?.as_bytes()),
        _ => {
            for item in items.iter() {
                content.extend_from_slice(bytes_of(&item)?.as_bytes());
            }
            content.into()
        }
    };
    let mut said = start_response.lock();
    let head = take_head(&mut said)?;
    let content = if said.written.is_empty() {
        content
    } else {
        let mut written = std::mem::take(&mut said.written);
        written.extend_from_slice(&content);
        written.into()
    };
    Ok(Some(response(head, ResponseBody::Full(content))))
}

/// The response of an app that makes its content as it goes.
fn stream(
    iterable: &Bound<'_, PyAny>,
    start_response: &StartResponse,
    answering: &Answering,
) -> PyResult<Option<Response>> {
    let py = iterable.py();
    let mut items = iterable.try_iter()?;
    // PEP 3333: the head is sent with the first content, and may change until then.
    let first = next_content(&mut items)?;
    let (head, mut ready) = {
        let mut said = start_response.lock();
        let head = take_head(&mut said)?;
        said.sent = true;
        (head, std::mem::take(&mut said.written))
    };
    let Some(first) = first else { return Ok(Some(response(head, ResponseBody::Full(ready.into())))) };
    ready.extend_from_slice(first.as_bytes());
    let is_whole = head
        .fields
        .get(http::header::CONTENT_LENGTH)
        .is_some_and(|declared| declared.to_str().is_ok_and(|declared| declared.parse() == Ok(ready.len())));
    if is_whole {
        let rest = next_content(&mut items)?;
        if rest.is_none() {
            return Ok(Some(response(head, ResponseBody::Full(ready.into()))));
        }
    }
    let (sender, body) = BodyStream::channel(PIECES);
    answering.begin(response(head, ResponseBody::Stream(body)));
    let outcome = py.detach(|| send(&sender, ready.into())).map_or(Ok(()), |()| Ok(()));
    let outcome: PyResult<()> = outcome.and_then(|()| pump(&mut items, start_response, &sender));
    if outcome.is_err() {
        // The client must not take what it has for the whole.
        let _ = py.detach(|| sender.blocking_send(Err(StreamAborted)));
    }
    outcome.map(|()| None)
}

fn pump(
    items: &mut Bound<'_, PyIterator>,
    start_response: &StartResponse,
    sender: &Sender<Result<Bytes, StreamAborted>>,
) -> PyResult<()> {
    let py = items.py();
    while let Some(item) = next_content(items)? {
        let mut piece = std::mem::take(&mut start_response.lock().written);
        piece.extend_from_slice(item.as_bytes());
        if py.detach(|| send(sender, piece.into())).is_none() {
            // The client has left: there is nobody to make content for.
            return Ok(());
        }
    }
    Ok(())
}

/// `None` once the client has left.
fn send(sender: &Sender<Result<Bytes, StreamAborted>>, mut content: Bytes) -> Option<()> {
    while !content.is_empty() {
        let piece = content.split_to(content.len().min(PIECE));
        sender.blocking_send(Ok(piece)).ok()?;
    }
    Some(())
}

fn next_content<'py>(items: &mut Bound<'py, PyIterator>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    for item in items {
        let item = bytes_of(&item?)?.clone();
        if !item.as_bytes().is_empty() {
            return Ok(Some(item));
        }
    }
    Ok(None)
}

fn bytes_of<'a, 'py>(item: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyBytes>> {
    item.cast::<PyBytes>()
        .map_err(|_| PyTypeError::new_err(format!("a WSGI app's content is bytes, not {}", item.get_type())))
}

fn take_head(said: &mut Said) -> PyResult<Head> {
    said.head
        .take()
        .ok_or_else(|| PyAssertionError::new_err("the app did not call start_response (PEP 3333)"))
}

fn response(head: Head, body: ResponseBody) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields;
    if let Some(reason) = head.reason {
        response.extensions_mut().insert(reason);
    }
    response
}

fn close(iterable: &Bound<'_, PyAny>) -> PyResult<()> {
    // What needs no closing is not asked for it: the look-up would cost an exception.
    if iterable.is_instance_of::<PyList>() || iterable.is_instance_of::<PyTuple>() {
        return Ok(());
    }
    match iterable.getattr_opt(pyo3::intern!(iterable.py(), "close"))? {
        Some(close) => close.call0().map(drop),
        None => Ok(()),
    }
}
