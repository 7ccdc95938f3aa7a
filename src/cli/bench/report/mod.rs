//! What was measured: for people, and as raw numbers.

mod json;
mod plot;
mod table;

pub(super) use json::json;

use super::contender::Comparison;
use super::load::Dose;
use super::machine::Machine;
use http::{HeaderName, HeaderValue};
use std::fmt::Write;
use std::io::IsTerminal;

/// One run, over.
#[derive(Debug)]
pub(super) struct Run<'a> {
    /// Where.
    pub(super) machine: Machine,
    /// The load of each round.
    pub(super) dose: Dose,
    /// How many rounds there were.
    pub(super) rounds: u16,
    /// Fields that were sent with every request.
    pub(super) fields: &'a [(HeaderName, HeaderValue)],
    /// What was measured.
    pub(super) comparisons: Vec<Comparison>,
}

/// What the reader's screen can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// ASCII: a file, a pipe.
    Plain,
    /// Block elements, no colours (`NO_COLOR`).
    Blocks,
    /// Block elements in colours.
    Colours,
}

impl Look {
    /// What standard output can show.
    pub(super) fn of_standard_output() -> Self {
        let no_colours = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match (std::io::stdout().is_terminal(), no_colours) {
            (false, _) => Self::Plain,
            (true, true) => Self::Blocks,
            (true, false) => Self::Colours,
        }
    }
}

/// Table, plot and notes.
pub(super) fn text(run: &Run<'_>, look: Look) -> String {
    let mut text = String::new();
    for comparison in &run.comparisons {
        let _ = writeln!(text, "{} of {}", comparison.question.title(), comparison.subject);
        let _ = writeln!(text, "{}\n", load_line(run));
        text.push_str(&table::table(comparison));
        text.push('\n');
        text.push_str(&plot::throughput(comparison, look));
        text.push('\n');
        text.push_str(&plot::latency(comparison, look));
        text.push('\n');
        for contender in &comparison.contenders {
            let _ = writeln!(text, "{}: {}", contender.name, contender.about);
        }
        for reason in &comparison.left_out {
            let _ = writeln!(text, "left out: {reason}");
        }
        text.push('\n');
    }
    let Machine { cpu, cpus, kernel } = &run.machine;
    let _ = writeln!(text, "{cpu}, {cpus} CPUs for servers and load together, Linux {kernel}");
    if cfg!(debug_assertions) {
        text.push_str("This is a debug build of Ferricorn: its figures mean nothing.\n");
    }
    text
}

fn load_line(run: &Run<'_>) -> String {
    let Dose { connections, duration, requests, .. } = run.dose;
    let limit = requests.map(|requests| format!(" or {requests} requests")).unwrap_or_default();
    let (c, r) = (plural(connections), plural(run.rounds));
    format!(
        "{connections} connection{c}, {rounds} round{r} of {duration:?}{limit} each, in turns; closed loop: each connection waits for \
         its answer,\nso the percentiles are those of requests that were made, not of arrivals at a fixed rate",
        rounds = run.rounds,
    )
}

fn plural(count: u16) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests;
