//! One request in flight, as whoever asks is told of it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A request that a worker has, or had when it died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the logs.
    pub id: u64,
    /// The method as sent; 16 bytes at most.
    pub method: Vec<u8>,
    /// The target as sent, or its beginning.
    pub target: Vec<u8>,
    /// Whether the target goes on.
    pub is_cut: bool,
    /// Who asks; `None` on UNIX sockets.
    pub client: Option<Client>,
    /// Where the request is.
    pub stage: Stage,
    /// The thread that is in the app (gettid(2)); `None` where calls do not block a thread.
    pub thread: Option<i32>,
    /// When its head was complete, or, while it is not, when it began; by `sys::clock::monotonic_ns`.
    pub since_ns: u64,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The address; an IPv4 one that came over an IPv6 socket is an IPv4 address.
    pub address: IpAddr,
    /// The port; a proxy seldom tells it.
    pub port: Option<u16>,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It arrives: its head, or its content.
    Reading,
    /// It waits for an app thread.
    Queued,
    /// The app has it.
    App,
    /// The response is on its way; an app that does not block a thread may still be making the rest of it.
    Writing,
}

impl Entry {
    /// How long ago that was.
    pub fn age(&self, now_ns: u64) -> Duration {
        Duration::from_nanos(now_ns.saturating_sub(self.since_ns))
    }

    /// The entry in words: `GET /x (id 00…, client 127.0.0.1:50000, 12ms, in app)`.
    pub fn describe(&self, now_ns: u64) -> String {
        let Self { id, client, stage, .. } = self;
        let client = client.map_or_else(|| "unix".to_owned(), |client| client.to_string());
        // Nanoseconds tell nobody anything here.
        let age = Duration::from_millis(u64::try_from(self.age(now_ns).as_millis()).unwrap_or(u64::MAX));
        format!("{} (id {id:016x}, client {client}, {age:?}, {stage})", self.line())
    }

    /// Method and target, with everything escaped that is no printable ASCII.
    pub fn line(&self) -> String {
        let cut = if self.is_cut { "..." } else { "" };
        let line = format!("{} {}{cut}", self.method.escape_ascii(), self.target.escape_ascii());
        // Nothing is known of one whose first byte is all that has arrived.
        line.trim_start().to_owned()
    }
}

impl Stage {
    /// Its name: `reading`, `queued`, `in app`, `writing`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Queued => "queued",
            Self::App => "in app",
            Self::Writing => "writing",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_put_in_words_on_one_line() {
        let client = |address: &str, port| Some(Client { address: address.parse().unwrap(), port });
        let rows: [(&[u8], bool, Option<Client>, &str); 3] = [
            (b"/x", false, None, "GET /x (id 000000000000002a, client unix, 12ms, queued)"),
            (
                b"/a\r\n\x1b\xff",
                true,
                client("::1", Some(5)),
                "GET /a\\r\\n\\x1b\\xff... (id 000000000000002a, client [::1]:5, 12ms, queued)",
            ),
            (
                b"*",
                false,
                client("192.0.2.1", None),
                "GET * (id 000000000000002a, client 192.0.2.1, 12ms, queued)",
            ),
        ];
        for (target, is_cut, client, expected) in rows {
            let entry = Entry {
                id: 42,
                method: b"GET".to_vec(),
                target: target.to_vec(),
                is_cut,
                client,
                stage: Stage::Queued,
                thread: None,
                since_ns: 1_000,
            };
            assert_eq!(entry.describe(12_345_678), expected);
        }
    }
}
