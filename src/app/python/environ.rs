//! `environ` (PEP 3333), with the values that Gunicorn gives.

use super::ffi::native_string;
use super::file_wrapper::FileWrapper;
use super::identity::Jwt;
use super::input::Input;
use super::load::Options;
use crate::protocol::{Content, Local, Peer, Request, RequestHead};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, TRANSFER_ENCODING};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Keys remembered: more distinct field names than any site uses.
const KEYS_MAX: usize = 1024;

/// Makes environs.
pub(super) struct Environs {
    /// What is the same in every environ.
    template: Py<PyDict>,
    /// `HTTP_` keys by field name.
    keys: Mutex<HashMap<HeaderName, Py<PyString>>>,
}

impl Environs {
    pub(super) fn new(py: Python<'_>, options: &Options<'_>) -> PyResult<Self> {
        let template = PyDict::new(py);
        template.set_item("wsgi.version", (1, 0))?;
        template.set_item("wsgi.errors", py.import("sys")?.getattr("stderr")?)?;
        template.set_item("wsgi.multithread", options.threads > 1)?;
        template.set_item("wsgi.multiprocess", options.workers > 1)?;
        template.set_item("wsgi.run_once", false)?;
        // The content is complete and ends where it ends.
        template.set_item("wsgi.input_terminated", true)?;
        template.set_item("wsgi.file_wrapper", py.get_type::<FileWrapper>())?;
        template.set_item("SERVER_SOFTWARE", concat!("ferricorn/", env!("CARGO_PKG_VERSION")))?;
        Ok(Self { template: template.unbind(), keys: Mutex::new(HashMap::new()) })
    }

    /// The environ of a request; its content is taken out of it.
    pub(super) fn make<'py>(&self, py: Python<'py>, request: &mut Request) -> PyResult<Bound<'py, PyDict>> {
        let environ = self.template.bind(py).copy()?;
        let content = std::mem::replace(&mut request.content, Content::Empty);
        put_request_line(py, &environ, request)?;
        put_ends(py, &environ, request)?;
        self.put_fields(py, &environ, &request.head)?;
        if request.head.fields.contains_key(TRANSFER_ENCODING) {
            // Decoded here: apps read CONTENT_LENGTH bytes, and would read none without it.
            environ.set_item(intern!(py, "CONTENT_LENGTH"), content.len().to_string())?;
        }
        environ.set_item(intern!(py, "wsgi.input"), Input::new(content).into_pyobject(py)?)?;
        if let Some(identity) = &request.context.identity {
            let jwt = Jwt::new(std::sync::Arc::clone(identity));
            environ.set_item(intern!(py, "ferricorn.jwt"), jwt.into_pyobject(py)?)?;
            environ.set_item(intern!(py, "AUTH_TYPE"), intern!(py, "Bearer"))?;
            if let Some(user) = &identity.remote_user {
                environ.set_item(intern!(py, "REMOTE_USER"), user)?;
            }
        }
        Ok(environ)
    }

    fn put_fields(&self, py: Python<'_>, environ: &Bound<'_, PyDict>, head: &RequestHead) -> PyResult<()> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        for name in head.fields.keys() {
            // Framing is the server's; what an app may know of it is CONTENT_LENGTH.
            if name == TRANSFER_ENCODING {
                continue;
            }
            let value = native_string(py, &joined(head, name))?;
            if let Some(key) = keys.get(name) {
                environ.set_item(key.bind(py), value)?;
                continue;
            }
            let key = PyString::intern(py, &key_for(name));
            environ.set_item(&key, value)?;
            if keys.len() < KEYS_MAX {
                keys.insert(name.clone(), key.unbind());
            }
        }
        Ok(())
    }
}

/// Values of a repeated field in one: lists by comma, cookies by semicolon (RFC 9110 5.3, RFC 6265 5.4).
fn joined<'a>(head: &'a RequestHead, name: &HeaderName) -> Cow<'a, [u8]> {
    let mut values = head.fields.get_all(name).iter().map(http::HeaderValue::as_bytes);
    let first = values.next().unwrap_or_default();
    let mut all = Cow::Borrowed(first);
    for value in values {
        let all = all.to_mut();
        all.extend_from_slice(if name == COOKIE { b"; " } else { b"," });
        all.extend_from_slice(value);
    }
    all
}

fn key_for(name: &HeaderName) -> String {
    if name == CONTENT_TYPE {
        return "CONTENT_TYPE".to_owned();
    }
    if name == CONTENT_LENGTH {
        return "CONTENT_LENGTH".to_owned();
    }
    format!("HTTP_{}", name.as_str().to_ascii_uppercase().replace('-', "_"))
}

fn put_request_line(py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
    let head = &request.head;
    let path = head.target.decoded_path();
    let mount = request.context.mount.as_bytes();
    let path_info = path.strip_prefix(mount).unwrap_or(&path);
    let protocol = match head.version {
        http::Version::HTTP_10 => intern!(py, "HTTP/1.0"),
        _ => intern!(py, "HTTP/1.1"),
    };
    environ.set_item(intern!(py, "REQUEST_METHOD"), PyString::intern(py, head.method.as_str()))?;
    environ.set_item(intern!(py, "SCRIPT_NAME"), native_string(py, mount)?)?;
    environ.set_item(intern!(py, "PATH_INFO"), native_string(py, path_info)?)?;
    environ.set_item(intern!(py, "QUERY_STRING"), native_string(py, head.target.query())?)?;
    environ.set_item(intern!(py, "RAW_URI"), native_string(py, head.target.raw())?)?;
    environ.set_item(intern!(py, "SERVER_PROTOCOL"), protocol)?;
    environ.set_item(intern!(py, "wsgi.url_scheme"), PyString::intern(py, request.context.scheme.as_str()))
}

fn put_ends(py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
    match request.context.peer {
        Peer::Address(address) => {
            environ.set_item(intern!(py, "REMOTE_ADDR"), address.ip().to_canonical().to_string())?;
            environ.set_item(intern!(py, "REMOTE_PORT"), address.port().to_string())?;
        }
        Peer::Unix => environ.set_item(intern!(py, "REMOTE_ADDR"), intern!(py, ""))?,
    }
    let (name, port) = match &request.context.local {
        Local::Address(address) => (address.ip().to_canonical().to_string(), address.port().to_string()),
        // A UNIX socket has neither; the client's idea of them is the best there is.
        Local::Unix(_) => host_and_port(&request.head),
    };
    environ.set_item(intern!(py, "SERVER_NAME"), name)?;
    environ.set_item(intern!(py, "SERVER_PORT"), port)
}

fn host_and_port(head: &RequestHead) -> (String, String) {
    let host = head.fields.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    let name = if name.is_empty() { "localhost" } else { name };
    let port = if port.is_empty() { "80" } else { port };
    (name.to_owned(), port.to_owned())
}
