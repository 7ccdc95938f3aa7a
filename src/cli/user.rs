//! `ferricorn user`: the users of our own table, and everybody's sessions.

use crate::auth::store::feed::now_seconds;
use crate::auth::store::{Backend, EndReason, StorePlace, UserChange, UserKey};
use crate::auth::users::django::Table;
use crate::auth::users::typed::{NAME_LONGEST, PASSWORD_LONGEST, is_blank};
use crate::auth::users::{Lookup, password};
use crate::config::{Auth, Flags, Preset, Reloader, UserKind};
use crate::sys::terminal;
use clap::{Args, Subcommand};
use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// `ferricorn user …`
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Configuration file; default: as for "serve"
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a user; the password is asked for, or read from standard input
    Add { name: String },
    /// List the users
    List,
    /// Give a user another password, which ends its sessions
    Passwd { name: String },
    /// Let a user log in no more, and end its sessions
    Disable { name: String },
    /// Let a user log in again
    Enable { name: String },
    /// End all sessions of a user
    Logout {
        name: String,
        /// The user is named as tokens name it, not as it logs in; with kind = "python" always
        #[arg(long)]
        id: bool,
    },
}

/// Why it failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Wrong arguments or configuration: exit 2.
    #[error("{0}")]
    Usage(String),
    /// There is no such user or no store, or there is one already: exit 1.
    #[error("{0}")]
    Negative(String),
}

/// Runs the command; 0 done, 1 there is no such user or no store, 2 wrong arguments or configuration.
pub(super) fn run(arguments: Arguments) -> ExitCode {
    match outcome(arguments) {
        Ok(text) => super::print(&text),
        Err(failure) => {
            super::complain(&format!("ferricorn user: {failure}"));
            match failure {
                Failure::Usage(_) => ExitCode::from(super::USAGE),
                Failure::Negative(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn outcome(Arguments { command, config }: Arguments) -> Result<String, Failure> {
    let auth = issuing(config)?;
    check_kind(&command, &auth)?;
    let missing = match command {
        Command::Add { .. } => Missing::Make,
        Command::List
        | Command::Passwd { .. }
        | Command::Disable { .. }
        | Command::Enable { .. }
        | Command::Logout { .. } => Missing::Refuse,
    };
    let Opened { auth, mut store, .. } = open_store(auth, missing)?;
    perform(&command, &auth, store.as_mut())
}

/// The store of a configuration, as its server opens it.
pub(super) struct Opened {
    pub(super) auth: Auth,
    pub(super) place: StorePlace,
    pub(super) store: Box<dyn Backend>,
}

/// What is done about a store that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    /// No user and no session is in it: whoever asks for one looks in another place than the server.
    Refuse,
}

/// Opens that of a server which is there.
pub(super) fn open(config: Option<PathBuf>) -> Result<Opened, Failure> {
    open_store(issuing(config)?, Missing::Refuse)
}

/// What a configuration says of tokens that its server issues, in whose directory we are then.
fn issuing(config: Option<PathBuf>) -> Result<Auth, Failure> {
    let flags = Flags { config, ..Flags::default() };
    let loaded = Reloader::new(flags).map_err(usage)?.load().map_err(usage)?;
    // The default place of the store, and relative ones, depend on it.
    super::enter(&loaded.config).map_err(usage)?;
    loaded
        .config
        .auth
        .filter(Auth::issues)
        .ok_or_else(|| usage("this configuration issues no tokens; write [auth.issue] with enabled = true"))
}

fn open_store(auth: Auth, missing: Missing) -> Result<Opened, Failure> {
    let directory = std::env::current_dir().map_err(usage)?;
    let place = StorePlace::of(&auth, &directory).map_err(usage)?;
    if missing == Missing::Refuse && !place.exists() {
        return Err(negative(format!(
            "there is no store at {place}, which a server makes when it starts; {AS_SERVER}"
        )));
    }
    let store = place.open().map_err(usage)?;
    Ok(Opened { auth, place, store })
}

fn check_kind(command: &Command, auth: &Auth) -> Result<(), Failure> {
    let elsewhere = match auth.users.kind {
        UserKind::Own => None,
        UserKind::Django | UserKind::Python => Some("in Django"),
        UserKind::File => Some("in the file of auth.users.file"),
    };
    match elsewhere.filter(|_| !matches!(command, Command::Logout { .. })) {
        Some(place) => {
            Err(usage(format!("the users are not the server's own (auth.users.kind); manage them {place}")))
        }
        None => Ok(()),
    }
}

fn perform(command: &Command, auth: &Auth, store: &mut dyn Backend) -> Result<String, Failure> {
    let now = now_seconds();
    match command {
        Command::Add { name } => {
            check_name(name)?;
            let hash = ask_password(auth.preset)?;
            change(store, name, UserChange::Add(&hash), "there is a user of that name already")?;
            Ok(format!("added {name}\n"))
        }
        Command::List => list(store),
        Command::Passwd { name } => {
            id_of(store, name)?;
            let hash = ask_password(auth.preset)?;
            change(store, name, UserChange::Password(&hash), NO_USER)?;
            let id = id_of(store, name)?;
            let ended = end_sessions(store, &id, now)?;
            Ok(format!("changed the password of {name}, {ended} session(s) ended\n"))
        }
        Command::Disable { name } => {
            change(store, name, UserChange::Active(false), NO_USER)?;
            let id = id_of(store, name)?;
            let ended = end_sessions(store, &id, now)?;
            Ok(format!("disabled {name}, {ended} session(s) ended\n"))
        }
        Command::Enable { name } => {
            change(store, name, UserChange::Active(true), NO_USER)?;
            Ok(format!("enabled {name}\n"))
        }
        Command::Logout { name, id } => {
            let ended = if *id { end_sessions(store, name, now)? } else { log_out(auth, store, name)? };
            Ok(format!("{ended} session(s) ended\n"))
        }
    }
}

/// Ends all sessions of a user, by the name of logins; how many.
pub(super) fn log_out(auth: &Auth, store: &mut dyn Backend, name: &str) -> Result<usize, Failure> {
    let id = match auth.users.kind {
        UserKind::Own => id_of(store, name)?,
        UserKind::Django => id_in_django(auth, name)?,
        UserKind::Python | UserKind::File => name.to_owned(),
    };
    end_sessions(store, &id, now_seconds())
}

fn list(store: &mut dyn Backend) -> Result<String, Failure> {
    let users = store.users().map_err(negative)?;
    let width = users.iter().map(|user| user.name.chars().count()).max().unwrap_or(0).max(4);
    let mut text = format!("{:>6}  {:width$}  state\n", "id", "name");
    for user in users {
        let state = if user.active { "active" } else { "disabled" };
        text.push_str(&format!("{:>6}  {:width$}  {state}\n", user.id, user.name));
    }
    Ok(text)
}

fn change(
    store: &mut dyn Backend,
    name: &str,
    change: UserChange<'_>,
    otherwise: &str,
) -> Result<(), Failure> {
    let changed = store.change_user(name, change, now_seconds()).map_err(negative)?;
    if changed { Ok(()) } else { Err(negative(otherwise)) }
}

/// As tokens name the user.
fn id_of(store: &mut dyn Backend, name: &str) -> Result<String, Failure> {
    let user = store.user(UserKey::Name(name)).map_err(negative)?;
    user.map(|user| user.id.to_string()).ok_or_else(|| negative(NO_USER))
}

/// Likewise, by the project's table.
fn id_in_django(auth: &Auth, name: &str) -> Result<String, Failure> {
    let url = auth.users.url.as_ref().ok_or_else(|| usage("auth.users.url names no database"))?;
    let mut table = Table::open(url, &auth.users, &auth.issue.extra_claims).map_err(usage)?;
    let user = table.find(&Lookup::Name(name.to_owned())).map_err(negative)?;
    user.map(|user| user.id).ok_or_else(|| negative(format!("{NO_USER}; who is gone is named by --id")))
}

fn end_sessions(store: &mut dyn Backend, id: &str, now: i64) -> Result<usize, Failure> {
    store.end(id, None, (EndReason::Operator, now)).map_err(negative)
}

/// A name has to come through a login as it is: blanks around it would not.
fn check_name(name: &str) -> Result<(), Failure> {
    let is_plain = name.trim_matches(is_blank) == name && !name.chars().any(char::is_control);
    if name.is_empty() || !is_plain || name.chars().count() > NAME_LONGEST {
        return Err(usage("a name has 1 to 254 letters, no control characters and no blanks around it"));
    }
    Ok(())
}

/// A password, hashed: typed twice at a terminal, else the first line of standard input.
fn ask_password(preset: Preset) -> Result<String, Failure> {
    let typed = io::stdin().is_terminal();
    let password = ask("Password: ", typed)?;
    if typed && ask("Once more: ", typed)? != password {
        return Err(usage("that was not the same password twice"));
    }
    check_password(&password, preset).map_err(usage)?;
    password::hash(password.as_bytes()).ok_or_else(|| usage("the password could not be hashed: no memory"))
}

/// What no login could send, or would send otherwise.
fn check_password(password: &str, preset: Preset) -> Result<(), &'static str> {
    if password.is_empty() {
        return Err("the password is empty");
    }
    if preset == Preset::SimpleJwt && password.trim_matches(is_blank) != password {
        return Err("the password has blanks around it, which logins take away");
    }
    if password.contains('\0') {
        return Err("the password has a NUL in it, which logins refuse");
    }
    if password.chars().count() > PASSWORD_LONGEST {
        return Err(TOO_LONG);
    }
    Ok(())
}

fn ask(question: &str, typed: bool) -> Result<String, Failure> {
    if typed {
        let mut errors = io::stderr().lock();
        errors.write_all(question.as_bytes()).and_then(|()| errors.flush()).map_err(usage)?;
    }
    let line = terminal::without_echo(read_line).map_err(usage)?.map_err(usage)?;
    if typed {
        super::complain("");
    }
    Ok(line)
}

/// Up to the end of the line, and no byte further: what follows is somebody else's.
fn read_line() -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    let mut input = io::stdin().lock();
    while line.len() <= LONGEST && input.read(&mut byte)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    let unusable = |problem| io::Error::new(io::ErrorKind::InvalidData, problem);
    if line.len() > LONGEST {
        return Err(unusable(TOO_LONG));
    }
    String::from_utf8(line).map_err(|_| unusable("the password is no UTF-8"))
}

#[expect(clippy::needless_pass_by_value, reason = "it is the function that map_err takes")]
fn usage(problem: impl ToString) -> Failure {
    Failure::Usage(problem.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "it is the function that map_err takes")]
fn negative(problem: impl ToString) -> Failure {
    Failure::Negative(problem.to_string())
}

/// Where the store of a running server is found.
pub(super) const AS_SERVER: &str = "the server's log says at its start which store it has: name it in auth.store.url, or run this as the \
     server's user and with its environment (STATE_DIRECTORY in a systemd unit)";

const NO_USER: &str = "there is no user of that name";

const TOO_LONG: &str = "the password is longer than 4096 letters, which logins refuse";

/// Bytes of a line: no letter has more than four.
const LONGEST: usize = 4 * PASSWORD_LONGEST;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_no_login_could_send_is_refused() {
        let letters = |count| "é".repeat(count);
        for (password, preset, taken) in [
            ("correct horse", Preset::SimpleJwt, true),
            ("", Preset::Strict, false),
            (" x", Preset::SimpleJwt, false),
            (" x", Preset::Strict, true),
            ("x\u{1f}", Preset::SimpleJwt, false),
            // A bell is no blank: logins leave it where it is.
            ("x\u{7}", Preset::SimpleJwt, true),
            ("a\0b", Preset::Strict, false),
            (&letters(PASSWORD_LONGEST), Preset::SimpleJwt, true),
            (&letters(PASSWORD_LONGEST + 1), Preset::SimpleJwt, false),
        ] {
            assert_eq!(check_password(password, preset).is_ok(), taken, "{password:.20} {preset:?}");
        }
    }
}
