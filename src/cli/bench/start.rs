//! Starts the servers of a comparison, one after another; who does not start or answer is left out.

use super::Failure;
use super::contender::{Candidate, Comparison, Role};
use super::interrupt::Interrupt;
use super::link::Address;
use super::python::{self, Facts};
use super::question::Question;
use super::server::{Launch, Refusal, Server, free_address};
use super::subject::{AppToServe, Running};
use crate::config::{AppTarget, HostPattern, Loaded, Mount};
use crate::sys;
use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// Starts Ferricorn with an app, and beside it what it can be compared with.
///
/// # Errors
/// Ferricorn itself does not start, or does not answer 2xx; or this process is to end.
pub(super) fn app(
    app: &AppToServe,
    question: &Question,
    interrupt: &Interrupt,
) -> Result<Comparison, Failure> {
    let (candidate, workers) = ferricorn(app, interrupt)?;
    let contender = candidate.admit(question, None, interrupt).map_err(|reason| {
        if interrupt.has_happened() {
            return Failure::Interrupted;
        }
        Failure::failed(format!(
            "{}: Ferricorn {reason}; choose a page with --path, and send what it needs with --header",
            app.subject
        ))
    })?;
    let reply = contender.reply;
    let mut comparison = Comparison {
        subject: app.subject.clone(),
        question: question.clone(),
        contenders: vec![contender],
        left_out: Vec::new(),
    };
    let (candidates, left_out) = others(app, question, workers, interrupt);
    comparison.left_out = left_out;
    for candidate in candidates {
        let name = candidate.name.clone();
        match candidate.admit(question, Some(reply), interrupt) {
            Ok(contender) => comparison.contenders.push(contender),
            Err(reason) => comparison.left_out.push(format!("{name}: {reason}")),
        }
    }
    if interrupt.has_happened() { Err(Failure::Interrupted) } else { Ok(comparison) }
}

/// A server that runs already: only loaded, never compared.
///
/// # Errors
/// It does not answer 2xx.
pub(super) fn running(
    server: &Running,
    question: &Question,
    interrupt: &Interrupt,
) -> Result<Comparison, Failure> {
    let (subject, address, authority) = match server {
        Running::Tcp(authority) => {
            let subject = format!("http://{authority}");
            let address =
                resolve(authority).map_err(|reason| Failure::failed(format!("{subject}: {reason}")))?;
            (subject, Address::Tcp(address), authority.clone())
        }
        // Servers behind a proxy want some Host all the same.
        Running::Unix(path) => {
            (format!("unix:{}", path.display()), Address::Unix(path.clone()), "localhost".to_owned())
        }
    };
    let candidate = Candidate {
        role: Role::Url,
        name: match server {
            Running::Tcp(authority) => authority.clone(),
            Running::Unix(_) => subject.clone(),
        },
        about: "a server that ran already".into(),
        command: None,
        address,
        authority,
        server: None,
    };
    let contender = candidate.admit(question, None, interrupt).map_err(|reason| {
        if interrupt.has_happened() {
            Failure::Interrupted
        } else {
            Failure::failed(format!("{subject}: {reason}"))
        }
    })?;
    Ok(Comparison { subject, question: question.clone(), contenders: vec![contender], left_out: Vec::new() })
}

fn resolve(authority: &str) -> Result<SocketAddr, String> {
    let host_and_port = if has_port(authority) { authority.to_owned() } else { format!("{authority}:80") };
    let mut addresses = host_and_port.to_socket_addrs().map_err(|error| error.to_string())?;
    addresses.next().ok_or_else(|| "the name has no address".to_owned())
}

fn has_port(authority: &str) -> bool {
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    after_host.contains(':')
}

/// Starts Ferricorn itself; also the number of its workers.
fn ferricorn(app: &AppToServe, interrupt: &Interrupt) -> Result<(Candidate, u16), Failure> {
    let mut command = python::own_program().map_err(Failure::failed)?;
    command.push("serve".into());
    command.extend(app.arguments.iter().cloned());
    // The log is read here, so it goes here, in the shape that is known here.
    let own = "--bind 127.0.0.1:0 --error-logfile - --log-level info --log-format text";
    command.extend(own.split(' ').map(OsString::from));
    if app.loaded.config.server.pid_file.is_some() {
        // The configured one may belong to a server that runs.
        let file = format!("ferricorn-bench-{}.pid", std::process::id());
        command.extend(["--pid".into(), std::env::temp_dir().join(file).into()]);
    }
    let launch = Launch { command, ..Launch::default() };
    let refused = |refusal| match refusal {
        Refusal::Interrupted => Failure::Interrupted,
        // The codes of `serve` mean the same here.
        Refusal::Ended(code, said) => {
            let code = code.and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(1);
            Failure::Failed { code, text: format!("{}: Ferricorn did not start:\n{said}", app.subject) }
        }
        Refusal::TooSlow(said) => {
            Failure::failed(format!("{}: Ferricorn was not ready in time:\n{said}", app.subject))
        }
    };
    let mut server = Server::start(&launch, interrupt).map_err(refused)?;
    let ready = server.wait_for("ready: ").map_err(refused)?;
    let address = listening(&mut server).map_err(refused)?;
    let count = ready.split_once("ready: ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    let workers: u16 = count.unwrap_or(1);
    let threads = app.loaded.config.threads(workers, sys::cpu::cgroup_cpus());
    let candidate = Candidate {
        role: Role::Ferricorn,
        name: format!("ferricorn, {}", size(workers, threads)),
        about: format!("Ferricorn {} with {}", env!("CARGO_PKG_VERSION"), configuration(&app.loaded)),
        command: Some(launch.command_line()),
        address: Address::Tcp(address),
        authority: address.to_string(),
        server: Some(server),
    };
    Ok((candidate, workers))
}

fn configuration(loaded: &Loaded) -> String {
    match &loaded.file {
        Some(file) => format!("{} and default settings", file.display()),
        None => "default settings".into(),
    }
}

fn size(workers: u16, threads: u16) -> String {
    let plural = if workers == 1 { "" } else { "s" };
    if threads > 1 { format!("{workers} x {threads} threads") } else { format!("{workers} worker{plural}") }
}

/// The servers that an app can be compared with, started; and why others are missing.
fn others(
    app: &AppToServe,
    question: &Question,
    workers: u16,
    interrupt: &Interrupt,
) -> (Vec<Candidate>, Vec<String>) {
    let Some(mount) = mounted(&app.loaded, question) else {
        return (
            Vec::new(),
            vec![format!("no app is mounted at {}, so there is nothing to compare", question.path)],
        );
    };
    let started = match &mount.target {
        AppTarget::Native(name) => vec![accept_loop(name, interrupt)],
        AppTarget::Static(_) => {
            return (Vec::new(), vec!["static files have no single-threaded server to compare with".into()]);
        }
        AppTarget::Python(target) => match Site::find(app, mount, target, interrupt) {
            Err(reason) => vec![Err(format!("the servers beside it: {reason}"))],
            Ok(site) => {
                let single_threaded = site.single_threaded(interrupt);
                let gunicorn = site.gunicorn(workers, interrupt);
                vec![single_threaded, gunicorn]
            }
        },
    };
    let mut candidates = Vec::new();
    let mut left_out = Vec::new();
    for one in started {
        match one {
            Ok(candidate) => candidates.push(candidate),
            Err(reason) => left_out.push(reason),
        }
    }
    (candidates, left_out)
}

/// The app that answers a question: the most specific host, then the longest mount that ends on a segment boundary.
fn mounted<'a>(loaded: &'a Loaded, question: &Question) -> Option<&'a Mount> {
    let path = question.path.split('?').next().unwrap_or_default();
    let host = HostPattern::name_in(question.host().unwrap_or(b"127.0.0.1"));
    let is_below = |mount: &&Mount| {
        let rest = path.strip_prefix(mount.mount.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let rank = |mount: &'a Mount| {
        let for_it = mount.hosts.iter().filter(|pattern| pattern.matches(host)).map(HostPattern::specificity);
        let everywhere = mount.hosts.is_empty().then_some((0, 0));
        let specificity = for_it.max().or(everywhere)?;
        Some(((specificity, mount.mount.trim_end_matches('/').len()), mount))
    };
    let ranked = loaded.config.apps.iter().filter(is_below).filter_map(rank);
    ranked.max_by_key(|(rank, _)| *rank).map(|(_, mount)| mount)
}

/// Where a server says that it listens.
fn listening(server: &mut Server) -> Result<SocketAddr, Refusal> {
    let line = server.wait_for("listening at http://")?;
    let address = line.split_once("http://").map(|(_, rest)| rest.split_whitespace().next().unwrap_or(rest));
    address
        .and_then(|address| address.parse().ok())
        .ok_or_else(|| Refusal::Ended(None, format!("it listens at no address: {line}")))
}

fn accept_loop(name: &str, interrupt: &Interrupt) -> Result<Candidate, String> {
    let mut command = python::own_program()?;
    command.extend(["bench".into(), "--accept-loop".into(), name.into()]);
    let launch = Launch { command, ..Launch::default() };
    let start = || {
        let mut server = Server::start(&launch, interrupt)?;
        Ok((listening(&mut server)?, server))
    };
    let (address, server) = start().map_err(|refusal| reason("accept loop", refusal))?;
    Ok(Candidate {
        role: Role::SingleThreaded,
        name: "accept loop, 1 thread".into(),
        about: "the same native app behind one thread, one connection at a time, closed after each answer"
            .into(),
        command: Some(launch.command_line()),
        address: Address::Tcp(address),
        authority: address.to_string(),
        server: Some(server),
    })
}

fn reason(name: &str, refusal: Refusal) -> String {
    match refusal {
        Refusal::Ended(_, said) => format!("{name}: it did not start:\n{said}"),
        Refusal::TooSlow(said) => format!("{name}: it was not ready in time:\n{said}"),
        Refusal::Interrupted => format!("{name}: interrupted"),
    }
}

/// A WSGI app, what is known about it, and how its code is found.
struct Site {
    facts: Facts,
    python: OsString,
    /// Without a trailing slash: "" for "/".
    prefix: String,
    directory: PathBuf,
    variables: Vec<(OsString, OsString)>,
    threads: u16,
}

impl Site {
    fn find(app: &AppToServe, mount: &Mount, target: &str, interrupt: &Interrupt) -> Result<Self, String> {
        let config = &app.loaded.config;
        let directory = config.server.chdir.clone().unwrap_or_default();
        let base = if directory.as_os_str().is_empty() { Path::new(".") } else { &directory };
        let variables = mount.environment(base).map_err(|error| error.to_string())?;
        let mut variables: Vec<(OsString, OsString)> =
            variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        if let Some(path) = python::search_path(&config.python.path) {
            variables.push(("PYTHONPATH".into(), path));
        }
        let python = python::interpreter()?;
        let command = python::script(&python, &["describe", target]);
        let launch = Launch { command, directory: directory.clone(), variables: variables.clone() };
        let describe = || Server::start(&launch, interrupt)?.wait_for(python::FACTS);
        let line = describe().map_err(|refusal| reason("what is known about the app", refusal))?;
        let facts = Facts::parse(&line)?;
        let prefix = mount.mount.trim_end_matches('/').to_owned();
        Ok(Self { facts, python, prefix, directory, variables, threads: config.threads(1, 1) })
    }

    fn launch(&self, command: Vec<OsString>) -> Launch {
        Launch { command, directory: self.directory.clone(), variables: self.variables.clone() }
    }

    /// Django's own server where it serves the same app, else the standard library's.
    fn single_threaded(&self, interrupt: &Interrupt) -> Result<Candidate, String> {
        let Some(django) = self.facts.django.as_ref().filter(|_| self.prefix.is_empty()) else {
            return self.wsgiref(interrupt);
        };
        let address = free_address().map_err(|error| format!("runserver: no port: {error}"))?;
        let mut command = vec![self.python.clone()];
        command.extend(django.command.iter().map(OsString::from));
        command.extend(["runserver", "--nothreading", "--noreload"].map(OsString::from));
        command.push(address.to_string().into());
        let mut launch = self.launch(command);
        launch.variables.push(("DJANGO_SETTINGS_MODULE".into(), django.settings.clone().into()));
        let server =
            chosen_address(&launch, address, interrupt).map_err(|refusal| reason("runserver", refusal))?;
        let debug = if django.debug { "on" } else { "off" };
        Ok(Candidate {
            role: Role::SingleThreaded,
            name: "runserver, 1 thread".into(),
            about: format!(
                "Django {} runserver --nothreading, DEBUG {debug} as the project has it; it closes each connection and logs each request",
                django.version
            ),
            command: Some(launch.command_line()),
            address: Address::Tcp(address),
            authority: address.to_string(),
            server: Some(server),
        })
    }

    fn wsgiref(&self, interrupt: &Interrupt) -> Result<Candidate, String> {
        let launch = self.launch(python::script(&self.python, &["serve", &self.facts.app, &self.prefix]));
        let start = || {
            let mut server = Server::start(&launch, interrupt)?;
            Ok((listening(&mut server)?, server))
        };
        let (address, server) = start().map_err(|refusal| reason("wsgiref", refusal))?;
        Ok(Candidate {
            role: Role::SingleThreaded,
            name: "wsgiref, 1 thread".into(),
            about: format!(
                "wsgiref.simple_server of Python {}, without a log; it closes each connection",
                self.facts.python
            ),
            command: Some(launch.command_line()),
            address: Address::Tcp(address),
            authority: address.to_string(),
            server: Some(server),
        })
    }

    fn gunicorn(&self, workers: u16, interrupt: &Interrupt) -> Result<Candidate, String> {
        let Some(gunicorn) = &self.facts.gunicorn else {
            return Err("gunicorn: not installed in this virtual environment".into());
        };
        let address = free_address().map_err(|error| format!("gunicorn: no port: {error}"))?;
        let class = if self.threads > 1 { "gthread" } else { "sync" };
        let size = size(workers, self.threads);
        let (workers, threads) = (workers.to_string(), self.threads.to_string());
        let mut command = vec![self.python.clone()];
        command.extend(["-m", "gunicorn", "--worker-class", class].map(OsString::from));
        command.extend(["--workers", &workers, "--threads", &threads].map(OsString::from));
        command.extend(gunicorn.flags.iter().map(OsString::from));
        command.extend(["--bind".into(), address.to_string().into(), OsString::from(&self.facts.app)]);
        let mut launch = self.launch(command);
        // How Gunicorn is told of a mount.
        launch.variables.push(("SCRIPT_NAME".into(), self.prefix.clone().into()));
        let server =
            chosen_address(&launch, address, interrupt).map_err(|refusal| reason("gunicorn", refusal))?;
        let keeps = if class == "sync" { "; it closes each connection" } else { "" };
        Ok(Candidate {
            role: Role::Gunicorn,
            name: format!("gunicorn {class}, {size}"),
            about: format!("Gunicorn {} with {class} workers{keeps}", gunicorn.version),
            command: Some(launch.command_line()),
            address: Address::Tcp(address),
            authority: address.to_string(),
            server: Some(server),
        })
    }
}

/// Starts a server that was told its address, and waits until it listens there.
fn chosen_address(launch: &Launch, address: SocketAddr, interrupt: &Interrupt) -> Result<Server, Refusal> {
    let mut server = Server::start(launch, interrupt)?;
    server.wait_listening(address)?;
    Ok(server)
}
