//! One line per request, refused ones included.
//!
//! Bytes that clients send are written so that no line can be forged: printable ASCII as it is,
//! a backslash doubled, any other byte (and in the combined format the quote) as `\xNN`. Values are
//! cut (and then end in "...") so that a line is never longer than what pipe(7) keeps in one piece.

mod pattern;

use crate::config::{AccessFormat, Log};
use crate::protocol::{Client, RequestId, Scheme, Target, WantedFields};
use crate::telemetry::{LogError, LogFile, Stamp, Within, push, push_bytes};
use http::{HeaderValue, StatusCode, Version};
use pattern::Pattern;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// The access log of one process. Lines are written without a lock.
#[derive(Debug)]
pub struct AccessLog {
    file: LogFile,
    format: Format,
    wanted: WantedFields,
    /// Whether the last line was lost, so that an outage is reported once.
    failing: AtomicBool,
}

/// Shapes of a line, ready to be filled in.
#[derive(Debug)]
enum Format {
    Combined,
    Json,
    Pattern(Pattern),
}

/// What is logged of one request.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The request's name.
    pub id: RequestId,
    /// The client: the peer, or whom a trusted proxy says it speaks for. `None`: a local one on a UNIX socket.
    pub client: Option<Client>,
    /// Who the client has proven to be.
    pub user: Option<&'a str>,
    /// What the app got as REMOTE_USER.
    pub remote_user: Option<&'a str>,
    /// The scheme the client used.
    pub scheme: Scheme,
    /// Where the app is mounted: "" for "/".
    pub mount: &'a str,
    /// The method; empty when the head was refused before it was known.
    pub method: &'a [u8],
    /// The target; `None` when it is not known.
    pub target: Option<&'a Target>,
    /// The version; `None` when it is not known.
    pub version: Option<Version>,
    /// The status code sent.
    pub status: StatusCode,
    /// Bytes of content sent.
    pub bytes: u64,
    /// From the end of the head (or the refusal) to the last byte sent.
    pub duration: Duration,
    /// The Referer field.
    pub referer: Option<&'a [u8]>,
    /// The User-Agent field.
    pub user_agent: Option<&'a [u8]>,
    /// The values of the wanted fields of the request; empty when the head could not be read.
    pub request_fields: &'a [Option<HeaderValue>],
    /// The values of the wanted fields of the response; empty when the server refused.
    pub response_fields: &'a [Option<HeaderValue>],
    /// Why the server itself refused the request; `None` when it did not.
    pub refused: Option<&'a str>,
}

impl AccessLog {
    /// Opens the access log; `None` when it is off, as it is by default.
    ///
    /// # Errors
    /// [`LogError`] when the file cannot be opened: a server that should log must not start without.
    pub fn open(log: &Log) -> Result<Option<Self>, LogError> {
        let file = LogFile::open(&log.access)?;
        let (format, wanted) = match &log.access_format {
            AccessFormat::Combined => (Format::Combined, WantedFields::default()),
            AccessFormat::Json => (Format::Json, WantedFields::default()),
            AccessFormat::Pattern(pattern) => {
                let (pattern, wanted) = Pattern::new(pattern);
                (Format::Pattern(pattern), wanted)
            }
        };
        Ok(file.map(|file| Self { file, format, wanted, failing: AtomicBool::new(false) }))
    }

    /// The fields that an [`Entry`] needs, beside those that it always has.
    pub fn wanted_fields(&self) -> &WantedFields {
        &self.wanted
    }

    /// Writes one line, by one write(2), for a request that has just ended.
    ///
    /// A line that cannot be written is lost; the first of each outage is reported in the error log.
    pub fn write(&self, entry: &Entry<'_>) {
        let line = line(&self.format, entry, SystemTime::now());
        let failed = self.file.write(line.as_bytes()).err();
        if self.failing.swap(failed.is_some(), Ordering::Relaxed) {
            return;
        }
        if let Some(error) = failed {
            tracing::warn!(%error, "access log cannot be written, lines are lost");
        }
    }

    /// Goes on in the file that the log's path names now; nothing happens on standard output.
    ///
    /// Takes no lock: each line goes whole to the old file or to the new one. The worker's user must be
    /// allowed to write the new file.
    ///
    /// # Errors
    /// [`LogError::Open`]: the old file stays in use. Log it and go on.
    pub fn reopen(&self) -> Result<(), LogError> {
        self.file.reopen()
    }
}

fn line(format: &Format, entry: &Entry<'_>, now: SystemTime) -> String {
    let began = Stamp::new(now.checked_sub(entry.duration).unwrap_or(now));
    match format {
        Format::Combined => combined(entry, &began),
        Format::Json => json(entry, &began),
        Format::Pattern(pattern) => pattern.line(entry, &began),
    }
}

/// `client - user [time] "request line" status bytes "referer" "user-agent"`
fn combined(entry: &Entry<'_>, began: &Stamp) -> String {
    let mut out = String::with_capacity(256);
    push_client(&mut out, entry.client);
    out.push_str(" - ");
    match entry.user {
        // A space would shift the columns of whoever splits the line at spaces.
        Some(user) if !user.is_empty() => push_bytes(&mut out, user.as_bytes(), Within::Spaces, NAME),
        Some(_) | None => out.push('-'),
    }
    push(&mut out, format_args!(" [{}] \"", began.combined()));
    if entry.method.is_empty() {
        out.push('-');
    } else {
        push_request_line(&mut out, entry, Within::Quotes);
    }
    push(&mut out, format_args!("\" {} {}", entry.status.as_str(), entry.bytes));
    for (value, limit) in [(entry.referer, REFERER), (entry.user_agent, USER_AGENT)] {
        out.push_str(" \"");
        match value {
            Some(value) => push_bytes(&mut out, value, Within::Quotes, limit),
            None => out.push('-'),
        }
        out.push('"');
    }
    out.push('\n');
    out
}

/// One object: the names, their order and their types never change; what is not known is null.
fn json(entry: &Entry<'_>, began: &Stamp) -> String {
    let mut out = String::with_capacity(384);
    push(&mut out, format_args!("{{\"time\":\"{}\",\"id\":\"{}\",\"client\":\"", began.rfc3339(), entry.id));
    push_client(&mut out, entry.client);
    out.push('"');
    push_member(&mut out, "user", entry.user.map(str::as_bytes), NAME);
    push_member(&mut out, "method", Some(entry.method).filter(|value| !value.is_empty()), METHOD);
    push_member(&mut out, "target", entry.target.map(Target::raw), TARGET);
    match entry.version {
        Some(version) => push(&mut out, format_args!(",\"version\":\"{version:?}\"")),
        None => out.push_str(",\"version\":null"),
    }
    push(&mut out, format_args!(",\"status\":{},\"bytes\":{}", entry.status.as_str(), entry.bytes));
    let (whole, thousandths) = (entry.duration.as_millis(), entry.duration.subsec_micros() % 1000);
    push(&mut out, format_args!(",\"duration_ms\":{whole}.{thousandths:03}"));
    push_member(&mut out, "referer", entry.referer, REFERER);
    push_member(&mut out, "user_agent", entry.user_agent, USER_AGENT);
    push_member(&mut out, "refused", entry.refused.map(str::as_bytes), NAME);
    push(&mut out, format_args!(",\"pid\":{}}}\n", std::process::id()));
    out
}

/// Appends a member whose value is a string of outside bytes, or null.
fn push_member(out: &mut String, name: &str, value: Option<&[u8]>, limit: usize) {
    push(out, format_args!(",\"{name}\":"));
    let Some(value) = value else {
        out.push_str("null");
        return;
    };
    out.push('"');
    push_bytes(out, value, Within::Json, limit);
    out.push('"');
}

fn push_client(out: &mut String, client: Option<Client>) {
    match client {
        Some(client) => push(out, format_args!("{}", client.address)),
        None => out.push_str("unix:"),
    }
}

/// `METHOD target HTTP/1.1`; the method is known.
fn push_request_line(out: &mut String, entry: &Entry<'_>, within: Within) {
    push_bytes(out, entry.method, within, METHOD);
    out.push(' ');
    push_bytes(out, entry.target.map_or(b"", Target::raw), within, TARGET);
    if let Some(version) = entry.version {
        push(out, format_args!(" {version:?}"));
    }
}

// Longest values, as they are written. Together they stay 500 below PIPE_BUF, which is more than the
// rest of a line in either format and the marks of what was cut.
const METHOD: usize = 32;
const NAME: usize = 128;
const TARGET: usize = 2048;
const REFERER: usize = 768;
const USER_AGENT: usize = 480;

#[cfg(test)]
#[cfg(feature = "cli")]
mod tests;
