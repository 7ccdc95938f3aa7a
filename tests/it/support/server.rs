//! The real program, started with an address of its own, and removed without a trace.

use super::client::{Address, Answer};
use super::wait::Lines;
use super::{DEADLINE, until};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// What kind of socket a test runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Unix,
}

/// A running server and the folder it works in.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    exited: Option<ExitStatus>,
    lines: Arc<Lines>,
    mark: String,
    folder: Folder,
    addresses: Vec<Address>,
}

/// A folder that goes away with its owner.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

/// One worker, as the log names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) slot: u16,
    pub(crate) pid: i32,
    pub(crate) generation: u32,
}

impl Server {
    /// Starts `workers` of the `echo` app and waits until they are ready.
    pub(crate) fn start(transport: Transport, workers: u16) -> Self {
        Self::configured(transport, workers, "")
    }

    /// The same with more lines of configuration.
    pub(crate) fn configured(transport: Transport, workers: u16, more: &str) -> Self {
        let folder = Folder::new();
        folder.write("ferricorn.toml", &config(&folder, transport, workers, more));
        Self::in_folder(folder)
    }

    /// The same with more keys of `[workers]`.
    pub(crate) fn start_with_workers(transport: Transport, workers: u16, keys: &str) -> Self {
        let folder = Folder::new();
        let text = config(&folder, transport, workers, "");
        folder.write("ferricorn.toml", &text.replace("[workers]\n", &format!("[workers]\n{keys}")));
        Self::in_folder(folder)
    }

    /// Starts what the folder's `ferricorn.toml` says and waits until it is ready.
    pub(crate) fn in_folder(folder: Folder) -> Self {
        let mut command = ferricorn(&folder);
        command.arg("serve");
        Self::from_command(command, folder)
    }

    /// Starts a command that is, or becomes, the server, and waits until it is ready.
    pub(crate) fn from_command(command: Command, folder: Folder) -> Self {
        Self::once_it_says("ready: ", command, folder)
    }

    /// The same, and waits only until a worker is ready.
    pub(crate) fn with_one_ready(command: Command, folder: Folder) -> Self {
        Self::once_it_says("worker ready", command, folder)
    }

    fn once_it_says(text: &str, mut command: Command, folder: Folder) -> Self {
        let mark = unique();
        command.env("FERRICORN_TEST_MARK", &mark).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let lines = Arc::new(Lines::default());
        let log = child.stderr.take().expect("a pipe");
        let sink = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(log).lines() {
                match line {
                    Ok(line) => sink.push(line),
                    Err(error) => sink.push(format!("the log cannot be read: {error}")),
                }
            }
            sink.end();
        });
        let mut server = Self { child, exited: None, lines, mark, folder, addresses: Vec::new() };
        server.wait_for(text);
        server.addresses = server.listening();
        server
    }

    /// The first address it listens on.
    pub(crate) fn address(&self) -> &Address {
        self.addresses.first().expect("an address in the log")
    }

    /// All addresses it listens on.
    pub(crate) fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The folder it works in.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The master's pid.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.lines.all()
    }

    /// Waits for a line of the log.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_for_count(text, 1)
    }

    /// Waits until so many lines of the log hold the text; the last of them.
    #[track_caller]
    pub(crate) fn wait_for_count(&self, text: &str, count: usize) -> String {
        self.lines.wait_for(text, count).unwrap_or_else(|error| panic!("{error}"))
    }

    /// How many lines of the log hold the text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.log().iter().filter(|line| line.contains(text)).count()
    }

    /// Asks for one answer on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, request: &str) -> Answer {
        self.address().ask(request).expect("an answer")
    }

    /// Sends the master a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("the master lives");
    }

    /// Sends a signal and waits for the end; its exit code.
    #[track_caller]
    pub(crate) fn stop(&mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        self.exit_code()
    }

    /// Waits for the end; the exit code.
    #[track_caller]
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        until("the server has ended", || {
            self.exited = self.exited.or_else(|| self.child.try_wait().expect("a child"));
            self.exited.is_some()
        });
        self.exited.and_then(|status| status.code())
    }

    /// All workers that ever said they are ready.
    pub(crate) fn workers(&self) -> Vec<Worker> {
        self.log().iter().filter_map(|line| Worker::parse(line)).collect()
    }

    /// The workers that live now, in the order of their slots.
    pub(crate) fn living_workers(&self) -> Vec<Worker> {
        let mut workers: Vec<Worker> =
            self.workers().into_iter().filter(|worker| is_alive(worker.pid)).collect();
        workers.sort_by_key(|worker| worker.slot);
        workers
    }

    /// The processes of this server that live, the master among them.
    pub(crate) fn survivors(&self) -> Vec<i32> {
        let mark = format!("FERRICORN_TEST_MARK={}", self.mark);
        let processes = fs::read_dir("/proc").expect("/proc is mounted");
        processes
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                // proc(5): the environment of a zombie reads as empty.
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
            })
            .collect()
    }

    fn listening(&self) -> Vec<Address> {
        let lines = self.log();
        let listening = lines.iter().filter_map(|line| line.split_once("listening at ")).map(|(_, at)| at);
        listening
            .map(|at| {
                let at = at.split_whitespace().next().expect("an address");
                match at.strip_prefix("http://") {
                    Some(address) => Address::Tcp(address.parse().expect("an address")),
                    None => Address::Unix(at.strip_prefix("unix:").expect("a path").into()),
                }
            })
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let failed = thread::panicking();
        if failed {
            eprintln!("log of the server:\n{}", self.log().join("\n"));
        } else if self.exited.is_none() {
            assert_eq!(self.stop(Signal::SIGQUIT), Some(0), "quick stop at the end of a test");
        }
        let survivors = self.survivors();
        // kill(2): ESRCH only says that the group is already gone.
        let _ = killpg(Pid::from_raw(self.pid()), Signal::SIGKILL);
        for pid in &survivors {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        let _ = self.child.wait();
        assert!(failed || survivors.is_empty(), "processes left behind: {survivors:?}");
    }
}

impl Folder {
    /// A new folder of its own.
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("ferricorn-{}", unique()));
        fs::create_dir(&path).expect("a temporary folder");
        Self(path)
    }

    /// A path inside it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file into it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a writable folder");
    }

    /// Reads a file in it; empty when there is none.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Worker {
    /// Reads `worker ready slot=1 pid=7 generation=1`.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("worker ready")?;
        let value = |name: &str| {
            rest.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        };
        Some(Self {
            slot: u16::try_from(value("slot")?).ok()?,
            pid: value("pid")?,
            generation: u32::try_from(value("generation")?).ok()?,
        })
    }
}

/// The program, working in a folder, with nothing of the tester's environment that would configure it.
pub(crate) fn ferricorn(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferricorn"));
    command.current_dir(&folder.0).env("NO_COLOR", "1");
    for name in
        ["PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET"]
    {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FERRICORN_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the program to its end: exit code, standard output, standard error.
pub(crate) fn run(mut command: Command) -> (Option<i32>, String, String) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().expect("the program starts");
    let mut status = None;
    let deadline = std::time::Instant::now() + DEADLINE;
    while status.is_none() && std::time::Instant::now() < deadline {
        status = child.try_wait().expect("a child");
        thread::park_timeout(std::time::Duration::from_millis(2));
    }
    let group = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.wait();
    let (mut output, mut errors) = (String::new(), String::new());
    child.stdout.take().expect("a pipe").read_to_string(&mut output).expect("UTF-8");
    child.stderr.take().expect("a pipe").read_to_string(&mut errors).expect("UTF-8");
    let status = status.unwrap_or_else(|| panic!("did not end:\n{output}\n{errors}"));
    (status.code(), output, errors)
}

/// A configuration of the `echo` app; `more` may go on with any section but `[server]` and `[workers]`.
pub(crate) fn config(folder: &Folder, transport: Transport, workers: u16, more: &str) -> String {
    let bind = match transport {
        Transport::Tcp => "127.0.0.1:0".to_owned(),
        Transport::Unix => format!("unix:{}", folder.path("socket").display()),
    };
    let app = if more.contains("[[app]]") { "" } else { "[[app]]\ntarget = \"echo\"\n" };
    format!("[server]\nbind = [\"{bind}\"]\n[workers]\ncount = {workers}\n{more}\n{app}")
}

/// Whether a process exists and is no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    let status =
        fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    // proc(5): the state follows the last parenthesis.
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
