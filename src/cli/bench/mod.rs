//! `ferricorn bench`: load on an app, beside a single-threaded server of the same app and, where it is installed,
//! Gunicorn.
//!
//! Servers are children on the loopback. All run at once and are loaded in turns, so that a change of the machine's
//! mood meets everybody.

mod accept_loop;
mod arguments;
mod contender;
mod interrupt;
mod load;
mod log;
mod machine;
mod python;
mod report;
mod response;
mod server;
mod start;
mod tally;

pub(super) use arguments::Arguments;

use crate::config::{Loaded, Reloader};
use contender::{Comparison, Question};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use interrupt::Interrupt;
use load::Dose;
use machine::Machine;
use report::{Look, Run};
use start::AppToServe;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let done = match &arguments.accept_loop {
        Some(app) => loaded(arguments, Some(app)).and_then(|loaded| {
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
    let subjects = subjects(arguments)?;
    let has_python_app = |subject: &Subject| match subject {
        Subject::App(app) => app.loaded.config.has_python_app(),
        Subject::Url { .. } => false,
    };
    if subjects.iter().any(has_python_app) {
        crate::serve::become_python().map_err(Failure::usage)?;
    }
    let interrupt = Interrupt::catch()?;
    let mut comparisons = Vec::with_capacity(subjects.len());
    for subject in &subjects {
        let path = arguments.path.clone();
        let comparison = match subject {
            Subject::App(app) => {
                let question =
                    Question { path: path.unwrap_or_else(|| "/".into()), fields: arguments.fields.clone() };
                start::app(app, &question, &interrupt)?
            }
            Subject::Url { authority, path: own } => {
                let question =
                    Question { path: path.unwrap_or_else(|| own.clone()), fields: arguments.fields.clone() };
                start::url(authority, &question, &interrupt)?
            }
        };
        comparisons.push(comparison);
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

/// What is loaded.
#[derive(Debug)]
enum Subject {
    /// An app, served here.
    App(Box<AppToServe>),
    /// A server that runs already.
    Url { authority: String, path: String },
}

fn subjects(arguments: &Arguments) -> Result<Vec<Subject>, Failure> {
    if arguments.targets.is_empty() {
        return Ok(vec![Subject::App(Box::new(app_to_serve(arguments, None)?))]);
    }
    let subject = |target: &String| match target.split_once("://") {
        Some(("http", rest)) => url(rest).map_err(|text| Failure::usage(format!("{target}: {text}"))),
        Some(_) => Err(Failure::usage(format!("{target}: only http:// URLs can be loaded"))),
        None => Ok(Subject::App(Box::new(app_to_serve(arguments, Some(target))?))),
    };
    arguments.targets.iter().map(subject).collect()
}

/// Takes what follows "http://" apart.
fn url(rest: &str) -> Result<Subject, String> {
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    // RFC 9110 4.2.4: names and passwords do not belong in URLs; they would end up in Host.
    if authority.is_empty() || authority.contains('@') {
        return Err("it is of the form http://HOST:PORT/PATH".into());
    }
    Ok(Subject::Url { authority: authority.to_owned(), path: arguments::path(&path)? })
}

fn app_to_serve(arguments: &Arguments, target: Option<&str>) -> Result<AppToServe, Failure> {
    let loaded = loaded(arguments, target)?;
    let flags = arguments.flags(target);
    let named = [
        ("--config", flags.config.map(OsString::from)),
        ("--workers", flags.workers.map(OsString::from)),
        ("--threads", flags.threads.map(OsString::from)),
    ];
    let mut words: Vec<OsString> = target.iter().map(OsString::from).collect();
    for (flag, value) in named {
        words.extend(value.into_iter().flat_map(|value| [flag.into(), value]));
    }
    let subject = target.map_or_else(|| default_subject(&loaded), Into::into);
    Ok(AppToServe { subject, loaded, arguments: words })
}

fn default_subject(loaded: &Loaded) -> String {
    loaded.file.as_ref().map_or_else(|| "the demo app".into(), |file| file.display().to_string())
}

fn loaded(arguments: &Arguments, target: Option<&str>) -> Result<Loaded, Failure> {
    let mut reader = Reloader::new(arguments.flags(target))?;
    reader.load().map_err(|errors| Failure::usage(errors.to_string()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (rest, expected) in [
            ("127.0.0.1:8000", Some(("127.0.0.1:8000", "/"))),
            ("host/a?b=c", Some(("host", "/a?b=c"))),
            ("[::1]:80?x", Some(("[::1]:80", "/?x"))),
            ("host/a#b", Some(("host", "/a"))),
            ("", None),
            ("/path", None),
            ("user:password@host/", None),
            ("host/a b", None),
        ] {
            let found = url(rest).ok().map(|subject| match subject {
                Subject::Url { authority, path } => (authority, path),
                Subject::App(_) => unreachable!("a URL"),
            });
            assert_eq!(found, expected.map(|(authority, path)| (authority.into(), path.into())), "{rest}");
        }
    }
}
