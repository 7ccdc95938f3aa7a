//! What a service manager hands to a service, and what the service tells it: sd_notify(3), sd_listen_fds(3).
//!
//! Both protocols are a few lines of text over a datagram socket and a few variables, kept stable by systemd's interface
//! promise; a crate for them would not save a line of what is checked here.

use super::{env, process};
use nix::time::{ClockId, clock_gettime};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// What the service manager has said in this process's environment.
#[derive(Debug, Default)]
pub struct Handed {
    /// Where the manager wants to be told how the service is; `None` when it does not.
    pub manager: Option<Manager>,
    /// Within what time the manager wants to be told again and again that the service is alive.
    pub watchdog: Option<Duration>,
    /// The listening sockets that the manager has opened.
    pub sockets: Vec<HandedSocket>,
    /// What could not be understood and can be done without.
    pub complaints: Vec<String>,
}

/// A socket that the manager has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedSocket {
    /// Its descriptor.
    pub number: i32,
    /// `FileDescriptorName=` of its socket unit, by default the unit's name; empty when unknown.
    pub name: String,
}

/// The service manager, as it can be spoken to.
#[derive(Debug)]
pub struct Manager {
    /// As in `NOTIFY_SOCKET`.
    name: OsString,
    pub(super) socket: UnixDatagram,
    pub(super) address: SocketAddr,
}

/// The directory that the manager has made for what lives as long as the service; the first, if there are several.
pub fn runtime_directory() -> Option<std::path::PathBuf> {
    // systemd.exec(5), RUNTIME_DIRECTORY: separated by colons.
    let directories = std::env::var("RUNTIME_DIRECTORY").ok()?;
    directories.split(':').next().filter(|directory| directory.starts_with('/')).map(Into::into)
}

/// Takes what the manager has said out of the environment, so that neither workers nor apps nor what they start take it
/// for theirs. To be called while this process has one thread.
///
/// # Errors
/// When `LISTEN_FDS` cannot be understood, or the environment not be changed.
pub fn take_environment() -> io::Result<Handed> {
    let read = |name: &str| std::env::var(name).ok();
    let own_pid = process::own_pid().0.to_string();
    let told = |name: &str| read(name).is_none_or(|pid| pid == own_pid);
    let manager = std::env::var_os("NOTIFY_SOCKET").map(|path| Manager::connect(&path)).transpose();
    // sd_watchdog_enabled(3): without WATCHDOG_PID it is whoever asks.
    let watchdog =
        read("WATCHDOG_USEC").filter(|_| told("WATCHDOG_PID")).map(|text| watchdog(&text)).transpose();
    // sd_listen_fds(3): without LISTEN_PID, or with that of another process, they are not ours.
    let mine = read("LISTEN_PID").is_some_and(|pid| pid == own_pid);
    let names = read("LISTEN_FDNAMES").unwrap_or_default();
    let sockets = read("LISTEN_FDS").filter(|_| mine).map(|count| handed_sockets(&count, &names)).transpose();
    for name in VARIABLES {
        env::remove(OsStr::new(name))?;
    }
    let mut complaints = Vec::new();
    // A name left over from somebody else's service must not keep a server from starting.
    let mut complain = |error: io::Error| complaints.push(error.to_string());
    let manager = manager.unwrap_or_else(|error| {
        complain(error);
        None
    });
    let watchdog = watchdog.unwrap_or_else(|error| {
        complain(error);
        None
    });
    Ok(Handed { manager, watchdog, sockets: sockets?.unwrap_or_default(), complaints })
}

impl Manager {
    /// The one behind a `NOTIFY_SOCKET`: a path, or a name in the abstract name space after an `@` (unix(7)).
    ///
    /// # Errors
    /// When it is neither, or nobody is there.
    pub fn connect(path: &OsStr) -> io::Result<Self> {
        let bytes = path.as_encoded_bytes();
        let wrong = |error: io::Error| {
            io::Error::new(error.kind(), format!("NOTIFY_SOCKET={}: {error}", path.display()))
        };
        let address = match bytes.split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name),
            Some((b'/', _)) => SocketAddr::from_pathname(path),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "neither a path nor an abstract name")),
        };
        let address = address.map_err(wrong)?;
        // Only to see whether anybody is there: a connected socket would be lost with a manager that is started anew.
        UnixDatagram::unbound()?.connect_addr(&address).map_err(wrong)?;
        let socket = UnixDatagram::unbound()?;
        // unix(7): a full queue blocks. A manager that does not read must not stop the master.
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { name: path.to_owned(), socket, address })
    }

    /// What [`connect`](Self::connect) takes.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Tells the manager something: `NAME=value` lines (sd_notify(3)).
    ///
    /// # Errors
    /// When the manager is gone or does not read.
    pub fn tell(&self, assignments: &str) -> io::Result<()> {
        self.socket.send_to_addr(assignments.as_bytes(), &self.address).map(drop)
    }
}

/// The time for `MONOTONIC_USEC=`, in microseconds (`CLOCK_MONOTONIC`).
///
/// # Errors
/// None that clock_gettime(2) can give for this clock.
pub fn monotonic_usec() -> io::Result<u128> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?).as_micros())
}

fn watchdog(text: &str) -> io::Result<Duration> {
    match text.parse() {
        Ok(usec) if usec > 0 => Ok(Duration::from_micros(usec)),
        Ok(_) | Err(_) => Err(invalid(format!("WATCHDOG_USEC={text}: not a number of microseconds"))),
    }
}

fn handed_sockets(count: &str, names: &str) -> io::Result<Vec<HandedSocket>> {
    let count: i32 =
        count.parse().ok().filter(|count| (0..=SOCKETS_MAX).contains(count)).ok_or_else(|| {
            invalid(format!("LISTEN_FDS={count}: not a number of sockets up to {SOCKETS_MAX}"))
        })?;
    let mut names = names.split(':');
    Ok((FIRST..FIRST + count)
        .map(|number| HandedSocket { number, name: names.next().unwrap_or_default().to_owned() })
        .collect())
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Everything that is meant for the master alone. JOURNAL_STREAM and INVOCATION_ID stay: they are for apps too.
const VARIABLES: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// SD_LISTEN_FDS_START
const FIRST: i32 = 3;

/// More than any service has; a mistyped number should not be tried out descriptor by descriptor.
const SOCKETS_MAX: i32 = 1024;

/// Half a second is long for a local datagram and short for everything else that waits for the master.
const PATIENCE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_is_told_by_path_and_by_abstract_name() {
        let name = format!("ferricorn-notify-{}", process::own_pid());
        let path = std::env::temp_dir().join(&name);
        let _stale = std::fs::remove_file(&path);
        let abstract_address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        for (variable, listener) in [
            (path.clone().into_os_string(), UnixDatagram::bind(&path).unwrap()),
            (format!("@{name}").into(), UnixDatagram::bind_addr(&abstract_address).unwrap()),
        ] {
            listener.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            Manager::connect(&variable).unwrap().tell("READY=1\nSTATUS=x").unwrap();
            let mut buffer = [0; 64];
            let length = listener.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1\nSTATUS=x");
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_manager_that_cannot_be_reached_is_named() {
        for path in ["", "relative", "vsock:2:1234", "/nonexistent/notify", "@ferricorn-nobody-listens"] {
            let error = Manager::connect(OsStr::new(path)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("NOTIFY_SOCKET={path}: ")), "{error}");
        }
    }

    #[test]
    fn handed_sockets_have_the_names_of_their_units() {
        let numbered = |names: &[&str]| -> Vec<HandedSocket> {
            (3..).zip(names).map(|(number, name)| HandedSocket { number, name: (*name).into() }).collect()
        };
        for (count, names, expected) in [
            ("0", "", vec![]),
            ("2", "web.socket:admin", numbered(&["web.socket", "admin"])),
            ("2", "web.socket", numbered(&["web.socket", ""])),
            ("1", "", numbered(&[""])),
        ] {
            assert_eq!(handed_sockets(count, names).unwrap(), expected, "{count} {names}");
        }
        for count in ["", "-1", "two", "1025", "99999999999"] {
            assert!(handed_sockets(count, "").is_err(), "{count}");
        }
    }

    #[test]
    fn a_watchdog_has_a_time() {
        assert_eq!(watchdog("30000000").unwrap(), Duration::from_secs(30));
        for text in ["", "0", "-1", "30s"] {
            assert!(watchdog(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_monotonic_clock_goes_forward() {
        let before = monotonic_usec().unwrap();
        assert!(before > 0 && monotonic_usec().unwrap() >= before);
    }
}
