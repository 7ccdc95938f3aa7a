//! `environ` (PEP 3333), with the values that Gunicorn gives.
//!
//! An environ is a copy of a template that already says what most requests say; only what differs is set. Every
//! key is an interned string, which a dict finds without comparing text.

use super::addresses::{ClientTexts, decimal_text};
use super::ffi::native_string;
use super::file_wrapper::FileWrapper;
use super::identity;
use super::kit::Kit;
use super::options::Options;
use super::streams;
use crate::protocol::{Identity, Local, Request, RequestContext, RequestHead, Scheme};
use foldhash::HashMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Version};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyDict, PyString};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Keys remembered: more distinct field names than any site uses.
const KEYS_MAX: usize = 1024;
/// Templates remembered: more addresses than most hosts have.
const TEMPLATES_MAX: usize = 16;
/// What the template's own keys lack to a table that has room for the fields of most requests.
const SPARE_KEYS: usize = 3;

/// Makes environs.
pub(super) struct Environs {
    /// For requests that came over a UNIX socket; the templates of addresses are made of it.
    template: Py<PyDict>,
    known: Mutex<Known>,
}

/// What requests have taught.
#[derive(Default)]
struct Known {
    /// `HTTP_` keys by field name.
    keys: HashMap<HeaderName, Py<PyString>>,
    /// Templates by the address that the connection was accepted on.
    templates: VecDeque<(SocketAddr, Py<PyDict>)>,
    clients: ClientTexts,
}

impl Environs {
    pub(super) fn new(py: Python<'_>, options: &Options<'_>) -> PyResult<Self> {
        let template = PyDict::new(py);
        template.set_item(intern!(py, "wsgi.version"), (1, 0))?;
        template.set_item(intern!(py, "wsgi.errors"), streams::errors(py, options)?)?;
        template.set_item(intern!(py, "wsgi.multithread"), options.threads > 1)?;
        template.set_item(intern!(py, "wsgi.multiprocess"), options.workers > 1)?;
        template.set_item(intern!(py, "wsgi.run_once"), false)?;
        // The content is complete and ends where it ends.
        template.set_item(intern!(py, "wsgi.input_terminated"), true)?;
        template.set_item(intern!(py, "wsgi.file_wrapper"), py.get_type::<FileWrapper>())?;
        template
            .set_item(intern!(py, "SERVER_SOFTWARE"), concat!("ferricorn/", env!("CARGO_PKG_VERSION")))?;
        // Set anew where a request says something else.
        let empty = intern!(py, "");
        template.set_item(intern!(py, "REQUEST_METHOD"), intern!(py, "GET"))?;
        template.set_item(intern!(py, "SCRIPT_NAME"), empty)?;
        template.set_item(intern!(py, "PATH_INFO"), empty)?;
        template.set_item(intern!(py, "QUERY_STRING"), empty)?;
        template.set_item(intern!(py, "RAW_URI"), empty)?;
        template.set_item(intern!(py, "REQUEST_URI"), empty)?;
        template.set_item(intern!(py, "SERVER_PROTOCOL"), intern!(py, "HTTP/1.1"))?;
        template.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "http"))?;
        template.set_item(intern!(py, "wsgi.input"), py.None())?;
        template.set_item(intern!(py, "wsgi.early_hints"), py.None())?;
        template.set_item(intern!(py, "REMOTE_ADDR"), empty)?;
        template.set_item(intern!(py, "SERVER_NAME"), empty)?;
        template.set_item(intern!(py, "SERVER_PORT"), empty)?;
        make_room(&template)?;
        Ok(Self { template: template.unbind(), known: Mutex::default() })
    }

    /// The environ of a request whose content the kit's input reads; the content is `length` bytes long.
    pub(super) fn make<'py>(
        &self,
        py: Python<'py>,
        kit: &mut Kit,
        length: u64,
        request: &Request,
    ) -> PyResult<Bound<'py, PyDict>> {
        // Making objects can run finalizers, and so other threads: who waits here must not keep them from running.
        let mut known = self.known.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        let address = match &request.context.local {
            Local::Address(address) => Some(*address),
            Local::Unix(_) => None,
        };
        let environ =
            kit.environ(py, address, || self.copy_template(py, &mut known.templates, request, address))?;
        put_request_line(py, &environ, request)?;
        put_client(py, &environ, request, &mut known.clients)?;
        put_forwarded(py, &environ, request)?;
        let was_coded = put_fields(py, &environ, &request.head, &mut known.keys)?;
        drop(known);
        if was_coded {
            // Decoded here: apps read CONTENT_LENGTH bytes, and would read none without it.
            environ.set_item(intern!(py, "CONTENT_LENGTH"), length.to_string())?;
        }
        if let Some(identity) = &request.context.identity {
            put_identity(py, &environ, identity)?;
        }
        Ok(environ)
    }

    /// A new environ that says where its connection was accepted.
    fn copy_template<'py>(
        &self,
        py: Python<'py>,
        templates: &mut VecDeque<(SocketAddr, Py<PyDict>)>,
        request: &Request,
        address: Option<SocketAddr>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let Some(address) = address else {
            // A UNIX socket has no name and port; the client's idea of them is the best there is.
            let environ = self.template.bind(py).copy()?;
            let (name, port) = host_and_port(&request.head, request.context.scheme);
            environ.set_item(intern!(py, "SERVER_NAME"), name)?;
            environ.set_item(intern!(py, "SERVER_PORT"), port)?;
            return Ok(environ);
        };
        if let Some((_, template)) = templates.iter().find(|(known, _)| *known == address) {
            return template.bind(py).copy();
        }
        let template = self.template.bind(py).copy()?;
        template.set_item(intern!(py, "SERVER_NAME"), address.ip().to_canonical().to_string())?;
        template.set_item(intern!(py, "SERVER_PORT"), address.port().to_string())?;
        let environ = template.copy()?;
        templates.truncate(TEMPLATES_MAX - 1);
        templates.push_front((address, template.unbind()));
        Ok(environ)
    }
}

/// A copy of a dict has the room that its original has: with some to spare, the fields of a request make no copy grow.
fn make_room(template: &Bound<'_, PyDict>) -> PyResult<()> {
    // The keys at hand nearly fill their table; a few more move them to one of twice the size, which they keep. All of them
    // are strings: for other keys a dict takes a slower form.
    let spare: Vec<String> = (0..SPARE_KEYS).map(|number| format!("spare {number}")).collect();
    spare.iter().try_for_each(|key| template.set_item(key, ""))?;
    spare.iter().try_for_each(|key| template.del_item(key))
}

/// What the request line says.
///
/// The target as it was sent is in `RAW_URI`, as with Gunicorn, and in `REQUEST_URI`, as with uWSGI and mod_wsgi, which have it byte
/// for byte as well: an absolute form keeps its scheme and host. (`OPTIONS *` is answered before any app is asked.)
fn put_request_line(py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
    let Request { head, context: RequestContext { mount, scheme, .. }, .. } = request;
    let path = head.target.decoded_path();
    let path_info =
        if mount.is_empty() { &path } else { path.strip_prefix(mount.as_bytes()).unwrap_or(&path) };
    let raw = native_string(py, head.target.raw())?;
    // A path that nothing had to be decoded in, and with nothing around it, is the target itself.
    if std::ptr::eq(path_info, head.target.raw()) {
        environ.set_item(intern!(py, "PATH_INFO"), &raw)?;
    } else {
        environ.set_item(intern!(py, "PATH_INFO"), native_string(py, path_info)?)?;
    }
    environ.set_item(intern!(py, "RAW_URI"), &raw)?;
    environ.set_item(intern!(py, "REQUEST_URI"), raw)?;
    if !mount.is_empty() {
        environ.set_item(intern!(py, "SCRIPT_NAME"), native_string(py, mount.as_bytes())?)?;
    }
    if !head.target.query().is_empty() {
        environ.set_item(intern!(py, "QUERY_STRING"), native_string(py, head.target.query())?)?;
    }
    if head.method != Method::GET {
        environ.set_item(intern!(py, "REQUEST_METHOD"), head.method.as_str())?;
    }
    if head.version == Version::HTTP_10 {
        environ.set_item(intern!(py, "SERVER_PROTOCOL"), intern!(py, "HTTP/1.0"))?;
    }
    match scheme {
        Scheme::Http => Ok(()),
        Scheme::Https => environ.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https")),
    }
}

fn put_client(
    py: Python<'_>,
    environ: &Bound<'_, PyDict>,
    request: &Request,
    clients: &mut ClientTexts,
) -> PyResult<()> {
    let Some(client) = request.context.client() else { return Ok(()) };
    let (address, port) = clients.of(py, client)?;
    environ.set_item(intern!(py, "REMOTE_ADDR"), address)?;
    // That of a proxy would be no answer to where its client is.
    match port {
        Some(port) => environ.set_item(intern!(py, "REMOTE_PORT"), port),
        None => Ok(()),
    }
}

/// The name and port that the client asked for, where a trusted proxy says them.
fn put_forwarded(py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
    let Some(forwarded) = request.context.forwarded.as_deref() else { return Ok(()) };
    if forwarded.host.is_some() {
        let (name, port) = host_and_port(&request.head, request.context.scheme);
        environ.set_item(intern!(py, "SERVER_NAME"), name)?;
        environ.set_item(intern!(py, "SERVER_PORT"), port)?;
    }
    match forwarded.port {
        Some(port) => environ.set_item(intern!(py, "SERVER_PORT"), decimal_text(py, port)?),
        None => Ok(()),
    }
}

/// The fields; whether the content had a transfer coding.
fn put_fields(
    py: Python<'_>,
    environ: &Bound<'_, PyDict>,
    head: &RequestHead,
    keys: &mut HashMap<HeaderName, Py<PyString>>,
) -> PyResult<bool> {
    let mut was_coded = false;
    let mut fields = head.fields.iter().peekable();
    while let Some((name, value)) = fields.next() {
        let mut value = native_string(py, value.as_bytes())?;
        // A HeaderMap gives the values of one name in a row.
        if fields.peek().is_some_and(|(next, _)| *next == name) {
            value = native_string(py, &joined(name, head.fields.get_all(name)))?;
            while fields.next_if(|(next, _)| *next == name).is_some() {}
        }
        // Framing is the server's; what an app may know of it is CONTENT_LENGTH.
        if *name == TRANSFER_ENCODING {
            was_coded = true;
            continue;
        }
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
    Ok(was_coded)
}

/// Values of a repeated field in one: lists by comma, cookies by semicolon (RFC 9110 5.3, RFC 6265 5.4).
fn joined<'a>(name: &HeaderName, values: impl IntoIterator<Item = &'a HeaderValue>) -> Vec<u8> {
    let values: Vec<&[u8]> = values.into_iter().map(HeaderValue::as_bytes).collect();
    values.join(if name == COOKIE { &b"; "[..] } else { b"," })
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

fn put_identity(py: Python<'_>, environ: &Bound<'_, PyDict>, identity: &Arc<Identity>) -> PyResult<()> {
    environ.set_item(intern!(py, "ferricorn.jwt"), identity::token(py, identity)?)?;
    environ.set_item(intern!(py, "AUTH_TYPE"), intern!(py, "Bearer"))?;
    match &identity.remote_user {
        Some(user) => environ.set_item(intern!(py, "REMOTE_USER"), user),
        None => Ok(()),
    }
}

fn host_and_port(head: &RequestHead, scheme: Scheme) -> (&str, &str) {
    let host = head.fields.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    let port = match (port, scheme) {
        ("", Scheme::Http) => "80",
        ("", Scheme::Https) => "443",
        (port, _) => port,
    };
    (if name.is_empty() { "localhost" } else { name }, port)
}
