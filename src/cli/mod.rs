//! The command line: one program with subcommands; without one it serves.
#![forbid(unsafe_code)]

mod arguments;
mod bench;
mod check;
mod ctl;
mod gunicorn;
pub(crate) mod interpreter;
#[cfg(feature = "jwt")]
pub mod jwt;
mod print_config;
mod systemd;
#[cfg(feature = "issue")]
mod user;

use crate::config::{Config, Flags, Loaded, Reloader};
use arguments::Command;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs the program with these arguments, of which the first is its name.
///
/// Exit codes: 0 ended as asked, 1 failed, 2 usage or configuration, 3 the app did not load, 4 an address was not
/// bound.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let words = arguments.clone();
    let command = match arguments::parse(arguments) {
        Ok(command) => command,
        Err(code) => return code,
    };
    match command {
        Command::Serve(serve) if serve.check_config => check::run(serve.flags, check::Depth::Apps),
        Command::Serve(serve) if serve.print_config => {
            print_config::run(print_config::Arguments::plain(serve.flags))
        }
        Command::Serve(serve) => serve_or_fail(serve.flags),
        Command::Check(flags) => check::run(flags, check::Depth::Configuration),
        Command::PrintConfig(arguments) => print_config::run(arguments),
        Command::Ctl(arguments) => ctl::run(&arguments),
        Command::Systemd(own) => systemd::run(&own, &words),
        #[cfg(feature = "jwt")]
        Command::Jwt(arguments) => jwt::run(arguments),
        #[cfg(feature = "issue")]
        Command::User(arguments) => user::run(arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    }
}

/// The flags of a program that brings its own app: those of `ferricorn serve`, without APP.
///
/// # Errors
/// The exit code when nothing is left to do: help or a complaint has been printed.
pub fn own_flags(arguments: impl IntoIterator<Item = OsString>) -> Result<Flags, ExitCode> {
    arguments::parse_own(arguments.into_iter().collect())
}

fn serve_or_fail(flags: Flags) -> ExitCode {
    if let Err(error) = crate::sys::reserved_signals::forget_ignored() {
        complain(&format!("cannot set signals: {error}"));
        return ExitCode::FAILURE;
    }
    let handover = match crate::serve::take_over() {
        Ok(handover) => handover,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    let proven = handover.as_ref().and_then(|handover| handover.proven_config().cloned());
    match load_from(flags, proven) {
        Ok((loaded, reloader)) => crate::serve::serve(loaded, reloader, handover),
        Err(code) => code,
    }
}

/// Loads the configuration, or prints what is wrong with it.
fn load(flags: Flags) -> Result<(Loaded, Reloader), ExitCode> {
    load_from(flags, None)
}

/// The same, from what has been proven where there is such.
fn load_from(
    flags: Flags,
    proven: Option<Option<(PathBuf, String)>>,
) -> Result<(Loaded, Reloader), ExitCode> {
    let refuse = |message: String| {
        complain(&with_hint(message));
        ExitCode::from(USAGE)
    };
    if let Some(message) = flags.config.as_deref().and_then(gunicorn::foreign_file) {
        return Err(refuse(message));
    }
    let mut reloader =
        Reloader::new(flags).map_err(|error| refuse(format!("the current directory is gone: {error}")))?;
    reloader = reloader.looking_for_app();
    if let Some(file) = proven {
        reloader = reloader.pinned(file);
    }
    let loaded = reloader.load().map_err(|errors| refuse(errors.to_string()))?;
    Ok((loaded, reloader))
}

/// A complaint, and where a configuration for Gunicorn seems to be waiting to be read.
fn with_hint(message: String) -> String {
    match gunicorn::hint(Path::new("."), |name| std::env::var_os(name)) {
        Some(hint) => format!("{message}\n{hint}"),
        None => message,
    }
}

/// Goes where the server of this configuration works: what it names is relative to that directory.
fn enter(config: &Config) -> Result<(), String> {
    let Some(directory) = &config.server.chdir else { return Ok(()) };
    std::env::set_current_dir(directory)
        .map_err(|error| format!("server.chdir: {} cannot be entered: {error}", directory.display()))
}

/// Writes lines to standard output; 0 unless they could not be written.
fn print(text: &str) -> ExitCode {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough, as `head` does.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Writes lines to standard error.
pub(crate) fn complain(text: &str) {
    // Nobody is left to be told when this fails.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// The exit code for a usage or configuration error.
const USAGE: u8 = 2;
