//! One request to a control socket.

use crate::sys::control_socket::ControlPlace;
use serde_json::Value;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What the server answers.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) value: Value,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error(
        "cannot reach the server at {place}: {source}; it may have ended or been restarted: `ferricorn ctl status` without --socket finds those that run"
    )]
    Connect { place: String, source: io::Error },
    #[error(
        "cannot reach the server at {place}: permission denied; root, the user of its master and members of its admin.group may"
    )]
    Denied { place: String },
    #[error(
        "no answer in time (--timeout); what was asked for may still take effect: see `ferricorn ctl status`"
    )]
    TooLate,
    #[error("the connection ended before the outcome was known: see `ferricorn ctl status`")]
    Cut,
    #[error("cannot speak with the server: {0}")]
    Io(io::Error),
    #[error("the server's answer is not understood")]
    Nonsense,
}

/// Asks, and waits for the answer until the deadline.
pub(super) fn call(
    place: &ControlPlace,
    (method, target): (&str, &str),
    deadline: Option<Instant>,
) -> Result<Answer, CallError> {
    let mut stream =
        place.connect().map_err(|source| match source.kind() == ErrorKind::PermissionDenied {
            true => CallError::Denied { place: place.to_string() },
            false => CallError::Connect { place: place.to_string(), source },
        })?;
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: ferricorn\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    limit(&stream, deadline)?;
    stream.write_all(request.as_bytes()).map_err(CallError::from)?;
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        limit(&stream, deadline)?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) if bytes.len() + length <= ANSWER_MAX => bytes.extend_from_slice(&piece[..length]),
            Ok(_) => return Err(CallError::Nonsense),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    parse(&bytes)
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        let is = |kinds: [ErrorKind; 2]| kinds.contains(&error.kind());
        if is([ErrorKind::WouldBlock, ErrorKind::TimedOut]) {
            return Self::TooLate;
        }
        if is([ErrorKind::ConnectionReset, ErrorKind::BrokenPipe]) {
            return Self::Cut;
        }
        Self::Io(error)
    }
}

/// Lets the next call wait until the deadline and no longer.
fn limit(stream: &UnixStream, deadline: Option<Instant>) -> Result<(), CallError> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if left.is_some_and(|left| left < Duration::from_millis(1)) {
        return Err(CallError::TooLate);
    }
    stream.set_read_timeout(left).and_then(|()| stream.set_write_timeout(left)).map_err(CallError::Io)
}

/// The whole of an answer, behind which the connection ended.
fn parse(bytes: &[u8]) -> Result<Answer, CallError> {
    if bytes.is_empty() {
        return Err(CallError::Cut);
    }
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = head.parse(bytes) else { return Err(CallError::Nonsense) };
    let status = head.code.ok_or(CallError::Nonsense)?;
    let content = &bytes[length..];
    // RFC 9112 8: shorter content than announced is incomplete.
    let announced = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let announced = announced.and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
    if announced.is_some_and(|announced: usize| content.len() < announced) {
        return Err(CallError::Cut);
    }
    let value = serde_json::from_slice(content).map_err(|_| CallError::Nonsense)?;
    Ok(Answer { status, value })
}

/// Far more than a traceback or a thousand workers take.
const ANSWER_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole_or_none() {
        let answer = parse(b"HTTP/1.1 409 Conflict\r\nContent-Length: 13\r\n\r\n{\"error\":\"x\"}").unwrap();
        assert_eq!((answer.status, answer.value["error"].as_str()), (409, Some("x")));
        let cut = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"error\"");
        assert!(matches!(cut, Err(CallError::Cut)));
        assert!(matches!(parse(b""), Err(CallError::Cut)));
        assert!(matches!(parse(b"HTTP/1.1 200 OK\r\n"), Err(CallError::Nonsense)));
        assert!(matches!(parse(b"HTTP/1.1 200 OK\r\n\r\nhello"), Err(CallError::Nonsense)));
    }
}
