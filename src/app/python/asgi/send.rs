//! `send` of an HTTP request (ASGI 3): messages become a response.

use super::super::outgoing::say_longer;
use super::super::start_response::too_many_fields;
use super::awaitable::Awaitable;
use super::http::{End, Head, Http, Phase, State, ToCome};
use super::message;
use super::stream::Stream;
use crate::protocol::{BodyStream, Response, ResponseBody};
use crate::sys::field_value::field_value;
use bytes::Bytes;
use http::HeaderMap;
use http::header::LINK;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard};

/// Takes one message; `None` when there is nothing to wait for.
pub(super) fn send(
    http: &Arc<Http>,
    py: Python<'_>,
    message: &Bound<'_, PyAny>,
) -> PyResult<Option<Awaitable>> {
    let (kind, message) = message::kind(message)?;
    match kind.to_str()? {
        "http.response.start" => start(http, message).map(|()| None),
        "http.response.body" => body(http, py, message),
        "http.response.pathsend" => path(http, message).map(|()| None),
        "http.response.early_hint" => hint(http, message).map(|()| None),
        "http.response.trailers" => trailers(http, message).map(|()| None),
        other => Err(PyRuntimeError::new_err(format!("{other:?} is no message of an HTTP response"))),
    }
}

fn start(http: &Arc<Http>, message: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = message.py();
    let status = message::status(message)?;
    let mut fields = message::fields(message, intern!(py, "headers"))?;
    let length = message::length(&mut fields)?;
    let has_trailers = message::flag(message, intern!(py, "trailers"))?;
    let head = Head { status, fields, length, has_trailers };
    let mut state = open(http)?;
    if !matches!(state.phase, Phase::Waiting) {
        return Err(out_of_order("http.response.start", &state));
    }
    state.phase = Phase::Begun(head);
    Ok(())
}

fn body(http: &Arc<Http>, py: Python<'_>, message: &Bound<'_, PyDict>) -> PyResult<Option<Awaitable>> {
    let content = message::content(message, intern!(py, "body"))?;
    let has_more = message::flag(message, intern!(py, "more_body"))?;
    let mut state = open(http)?;
    match std::mem::replace(&mut state.phase, Phase::Streaming) {
        Phase::Begun(head) if !has_more && !head.has_trailers => {
            let exceeded = head.length.filter(|length| *length < content.len() as u64);
            http.complete(&mut state);
            state.end = End::Whole(HeaderMap::new());
            http.answer(state, Ok(response(head, ResponseBody::Full(content))));
            say_exceeded(http, exceeded);
            Ok(None)
        }
        Phase::Begun(head) => {
            state.has_trailers = head.has_trailers;
            state.declared = head.length;
            state.to_come = state.declared.map_or(ToCome::Unknown, ToCome::Bytes);
            let exceeded = push(&mut state, content);
            if !has_more {
                state.phase = Phase::Trailing;
            }
            let stream = BodyStream::asked(Stream::of_pieces(http));
            http.answering().resume();
            http.answer(state, Ok(response(head, ResponseBody::Stream(stream))));
            say_exceeded(http, exceeded);
            Ok(None)
        }
        Phase::Streaming => {
            if let ToCome::ForNobody(left) = state.to_come {
                // More than was declared is refused: nothing goes on for ever for nobody.
                let Some(left) = left.checked_sub(content.len() as u64) else {
                    let exceeded = state.declared.take();
                    drop(state);
                    say_exceeded(http, exceeded);
                    return Err(Http::nobody());
                };
                state.to_come = ToCome::ForNobody(left);
                if has_more {
                    http.retime_for_nobody(left);
                } else {
                    end(http, &mut state, HeaderMap::new());
                }
                return Ok(None);
            }
            let exceeded = push(&mut state, content);
            if has_more {
                // The time limit is one from piece to piece.
                http.answering().resume();
            } else {
                end(http, &mut state, HeaderMap::new());
            }
            let reader = state.reader.take();
            let is_full = has_more && state.held >= http.ties().response_buffer;
            drop(state);
            say_exceeded(http, exceeded);
            if let Some(reader) = reader {
                http.ties().calls.wake(reader);
            }
            if is_full { wait_for_room(http, py).map(Some) } else { Ok(None) }
        }
        other @ (Phase::Waiting | Phase::Trailing | Phase::Complete) => {
            state.phase = other;
            Err(out_of_order("http.response.body", &state))
        }
    }
}

/// The response buffer is full: the app goes on when the client has taken half of it.
fn wait_for_room(http: &Arc<Http>, py: Python<'_>) -> PyResult<Awaitable> {
    let future = http.ties().future(py)?;
    let mut state = http.lock();
    if state.is_gone || state.held < http.ties().response_buffer {
        return Ok(Awaitable::nothing());
    }
    state.senders.push(future.clone_ref(py));
    // That time is the client's, until it leaves.
    http.answering().pause();
    drop(state);
    Ok(Awaitable::future(future))
}

fn path(http: &Arc<Http>, message: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = message.py();
    let path = message::required(message, intern!(py, "path"))?;
    let path: PathBuf = path
        .extract()
        .map_err(|_| PyTypeError::new_err(format!("\"path\" is the path of a file, not {path:?}")))?;
    if !path.is_absolute() {
        return Err(PyTypeError::new_err(format!("\"path\" is absolute, which {} is not", path.display())));
    }
    // Asked before it is opened: fifo(7), opening one waits for who writes.
    let found = std::fs::metadata(&path)?;
    if !found.is_file() {
        return Err(PyValueError::new_err(format!(
            "\"path\" is that of a regular file, which {} is not",
            path.display()
        )));
    }
    let file = File::open(&path)?;
    let length = file.metadata()?.len();
    let mut state = open(http)?;
    match std::mem::replace(&mut state.phase, Phase::Streaming) {
        Phase::Begun(head) if head.has_trailers => {
            state.phase = Phase::Trailing;
            state.to_come = ToCome::Bytes(0);
            // What trailers follow is sent in pieces.
            let stream = BodyStream::asked(Stream::of_file(http, file, length));
            http.answering().resume();
            http.answer(state, Ok(response(head, ResponseBody::Stream(stream))));
            Ok(())
        }
        Phase::Begun(head) => {
            http.complete(&mut state);
            state.end = End::Whole(HeaderMap::new());
            http.answer(state, Ok(response(head, ResponseBody::File { file, offset: 0, length })));
            Ok(())
        }
        other @ (Phase::Waiting | Phase::Streaming | Phase::Trailing | Phase::Complete) => {
            state.phase = other;
            Err(out_of_order("http.response.pathsend", &state))
        }
    }
}

fn trailers(http: &Arc<Http>, message: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = message.py();
    let fields = message::fields(message, intern!(py, "headers"))?;
    let has_more = message::flag(message, intern!(py, "more_trailers"))?;
    let mut state = open(http)?;
    if !matches!(state.phase, Phase::Trailing) {
        return Err(out_of_order("http.response.trailers", &state));
    }
    for (name, value) in &fields {
        state.trailers.try_append(name.clone(), value.clone()).map_err(too_many_fields)?;
    }
    if !has_more {
        let trailers = std::mem::take(&mut state.trailers);
        http.complete(&mut state);
        state.end = End::Whole(trailers);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            http.ties().calls.wake(reader);
        }
    }
    Ok(())
}

/// RFC 8297: links that the client may follow before the answer is there.
fn hint(http: &Arc<Http>, message: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = message.py();
    let mut fields = HeaderMap::new();
    for link in message::required(message, intern!(py, "links"))?.try_iter()? {
        let link = link?;
        let value = message::bytes(&link, intern!(py, "links"))?;
        let value = field_value(value)
            .ok_or_else(|| PyValueError::new_err(format!("the link {link:?} holds a control character")))?;
        fields.try_append(LINK, value).map_err(too_many_fields)?;
    }
    let state = open(http)?;
    if !matches!(state.phase, Phase::Waiting) {
        return Err(out_of_order("http.response.early_hint", &state));
    }
    drop(state);
    if let Some(interim) = &http.interim {
        interim.hint(fields);
        http.ties().calls.nudge(http.answering());
    }
    Ok(())
}

/// The content is complete.
fn end(http: &Arc<Http>, state: &mut State, trailers: HeaderMap) {
    if state.has_trailers {
        state.phase = Phase::Trailing;
    } else {
        http.complete(state);
        state.end = End::Whole(trailers);
    }
}

/// Puts a piece where the connection takes it. Gives the length that was declared, where this is the first piece that goes beyond
/// it: the app may send much of what is too much.
fn push(state: &mut State, content: Bytes) -> Option<u64> {
    if content.is_empty() {
        return None;
    }
    state.held += content.len();
    let mut exceeded = None;
    if let ToCome::Bytes(left) = state.to_come {
        let rest = left.checked_sub(content.len() as u64);
        state.to_come = ToCome::Bytes(rest.unwrap_or(0));
        if rest.is_none() {
            exceeded = state.declared.take();
        }
    }
    state.pieces.push_back(content);
    exceeded
}

/// Not while the state is locked: the log may have to be waited for, and the connection must not wait with it.
fn say_exceeded(http: &Http, declared: Option<u64>) {
    if declared.is_some() {
        say_longer(http.answering(), declared);
    }
}

/// The state of a response that somebody still wants.
fn open(http: &Arc<Http>) -> PyResult<MutexGuard<'_, State>> {
    let state = http.lock();
    if state.is_gone || matches!(state.end, End::Broken) || http.answering().is_cut_off() {
        return Err(Http::nobody());
    }
    Ok(state)
}

fn out_of_order(kind: &str, state: &State) -> PyErr {
    let after = match state.phase {
        Phase::Waiting => "before http.response.start",
        Phase::Begun(_) => "after http.response.start",
        Phase::Streaming => "before the end of the content",
        Phase::Trailing => "where trailers are expected",
        Phase::Complete => "after the end of the response",
    };
    PyRuntimeError::new_err(format!("the message {kind:?} was sent {after}"))
}

fn response(head: Head, body: ResponseBody) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields;
    response
}
