//! Takes the command line apart.

#[cfg(feature = "jwt")]
use super::jwt;
#[cfg(feature = "issue")]
use super::user;
use super::{bench, ctl, gunicorn, print_config, systemd};
use crate::config::Flags;
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;
use std::process::ExitCode;

/// Application server with pre-forked workers: Rust, Python (WSGI, ASGI) and static apps, JWT built in.
#[derive(Debug, Parser)]
#[command(
    name = "ferricorn",
    // Also where it is run as `python -m ferricorn`.
    bin_name = "ferricorn",
    version,
    args_override_self = true,
    after_help = "Without a command, \"serve\" is meant."
)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Serve until told to stop
    Serve(Serve),
    /// Check the configuration: all errors at once, exit code 2 if there are any
    Check(Flags),
    /// Print the effective configuration
    PrintConfig(print_config::Arguments),
    /// Control a running server, or see how it is
    Ctl(ctl::Arguments),
    /// Print systemd units for this app, configuration and virtual environment
    Systemd(systemd::Arguments),
    /// Make keys, sign and verify tokens
    #[cfg(feature = "jwt")]
    Jwt(jwt::Arguments),
    /// Manage the users of auth.users with kind = "own", and end sessions
    #[cfg(feature = "issue")]
    User(user::Arguments),
    /// Load an app, beside a single-threaded server of the same app
    Bench(bench::Arguments),
}

/// `ferricorn serve`
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    pub(super) flags: Flags,
    /// Do what "check" does, load the apps, and no more: exit code 3 if one does not load
    #[arg(long)]
    pub(super) check_config: bool,
    /// Do what "print-config" does, and no more
    #[arg(long)]
    pub(super) print_config: bool,
}

/// A program that brings its own app.
#[derive(Debug, Parser)]
#[command(args_override_self = true, mut_arg("app", |app| app.hide(true)))]
struct OwnProgram {
    #[command(flatten)]
    flags: Flags,
}

/// The flags of a program that brings its own app.
///
/// # Errors
/// The exit code when nothing is left to do: help or a complaint has been printed.
pub(super) fn parse_own(arguments: Vec<OsString>) -> Result<Flags, ExitCode> {
    let parsed = gunicorn::adapt(arguments).map(OwnProgram::try_parse_from);
    let complaint = match parsed {
        Err(problems) => problems,
        Ok(Ok(OwnProgram { flags })) => match &flags.app {
            None => return Ok(flags),
            Some(app) => format!("error: {app:?} is no flag; this program serves its own app"),
        },
        Ok(Err(error)) if error.kind() == ErrorKind::DisplayHelp => {
            return Err(super::print(&error.to_string()));
        }
        Ok(Err(error)) => error.to_string(),
    };
    super::complain(complaint.trim_end());
    Err(ExitCode::from(super::USAGE))
}

/// What the command line asks for.
///
/// # Errors
/// The exit code when nothing is left to do: help or a complaint has been printed.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Command, ExitCode> {
    let refuse = |message: &str| {
        super::complain(message.trim_end());
        ExitCode::from(super::USAGE)
    };
    let mut arguments = with_command(arguments);
    // The other commands have flags of their own, which may be spelt as some of Gunicorn's are.
    if arguments[1..].first().is_some_and(|command| SERVING.iter().any(|serving| command == serving)) {
        arguments = gunicorn::adapt(arguments).map_err(|problems| refuse(&super::with_hint(problems)))?;
    }
    match Program::try_parse_from(arguments) {
        Ok(Program { command }) => match misplaced(&command) {
            None => Ok(command),
            Some(message) => Err(refuse(&message)),
        },
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Err(super::print(&error.to_string()))
        }
        Err(error) => Err(refuse(&perhaps_a_module(&error).unwrap_or_else(|| error.to_string()))),
    }
}

/// Puts "serve" before flags and apps that stand without a command.
fn with_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.is_empty() {
        arguments.push("ferricorn".into());
    }
    let explicit = arguments.get(1).and_then(|first| first.to_str()).is_some_and(|first| {
        let about_program = ["-h", "--help", "-V", "--version"].contains(&first);
        // A word that is neither flag nor app is a command, perhaps misspelt: clap knows what to say.
        let word =
            first.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') && !first.starts_with('-');
        about_program || (word && !DEMO_APPS.contains(&first))
    });
    if !explicit {
        arguments.insert(1, "serve".into());
    }
    arguments
}

/// `ferricorn -c x check` would serve a Python module called check.
fn misplaced(command: &Command) -> Option<String> {
    let Command::Serve(serve) = command else { return None };
    let app = serve.flags.app.as_deref().filter(|app| COMMANDS.contains(app))?;
    Some(format!("error: \"{app}\" is a command; write it first: ferricorn {app} ..."))
}

/// A bare module needs the command written out.
fn perhaps_a_module(error: &clap::Error) -> Option<String> {
    match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word))) => {
            Some(format!("{error}\nTo serve a Python module of this name: ferricorn serve {word}"))
        }
        _ => None,
    }
}

const COMMANDS: [&str; 8] = ["serve", "check", "print-config", "ctl", "systemd", "jwt", "user", "bench"];

/// Commands that take what Gunicorn's command line takes.
const SERVING: [&str; 3] = ["serve", "check", "print-config"];

const DEMO_APPS: [&str; 3] = ["hello", "echo", "status"];

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn serve_is_meant_where_no_command_stands() {
        for (line, expected) in [
            ("ferricorn", "ferricorn serve"),
            ("ferricorn -b :9000", "ferricorn serve -b :9000"),
            ("ferricorn hello", "ferricorn serve hello"),
            ("ferricorn mysite.wsgi:application -w 2", "ferricorn serve mysite.wsgi:application -w 2"),
            ("ferricorn native:echo", "ferricorn serve native:echo"),
            ("ferricorn check -c x", "ferricorn check -c x"),
            ("ferricorn --version", "ferricorn --version"),
            ("ferricorn chekc", "ferricorn chekc"),
        ] {
            assert_eq!(with_command(words(line)), words(expected), "{line}");
        }
    }

    #[test]
    fn every_flag_of_the_stable_command_line_is_taken() {
        let line = "ferricorn serve m:app -c f.toml -b :1 -b unix:x -w 2 --threads 3 -t 30 -p x.pid -u u -g g -m 027 \
                    -e A=1 -e B=2 --graceful-timeout 5 --keep-alive 2s --max-requests 9 --max-requests-jitter 1 --preload \
                    --chdir / --pythonpath a,b --backlog 5 --access-logfile - --access-logformat json \
                    --error-logfile - --log-level debug --log-format json --forwarded-allow-ips * \
                    --worker-connections 100 --limit-request-line 4094 --limit-request-fields 50 \
                    --static /s=dir --check-config --print-config -k gthread --unix-mode 0660";
        let Command::Serve(serve) = Program::try_parse_from(words(line)).unwrap().command else {
            panic!("{line}");
        };
        assert_eq!(serve.flags.bind, [":1", "unix:x"]);
        assert_eq!(serve.flags.env, ["A=1", "B=2"]);
        assert_eq!(serve.flags.timeout.as_deref(), Some("30"));
        assert!(serve.check_config && serve.print_config);
    }

    #[test]
    fn a_repeated_flag_counts_as_it_was_said_last() {
        let command =
            Program::try_parse_from(words("ferricorn serve -w 2 -b :1 -w 3 -b :2")).unwrap().command;
        let Command::Serve(serve) = command else { panic!("{command:?}") };
        assert_eq!(serve.flags.workers.as_deref(), Some("3"));
        assert_eq!(serve.flags.bind, [":1", ":2"]);
    }

    #[test]
    fn a_command_behind_flags_is_not_taken_for_an_app() {
        let command = Program::try_parse_from(with_command(words("ferricorn -b :1 check"))).unwrap().command;
        assert!(misplaced(&command).unwrap().contains("write it first"));
    }

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        use clap::CommandFactory;
        Program::command().debug_assert();
    }
}
