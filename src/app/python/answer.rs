//! The iterable that a WSGI app returns becomes a response (PEP 3333).

use super::describe;
use super::file_wrapper::FileWrapper;
use super::interrupt::Inside;
use super::start_response::{Head, Said, StartResponse};
use crate::app::AppError;
use crate::app::calls::Answering;
use crate::protocol::{BodyStream, RequestId, Response, ResponseBody, StreamAborted};
use bytes::Bytes;
use pyo3::exceptions::{PyAssertionError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList, PyTuple};
use tokio::sync::mpsc::Sender;

/// Longest piece sent at once, and how many wait for a slow client before the app does: 1 MiB together.
const PIECE: usize = 16 << 10;
const PIECES: usize = 64;

/// Turns the iterable into a response; `None` when the response was given piece by piece.
///
/// The app's own code ends in here.
pub(super) fn collect(
    iterable: &Bound<'_, PyAny>,
    start_response: &StartResponse,
    inside: Inside<'_, '_>,
    id: RequestId,
) -> Option<Result<Response, AppError>> {
    let py = iterable.py();
    let answering = inside.call();
    let outcome = respond(iterable, start_response, answering);
    // PEP 3333: close() is called however the iteration ended.
    let closed = close(iterable);
    drop(inside);
    match (outcome, closed) {
        (Ok(None), Ok(())) => None,
        (Ok(Some(response)), Ok(())) => Some(Ok(response)),
        // Its client has been told, and the log.
        (Err(_), _) | (_, Err(_)) if answering.is_cut_off() => None,
        (Err(error), _) | (Ok(_), Err(error)) if start_response.lock().begun => {
            // The stream has been cut, or was complete; there is nothing else the client can be told.
            let traceback = describe(py, &error);
            tracing::error!(request = %id, traceback, "the app failed after its response had begun");
            None
        }
        (Err(error), _) | (Ok(_), Err(error)) => Some(Err(failed(py, &error, answering))),
    }
}

/// An exception for the error log.
pub(super) fn failed(py: Python<'_>, error: &PyErr, answering: &Answering) -> AppError {
    if answering.is_cut_off() {
        // Nobody waits for what the interruption has come to.
        return AppError::Failed(error.to_string());
    }
    AppError::Failed(format!("the app raised an exception\n{}", describe(py, error)))
}

/// `None` when the response was given piece by piece.
fn respond(
    iterable: &Bound<'_, PyAny>,
    start_response: &StartResponse,
    answering: &Answering,
) -> PyResult<Option<Response>> {
    if let Some(response) = whole(iterable, start_response)? {
        return Ok(Some(response));
    }
    if let Some(response) = file(iterable, start_response)? {
        return Ok(Some(response));
    }
    stream(iterable, start_response, answering)
}

/// The response of an app that returned all its content at once.
fn whole(iterable: &Bound<'_, PyAny>, start_response: &StartResponse) -> PyResult<Option<Response>> {
    let content = if let Ok(list) = iterable.cast::<PyList>() {
        match list.len() {
            1 => Bytes::copy_from_slice(bytes_of(&list.get_item(0)?)?.as_bytes()),
            _ => joined(list.iter())?,
        }
    } else if let Ok(tuple) = iterable.cast::<PyTuple>() {
        joined(tuple.iter())?
    } else {
        return Ok(None);
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

fn joined<'py>(items: impl Iterator<Item = Bound<'py, PyAny>>) -> PyResult<Bytes> {
    let mut content = Vec::new();
    for item in items {
        content.extend_from_slice(bytes_of(&item)?.as_bytes());
    }
    Ok(content.into())
}

/// The response of an app that returned a file which the server can send itself.
fn file(iterable: &Bound<'_, PyAny>, start_response: &StartResponse) -> PyResult<Option<Response>> {
    let Ok(wrapper) = iterable.cast_exact::<FileWrapper>() else { return Ok(None) };
    // What was given to write() comes first, and only a stream has both.
    if !start_response.lock().written.is_empty() {
        return Ok(None);
    }
    let Some(body) = wrapper.get().body(iterable.py())? else { return Ok(None) };
    Ok(Some(response(take_head(&mut start_response.lock())?, body)))
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
    start_response.lock().begun = true;
    answering.begin(response(head, ResponseBody::Stream(body)), sender.downgrade());
    let outcome = pump(&mut items, ready, start_response, (&sender, answering));
    if outcome.is_err() {
        // The client must not take what it has for the whole.
        let _ = py.detach(|| sender.blocking_send(Err(StreamAborted)));
    }
    outcome.map(|()| None)
}

/// Sends `piece` and all that follow it, for as long as there is a client.
fn pump(
    items: &mut Bound<'_, PyIterator>,
    mut piece: Vec<u8>,
    start_response: &StartResponse,
    (sender, answering): (&Sender<Result<Bytes, StreamAborted>>, &Answering),
) -> PyResult<()> {
    let py = items.py();
    loop {
        answering.pause();
        if py.detach(|| send(sender, piece.into())).is_none() {
            return Ok(());
        }
        answering.resume();
        let item = next_content(items)?;
        piece = std::mem::take(&mut start_response.lock().written);
        match item {
            Some(item) => piece.extend_from_slice(item.as_bytes()),
            // What was given to write() after the last piece.
            None if piece.is_empty() => return Ok(()),
            None => {}
        }
    }
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
