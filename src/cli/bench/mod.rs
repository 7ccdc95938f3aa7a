//! `ferricorn bench`: load on an app, beside a single-threaded server of the same app and, where it is installed,
//! Gunicorn.
//!
//! Servers are children on the loopback. All run at once and are loaded in turns, so that a change of the machine's
//! mood meets everybody.

mod accept_loop;
mod arguments;
mod contender;
mod interrupt;
mod link;
mod load;
mod log;
mod machine;
mod python;
mod question;
mod report;
mod response;
mod server;
mod start;
mod subject;
mod tally;

pub(super) use arguments::Arguments;

use contender::Comparison;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use interrupt::Interrupt;
use load::Dose;
use machine::Machine;
use question::Question;
use report::{Look, Run};
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;
use subject::Subject;

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let done = match &arguments.accept_loop {
        Some(app) => subject::loaded(arguments, Some(app)).and_then(|loaded| {
            accept_loop::serve(app, &loaded.config).map_err(|error| Failure::failed(error.to_string()))
        }),
        None => bench(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed { code, text }) => {
            super::complain(&text);
            ExitCode::from(code)
        }
        Err(Failure::Interrupted) => {
            super::complain("interrupted; all servers have been ended");
            ExitCode::FAILURE
        }
    }
}

/// Why there are no figures.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// What to say, and the exit code.
    Failed {
        /// As everywhere: 1 failed, 2 usage or configuration, 3 the app did not load, 4 an address was not bound.
        code: u8,
        /// For people.
        text: String,
    },
    /// Somebody wanted this process to end.
    Interrupted,
}

impl Failure {
    fn failed(text: String) -> Self {
        Self::Failed { code: 1, text }
    }

    fn usage(text: String) -> Self {
        Self::Failed { code: super::USAGE, text }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

fn bench(arguments: &Arguments) -> Result<(), Failure> {
    let subjects = subject::subjects(arguments)?;
    if subjects.iter().any(Subject::has_python_app) {
        super::interpreter::become_python().map_err(Failure::usage)?;
    }
    let content = arguments.content()?;
    let interrupt = Interrupt::catch()?;
    let mut comparisons = Vec::with_capacity(subjects.len());
    for subject in &subjects {
        let path = arguments.path.clone().or_else(|| subject.path().map(Into::into));
        let question = Question {
            method: arguments.method(),
            path: path.unwrap_or_else(|| "/".into()),
            fields: arguments.fields.clone(),
            content: content.clone(),
        };
        comparisons.push(match subject {
            Subject::App(app) => start::app(app, &question, &interrupt)?,
            Subject::Running { server, .. } => start::running(server, &question, &interrupt)?,
        });
    }
    let machine = Machine::this();
    let dose = Dose {
        connections: arguments.connections,
        // The other half is left to the servers.
        threads: (machine.cpus / 2).max(1),
        duration: arguments.duration,
        requests: arguments.requests,
    };
    measure(&mut comparisons, dose, arguments.rounds, &interrupt)?;
    for contender in comparisons.iter_mut().flat_map(|comparison| &mut comparison.contenders) {
        contender.stop();
    }
    report(
        arguments,
        &Run { machine, dose, rounds: arguments.rounds, fields: &arguments.fields, comparisons },
    )
}

/// Loads everybody in turns.
fn measure(
    comparisons: &mut [Comparison],
    dose: Dose,
    rounds: u16,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let contenders: usize = comparisons.iter().map(|comparison| comparison.contenders.len()).sum();
    let progress = progress(contenders as u64 * (u64::from(rounds) + 1));
    let warm_up = Dose {
        duration: dose.duration.min(WARM_UP),
        requests: dose.requests.map(|requests| requests.min(WARM_UP_REQUESTS)),
        ..dose
    };
    for round in 0..=rounds {
        for contender in comparisons.iter_mut().flat_map(|comparison| &mut comparison.contenders) {
            let stage = if round == 0 { "warm-up".into() } else { format!("round {round} of {rounds}") };
            progress.set_message(format!("{stage}: {}", contender.name));
            if round == 0 {
                contender.warm_up(warm_up, interrupt)?;
            } else {
                contender.measure(dose, interrupt)?;
            }
            if interrupt.has_happened() {
                progress.finish_and_clear();
                return Err(Failure::Interrupted);
            }
            if round > 0 && contender.rounds.last().is_some_and(|tally| tally.answers() == 0) {
                progress.finish_and_clear();
                let said = contender.said();
                return Err(Failure::failed(format!("{} answers no more:\n{said}", contender.name)));
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// A bar on standard error, where that is a terminal.
fn progress(length: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    // The template is a constant; a bar without it would do as well.
    if let Ok(style) = ProgressStyle::with_template("{wide_msg} {bar:30} {elapsed}/{duration}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Prints the table, or writes the raw numbers, or both.
fn report(arguments: &Arguments, run: &Run<'_>) -> Result<(), Failure> {
    let printed = match &arguments.json {
        Some(file) if file.as_os_str() == "-" => super::print(&report::json(run)),
        file => {
            if let Some(file) = file {
                std::fs::write(file, report::json(run)).map_err(|error| {
                    Failure::failed(format!("{} cannot be written: {error}", file.display()))
                })?;
            }
            super::print(&report::text(run, Look::of_standard_output()))
        }
    };
    if printed == ExitCode::SUCCESS {
        return Ok(());
    }
    Err(Failure::failed("standard output cannot be written".into()))
}

/// Before the first round: caches fill, lazy imports happen.
const WARM_UP: Duration = Duration::from_secs(2);
const WARM_UP_REQUESTS: u64 = 200;
