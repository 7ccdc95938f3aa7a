//! What the units are to say, inferred from configuration, command line and project.

use super::account::{self, Account};
use super::project::{self, Place};
use super::writable::Writable;
use super::{Arguments, command};
use crate::config::{AppTarget, Auth, BindAddress, Config, ControlSocket, Loaded, Mode, Server};
use std::ffi::OsString;
use std::io;
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything the units are written from.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) name: String,
    /// The program and its arguments.
    pub(super) command: Vec<String>,
    pub(super) reload: Reloading,
    pub(super) directory: PathBuf,
    pub(super) account: Account,
    pub(super) activation: Activation,
    pub(super) writable: Writable,
    pub(super) ports: Ports,
    pub(super) home: Reach,
    pub(super) temporary: Reach,
    pub(super) code: Code,
    /// Limits of a start or a reload, of a reload, and of a stop.
    pub(super) start: Duration,
    pub(super) reloading: Duration,
    pub(super) stop: Duration,
    /// For whoever reads the units, not in them.
    pub(super) notes: Vec<String>,
}

/// How a reload is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reloading {
    /// By the program, which waits for the outcome.
    Command(Vec<String>),
    /// By SIGHUP, where there is no control socket.
    Signal,
}

/// Who opens the listening sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Activation {
    /// The server.
    Server,
    /// systemd, by a socket unit.
    Socket(Sockets),
}

/// What a socket unit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sockets {
    pub(super) listen: Vec<String>,
    pub(super) backlog: u32,
    pub(super) mode: Mode,
    pub(super) owner: Option<String>,
    pub(super) group: Option<String>,
}

/// Whether the server binds a port below 1024 by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ports {
    Low,
    High,
}

/// Whether the service has to see a place that others have something in, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Hidden,
    Seen,
}

/// Whose code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Python,
    Native,
}

impl Plan {
    /// Puts together what is known; asks Django projects what they write to.
    pub(super) fn infer(arguments: &Arguments, words: &[OsString], loaded: &Loaded) -> Result<Self, String> {
        let config = &loaded.config;
        let fail = |error: io::Error| error.to_string();
        let directory = std::env::current_dir().map_err(fail)?;
        let working = config.server.chdir.clone().unwrap_or_else(|| directory.clone());
        let program = program(words, config)?;
        let serve = command::serve(words, loaded.file.as_deref()).map_err(fail)?;
        let (account, note) = account::infer(arguments, &config.server, &working).map_err(fail)?;
        let mut plan = Self {
            name: arguments.name.clone(),
            command: std::iter::once(program.to_string_lossy().into_owned()).chain(serve).collect(),
            reload: reloading(&program, config),
            directory: directory.clone(),
            account,
            activation: Activation::Server,
            writable: Writable::of_server(&arguments.name, config, &working),
            ports: if arguments.socket { Ports::High } else { ports(&config.server) },
            home: Reach::Hidden,
            temporary: Reach::Hidden,
            code: if config.has_python_app() { Code::Python } else { Code::Native },
            start: config.timeouts.boot.max(config.timeouts.reload),
            reloading: config.timeouts.reload,
            stop: config.timeouts.lame_duck + config.timeouts.longest_drain(),
            notes: note.into_iter().collect(),
        };
        if config.auth.as_ref().is_some_and(Auth::issues) {
            plan.notes.extend(commands_of(&plan.account, &plan.name));
        }
        if arguments.socket {
            plan.activation = Activation::Socket(sockets(&config.server)?);
        }
        for path in &arguments.writable {
            plan.writable.add(&arguments.name, &directory.join(path));
        }
        plan.ask_projects(config, &program, &working);
        plan.reach(config, &program, &working);
        plan.note_variables();
        Ok(plan)
    }

    fn ask_projects(&mut self, config: &Config, program: &Path, working: &Path) {
        let python = program.with_file_name("python");
        let account = self.account.clone();
        let place = Place { python: &python, directory: working, account: &account };
        for mount in config.apps.iter().filter(|mount| matches!(mount.target, AppTarget::Python(_))) {
            let answer = project::ask(mount, config, &place);
            let app = &mount.mount;
            if let Some(error) = answer.error {
                self.notes.push(format!(
                    "what the app at {app} writes to is not known ({error}); name each such directory with --writable DIR"
                ));
            }
            for (what, path) in answer.writes {
                let mut note = format!("{} is writable for {what} of the app at {app}", path.display());
                if working.starts_with(&path) {
                    note.push_str(", and the project's code with it: a directory of its own would be better");
                }
                if !path.is_dir() {
                    note.push_str("; it is not there yet, and cannot be made by the service");
                }
                self.writable.add(&self.name, &path);
                self.notes.push(note);
            }
        }
    }

    /// Whether anything lies where the unit would hide it.
    fn reach(&mut self, config: &Config, program: &Path, working: &Path) {
        let interpreter = std::fs::canonicalize(program.with_file_name("python")).unwrap_or_default();
        let files = config.apps.iter().filter_map(|mount| match &mount.target {
            AppTarget::Static(path) => Some(working.join(path)),
            AppTarget::Native(_) | AppTarget::Python(_) => None,
        });
        let named = [program.to_path_buf(), interpreter, working.to_path_buf(), self.directory.clone()];
        let modules = config.python.path.iter().map(|path| working.join(path));
        let mut used = named.into_iter().chain(files).chain(modules).chain(self.writable.paths.clone());
        let used: Vec<PathBuf> = used.by_ref().collect();
        let within =
            |roots: &[&str]| used.iter().find(|path| roots.iter().any(|root| path.starts_with(root)));
        let mut notes = Vec::new();
        if let Some(path) = within(&["/home", "/root", "/run/user"]) {
            self.home = Reach::Seen;
            notes.push(format!(
                "home directories stay visible, since {} is in one; /srv or /opt would be better",
                path.display()
            ));
        }
        if let Some(path) = within(&["/tmp", "/var/tmp"]) {
            self.temporary = Reach::Seen;
            notes.push(format!("PrivateTmp= is left out, since {} is in such a directory", path.display()));
        }
        self.notes.extend(notes);
    }

    fn note_variables(&mut self) {
        let is_ours = |name: &str| {
            name.starts_with("FERRICORN_")
                || ["PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"].contains(&name)
        };
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let set: Vec<String> = names.filter(|name| is_ours(name)).collect();
        if !set.is_empty() {
            self.notes.push(format!("set here, and not for the service: {}", set.join(", ")));
        }
    }
}

/// How commands find the store of sessions, where neither its user nor its directory is there for a shell.
fn commands_of(account: &Account, name: &str) -> Option<String> {
    match account {
        Account::Dynamic => Some(format!(
            "`ferricorn user` and `ferricorn jwt revoke` find the store of sessions by systemd-run -p DynamicUser=yes -p User={name} -p \
             StateDirectory={name}"
        )),
        Account::Named { .. } => None,
    }
}

/// The program that the unit starts; for a Python app that of its virtual environment.
fn program(words: &[OsString], config: &Config) -> Result<PathBuf, String> {
    let first = words.first().cloned().unwrap_or_else(|| "ferricorn".into());
    let own = command::program(&first).map_err(|error| error.to_string())?;
    if config.has_python_app() && !cfg!(feature = "python") {
        let python = crate::cli::interpreter::find_python()?;
        let python = std::path::absolute(python).map_err(|error| error.to_string())?;
        return Ok(python.with_file_name("ferricorn"));
    }
    Ok(own)
}

fn reloading(program: &Path, config: &Config) -> Reloading {
    let mut words = vec![program.to_string_lossy().into_owned(), "ctl".to_owned()];
    match &config.admin.socket {
        ControlSocket::Auto => {}
        ControlSocket::At(path) => words.extend(["--socket".to_owned(), path.to_string_lossy().into_owned()]),
        ControlSocket::Off => return Reloading::Signal,
    }
    Reloading::Command(words)
}

fn ports(server: &Server) -> Ports {
    let is_low = |address: &BindAddress| matches!(address, BindAddress::Tcp { port: 1..1024, .. });
    if server.bind.iter().any(is_low) { Ports::Low } else { Ports::High }
}

fn sockets(server: &Server) -> Result<Sockets, String> {
    let mut listen = Vec::new();
    for address in &server.bind {
        match address {
            BindAddress::Unix(path) if path.is_absolute() => listen.push(path.display().to_string()),
            BindAddress::Unix(path) => {
                return Err(format!("systemd needs an absolute path to listen on, not {}", path.display()));
            }
            BindAddress::Inherited(_) => {}
            BindAddress::Tcp { host, port } => {
                // systemd.socket(5): numeric addresses only.
                let host = if host.is_empty() { "0.0.0.0" } else { host };
                let found = (host, *port).to_socket_addrs().map_err(|error| format!("{address}: {error}"))?;
                listen.extend(found.map(|address| address.to_string()));
            }
        }
    }
    listen.dedup();
    if listen.is_empty() {
        return Err("server.bind names nothing that systemd could listen on".to_owned());
    }
    let (owner, group) = (server.unix_owner.clone(), server.unix_group.clone());
    Ok(Sockets { listen, backlog: server.backlog, mode: server.unix_mode, owner, group })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(bind: &[BindAddress]) -> Server {
        Server { bind: bind.to_vec(), ..Config::default().server }
    }

    fn tcp(host: &str, port: u16) -> BindAddress {
        BindAddress::Tcp { host: host.into(), port }
    }

    #[test]
    fn socket_units_have_numbers_and_absolute_paths() {
        let bind = [BindAddress::Unix("/run/site/http.sock".into()), tcp("", 80), tcp("::1", 8000)];
        let listen = sockets(&server(&bind)).unwrap().listen;
        assert_eq!(listen, ["/run/site/http.sock", "0.0.0.0:80", "[::1]:8000"]);
        for bind in
            [BindAddress::Unix("http.sock".into()), BindAddress::Inherited(3), tcp("no-such-host.invalid", 1)]
        {
            assert!(sockets(&server(std::slice::from_ref(&bind))).is_err(), "{bind}");
        }
    }

    #[test]
    fn a_user_for_each_run_is_told_how_commands_become_it() {
        let told = commands_of(&Account::Dynamic, "site").unwrap();
        assert!(
            told.contains("systemd-run -p DynamicUser=yes -p User=site -p StateDirectory=site"),
            "{told}"
        );
        assert_eq!(commands_of(&Account::Named { user: "site".into(), group: None }, "site"), None);
    }

    #[test]
    fn only_ports_below_1024_need_a_capability() {
        assert_eq!(ports(&server(&[tcp("", 8000), tcp("", 443)])), Ports::Low);
        assert_eq!(ports(&server(&[tcp("", 1024), tcp("", 0), BindAddress::Unix("/x".into())])), Ports::High);
    }
}
