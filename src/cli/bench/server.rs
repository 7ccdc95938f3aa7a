//! A server as a child with a process group of its own: started, watched through its log, measured, ended.

use super::interrupt::Interrupt;
use super::log::Log;
use crate::sys::process::Pid;
use crate::sys::process_group;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, thread};

/// What is started, and how.
#[derive(Debug, Clone, Default)]
pub(super) struct Launch {
    /// Program and arguments.
    pub(super) command: Vec<OsString>,
    /// Where; the current directory if empty.
    pub(super) directory: PathBuf,
    /// Variables added to this process's environment.
    pub(super) variables: Vec<(OsString, OsString)>,
}

/// A running child and everything it has started.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    exited: Option<ExitStatus>,
    log: Arc<Log>,
    interrupt: Interrupt,
}

/// Why a child is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It could not be started, or ended: its exit code, if it had one, and what it said.
    Ended(Option<i32>, String),
    /// It did not get ready in time; what it said.
    TooSlow(String),
    /// Somebody wants this process to end.
    Interrupted,
}

impl Launch {
    /// The command as one would type it.
    pub(super) fn command_line(&self) -> String {
        let shown = |word: &OsString| match word.to_string_lossy() {
            script if script.contains('\n') => "SCRIPT".to_owned(),
            word => word.into_owned(),
        };
        self.command.iter().map(shown).collect::<Vec<_>>().join(" ")
    }
}

impl Server {
    /// Starts the child; it may not be ready yet.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(launch: &Launch, interrupt: &Interrupt) -> Result<Self, Refusal> {
        Self::spawn(launch, interrupt).map_err(|error| {
            Refusal::Ended(None, format!("{} cannot be started: {error}", launch.command_line()))
        })
    }

    fn spawn(launch: &Launch, interrupt: &Interrupt) -> io::Result<Self> {
        let (program, arguments) =
            launch.command.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(program);
        command.args(arguments).envs(launch.variables.iter().map(|(name, value)| (name, value)));
        if !launch.directory.as_os_str().is_empty() {
            command.current_dir(&launch.directory);
        }
        // They are meant for this process's place under its service manager, and for other runs of Gunicorn.
        for name in ["LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_USEC", "GUNICORN_CMD_ARGS"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
        let child = command.spawn()?;
        // The command holds the writing ends: as long as they are open, the log would never end.
        drop(command);
        let log = Arc::new(Log::default());
        let server = Self { child, exited: None, log: Arc::clone(&log), interrupt: interrupt.clone() };
        thread::Builder::new().name("server log".into()).spawn(move || log.read(reader))?;
        Ok(server)
    }

    /// Waits for a line that holds this text.
    ///
    /// # Errors
    /// It ended or took too long, or this process is to end.
    pub(super) fn wait_for(&mut self, text: &str) -> Result<String, Refusal> {
        let log = Arc::clone(&self.log);
        self.wait_until(|| log.find(text))
    }

    /// Waits until somebody listens at an address that was free before.
    ///
    /// # Errors
    /// It ended or took too long, or this process is to end.
    pub(super) fn wait_listening(&mut self, address: SocketAddr) -> Result<(), Refusal> {
        self.wait_until(|| TcpStream::connect_timeout(&address, LOOK).ok().map(drop))
    }

    fn wait_until<T>(&mut self, mut look: impl FnMut() -> Option<T>) -> Result<T, Refusal> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            // Asked before the look: what was written before the end must be found.
            let ended = self.log.has_ended() || process_group::has_ended(self.group());
            if ended {
                self.log.wait_ended(LAST_WORDS);
            }
            if let Some(found) = look() {
                return Ok(found);
            }
            if self.interrupt.has_happened() {
                return Err(Refusal::Interrupted);
            }
            if ended {
                return Err(Refusal::Ended(self.end(), self.log.text()));
            }
            if Instant::now() > deadline {
                return Err(Refusal::TooSlow(self.log.text()));
            }
            self.log.wait_change(LOOK);
        }
    }

    /// Ends what is left of the group, and reaps the child.
    fn end(&mut self) -> Option<i32> {
        if self.exited.is_none() {
            // Before the child is reaped: until then its number, which is the group's, is nobody else's.
            let _ = process_group::kill_all(self.group());
            self.exited = self.child.wait().ok();
        }
        self.exited.and_then(|status| status.code())
    }

    /// CPU time of all its processes so far.
    pub(super) fn cpu_time(&self) -> Option<Duration> {
        process_group::cpu_time(self.group()).ok()
    }

    /// What it has said lately.
    pub(super) fn said(&self) -> String {
        self.log.text()
    }

    fn group(&self) -> Pid {
        // Linux has no process numbers beyond 2^22 (proc_sys_kernel(5), pid_max).
        Pid(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }
}

impl Drop for Server {
    /// Asks it to end, waits a little, and ends whatever of its group is left.
    fn drop(&mut self) {
        if self.exited.is_none() {
            // An error leaves nothing to be done but the next lines.
            let _ = process_group::terminate(self.group());
            self.log.wait_ended(STOP_LIMIT);
            self.end();
        }
    }
}

/// A port of the loopback that was free a moment ago, for servers that cannot say which one the kernel chose.
pub(super) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// How long a server may take until it is ready: as long as `timeouts.boot` by default.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long a server may take to end by itself.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// How long to wait for what an ended process has written.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Between two looks for something that announces itself nowhere.
const LOOK: Duration = Duration::from_millis(50);
