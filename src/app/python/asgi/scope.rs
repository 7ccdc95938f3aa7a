//! `scope` (ASGI 3, HTTP and WebSocket messages 2.5).
//!
//! As with `environ`, a scope is a copy of a template that already says what most requests say; every key and every
//! field name is an object that is made once.

use super::super::ffi::native_string;
use super::super::identity;
use crate::protocol::{Client, Identity, Local, Request, RequestContext, RequestHead, Scheme, websocket};
use foldhash::HashMap;
use http::header::{HeaderName, SEC_WEBSOCKET_PROTOCOL};
use http::{Method, Version};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Field names remembered: more than any site uses.
const NAMES_MAX: usize = 1024;
/// Templates remembered: more addresses than most hosts have.
const TEMPLATES_MAX: usize = 16;

/// Which of the two kinds of scope a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Http,
    WebSocket,
}

/// Makes scopes.
pub(super) struct Scopes {
    known: Mutex<Known>,
    /// What the lifespan has put there, for a copy in each scope; `None` for an app without one.
    state: Option<Py<PyDict>>,
}

/// What requests have taught.
#[derive(Default)]
struct Known {
    names: HashMap<HeaderName, Py<PyBytes>>,
    /// By kind, and the address that the connection was accepted on; `None` for a UNIX socket.
    templates: VecDeque<(Kind, Option<SocketAddr>, Py<PyDict>)>,
}

impl Scopes {
    pub(super) fn new(state: Option<Py<PyDict>>) -> Self {
        Self { known: Mutex::default(), state }
    }

    /// The scope of a request.
    pub(super) fn make<'py>(
        &self,
        py: Python<'py>,
        kind: Kind,
        request: &Request,
    ) -> PyResult<Bound<'py, PyDict>> {
        let Request { head, context, .. } = request;
        // Making objects can run finalizers, and so other threads: who waits here must not keep them from running.
        let mut known = self.known.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        let scope = copy_template(py, &mut known, (kind, &context.local))?;
        scope.set_item(intern!(py, "headers"), fields(py, head, &mut known.names)?)?;
        drop(known);
        put_target(py, &scope, request)?;
        if kind == Kind::Http && head.method != Method::GET {
            scope.set_item(intern!(py, "method"), head.method.as_str())?;
        }
        if head.version == Version::HTTP_10 {
            scope.set_item(intern!(py, "http_version"), intern!(py, "1.0"))?;
        }
        if context.scheme == Scheme::Https {
            let scheme = if kind == Kind::Http { intern!(py, "https") } else { intern!(py, "wss") };
            scope.set_item(intern!(py, "scheme"), scheme)?;
        }
        if kind == Kind::WebSocket {
            scope.set_item(intern!(py, "subprotocols"), subprotocols(py, head)?)?;
        }
        put_ends(py, &scope, context)?;
        if let Some(state) = &self.state {
            scope.set_item(intern!(py, "state"), state.bind(py).copy()?)?;
        }
        if let Some(identity) = &context.identity {
            put_identity(py, &scope, identity)?;
        }
        Ok(scope)
    }
}

fn copy_template<'py>(
    py: Python<'py>,
    known: &mut Known,
    (kind, local): (Kind, &Local),
) -> PyResult<Bound<'py, PyDict>> {
    let address = match local {
        Local::Address(address) => Some(*address),
        Local::Unix(_) => None,
    };
    let mut templates = known.templates.iter();
    let found = templates.find(|(its, known, _)| *its == kind && *known == address);
    let scope = match found {
        Some((_, _, template)) => template.bind(py).copy()?,
        None => {
            let template = template(py, kind, local)?;
            let scope = template.copy()?;
            known.templates.truncate(TEMPLATES_MAX - 1);
            known.templates.push_front((kind, address, template.unbind()));
            scope
        }
    };
    // What apps may change is each one's own.
    let extensions = scope.get_item(intern!(py, "extensions"))?;
    if let Some(extensions) = extensions {
        scope.set_item(intern!(py, "extensions"), extensions.cast::<PyDict>()?.copy()?)?;
    }
    Ok(scope)
}

/// What most requests of a kind say that came in by this address.
fn template<'py>(py: Python<'py>, kind: Kind, local: &Local) -> PyResult<Bound<'py, PyDict>> {
    let scope = PyDict::new(py);
    let asgi = PyDict::new(py);
    asgi.set_item("version", "3.0")?;
    asgi.set_item("spec_version", "2.5")?;
    let extensions = PyDict::new(py);
    let (name, scheme, offered): (_, _, &[&str]) = match kind {
        Kind::Http => (
            "http",
            "http",
            &["http.response.early_hint", "http.response.pathsend", "http.response.trailers"],
        ),
        Kind::WebSocket => ("websocket", "ws", &["websocket.http.response"]),
    };
    // What no client can say: it is this server who has looked for a token, and what it has not found is not there.
    extensions.set_item("ferricorn", PyDict::new(py))?;
    for extension in offered {
        extensions.set_item(*extension, PyDict::new(py))?;
    }
    scope.set_item(intern!(py, "type"), PyString::intern(py, name))?;
    scope.set_item(intern!(py, "asgi"), asgi)?;
    scope.set_item(intern!(py, "http_version"), intern!(py, "1.1"))?;
    match local {
        Local::Address(address) => {
            let host = address.ip().to_canonical().to_string();
            scope.set_item(intern!(py, "server"), (host, address.port()))?;
        }
        Local::Unix(path) => {
            scope.set_item(intern!(py, "server"), (path.as_os_str(), py.None()))?;
        }
    }
    scope.set_item(intern!(py, "client"), py.None())?;
    scope.set_item(intern!(py, "scheme"), PyString::intern(py, scheme))?;
    if kind == Kind::Http {
        scope.set_item(intern!(py, "method"), intern!(py, "GET"))?;
    }
    scope.set_item(intern!(py, "root_path"), intern!(py, ""))?;
    scope.set_item(intern!(py, "path"), intern!(py, "/"))?;
    scope.set_item(intern!(py, "raw_path"), PyBytes::new(py, b"/"))?;
    scope.set_item(intern!(py, "query_string"), PyBytes::new(py, b""))?;
    scope.set_item(intern!(py, "headers"), py.None())?;
    scope.set_item(intern!(py, "extensions"), extensions)?;
    Ok(scope)
}

fn put_target(py: Python<'_>, scope: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
    let target = &request.head.target;
    let raw = target.path();
    if raw != b"/" {
        scope.set_item(intern!(py, "raw_path"), PyBytes::new(py, raw))?;
        scope.set_item(intern!(py, "path"), text(py, &target.decoded_path())?)?;
    }
    if !target.query().is_empty() {
        scope.set_item(intern!(py, "query_string"), PyBytes::new(py, target.query()))?;
    }
    // The path is whole, and begins with this.
    let mount = &request.context.mount;
    if !mount.is_empty() {
        scope.set_item(intern!(py, "root_path"), text(py, mount.as_bytes())?)?;
    }
    Ok(())
}

/// Percent-encoding and UTF-8 undone; what is no UTF-8 is replaced, as all of ASGI's servers do.
fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    if bytes.is_ascii() {
        return native_string(py, bytes);
    }
    let text: Cow<'_, str> = String::from_utf8_lossy(bytes);
    Ok(PyString::new(py, &text))
}

fn fields<'py>(
    py: Python<'py>,
    head: &RequestHead,
    names: &mut HashMap<HeaderName, Py<PyBytes>>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (name, value) in &head.fields {
        let value = PyBytes::new(py, value.as_bytes());
        if let Some(known) = names.get(name) {
            list.append((known.bind(py), value))?;
            continue;
        }
        let known = PyBytes::new(py, name.as_str().as_bytes());
        list.append((&known, value))?;
        if names.len() < NAMES_MAX {
            names.insert(name.clone(), known.unbind());
        }
    }
    Ok(list)
}

/// Where the client is; and where it thought the server was, if a trusted proxy says so.
fn put_ends(py: Python<'_>, scope: &Bound<'_, PyDict>, context: &RequestContext) -> PyResult<()> {
    if let Some(Client { address, port }) = context.client() {
        let text = super::super::addresses::address_text(py, address)?;
        // That of a proxy would be no answer to where its client is.
        scope.set_item(intern!(py, "client"), (text, port.unwrap_or(0)))?;
    }
    let forwarded = context.forwarded.as_deref();
    let Some(host) = forwarded.and_then(|forwarded| forwarded.host.as_ref()) else { return Ok(()) };
    let host = host.to_str().unwrap_or_default();
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse().ok()),
        _ => (host, None),
    };
    let default = if context.scheme == Scheme::Https { 443 } else { 80 };
    let port: u16 = forwarded.and_then(|forwarded| forwarded.port).or(port).unwrap_or(default);
    scope.set_item(
        intern!(py, "server"),
        PyTuple::new(py, [name.into_pyobject(py)?.into_any(), port.into_pyobject(py)?.into_any()])?,
    )
}

/// What the client offers, in the order of its preference.
fn subprotocols<'py>(py: Python<'py>, head: &RequestHead) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for value in head.fields.get_all(SEC_WEBSOCKET_PROTOCOL) {
        for name in websocket::subprotocols(value) {
            list.append(native_string(py, name)?)?;
        }
    }
    Ok(list)
}

fn put_identity(py: Python<'_>, scope: &Bound<'_, PyDict>, identity: &Arc<Identity>) -> PyResult<()> {
    let jwt = identity::token(py, identity)?;
    if let Some(extensions) = scope.get_item(intern!(py, "extensions"))? {
        extensions.set_item(intern!(py, "ferricorn.jwt"), &jwt)?;
    }
    // Starlette's `request.state`. What the app itself has put there under this name stays.
    if let Some(state) = scope.get_item(intern!(py, "state"))?
        && let Ok(state) = state.cast_into::<PyDict>()
        && !state.contains(intern!(py, "jwt"))?
    {
        state.set_item(intern!(py, "jwt"), &jwt)?;
    }
    Ok(())
}
