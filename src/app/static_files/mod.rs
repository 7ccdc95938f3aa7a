//! A directory of files, served as they are (RFC 9110).
//!
//! Files are opened on the thread that serves the connection: opening and asking for the length
//! touches directory entries that are almost always cached, and a hand-over to another thread costs
//! more. Nothing is remembered between requests, so nothing can be stale. Content is not read here; whoever
//! sends the response does that.

mod coding;
mod conditions;
mod lifetime;
mod listing;
mod media_type;
mod name;
mod range;
mod validators;

use super::{App, AppError, BoxFuture, CallLimits};
use crate::config::{Coding, FileRules};
use crate::protocol::{Request, RequestHead, Response, ResponseBody, text_response};
use crate::sys::openat::Directory;
use coding::Names;
use conditions::Verdict;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED,
    LOCATION, VARY,
};
use http::{HeaderValue, Method, StatusCode};
use lifetime::{Audience, Lifetimes};
use name::Named;
use range::Requested;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use validators::Validators;

/// Serves the regular files beneath one directory.
///
/// The directory is opened once: it stays the same one, whatever its path comes to mean later.
/// A file with a slash behind it is not found, and directories only where the rules say so.
#[derive(Debug)]
pub struct StaticFiles {
    directory: Directory,
    /// Without a trailing slash: "" for "/".
    mount: String,
    rules: FileRules,
    lifetimes: Lifetimes,
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

/// A file that answers a request, and what is said about it.
struct Found {
    file: File,
    metadata: Metadata,
    /// Which coding of the original it is.
    coding: Option<Coding>,
    media_type: &'static str,
    /// Whether another client might have been given another coding.
    choice: Choice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    One,
    ByCoding,
}

impl StaticFiles {
    /// Serves `directory` under the URL prefix `mount`, given with or without a trailing slash.
    ///
    /// # Errors
    /// When the directory is not there, is none, or may not be entered.
    pub fn new(directory: &Path, mount: &str, rules: &FileRules) -> Result<Self, OpenDirectoryError> {
        let open = Directory::open(directory)
            .map_err(|source| OpenDirectoryError { directory: directory.to_path_buf(), source })?;
        let lifetimes = Lifetimes::new(rules, &open);
        let mount = mount.trim_end_matches('/').to_owned();
        Ok(Self { directory: open, mount, rules: rules.clone(), lifetimes })
    }

    fn answer(&self, head: &RequestHead, audience: Audience) -> Result<Response, AppError> {
        match head.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Ok(allow(empty(StatusCode::NO_CONTENT))),
            // Every other method, known or not.
            _ => return Ok(allow(refusal(StatusCode::METHOD_NOT_ALLOWED))),
        }
        let answered = match Named::parse(head.target.path(), &self.mount) {
            Some(Named::File(name)) => self.answer_file(head, &name, audience),
            Some(Named::Directory(name)) => self.answer_directory(head, &name, audience),
            None => Ok(None),
        };
        match answered {
            Ok(response) => Ok(response.unwrap_or_else(|| refusal(StatusCode::NOT_FOUND))),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let path = String::from_utf8_lossy(head.target.path()).into_owned();
                tracing::warn!(path, mount = self.mount, "static file may not be read");
                Ok(refusal(StatusCode::FORBIDDEN))
            }
            Err(error) => {
                let path = String::from_utf8_lossy(head.target.path());
                Err(AppError::Failed(format!("static file {path}: {error}")))
            }
        }
    }

    /// `None` when there is nothing of that name that may be shown.
    fn answer_file(
        &self,
        head: &RequestHead,
        name: &Path,
        audience: Audience,
    ) -> io::Result<Option<Response>> {
        let Some((file, metadata)) = self.open(name)? else { return Ok(None) };
        if metadata.is_file() {
            return self.respond(head, name, (file, metadata), audience).map(Some);
        }
        let is_shown = metadata.is_dir() && (self.rules.listing || self.index_of(name)?.is_some());
        let slash = is_shown.then(|| name::with_slash(head.target.path(), head.target.query()));
        Ok(slash.and_then(|reference| HeaderValue::try_from(reference).ok()).map(|reference| {
            let mut response = refusal(StatusCode::MOVED_PERMANENTLY);
            response.headers_mut().insert(LOCATION, reference);
            response
        }))
    }

    fn answer_directory(
        &self,
        head: &RequestHead,
        name: &Path,
        audience: Audience,
    ) -> io::Result<Option<Response>> {
        if let Some((index, file, metadata)) = self.index_of(name)? {
            return self.respond(head, &index, (file, metadata), audience).map(Some);
        }
        if !self.rules.listing {
            return Ok(None);
        }
        let entries = self.directory.entries(plain(name), listing::ENTRY_LIMIT)?;
        Ok(entries.map(|entries| {
            let mut response = Response::new(ResponseBody::Full(listing::page(name, entries).into()));
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, html);
            response
        }))
    }

    /// The regular file that stands for a directory, and its name.
    fn index_of(&self, directory: &Path) -> io::Result<Option<(PathBuf, File, Metadata)>> {
        let Some(index) = &self.rules.index else { return Ok(None) };
        let name = directory.join(index);
        let found = self.open(&name)?.filter(|(_, metadata)| metadata.is_file());
        Ok(found.map(|(file, metadata)| (name, file, metadata)))
    }

    fn open(&self, name: &Path) -> io::Result<Option<(File, Metadata)>> {
        let Some(file) = self.directory.open_beneath(plain(name))? else { return Ok(None) };
        let metadata = file.metadata()?;
        Ok(Some((file, metadata)))
    }

    /// Answers with a file, or with the coding of it that the client likes best.
    fn respond(
        &self,
        head: &RequestHead,
        name: &Path,
        (file, metadata): (File, Metadata),
        audience: Audience,
    ) -> io::Result<Response> {
        let media_type = media_type::of(name);
        let has_codings = !self.rules.precompressed.is_empty() && !media_type::is_compressed(media_type);
        let choice = if has_codings { Choice::ByCoding } else { Choice::One };
        let mut found = Found { file, metadata, coding: None, media_type, choice };
        if has_codings {
            for coding in coding::acceptable(&head.fields, &self.rules.precompressed) {
                if let Some((file, metadata)) = self.open_coded(name, coding, &found.metadata)? {
                    found = Found { file, metadata, coding: Some(coding), ..found };
                    break;
                }
            }
        }
        let cache_control = self.lifetimes.cache_control(name, audience);
        Ok(found.response(head, cache_control))
    }

    /// A finished coding of a file, unless it is older than the file or cannot be used.
    fn open_coded(
        &self,
        name: &Path,
        coding: Coding,
        original: &Metadata,
    ) -> io::Result<Option<(File, Metadata)>> {
        let mut coded = name.as_os_str().to_owned();
        coded.push(coding.suffix());
        let opened = match self.open(Path::new(&coded)) {
            // The original can still be sent.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
            opened => opened?,
        };
        Ok(opened.filter(|(_, metadata)| {
            let fits = metadata.is_file() && metadata.len() > 0;
            if fits && is_older(metadata, original) {
                tracing::debug!(file = %Path::new(&coded).display(), "older than its original, and not used");
                return false;
            }
            fits
        }))
    }
}

impl App for StaticFiles {
    fn call(&self, request: Box<Request>, _limits: CallLimits) -> BoxFuture<'_, Result<Response, AppError>> {
        let audience = if request.context.identity.is_some() { Audience::Client } else { Audience::Everyone };
        Box::pin(std::future::ready(self.answer(&request.head, audience)))
    }
}

impl Found {
    /// RFC 9110 13.2.2 for the order.
    fn response(self, head: &RequestHead, cache_control: Option<HeaderValue>) -> Response {
        let size = self.metadata.len();
        let mut validators = Validators::of(&self.metadata, SystemTime::now());
        if let Some(coding) = self.coding {
            validators = validators.coded(coding.token());
        }
        let (coding, choice) = (self.coding, self.choice);
        let describe = |response| describe(response, &validators, choice, cache_control);
        let mut response = match conditions::judge(&head.fields, &validators) {
            Verdict::Failed => return refusal(StatusCode::PRECONDITION_FAILED),
            Verdict::NotModified => return describe(empty(StatusCode::NOT_MODIFIED)),
            Verdict::Whole => file_response(StatusCode::OK, self.file, 0, size),
            Verdict::Send => match requested(head, size) {
                Requested::Whole => file_response(StatusCode::OK, self.file, 0, size),
                Requested::Part { offset, length } => {
                    let mut response = file_response(StatusCode::PARTIAL_CONTENT, self.file, offset, length);
                    let last = offset + length - 1;
                    set(&mut response, CONTENT_RANGE, format!("bytes {offset}-{last}/{size}"));
                    response
                }
                Requested::Unsatisfiable => {
                    let mut response = refusal(StatusCode::RANGE_NOT_SATISFIABLE);
                    set(&mut response, CONTENT_RANGE, format!("bytes */{size}"));
                    return response;
                }
            },
        };
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if let Some(coding) = coding {
            fields.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
        }
        describe(response)
    }
}

/// Whether a coding was finished before its original was last changed.
///
/// Some tools give it the original's time in whole seconds: a time without a fraction counts as all of its second. Others do
/// so by a floating-point number (WhiteNoise), whose nanoseconds are rounded.
fn is_older(coded: &Metadata, original: &Metadata) -> bool {
    let nanoseconds =
        |file: &Metadata| i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec());
    match coded.mtime_nsec() {
        0 => coded.mtime() < original.mtime(),
        _ => nanoseconds(coded) + ROUNDED_NANOSECONDS <= nanoseconds(original),
    }
}

/// The mounted directory itself has a name for the system.
fn plain(name: &Path) -> &Path {
    if name.as_os_str().is_empty() { Path::new(".") } else { name }
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

/// Adds the fields by which a client recognises this state of the file again, and knows how long it holds.
fn describe(
    mut response: Response,
    validators: &Validators,
    choice: Choice,
    cache_control: Option<HeaderValue>,
) -> Response {
    set(&mut response, ETAG, validators.tag.to_string());
    if let Some(date) = validators.last_modified_field() {
        set(&mut response, LAST_MODIFIED, date);
    }
    if choice == Choice::ByCoding {
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    if let Some(value) = cache_control {
        response.headers_mut().insert(CACHE_CONTROL, value);
    }
    response
}

/// Sets a field to a value made here, which is visible ASCII.
fn set(response: &mut Response, name: http::HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
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

/// What a time loses in tools that count microseconds; floating-point numbers of this century lose less.
const ROUNDED_NANOSECONDS: i128 = 1000;

#[cfg(test)]
mod tests;
