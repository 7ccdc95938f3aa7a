//! A server in the comparison: who it is, where it listens, what was counted.

use super::interrupt::Interrupt;
use super::load::{self, Dose, Target};
use super::server::Server;
use super::tally::{Tally, median};
use http::{HeaderName, HeaderValue};
use std::io;
use std::net::SocketAddr;

/// A server in the comparison.
#[derive(Debug)]
pub(super) struct Contender {
    /// What it is here for.
    pub(super) role: Role,
    /// What the table calls it.
    pub(super) name: String,
    /// What it is, for those who read the figures.
    pub(super) about: String,
    /// How it was started; `None` for servers that are not ours.
    pub(super) command: Option<String>,
    /// Length of the content that it answers with, in bytes.
    pub(super) content: u64,
    /// What was counted, one after another.
    pub(super) rounds: Vec<Tally>,
    target: Target,
    server: Option<Server>,
}

/// What a server is in the comparison for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It is what this is about.
    Ferricorn,
    /// The server of one thread that the others are measured by.
    SingleThreaded,
    /// The server whose place Ferricorn would take.
    Gunicorn,
    /// It ran already.
    Url,
}

impl Role {
    /// For JSON.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ferricorn => "ferricorn",
            Self::SingleThreaded => "single-threaded",
            Self::Gunicorn => "gunicorn",
            Self::Url => "url",
        }
    }
}

/// The servers of one app, and the request they are asked.
#[derive(Debug)]
pub(super) struct Comparison {
    /// The app, or the URL.
    pub(super) subject: String,
    /// What is asked for.
    pub(super) path: String,
    /// Ferricorn, or the server at the URL, first.
    pub(super) contenders: Vec<Contender>,
    /// Who is missing, and why.
    pub(super) left_out: Vec<String>,
}

/// A request, but for the authority.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// Path and query.
    pub(super) path: String,
    /// Further fields; a Host among them replaces the server's address.
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
}

impl Question {
    /// As sent to this authority.
    pub(super) fn bytes(&self, authority: &str) -> Vec<u8> {
        let mut bytes = format!("GET {} HTTP/1.1\r\n", self.path).into_bytes();
        let mut line = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        };
        if !self.fields.iter().any(|(name, _)| name == http::header::HOST) {
            line("Host", authority.as_bytes());
        }
        for (name, value) in &self.fields {
            line(name.as_str(), value.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

/// What a contender is made of, before it has answered.
#[derive(Debug)]
pub(super) struct Candidate {
    /// What it is here for.
    pub(super) role: Role,
    /// What the table calls it.
    pub(super) name: String,
    /// What it is.
    pub(super) about: String,
    /// How it was started.
    pub(super) command: Option<String>,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// The Host that it is asked for.
    pub(super) authority: String,
    /// The process, if it is ours.
    pub(super) server: Option<Server>,
}

impl Candidate {
    /// Asks once: only a server that answers 200, with as much content as the others, is worth comparing.
    ///
    /// # Errors
    /// What it did instead.
    pub(super) fn admit(
        self,
        question: &Question,
        content: Option<u64>,
        interrupt: &Interrupt,
    ) -> Result<Contender, String> {
        let target = Target { address: self.address, request: question.bytes(&self.authority) };
        let reply = load::ask(&target, interrupt).map_err(|error| {
            let said = self.server.as_ref().map(Server::said).unwrap_or_default();
            format!("no answer to GET {}: {error}\n{said}", question.path).trim_end().to_owned()
        })?;
        if reply.status != 200 {
            return Err(format!("answers GET {} with {}, not with 200", question.path, reply.status));
        }
        if let Some(expected) = content.filter(|expected| *expected != reply.content) {
            return Err(format!(
                "answers GET {} with {} bytes of content, not with {expected} as Ferricorn does",
                question.path, reply.content
            ));
        }
        let Self { role, name, about, command, server, .. } = self;
        let content = reply.content;
        Ok(Contender { role, name, about, command, content, rounds: Vec::new(), target, server })
    }
}

impl Contender {
    /// Loads it for a while, and forgets what was counted.
    ///
    /// # Errors
    /// This process could not make a runtime for its threads.
    pub(super) fn warm_up(&self, dose: Dose, interrupt: &Interrupt) -> io::Result<()> {
        load::load(&self.target, dose, interrupt).map(drop)
    }

    /// Loads it for one round.
    ///
    /// # Errors
    /// This process could not make a runtime for its threads.
    pub(super) fn measure(&mut self, dose: Dose, interrupt: &Interrupt) -> io::Result<()> {
        let cpu_time = || self.server.as_ref().and_then(Server::cpu_time);
        let before = cpu_time();
        let mut tally = load::load(&self.target, dose, interrupt)?;
        tally.cpu = before.zip(cpu_time()).map(|(before, after)| after.saturating_sub(before));
        self.rounds.push(tally);
        Ok(())
    }

    /// Ends its process.
    pub(super) fn stop(&mut self) {
        self.server = None;
    }

    /// What it has said lately.
    pub(super) fn said(&self) -> String {
        self.server.as_ref().map(Server::said).unwrap_or_default()
    }

    /// All rounds in one.
    pub(super) fn whole(&self) -> Tally {
        let mut whole = Tally::default();
        for round in &self.rounds {
            whole.add(round);
        }
        whole
    }

    /// Answers per second: the median of the rounds.
    pub(super) fn per_second(&self) -> f64 {
        median(self.rounds.iter().map(Tally::per_second))
    }

    /// CPU time per answer in microseconds: the median of the rounds.
    pub(super) fn cpu_micros(&self) -> Option<f64> {
        let all: Option<Vec<f64>> = self.rounds.iter().map(Tally::cpu_micros).collect();
        all.filter(|rounds| !rounds.is_empty()).map(median)
    }
}

impl Comparison {
    /// The server of one thread, by which the others are measured.
    pub(super) fn measure(&self) -> Option<&Contender> {
        self.contenders.iter().find(|contender| contender.role == Role::SingleThreaded)
    }
}

#[cfg(test)]
impl Contender {
    /// One whose rounds are over.
    pub(super) fn measured(role: Role, name: &str, rounds: Vec<Tally>) -> Self {
        let target = Target { address: SocketAddr::from(([127, 0, 0, 1], 1)), request: Vec::new() };
        let (name, about) = (name.to_owned(), String::new());
        Self { role, name, about, command: None, content: 5, rounds, target, server: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_the_server_unless_told_otherwise() {
        let mut question = Question { path: "/a?b".into(), fields: Vec::new() };
        assert_eq!(question.bytes("127.0.0.1:1"), b"GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n");
        question.fields.push((http::header::HOST, HeaderValue::from_static("site")));
        assert_eq!(question.bytes("127.0.0.1:1"), b"GET /a?b HTTP/1.1\r\nhost: site\r\n\r\n");
    }
}
