//! `ferricorn systemd`: units for this app, configuration and virtual environment.

mod account;
mod command;
mod plan;
mod project;
mod unit;
mod writable;

use crate::config::Flags;
use plan::Plan;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `ferricorn systemd`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Everything that `serve` takes; the unit starts the server with it
    #[command(flatten)]
    flags: Flags,
    /// Name of the units, and of the service's own directories in /run, /var/lib and /var/log
    #[arg(long, value_name = "NAME", default_value = "ferricorn", value_parser = unit_name)]
    name: String,
    /// A socket unit too: systemd listens, and starts the service
    #[arg(long)]
    socket: bool,
    /// Directory that the app writes to; may be repeated
    #[arg(long, value_name = "DIR")]
    writable: Vec<PathBuf>,
    /// Run as a user that exists only while the service runs
    #[arg(long, conflicts_with_all = ["user", "group"])]
    dynamic_user: bool,
    /// Write the units into this directory instead of printing them
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Prints or writes the units; what was inferred is said on standard error.
///
/// `words` is the command line as it was given.
pub(super) fn run(arguments: &Arguments, words: &[OsString]) -> ExitCode {
    let loaded = match super::load(arguments.flags.clone()) {
        Ok((loaded, _)) => loaded,
        Err(code) => return code,
    };
    let plan = match Plan::infer(arguments, words, &loaded) {
        Ok(plan) => plan,
        Err(reason) => {
            super::complain(&format!("error: {reason}"));
            return ExitCode::FAILURE;
        }
    };
    for note in &plan.notes {
        super::complain(&format!("note: {note}"));
    }
    let mut units = vec![(format!("{}.service", plan.name), unit::service(&plan))];
    if arguments.socket {
        units.push((format!("{}.socket", plan.name), unit::socket(&plan)));
    }
    match &arguments.output {
        Some(directory) => write(directory, &units),
        None => super::print(&printed(&units)),
    }
}

fn write(directory: &Path, units: &[(String, String)]) -> ExitCode {
    for (name, text) in units {
        let path = directory.join(name);
        if let Err(error) = std::fs::write(&path, text) {
            super::complain(&format!("error: {} cannot be written: {error}", path.display()));
            return ExitCode::FAILURE;
        }
        super::complain(&format!("written: {}", path.display()));
    }
    ExitCode::SUCCESS
}

/// One unit is printed as it is, so that it can be sent into a file; of several each is headed by its place.
fn printed(units: &[(String, String)]) -> String {
    match units {
        [(_, text)] => text.clone(),
        _ => {
            let headed = |(name, text): &(String, String)| format!("# /etc/systemd/system/{name}\n{text}");
            units.iter().map(headed).collect::<Vec<_>>().join("\n")
        }
    }
}

/// systemd.unit(5) allows more; a path component and a word of a directory setting allow less.
fn unit_name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts_well && text.len() <= 64 && text.bytes().all(fits) && !text.ends_with(".service") {
        Ok(text.to_owned())
    } else {
        Err("a unit's name has letters, digits, -, _ and . only, and is written without .service".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_be_paths_are_refused() {
        for name in ["ferricorn", "site-2", "a.b", "X_1"] {
            assert_eq!(unit_name(name).as_deref(), Ok(name));
        }
        for name in ["", ".", "..", "a/b", "a b", "-x", "web.service", "ü", "a@b"] {
            assert!(unit_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn several_units_are_told_apart() {
        let units =
            [("a.service".to_owned(), "[Unit]\n".to_owned()), ("a.socket".to_owned(), "[Unit]\n".to_owned())];
        assert_eq!(printed(&units[..1]), "[Unit]\n");
        let both = "# /etc/systemd/system/a.service\n[Unit]\n\n# /etc/systemd/system/a.socket\n[Unit]\n";
        assert_eq!(printed(&units), both);
    }
}
