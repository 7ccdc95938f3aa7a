//! A directory of files, served as they are (RFC 9110).
//!
//! Files are opened on the thread that serves the connection: opening and asking for the length
//! touches directory entries that are almost always cached, and a hand-over to another thread costs
//! more. Content is not read here; whoever sends the response does that.

mod conditions;
mod media_type;
mod range;
mod validators;

use super::{App, AppError, BoxFuture, CallLimits};
use crate::protocol::{Request, RequestHead, Response, ResponseBody, text_response};
use crate::sys::openat::Directory;
use conditions::Verdict;
use http::header::{ACCEPT_RANGES, ALLOW, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode;
use range::Requested;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use validators::Validators;

/// Serves the regular files beneath one directory.
///
/// The directory is opened once: it stays the same one, whatever its path comes to mean later.
/// There are no indexes, so a directory is not found, and neither is a file with a slash behind it.
#[derive(Debug)]
pub struct StaticFiles {
    directory: Directory,
    /// Without a trailing slash: "" for "/".
    mount: String,
}

/// The directory could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("static directory {}: {source}", directory.display())]
pub struct OpenDirectoryError {
    /// The directory as configured.
    pub directory: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl StaticFiles {
    /// Serves `directory` under the URL prefix `mount`, given with or without a trailing slash.
    ///
    /// # Errors
    /// When the directory is not there, is none, or may not be entered.
    pub fn new(directory: &Path, mount: &str) -> Result<Self, OpenDirectoryError> {
        let open = Directory::open(directory)
            .map_err(|source| OpenDirectoryError { directory: directory.to_path_buf(), source })?;
        Ok(Self { directory: open, mount: mount.trim_end_matches('/').to_owned() })
    }

    fn answer(&self, head: &RequestHead) -> Result<Response, AppError> {
        match head.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Ok(allow(empty(StatusCode::NO_CONTENT))),
            // Every other method, known or not.
            _ => return Ok(allow(refusal(StatusCode::METHOD_NOT_ALLOWED))),
        }
        let Some(name) = file_name(head.target.path(), &self.mount) else {
            return Ok(refusal(StatusCode::NOT_FOUND));
        };
        let (file, metadata) = match self.open(&name) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(refusal(StatusCode::NOT_FOUND)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                tracing::warn!(file = %name.display(), mount = self.mount, "static file may not be read");
                return Ok(refusal(StatusCode::FORBIDDEN));
            }
            Err(error) => return Err(AppError::Failed(format!("static file {}: {error}", name.display()))),
        };
        Ok(respond(head, &name, file, &metadata))
    }

    /// A regular file; `None` when there is none of that name that may be shown.
    fn open(&self, name: &Path) -> io::Result<Option<(File, Metadata)>> {
        let Some(file) = self.directory.open_beneath(name)? else { return Ok(None) };
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then_some((file, metadata)))
    }
}

impl App for StaticFiles {
    fn call(&self, request: Request, _limits: CallLimits) -> BoxFuture<'_, Result<Response, AppError>> {
        Box::pin(std::future::ready(self.answer(&request.head)))
    }
}

/// The file's name relative to the directory; `None` for what can name no file here.
///
/// The path is decoded once, so `%252e` is the text `%2e`. Dot segments and backslashes name no file
/// even where the system would find one: a check in front that reads them otherwise would be evaded.
/// Repeated slashes count as one, as everywhere on the web.
fn file_name(path: &[u8], mount: &str) -> Option<PathBuf> {
    let path: Vec<u8> = percent_decode(path).collect();
    let rest = path.strip_prefix(mount.as_bytes())?.strip_prefix(b"/")?;
    if rest.is_empty() || rest.ends_with(b"/") || rest.iter().any(|byte| matches!(byte, 0 | b'\\')) {
        return None;
    }
    let mut name = PathBuf::new();
    for segment in rest.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()) {
        if matches!(segment, b"." | b"..") {
            return None;
        }
        name.push(OsStr::from_bytes(segment));
    }
    Some(name)
}

/// The response for a file that is there (RFC 9110 13.2.2 for the order).
fn respond(head: &RequestHead, name: &Path, file: File, metadata: &Metadata) -> Response {
    let size = metadata.len();
    let validators = Validators::of(metadata, SystemTime::now());
    let mut response = match conditions::judge(&head.fields, &validators) {
        Verdict::Failed => return refusal(StatusCode::PRECONDITION_FAILED),
        Verdict::NotModified => return describe(empty(StatusCode::NOT_MODIFIED), &validators),
        Verdict::Whole => file_response(StatusCode::OK, file, 0, size),
        Verdict::Send => match requested(head, size) {
            Requested::Whole => file_response(StatusCode::OK, file, 0, size),
            Requested::Part { offset, length } => {
                let mut response = file_response(StatusCode::PARTIAL_CONTENT, file, offset, length);
                let last = offset + length - 1;
                set(&mut response, CONTENT_RANGE, &format!("bytes {offset}-{last}/{size}"));
                response
            }
            Requested::Unsatisfiable => {
                let mut response = refusal(StatusCode::RANGE_NOT_SATISFIABLE);
                set(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
                return response;
            }
        },
    };
    let media_type = HeaderValue::from_static(media_type::of(name));
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    describe(response, &validators)
}

/// RFC 9110 14.2: a range means something to GET alone; HEAD tells of the whole.
fn requested(head: &RequestHead, size: u64) -> Requested {
    if head.method == Method::GET { range::requested(&head.fields, size) } else { Requested::Whole }
}

/// The same for GET and HEAD: who sends the response knows that HEAD has no content.
fn file_response(status: StatusCode, file: File, offset: u64, length: u64) -> Response {
    let mut response = Response::new(ResponseBody::File { file, offset, length });
    *response.status_mut() = status;
    response
}

/// Adds the fields by which a client recognises this state of the file again.
fn describe(mut response: Response, validators: &Validators) -> Response {
    set(&mut response, ETAG, &validators.tag.to_string());
    if let Some(date) = validators.last_modified_field() {
        set(&mut response, LAST_MODIFIED, &date);
    }
    response
}

/// Sets a field to a value made here, which is visible ASCII.
fn set(response: &mut Response, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn allow(mut response: Response) -> Response {
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = status;
    response
}

fn refusal(status: StatusCode) -> Response {
    text_response(status, format!("{}\n", status.canonical_reason().unwrap_or_default()))
}

#[cfg(test)]
mod tests;
