//! The iterable that a WSGI app returns becomes a response (PEP 3333).

use super::content::content;
use super::describe;
use super::file_wrapper::FileWrapper;
use super::interrupt::Inside;
use super::outgoing::{ClientGone, Sent, response, say_longer};
use super::panics::caught;
use super::start_response::{Head, StartResponse};
use crate::app::AppError;
use crate::app::calls::Answering;
use crate::protocol::{Response, ResponseBody};
use bytes::Bytes;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList, PyTuple};

/// Calls the app, turns its iterable into a response, and gives it. The app's own code ends in here.
pub(super) fn collect<'py>(
    call: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    start_response: &StartResponse,
    inside: Inside<'_, 'py>,
) -> Result<(), AppError> {
    let (py, answering) = (inside.py(), inside.call());
    let mut iterable = None;
    let outcome = caught(|| respond(iterable.insert(call()?), start_response, answering));
    if outcome.is_err() {
        abort(start_response);
    }
    // PEP 3333: close() is called however the iteration ended.
    let closed = iterable.as_ref().map_or(Ok(()), close);
    drop(inside);
    match outcome.and(closed) {
        Ok(()) => Ok(()),
        Err(error) => failed(py, &error, answering),
    }
}

/// What an exception of the app comes to: the log has it, and so has the client, unless its answer has begun.
pub(super) fn failed(py: Python<'_>, error: &PyErr, answering: &Answering) -> Result<(), AppError> {
    if answering.is_cut_off() {
        // Its client is told, and the log.
        return Ok(());
    }
    if !answering.is_answered() {
        return Err(refusal(py, error));
    }
    // The stream has been cut, or was complete; there is nothing else the client can be told.
    let (request, traceback) = (answering.id(), describe(py, error));
    if error.is_instance_of::<ClientGone>(py) {
        tracing::debug!(%request, traceback, "the client has gone, and the app ended with its last write()");
    } else {
        tracing::error!(%request, traceback, "the app failed after its response had begun");
    }
    Ok(())
}

/// An exception for the error log.
pub(super) fn refusal(py: Python<'_>, error: &PyErr) -> AppError {
    AppError::Failed(format!("the app raised an exception\n{}", describe(py, error)))
}

/// A response that has begun must not look as if it were complete.
fn abort(start_response: &StartResponse) {
    if let Some(begun) = &start_response.lock().begun {
        begun.abort();
    }
}

fn respond(
    iterable: &Bound<'_, PyAny>,
    start_response: &StartResponse,
    answering: &Answering,
) -> PyResult<()> {
    // A child has nobody to answer.
    super::end_if_child();
    if let Some(content) = whole(iterable)? {
        let mut said = start_response.lock();
        if said.begun.is_none() {
            let head = said.take_head()?;
            drop(said);
            answering.offer(Ok(complete(head, content, answering)));
            return Ok(());
        }
        // What was given to write() comes first, and only a stream has both.
    } else if !start_response.has_begun()
        && let Some(body) = file(iterable)?
    {
        let head = start_response.lock().take_head()?;
        answering.offer(Ok(response(head, body)));
        return Ok(());
    }
    stream(iterable, start_response, answering)
}

/// The content of an app that returned all of it at once, in something that needs no closing.
fn whole(iterable: &Bound<'_, PyAny>) -> PyResult<Option<Bytes>> {
    if let Ok(list) = iterable.cast_exact::<PyList>() {
        return match list.len() {
            1 => Ok(Some(content(bytes_of(&list.get_item(0)?)?))),
            _ => joined(list.iter()).map(Some),
        };
    }
    iterable.cast_exact::<PyTuple>().ok().map(|tuple| joined(tuple.iter())).transpose()
}

fn joined<'py>(items: impl Iterator<Item = Bound<'py, PyAny>>) -> PyResult<Bytes> {
    let mut content = Vec::new();
    for item in items {
        content.extend_from_slice(bytes_of(&item)?.as_bytes());
    }
    Ok(content.into())
}

fn complete(head: Head, content: Bytes, answering: &Answering) -> Response {
    if is_longer(&head, content.len()) {
        say_longer(answering, head.length);
    }
    response(head, ResponseBody::Full(content))
}

fn is_longer(head: &Head, length: usize) -> bool {
    head.length.is_some_and(|declared| declared < length as u64)
}

/// The content of an app that returned a file which the server can send itself.
fn file(iterable: &Bound<'_, PyAny>) -> PyResult<Option<ResponseBody>> {
    match iterable.cast_exact::<FileWrapper>() {
        Ok(wrapper) => wrapper.get().body(iterable.py()),
        Err(_) => Ok(None),
    }
}

/// The response of an app that makes its content as it goes.
fn stream(
    iterable: &Bound<'_, PyAny>,
    start_response: &StartResponse,
    answering: &Answering,
) -> PyResult<()> {
    let mut items = iterate(iterable)?;
    // PEP 3333: the head is sent with the first content, and may change until then.
    let first = next_content(&mut items)?;
    let mut said = start_response.lock();
    let Some(first) = first else {
        if said.begun.is_none() {
            answering.offer(Ok(response(said.take_head()?, ResponseBody::Full(Bytes::new()))));
        }
        return Ok(());
    };
    let is_whole = said.begun.is_none()
        && said.head.as_ref().is_some_and(|head| head.length == Some(first.as_bytes().len() as u64));
    if is_whole {
        // What Django gives, once its middleware has told the length.
        let head = said.take_head()?;
        drop(said);
        let declared = head.length;
        answering.offer(Ok(response(head, ResponseBody::Full(content(&first)))));
        if next_content(&mut items)?.is_some() {
            say_longer(answering, declared);
        }
        return Ok(());
    }
    let outgoing = match &said.begun {
        Some(outgoing) => outgoing.clone(),
        None => said.begin()?,
    };
    drop(said);
    let mut item = Some(first);
    while let Some(piece) = item {
        match outgoing.send(piece.py(), piece.as_bytes()) {
            Sent::Taken => item = next_content(&mut items)?,
            Sent::Full | Sent::Gone => break,
        }
    }
    Ok(())
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
    item.cast::<PyBytes>().map_err(|_| no_content("gave", item))
}

/// The iterable's iterator.
fn iterate<'py>(iterable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyIterator>> {
    let py = iterable.py();
    iterable.try_iter().map_err(|error| {
        if !error.is_instance_of::<PyTypeError>(py) {
            return error;
        }
        let explained = no_content("returned", iterable);
        // Which may be one of an `__iter__` of the app's.
        explained.set_cause(py, Some(error));
        explained
    })
}

fn no_content(did: &str, what: &Bound<'_, PyAny>) -> PyErr {
    let kind = what.get_type();
    PyTypeError::new_err(format!(
        "a WSGI app returns an iterable of bytes, such as [b\"...\"]; this one {did} {kind}"
    ))
}

fn close(iterable: &Bound<'_, PyAny>) -> PyResult<()> {
    // What needs no closing is not asked for it: the look-up would cost an exception.
    if iterable.is_exact_instance_of::<PyList>() || iterable.is_exact_instance_of::<PyTuple>() {
        return Ok(());
    }
    match iterable.getattr_opt(pyo3::intern!(iterable.py(), "close"))? {
        Some(close) => close.call0().map(drop),
        None => Ok(()),
    }
}
