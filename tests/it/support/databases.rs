//! Redis and PostgreSQL, each in a folder and on a port of its own, gone with the test.

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, chown};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Redis,
    Postgres,
}

/// How it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Plain,
    /// By TLS alone, with a certificate of an authority that nobody knows.
    Tls,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Database {
    engine: Engine,
    link: Link,
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Database {
    /// Starts one; `None` where it is not installed, which is said.
    pub(crate) fn start(engine: Engine) -> Option<Self> {
        Self::start_by(engine, Link::Plain)
    }

    /// The same, reached by TLS alone.
    pub(crate) fn start_by_tls(engine: Engine) -> Option<Self> {
        Self::start_by(engine, Link::Tls)
    }

    fn start_by(engine: Engine, link: Link) -> Option<Self> {
        if engine.program().is_none() {
            eprintln!("skipped: {engine:?} is not installed (on Debian: apt install {})", engine.package());
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        if engine == Engine::Postgres {
            let owner = unprivileged();
            chown(folder.path(), owner.map(|(user, _)| user.into()), owner.map(|(_, group)| group.into()))
                .expect("a folder that may be given away");
            let mut initdb = engine.command("initdb", &folder);
            initdb.args([
                "-U",
                "ferricorn",
                "-A",
                "trust",
                "--no-sync",
                "--locale=C",
                "--encoding=UTF8",
                "-D",
            ]);
            let done = initdb.arg(folder.path().join("data")).output().expect("initdb runs");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        let mut database = Self { engine, link, folder, port: 0, child: None };
        if link == Link::Tls {
            database.make_certificates();
        }
        // Between the choice of a port and its use somebody else may take it.
        for attempt in 1.. {
            database.port =
                TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
            match database.try_to_run() {
                Ok(()) => break,
                Err(log) => assert!(attempt < 3, "{engine:?} does not start: {log}"),
            }
        }
        Some(database)
    }

    /// The authority of its certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn make_certificates(&self) {
        const KEY: [&str; 6] =
            ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days"];
        const AUTHORITY: [&str; 7] = ["2", "-subj", "/CN=nobody", "-keyout", "ca.key", "-out", "ca.pem"];
        const SERVER: [&str; 15] = [
            "2",
            "-subj",
            "/CN=server",
            "-keyout",
            "server.key",
            "-out",
            "server.pem",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ];
        for arguments in [&AUTHORITY[..], &SERVER] {
            let mut openssl = self.engine.command("openssl", &self.folder);
            let done =
                openssl.args(["req", "-x509"]).args(KEY).args(arguments).output().expect("openssl runs");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
    }

    /// Where a database of this number is, which is empty at first.
    pub(crate) fn url(&self, number: u8) -> String {
        let port = self.port;
        match self.engine {
            Engine::Redis if self.link == Link::Tls => format!("rediss://127.0.0.1:{port}/{number}"),
            Engine::Redis => format!("redis://127.0.0.1:{port}/{number}"),
            Engine::Postgres => {
                let mut createdb = self.engine.command("createdb", &self.folder);
                createdb.args([
                    "-h",
                    "127.0.0.1",
                    "-U",
                    "ferricorn",
                    "-p",
                    &port.to_string(),
                    &format!("d{number}"),
                ]);
                let done = createdb.output().expect("createdb runs");
                assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
                format!("postgres://ferricorn@127.0.0.1:{port}/d{number}")
            }
        }
    }

    /// Runs it again where it was.
    pub(crate) fn run(&mut self) {
        self.try_to_run().unwrap_or_else(|log| panic!("{:?} does not start again: {log}", self.engine));
    }

    /// Ends it; what it has said is done stays done.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Of PostgreSQL's ways to end, the one that does not wait for its clients.
            let signal = if self.engine == Engine::Postgres { Signal::SIGINT } else { Signal::SIGTERM };
            let _ = kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), signal);
            let deadline = Instant::now() + DEADLINE;
            while child.try_wait().expect("a child").is_none() {
                if Instant::now() > deadline {
                    let _ = child.kill();
                }
                thread::park_timeout(Duration::from_millis(2));
            }
        }
    }

    /// Sends a signal to it and to the processes that serve its clients.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().expect("it runs").id();
        // proc(5): the children of a task.
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let own = i32::try_from(pid).expect("a pid");
        for pid in children.split_whitespace().filter_map(|pid| pid.parse().ok()).chain([own]) {
            // One of them may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Runs the server and waits until it takes connections; else what it said.
    fn try_to_run(&mut self) -> Result<(), String> {
        let port = self.port.to_string();
        let mut command = match self.engine {
            Engine::Redis => {
                let mut command = self.engine.command("redis-server", &self.folder);
                command.args(["--bind", "127.0.0.1", "--databases", "100", "--save", ""]);
                match self.link {
                    Link::Plain => command.args(["--port", &port]),
                    Link::Tls => {
                        command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]).args([
                            "--tls-cert-file",
                            "server.pem",
                            "--tls-key-file",
                            "server.key",
                            "--tls-ca-cert-file",
                            "ca.pem",
                        ])
                    }
                };
                command
                    .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
                    .arg(self.folder.path());
                command
            }
            Engine::Postgres => {
                let mut command = self.engine.command("postgres", &self.folder);
                command
                    .args(["-h", "127.0.0.1", "-p", &port, "-c", "fsync=off", "-k"])
                    .arg(self.folder.path());
                if self.link == Link::Tls {
                    let file = |name: &str| self.folder.path().join(name).display().to_string();
                    let (certificate, key) = (file("server.pem"), file("server.key"));
                    command.args(["-c", "ssl=on", "-c", &format!("ssl_cert_file={certificate}")]);
                    command.args(["-c", &format!("ssl_key_file={key}")]);
                }
                command.arg("-D").arg(self.folder.path().join("data"));
                command
            }
        };
        // One logs to standard output, the other to standard error.
        let (reader, writer) = std::io::pipe().map_err(|error| error.to_string())?;
        let errors = writer.try_clone().map_err(|error| error.to_string())?;
        let child = command.stdout(writer).stderr(errors).spawn().map_err(|error| error.to_string())?;
        drop(command);
        self.child = Some(child);
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            let mut log = BufReader::new(reader);
            let mut said = String::new();
            while log.read_line(&mut said).is_ok_and(|length| length > 0) {
                if said.to_lowercase().contains("ready to accept connections") {
                    let _ = ready.send(Ok(()));
                    // So that it never has to wait for a reader.
                    let _ = log.read_to_end(&mut Vec::new());
                    return;
                }
            }
            let _ = ready.send(Err(said));
        });
        let outcome =
            is_ready.recv_timeout(DEADLINE).unwrap_or_else(|_| Err("nothing was heard of it".into()));
        if outcome.is_err() {
            self.stop();
        }
        outcome
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.child.is_some() {
            // A stopped process hears of its end only then.
            self.signal(Signal::SIGCONT);
        }
        self.stop();
    }
}

impl Engine {
    /// The server, where it is installed.
    fn program(self) -> Option<PathBuf> {
        match self {
            Self::Redis => self.tool("redis-server"),
            Self::Postgres => self.tool("postgres"),
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Postgres => "postgresql",
        }
    }

    /// Debian keeps PostgreSQL's programs by version, and only some on the path.
    fn tool(self, name: &str) -> Option<PathBuf> {
        let mut folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
        if self == Self::Postgres {
            let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
            let mut versions: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
            versions.sort();
            folders.extend(versions.into_iter().rev());
        }
        folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
    }

    fn command(self, name: &str, folder: &tempfile::TempDir) -> Command {
        let mut command = Command::new(self.tool(name).expect("it is installed"));
        command.current_dir(folder.path()).stdin(Stdio::null()).env_remove("PGOPTIONS");
        // PostgreSQL refuses to be root's.
        if let Some((user, group)) = unprivileged().filter(|_| self == Self::Postgres) {
            command.uid(user).gid(group);
        }
        command
    }
}

/// Somebody else, where the tests are root's.
fn unprivileged() -> Option<(u32, u32)> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).expect("users");
    let of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2);
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    };
    of("postgres").or_else(|| of("nobody"))
}

const DEADLINE: Duration = Duration::from_secs(30);
