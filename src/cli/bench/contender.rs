//! A server in the comparison: who it is, where it listens, what was counted.

use super::interrupt::Interrupt;
use super::link::{Address, Target};
use super::load::{self, Dose};
use super::question::Question;
use super::response::Reply;
use super::server::Server;
use super::tally::{Tally, median};
use std::io;

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
    /// What it answered when it was first asked.
    pub(super) reply: Reply,
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
    /// What is asked.
    pub(super) question: Question,
    /// Ferricorn, or the server at the URL, first.
    pub(super) contenders: Vec<Contender>,
    /// Who is missing, and why.
    pub(super) left_out: Vec<String>,
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
    pub(super) address: Address,
    /// The Host that it is asked for.
    pub(super) authority: String,
    /// The process, if it is ours.
    pub(super) server: Option<Server>,
}

impl Candidate {
    /// Asks once: only a server that answers 2xx, as the others do, is worth comparing.
    ///
    /// # Errors
    /// What it did instead.
    pub(super) fn admit(
        self,
        question: &Question,
        others: Option<Reply>,
        interrupt: &Interrupt,
    ) -> Result<Contender, String> {
        let Self { role, name, about, command, address, authority, server } = self;
        let target = Target { address, request: question.bytes(&authority), expects: question.expects() };
        let asked = format!("{} {}", question.method, question.path);
        let reply = load::ask(&target, interrupt).map_err(|error| {
            let said = server.as_ref().map(Server::said).unwrap_or_default();
            format!("no answer to {asked}: {error}\n{said}").trim_end().to_owned()
        })?;
        if !(200..300).contains(&reply.status) {
            return Err(format!("answers {asked} with {}, not with 2xx", reply.status));
        }
        if let Some(expected) = others.filter(|expected| expected.status != reply.status) {
            return Err(format!("answers {asked} with {}, not with {}", reply.status, expected.status));
        }
        let differs = |expected: &Reply| question.is_safe() && expected.content != reply.content;
        if let Some(expected) = others.filter(differs) {
            return Err(format!(
                "answers {asked} with {} bytes of content, not with {} as Ferricorn does",
                reply.content, expected.content
            ));
        }
        Ok(Contender { role, name, about, command, reply, rounds: Vec::new(), target, server })
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
use super::response::{Expects, Persistence};

#[cfg(test)]
impl Contender {
    /// One whose rounds are over.
    pub(super) fn measured(role: Role, name: &str, rounds: Vec<Tally>) -> Self {
        let address = Address::Tcp(([127, 0, 0, 1], 1).into());
        let target = Target { address, request: Vec::new(), expects: Expects::Content };
        let reply = Reply { status: 200, content: 5, persistence: Persistence::Kept };
        let (name, about) = (name.to_owned(), String::new());
        Self { role, name, about, command: None, reply, rounds, target, server: None }
    }
}
