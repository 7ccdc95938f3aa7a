//! `send` of a WebSocket (ASGI 3): the answer to the handshake, messages, the end.

use super::awaitable::Awaitable;
use super::course;
use super::http::Http;
use super::message;
use super::socket::{Phase, Socket, State};
use crate::protocol::websocket::{Close, Message, Outgoing};
use crate::protocol::{Response, ResponseBody, text_response};
use bytes::Bytes;
use http::header::{HeaderName, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderValue, StatusCode};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::sync::Arc;

/// Takes one message; `None` when there is nothing to wait for.
pub(super) fn send(
    socket: &Arc<Socket>,
    py: Python<'_>,
    message: &Bound<'_, PyAny>,
) -> PyResult<Option<Awaitable>> {
    let (kind, message) = message::kind(message)?;
    match kind.to_str()? {
        "websocket.accept" => accept(socket, message).map(|()| None),
        "websocket.send" => send_message(socket, py, message),
        "websocket.close" => close(socket, message).map(|()| None),
        "websocket.http.response.start" => deny(socket, message).map(|()| None),
        "websocket.http.response.body" => denial(socket, message).map(|()| None),
        other => Err(PyRuntimeError::new_err(format!("{other:?} is no message of a WebSocket"))),
    }
}

fn accept(socket: &Arc<Socket>, message: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = message.py();
    let subprotocol = match optional_text(message, intern!(py, "subprotocol"))? {
        None => None,
        Some(name) => match name.to_str()? {
            "" => None,
            text => {
                // RFC 6455 4.3: a token, as the names of fields are.
                let is_token = HeaderName::from_bytes(text.as_bytes()).is_ok();
                let value = HeaderValue::from_str(text).ok().filter(|_| is_token);
                Some(value.ok_or_else(|| PyValueError::new_err(format!("{name:?} is no subprotocol")))?)
            }
        },
    };
    let fields = message::fields(message, intern!(py, "headers"))?;
    if fields.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return Err(PyValueError::new_err("a subprotocol is chosen by \"subprotocol\", not by a header"));
    }
    let mut state = socket.lock();
    match state.phase {
        Phase::Handshake => state.phase = Phase::Open,
        Phase::Over(_) => return Err(Http::nobody()),
        Phase::Denying(..) | Phase::Open | Phase::Ending => {
            return Err(out_of_order("websocket.accept", &state));
        }
    }
    drop(state);
    let subprotocol = subprotocol.filter(|chosen| is_offered(socket, chosen));
    let mut rules = socket.course.ties.websocket.rules;
    let accepted = socket.handshake.accept(subprotocol, fields, rules.deflate);
    rules.deflate = accepted.deflate;
    socket.open(accepted.response, rules);
    Ok(())
}

/// RFC 6455 4.1: a browser ends a connection whose answer names a subprotocol that it has not offered. Without the name both kinds of
/// clients are served: those that would end it, and those that speak it unasked.
fn is_offered(socket: &Socket, chosen: &HeaderValue) -> bool {
    let is_offered = socket.handshake.offers(chosen);
    if !is_offered {
        tracing::warn!(
            request = %socket.course.answering.id(),
            subprotocol = ?chosen,
            "the app accepts a WebSocket with a subprotocol that its client has not offered; the answer names none"
        );
    }
    is_offered
}

fn send_message(
    socket: &Arc<Socket>,
    py: Python<'_>,
    message: &Bound<'_, PyDict>,
) -> PyResult<Option<Awaitable>> {
    let text = optional_text(message, intern!(py, "text"))?;
    let bytes = message.get_item(intern!(py, "bytes"))?.filter(|bytes| !bytes.is_none());
    let outgoing = match (text, bytes) {
        (Some(text), None) => Message::Text(Bytes::copy_from_slice(text.to_str()?.as_bytes())),
        (None, Some(bytes)) => Message::Binary(message::bytes(&bytes, intern!(py, "bytes"))?),
        (_, _) => return Err(PyValueError::new_err("websocket.send needs either \"text\" or \"bytes\"")),
    };
    let ties = &socket.course.ties;
    let mut state = socket.lock();
    match state.phase {
        Phase::Open => {}
        Phase::Over(_) => return Err(Http::nobody()),
        Phase::Handshake | Phase::Denying(..) | Phase::Ending => {
            return Err(out_of_order("websocket.send", &state));
        }
    }
    state.held += outgoing.content().len();
    let is_full = state.held >= ties.response_buffer;
    state.outgoing.push_back(Outgoing::Message(outgoing));
    let pump = state.take_pump();
    drop(state);
    socket.wake(pump);
    if !is_full {
        return Ok(None);
    }
    // The client is slow: the app goes on when half of it has been taken.
    let future = ties.future(py)?;
    let mut state = socket.lock();
    if !matches!(state.phase, Phase::Open) || state.held < ties.response_buffer {
        return Ok(None);
    }
    state.senders.push(future.clone_ref(py));
    Ok(Some(Awaitable::future(future)))
}

fn close(socket: &Arc<Socket>, message: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = message.py();
    let code = match message.get_item(intern!(py, "code"))?.filter(|code| !code.is_none()) {
        None => 1000,
        Some(code) => code
            .extract()
            .ok()
            .filter(|code| matches!(code, 1000..=1003 | 1005 | 1007..=1014 | 3000..=4999))
            .ok_or_else(|| {
                PyValueError::new_err(format!("{code:?} is no status code that a server may send"))
            })?,
    };
    let reason = optional_text(message, intern!(py, "reason"))?;
    let reason = reason.as_ref().map_or(Ok(""), |reason| reason.to_str())?;
    let mut state = socket.lock();
    match state.phase {
        Phase::Handshake => {
            state.phase = Phase::Over(Close::new(1006, ""));
            drop(state);
            socket.course.answer(Ok(forbidden()));
            course::tell_others(socket);
            Ok(())
        }
        Phase::Open => {
            state.end(Close::new(code, reason));
            let pump = state.take_pump();
            drop(state);
            socket.wake(pump);
            Ok(())
        }
        // It is what the app wants.
        Phase::Over(_) => Ok(()),
        Phase::Denying(..) | Phase::Ending => Err(out_of_order("websocket.close", &state)),
    }
}

/// A refusal with a response of the app's own begins.
fn deny(socket: &Arc<Socket>, message: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = message.py();
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = message::status(message)?;
    *response.headers_mut() = message::fields(message, intern!(py, "headers"))?;
    message::length(response.headers_mut())?;
    let mut state = socket.lock();
    match state.phase {
        Phase::Handshake => state.phase = Phase::Denying(response, Vec::new()),
        Phase::Over(_) => return Err(Http::nobody()),
        Phase::Denying(..) | Phase::Open | Phase::Ending => {
            return Err(out_of_order("websocket.http.response.start", &state));
        }
    }
    Ok(())
}

fn denial(socket: &Arc<Socket>, message: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = message.py();
    let content = message::content(message, intern!(py, "body"))?;
    let has_more = message::flag(message, intern!(py, "more_body"))?;
    let limit = socket.course.ties.response_buffer;
    let mut state = socket.lock();
    match &mut state.phase {
        Phase::Denying(_, whole) if whole.len() + content.len() > limit => {
            return Err(PyValueError::new_err(format!(
                "the content of a refusal is longer than limits.response_buffer ({limit} bytes)"
            )));
        }
        Phase::Denying(_, whole) => whole.extend_from_slice(&content),
        Phase::Over(_) => return Err(Http::nobody()),
        Phase::Handshake | Phase::Open | Phase::Ending => {
            return Err(out_of_order("websocket.http.response.body", &state));
        }
    }
    if has_more {
        return Ok(());
    }
    let before = std::mem::replace(&mut state.phase, Phase::Over(Close::new(1006, "")));
    drop(state);
    if let Phase::Denying(mut response, whole) = before {
        *response.body_mut() = ResponseBody::Full(whole.into());
        socket.course.answer(Ok(response));
        course::tell_others(socket);
    }
    Ok(())
}

/// A member that is a text, None, or missing.
fn optional_text<'py>(
    message: &Bound<'py, PyDict>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyString>>> {
    match message.get_item(name)?.filter(|value| !value.is_none()) {
        None => Ok(None),
        Some(value) => match value.cast_into::<PyString>() {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(PyTypeError::new_err(format!(
                "\"{name}\" is a str, not {}",
                error.into_inner().get_type()
            ))),
        },
    }
}

/// The answer to a handshake that the app refuses without saying how.
fn forbidden() -> Response {
    text_response(StatusCode::FORBIDDEN, "The application refuses this WebSocket.\n")
}

fn out_of_order(kind: &str, state: &State) -> PyErr {
    let after = match state.phase {
        Phase::Handshake => "before websocket.accept",
        Phase::Denying(..) => "within a refusal",
        Phase::Open => "after websocket.accept",
        Phase::Ending | Phase::Over(_) => "after the end",
    };
    PyRuntimeError::new_err(format!("the message {kind:?} was sent {after}"))
}
