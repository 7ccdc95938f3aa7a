//! What the command line of `bench` asks for.

use super::Failure;
use crate::config::Flags;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `ferricorn bench`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// An app, as "serve" takes it, or a running server: its http:// URL, or unix:PATH of its socket [default: the app that "serve" would serve]
    #[arg(value_name = "TARGET")]
    pub(super) targets: Vec<String>,
    /// Configuration file [default: ferricorn.toml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Number of workers, or "auto"
    #[arg(short, long, value_name = "N")]
    workers: Option<String>,
    /// App threads per worker
    #[arg(long, value_name = "N")]
    threads: Option<String>,
    /// Length of a round: seconds, or with a unit
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(super) duration: Duration,
    /// Rounds, in each of which every server is loaded once
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) rounds: u16,
    /// End a round early, after so many requests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) requests: Option<u64>,
    /// Connections, each with one request at a time
    // The compared servers of one thread let five (wsgiref) or ten (runserver) wait; more would measure
    // how long the kernel takes to repeat a lost handshake.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(super) connections: u16,
    /// Path and query that is asked for [default: that of the URL, or /]
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub(super) path: Option<String>,
    /// Field sent with every request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
    /// Method that is asked with [default: GET, or POST with --data]
    #[arg(short = 'X', long, value_name = "METHOD", value_parser = method)]
    method: Option<Method>,
    /// Content sent with every request; "@FILE" sends what is in a file
    #[arg(short, long, value_name = "TEXT")]
    data: Option<String>,
    /// Write the raw numbers to a file, or to standard output ("-") in place of the table
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Be the one-thread server of a native app that others are compared with
    #[arg(long, value_name = "NAME", hide = true)]
    pub(super) accept_loop: Option<String>,
}

impl Arguments {
    /// The flags with which `serve` would serve this app.
    pub(super) fn flags(&self, app: Option<&str>) -> Flags {
        Flags {
            app: app.map(Into::into),
            config: self.config.clone(),
            workers: self.workers.clone(),
            threads: self.threads.clone(),
            ..Flags::default()
        }
    }
}

impl Arguments {
    /// The method that is asked with.
    pub(super) fn method(&self) -> Method {
        let default = if self.data.is_some() { Method::POST } else { Method::GET };
        self.method.clone().unwrap_or(default)
    }

    /// The content that is sent.
    ///
    /// # Errors
    /// The file cannot be read, or is too long.
    pub(super) fn content(&self) -> Result<Option<Bytes>, Failure> {
        let Some(data) = &self.data else { return Ok(None) };
        let Some(file) = data.strip_prefix('@') else { return Ok(Some(data.clone().into())) };
        let content =
            read(Path::new(file)).map_err(|error| Failure::usage(format!("--data {data}: {error}")))?;
        if content.len() as u64 > LONGEST_CONTENT {
            return Err(Failure::usage(format!("--data {data}: it is longer than 64 MiB")));
        }
        Ok(Some(content.into()))
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(file)?.take(LONGEST_CONTENT + 1).read_to_end(&mut content)?;
    Ok(content)
}

/// It is kept in memory, once for each server.
const LONGEST_CONTENT: u64 = 64 << 20;

fn method(text: &str) -> Result<Method, String> {
    let method: Method = text.parse().map_err(|_| format!("{text:?} is no method"))?;
    // RFC 9110 9.3.6, 9.3.8: what answers these is not the app, or not in HTTP.
    if [Method::CONNECT, Method::TRACE].contains(&method) {
        return Err(format!("{method} is asked of proxies"));
    }
    Ok(method)
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        _ => return Err("a number of seconds, or a number with ms, s or m".into()),
    };
    let number: u64 = number.parse().map_err(|_| "it begins with a whole number".to_owned())?;
    let duration = Duration::from_millis(number.saturating_mul(factor));
    let (shortest, longest) = (Duration::from_millis(10), Duration::from_secs(3600));
    if (shortest..=longest).contains(&duration) { Ok(duration) } else { Err("between 10ms and 60m".into()) }
}

/// A target in origin-form (RFC 9112 3.2.1).
pub(super) fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("it begins with \"/\"".into());
    }
    if text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        Ok(text.into())
    } else {
        Err("spaces, \"#\" and characters beyond ASCII are written percent-encoded".into())
    }
}

fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("it is of the form NAME: VALUE")?;
    let name: HeaderName = name.trim().parse().map_err(|_| format!("{name:?} is no field name"))?;
    let framing = [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING, http::header::CONNECTION];
    if framing.contains(&name) {
        return Err(format!("{name} is the business of the load generator"));
    }
    let value = value.trim().parse().map_err(|_| "the value holds control characters".to_owned())?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_limits() {
        for (text, expected) in [
            ("5", Some(5000)),
            ("5s", Some(5000)),
            ("250ms", Some(250)),
            ("2m", Some(120_000)),
            ("1ms", None),
            ("61m", None),
            ("s", None),
            ("5h", None),
            ("99999999999999999999m", None),
            ("9999999999999999m", None),
        ] {
            assert_eq!(duration(text).ok(), expected.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn fields_that_would_change_the_framing_are_refused() {
        let (name, value) = field("Authorization:  Bearer x:y ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("authorization", "Bearer x:y"));
        for text in ["Content-Length: 3", "connection: close", "no colon", "a b: c", "a: b\nc: d"] {
            assert!(field(text).is_err(), "{text}");
        }
    }

    #[test]
    fn methods_are_those_of_apps() {
        for (text, expected) in
            [("GET", true), ("PURGE", true), ("CONNECT", false), ("A B", false), ("", false)]
        {
            assert_eq!(method(text).is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn paths_are_written_as_sent() {
        assert!(path("/a?b=%20c").is_ok());
        for text in ["a", "", "/a b", "/a#b", "/\u{e4}", "/a\r\nb"] {
            assert!(path(text).is_err(), "{text}");
        }
    }
}
