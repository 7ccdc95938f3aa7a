//! Which server is meant.

use super::client::{self, CallError};
use super::table;
use crate::config::FILE_VARIABLE;
use crate::contract::admin::ADMIN;
use crate::sys::control_socket::{self, ControlPlace, Listening};
use crate::sys::process::{self, Existence, Pid};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What was said of the server.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) socket: Option<String>,
    pub(super) pid: Option<i32>,
    pub(super) config: Option<PathBuf>,
}

/// The server that is meant.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) place: ControlPlace,
    /// Its master, where that is known.
    pid: Option<Pid>,
}

/// A server that runs on this machine.
#[derive(Debug, Clone)]
struct Candidate {
    place: ControlPlace,
    pid: Pid,
    access: Access,
}

/// What a server says of itself, if it says anything.
#[derive(Debug, Clone)]
enum Access {
    Granted(Value),
    Denied,
}

/// Finds the one server that is meant.
///
/// # Errors
/// For the user: there is none, or there are several.
pub(super) fn find(selection: &Selection) -> Result<Found, String> {
    if let Some(socket) = &selection.socket {
        return Ok(Found::at(ControlPlace::parse(socket)));
    }
    if let Some(pid) = selection.pid {
        // Without asking each: a server that does not answer can be named all the same.
        let pid = Pid(pid);
        let admins = admin_sockets();
        let is_its = |socket: &Listening| {
            pid_of(&socket.place).is_none_or(|named| named == pid) && master(socket, &admins) == Some(pid)
        };
        let listening = control_socket::listening().into_iter().find(is_its);
        let found = listening.map(|socket| Found { place: socket.place, pid: Some(pid) });
        return found.ok_or_else(|| none(&format!("with pid {pid}")));
    }
    if let Some(file) = &selection.config {
        return by_config(file);
    }
    if let Some(socket) = std::env::var(VARIABLE).ok().filter(|socket| !socket.is_empty()) {
        return Ok(Found::at(ControlPlace::parse(&socket)));
    }
    // As the server has it: before the file.
    if let Some(socket) = std::env::var(KEY_VARIABLE).ok().and_then(|socket| path_of(&socket)) {
        return Ok(by_key(socket));
    }
    // Of another folder it may be meant, as a relative path.
    if let Some(file) = std::env::var_os(FILE_VARIABLE).filter(|file| Path::new(file).exists()) {
        return by_config(Path::new(&file));
    }
    chosen(candidates(), &|_| true, "that can be seen from here")
}

/// Whether a server that was told to stop is gone, waiting for it.
pub(super) fn has_ended(found: &Found, deadline: Option<Instant>) -> bool {
    let Some(pid) = found.pid.or_else(|| pid_of(&found.place)) else {
        // What tells is then whether anybody listens.
        return wait_until(deadline, || found.place.connect().is_err());
    };
    wait_until(deadline, || process::existence(pid) == Existence::Gone || process::is_zombie(pid))
}

impl Found {
    fn at(place: ControlPlace) -> Self {
        let pid = pid_of(&place);
        Self { place, pid }
    }

    /// Asks for the master where its number is not known, for as long as it listens: a server takes its socket away before it has ended.
    pub(super) fn learn_master(&mut self) {
        self.pid = self.pid.or_else(|| {
            let stream = self.place.connect().ok()?;
            // 0: it cannot be seen from here (pid_namespaces(7)).
            Some(control_socket::peer(stream.as_fd()).ok()?.pid).filter(|pid| pid.0 > 0)
        });
    }
}

impl Candidate {
    fn text(&self, key: &str) -> Option<String> {
        match &self.access {
            Access::Granted(status) => status.get(key)?.as_str().map(str::to_owned),
            Access::Denied => None,
        }
    }

    fn line(&self) -> String {
        let Access::Granted(status) = &self.access else {
            return format!("  --pid {:<8} belongs to another user", self.pid.0);
        };
        let bind: Vec<&str> = status
            .get("bind")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let config = self.text("config").unwrap_or_else(|| "no file".into());
        let uptime = status.get("uptime").and_then(Value::as_u64).unwrap_or(0);
        let line =
            format!("  --pid {:<8} {config}, {}, up {}", self.pid.0, bind.join(" "), table::age(uptime));
        table::harmless(&line)
    }
}

/// The server of a configuration file: by the socket that it names, else by what the servers say.
fn by_config(file: &Path) -> Result<Found, String> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("error: {}: {error}", file.display()))?;
    let named = named_socket(&text);
    // The server may have been started with a variable that names another.
    if let Some(socket) = named.as_ref().filter(|socket| socket.is_absolute() && is_there(socket)) {
        return Ok(Found::at(ControlPlace::File(socket.clone())));
    }
    let wanted =
        std::fs::canonicalize(file).map_err(|error| format!("error: {}: {error}", file.display()))?;
    let is_its = |candidate: &Candidate| {
        let config = candidate.text("config").map(PathBuf::from);
        config.is_some_and(|config| std::fs::canonicalize(config).is_ok_and(|config| config == wanted))
    };
    let found = chosen(candidates(), &is_its, &format!("with the configuration {}", file.display()));
    // A relative path begins where the server works, which need not be here. Who may not see its processes finds it here or not
    // at all.
    match (found, named) {
        (Err(_), Some(socket)) => Ok(Found::at(ControlPlace::File(socket))),
        (found, _) => found,
    }
}

/// The server whose `admin.socket` is this path. A relative one begins where the server works, which need not be here.
fn by_key(socket: PathBuf) -> Found {
    if socket.is_absolute() || is_there(&socket) {
        return Found::at(ControlPlace::File(socket));
    }
    let is_its = |candidate: &Candidate| matches!(&candidate.place, ControlPlace::File(path) if path.ends_with(&socket));
    chosen(candidates(), &is_its, "of this name")
        .unwrap_or_else(|_| Found::at(ControlPlace::File(socket.clone())))
}

/// Whether somebody listens there, be it for others.
fn is_there(socket: &Path) -> bool {
    let connected = ControlPlace::File(socket.into()).connect();
    !connected.is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused))
}

/// `admin.socket`, where it is a path. A file that is broken in between names none: it must not be in the way of the command
/// that says so.
fn named_socket(text: &str) -> Option<PathBuf> {
    let table: toml::Table = text.parse().ok()?;
    path_of(table.get("admin")?.get("socket")?.as_str()?)
}

/// What `admin.socket` is set to, where it is a path.
fn path_of(socket: &str) -> Option<PathBuf> {
    (!["auto", "off", ""].contains(&socket)).then(|| socket.into())
}

/// All servers that can be seen: those whose control sockets bear the name that servers give, and those whose sockets are
/// elsewhere, by their admin processes.
fn candidates() -> Vec<Candidate> {
    let admins = admin_sockets();
    let sockets = control_socket::listening().into_iter();
    let servers = sockets.filter_map(|socket| Some((master(&socket, &admins)?, socket.place)));
    let mut candidates: Vec<Candidate> = servers.filter_map(|(pid, place)| candidate(place, pid)).collect();
    candidates.sort_by_key(|candidate| candidate.pid);
    candidates
}

/// The master that is controlled there, if it is a control socket.
fn master(socket: &Listening, admins: &BTreeSet<u64>) -> Option<Pid> {
    if let Some(pid) = pid_of(&socket.place) {
        return is_genuine(&socket.place, pid).then_some(pid);
    }
    if !admins.contains(&socket.number) {
        return None;
    }
    // The one who has called listen(2).
    let stream = socket.place.connect().ok()?;
    control_socket::peer(stream.as_fd()).ok().map(|peer| peer.pid)
}

/// Numbers of the sockets that admin processes have; only root sees those of other users.
fn admin_sockets() -> BTreeSet<u64> {
    process::called(ADMIN).into_iter().flat_map(process::sockets).collect()
}

fn candidate(place: ControlPlace, pid: Pid) -> Option<Candidate> {
    let deadline = Instant::now() + PROMPT;
    let access = match client::call(&place, ("GET", "/status"), Some(deadline)) {
        Ok(answer) if answer.status == 200 => Access::Granted(answer.value),
        Err(CallError::Connect { .. }) => return None,
        Ok(_) | Err(_) => Access::Denied,
    };
    Some(Candidate { place, pid, access })
}

/// Whether it is the named process that listens there: everybody may give a socket any name.
fn is_genuine(place: &ControlPlace, pid: Pid) -> bool {
    match place.connect() {
        Ok(stream) => control_socket::peer(stream.as_fd()).is_ok_and(|peer| peer.pid == pid),
        // It will be told, to whom it matters, why it cannot be used.
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    }
}

fn none(which: &str) -> String {
    format!(
        "error: no server {which} runs; one in a container is found from inside of it only (docker exec), and one of another user whose \
         admin.socket is a path by --socket"
    )
}

/// The master's number, from the name of a socket that a server has chosen itself.
fn pid_of(place: &ControlPlace) -> Option<Pid> {
    let name = match place {
        ControlPlace::File(path) => {
            path.file_name()?.to_str()?.strip_prefix("control-")?.strip_suffix(".sock")?
        }
        ControlPlace::Abstract(name) => name.strip_prefix("ferricorn/control-")?,
    };
    let (pid, _) = name.split_once('-').unwrap_or((name, ""));
    pid.parse().ok().filter(|pid| *pid > 0).map(Pid)
}

/// The only one of those that fit; of several, the only one that may be used.
fn chosen(
    candidates: Vec<Candidate>,
    fits: &dyn Fn(&Candidate) -> bool,
    which: &str,
) -> Result<Found, String> {
    let fitting: Vec<Candidate> = candidates.into_iter().filter(|candidate| fits(candidate)).collect();
    let usable: Vec<&Candidate> =
        fitting.iter().filter(|candidate| matches!(candidate.access, Access::Granted(_))).collect();
    let one = match (usable.as_slice(), fitting.as_slice()) {
        ([one], _) => (*one).clone(),
        ([], [one]) => one.clone(),
        ([], []) => return Err(none(which)),
        _ => {
            let lines: Vec<String> = fitting.iter().map(Candidate::line).collect();
            return Err(format!("error: several servers run; name one:\n{}", lines.join("\n")));
        }
    };
    Ok(Found { place: one.place, pid: Some(one.pid) })
}

fn wait_until(deadline: Option<Instant>, is_so: impl Fn() -> bool) -> bool {
    loop {
        if is_so() {
            return true;
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return false;
        }
        std::thread::park_timeout(LOOK);
    }
}

/// Names the control socket where no flag does.
const VARIABLE: &str = "FERRICORN_CONTROL";

/// Sets the server's `admin.socket`; a container has it for all its processes.
const KEY_VARIABLE: &str = "FERRICORN_ADMIN_SOCKET";

/// For one server to say who it is.
const PROMPT: Duration = Duration::from_secs(2);

/// Between two looks whether a process is gone.
const LOOK: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(pid: i32, config: Option<&str>) -> Candidate {
        let place = ControlPlace::Abstract(format!("ferricorn/control-{pid}"));
        let status =
            |config| serde_json::json!({ "config": config, "bind": ["127.0.0.1:8000"], "uptime": 61 });
        let access = config.map_or(Access::Denied, |config| Access::Granted(status(config)));
        Candidate { place, pid: Pid(pid), access }
    }

    fn play(candidates: &[Candidate]) -> Result<Option<i32>, String> {
        chosen(candidates.to_vec(), &|_| true, "here").map(|found| found.pid.map(|pid| pid.0))
    }

    #[test]
    fn the_only_server_is_meant() {
        assert_eq!(play(&[candidate(7, Some("/a.toml"))]), Ok(Some(7)));
        assert_eq!(play(&[candidate(7, None)]), Ok(Some(7)), "it says itself that it is somebody else's");
        assert_eq!(play(&[candidate(7, None), candidate(8, Some("/a.toml"))]), Ok(Some(8)));
        assert!(play(&[]).unwrap_err().contains("no server here runs"));
    }

    #[test]
    fn several_servers_are_listed() {
        let list =
            play(&[candidate(7, Some("/a.toml")), candidate(8, Some("/b\u{1b}.toml")), candidate(9, None)]);
        assert_eq!(
            list.unwrap_err(),
            "error: several servers run; name one:\n  \
             --pid 7        /a.toml, 127.0.0.1:8000, up 1m 1s\n  \
             --pid 8        /b\\x1b.toml, 127.0.0.1:8000, up 1m 1s\n  \
             --pid 9        belongs to another user"
        );
    }

    #[test]
    fn sockets_tell_whose_they_are() {
        for (place, pid) in [
            ("/run/site/control-17.sock", Some(17)),
            ("@ferricorn/control-17", Some(17)),
            ("@ferricorn/control-17-2", Some(17)),
            ("/run/site/control-x.sock", None),
            ("/run/site/control-0.sock", None),
            ("/run/site/other.sock", None),
            ("@control-17", None),
        ] {
            assert_eq!(pid_of(&ControlPlace::parse(place)), pid.map(Pid), "{place}");
        }
    }

    #[test]
    fn a_configuration_may_name_the_socket() {
        assert_eq!(named_socket("[admin]\nsocket = \"/run/x\""), Some("/run/x".into()));
        for text in ["[admin]\nsocket = \"auto\"", "[admin]\n", "", "[admin"] {
            assert_eq!(named_socket(text), None, "{text}");
        }
    }
}
