//! `ferricorn bench`, on real servers and for a bounded number of requests. No figure of time is judged.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The longest that any single wait may take: it only ends tests that have failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// One run of the program in an empty directory; everything it starts carries its mark.
struct Bench {
    child: Child,
    mark: String,
}

/// A fresh directory for a test.
fn directory(name: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench").join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

impl Bench {
    fn start(directory: &PathBuf, arguments: &[&str]) -> Self {
        let mark = directory.display().to_string();
        let child = Command::new(env!("CARGO_BIN_EXE_ferricorn"))
            .arg("bench")
            .args(arguments)
            .env_clear()
            .env("FERRICORN_TEST_MARK", &mark)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        Self { child, mark }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// The processes of this run that live, itself among them.
    fn processes(&self) -> Vec<i32> {
        let mark = format!("FERRICORN_TEST_MARK={}", self.mark);
        let carries = |pid: &i32| {
            // proc(5): the environment of a zombie reads as empty.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let entries = fs::read_dir("/proc").unwrap();
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(carries).collect()
    }

    /// The server of one thread that it compares with.
    fn one_thread(&self) -> Option<i32> {
        let is_it = |pid: &i32| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.split(|byte| *byte == 0).any(|argument| argument == b"--accept-loop"))
        };
        self.processes().into_iter().find(is_it)
    }

    /// Waits for the end: exit code, standard output, standard error; fails if a process is left behind.
    fn end(mut self) -> (Option<i32>, String, String) {
        // Read meanwhile: a full pipe would keep it from ending.
        let (output, errors) = (reader(self.child.stdout.take()), reader(self.child.stderr.take()));
        let mut status: Option<ExitStatus> = None;
        until("it has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let (output, errors) = (output.join().unwrap(), errors.join().unwrap());
        assert_eq!(self.processes(), Vec::<i32>::new(), "left behind; {errors}");
        (status.and_then(|status| status.code()), output, errors)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // kill(2): an error only says that they are already gone.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        for pid in self.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    let mut pipe = pipe.expect("a pipe");
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("UTF-8");
        text
    })
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain waited until {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

fn play(directory: &PathBuf, arguments: &[&str]) -> (Option<i32>, String, String) {
    Bench::start(directory, arguments).end()
}

/// A server that ran already: answers every request with its own request line and content.
fn foreign_server() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || echo(stream.try_clone().unwrap(), stream));
        }
    });
    address
}

/// The same on a UNIX socket.
fn foreign_socket(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || echo(stream.try_clone().unwrap(), stream));
        }
    });
}

fn echo(input: impl Read, mut output: impl Write) {
    let mut input = BufReader::new(input);
    while let Some(first) = line(&mut input) {
        let mut length = 0;
        while let Some(field) = line(&mut input).filter(|field| !field.is_empty()) {
            if let Some(value) = field.strip_prefix("Content-Length: ") {
                length = value.parse().unwrap();
            }
        }
        let mut content = vec![0; length];
        input.read_exact(&mut content).unwrap();
        let answer = [first.as_bytes(), &content].concat();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
        output.write_all(&[head.as_bytes(), &answer].concat()).unwrap();
    }
}

fn line(input: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let length = input.read_line(&mut line).unwrap_or(0);
    (length > 0).then(|| line.trim_end().to_owned())
}

#[test]
fn native_app_is_compared_with_one_thread_and_nothing_is_left_behind() {
    let directory = directory("native");
    let arguments = [
        "hello",
        "-w",
        "2",
        "--requests",
        "60",
        "--rounds",
        "2",
        "--connections",
        "3",
        "--json",
        "figures.json",
    ];
    let (code, output, errors) = play(&directory, &arguments);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{output}");
    for part in
        ["ferricorn, 2 workers", "accept loop, 1 thread", "p99.9 ms", "closed loop", "requests per second"]
    {
        assert!(output.contains(part), "{part:?} in {output}");
    }
    assert!(output.is_ascii(), "not a terminal: {output}");

    let text = fs::read_to_string(directory.join("figures.json")).unwrap();
    let found: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(found["load"]["connections"], 3);
    assert!(found["machine"]["kernel"].as_str().is_some_and(|kernel| !kernel.is_empty()));
    let servers = found["comparisons"][0]["servers"].as_array().expect("servers");
    let roles: Vec<&str> = servers.iter().map(|server| server["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["ferricorn", "single-threaded"]);
    for server in servers {
        let rounds = server["rounds"].as_array().expect("rounds");
        assert_eq!(rounds.len(), 2);
        for round in rounds {
            assert_eq!((&round["requests"], &round["answers"]), (&60.into(), &60.into()), "{round}");
            assert_eq!(round["failed"], serde_json::json!({ "status": 0, "broken": 0, "unanswered": 0 }));
            assert!(round["cpu_seconds"].is_number(), "{round}");
            assert!(round["latency_us"]["p50"].as_u64() <= round["latency_us"]["max"].as_u64(), "{round}");
        }
        assert_eq!(server["whole"]["content_bytes"], 2 * 60 * "Hello, World!".len());
        let histogram = server["latency_histogram_us"].as_array().expect("a histogram");
        assert_eq!(histogram.iter().map(|step| step[1].as_u64().unwrap()).sum::<u64>(), 120);
    }
    // One keeps its three connections for a round, the other closes each after its answer.
    assert_eq!(servers[0]["whole"]["connections"], 6);
    assert_eq!(servers[1]["whole"]["connections"], 120);
}

#[test]
fn running_server_is_loaded_without_a_comparison() {
    let url = format!("http://{}/path?query", foreign_server());
    let directory = directory("url");
    let arguments = [&url, "--requests", "20", "--rounds", "1", "-H", "X-Token: secret", "--json", "-"];
    let (code, output, errors) = play(&directory, &arguments);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{output}");
    let found: Value = serde_json::from_str(&output).expect("nothing but JSON");
    let comparison = &found["comparisons"][0];
    assert_eq!(comparison["path"], "/path?query");
    assert_eq!(comparison["servers"].as_array().map(Vec::len), Some(1));
    let length = "GET /path?query HTTP/1.1".len();
    assert_eq!(comparison["servers"][0]["whole"]["answers"], 20);
    assert_eq!(comparison["servers"][0]["whole"]["content_bytes"], 20 * length);
    assert_eq!(comparison["servers"][0]["command"], Value::Null);
    assert!(
        output.contains("x-token") && !output.contains("secret"),
        "values of fields may be secrets: {output}"
    );
}

#[test]
fn content_is_posted_to_a_server_on_a_unix_socket() {
    let directory = directory("unix");
    foreign_socket(&directory.join("http.sock"));
    fs::write(directory.join("note.txt"), "five!").unwrap();
    let load = ["--requests", "20", "--rounds", "1", "--json", "-"];
    for (data, method, request) in [
        (&["--path", "/a?b", "-d", "@note.txt"][..], "POST", "POST /a?b HTTP/1.1five!"),
        (&["-d", "x", "-X", "PUT"][..], "PUT", "PUT / HTTP/1.1x"),
        (&["-X", "DELETE"][..], "DELETE", "DELETE / HTTP/1.1"),
        (&[][..], "GET", "GET / HTTP/1.1"),
    ] {
        let (code, output, errors) = play(&directory, &[&["unix:http.sock"], data, &load].concat());
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{output}");
        let found: Value = serde_json::from_str(&output).expect("nothing but JSON");
        let comparison = &found["comparisons"][0];
        assert_eq!(
            (&comparison["subject"], &comparison["method"]),
            (&"unix:http.sock".into(), &method.into())
        );
        assert_eq!(comparison["servers"][0]["whole"]["answers"], 20);
        assert_eq!(comparison["servers"][0]["whole"]["content_bytes"], 20 * request.len(), "{request}");
    }
}

#[test]
fn native_app_is_posted_to_beside_one_thread() {
    let directory = directory("post");
    let arguments =
        ["echo", "-w", "1", "-d", "0123456789", "--requests", "20", "--rounds", "1", "--json", "-"];
    let (code, output, errors) = play(&directory, &arguments);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{output}");
    let found: Value = serde_json::from_str(&output).expect("nothing but JSON");
    let comparison = &found["comparisons"][0];
    assert_eq!(comparison["request_content_bytes"], 10);
    assert_eq!(comparison["servers"].as_array().map(Vec::len), Some(2), "{}", comparison["left_out"]);
}

#[test]
fn page_that_is_not_there_is_no_benchmark() {
    let directory = directory("missing");
    fs::write(directory.join("ferricorn.toml"), "[[app]]\nmount = \"/hello\"\ntarget = \"hello\"\n").unwrap();
    let (code, output, errors) = play(&directory, &["-w", "1", "--requests", "5"]);
    assert_eq!((code, output.as_str()), (Some(1), ""));
    assert!(errors.contains("answers GET / with 404, not with 2xx") && errors.contains("--path"), "{errors}");

    let arguments = ["-w", "1", "--requests", "5", "--rounds", "1", "--path", "/hello/x"];
    let (code, output, errors) = play(&directory, &arguments);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{output}");
    assert!(output.contains("Ferricorn") && output.contains("ferricorn.toml"), "{output}");
}

#[test]
fn codes_of_serve_are_those_of_bench() {
    let directory = directory("codes");
    for (arguments, expected, part) in [
        (&["native:helo"][..], 2, "helo"),
        (&["hello", "-w", "none"][..], 2, "workers.count"),
        (&["https://localhost/"][..], 2, "only http://"),
        (&["unix:"][..], 2, "unix:/path"),
        (&["hello", "-X", "CONNECT"][..], 2, "proxies"),
        (&["hello", "-d", "@nothing.json"][..], 2, "nothing.json"),
        (&["hello", "--path", "no-slash"][..], 2, "begins with"),
        (&["hello", "-H", "Connection: close"][..], 2, "load generator"),
    ] {
        let (code, output, errors) = play(&directory, arguments);
        assert_eq!((code, output.as_str()), (Some(expected), ""), "{arguments:?}: {errors}");
        assert!(errors.contains(part), "{arguments:?}: {errors}");
    }
}

#[test]
fn interruption_ends_all_servers() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let directory = directory(signal.as_str());
        let run = Bench::start(&directory, &["hello", "-w", "2", "--duration", "60m"]);
        // The last that is started.
        until("the server of one thread runs", || run.one_thread().is_some());
        kill(run.pid(), signal).unwrap();
        let (code, output, errors) = run.end();
        assert_eq!((code, output.as_str()), (Some(1), ""), "{errors}");
        assert!(errors.contains("interrupted"), "{errors}");
    }
}

#[test]
fn server_that_dies_ends_the_run() {
    let run =
        Bench::start(&directory("dies"), &["hello", "-w", "1", "--duration", "100ms", "--rounds", "1000"]);
    // One that dies before it is loaded is left out. A tenth of a second of CPU time is more than a start takes.
    until("the server of one thread is loaded", || run.one_thread().is_some_and(|pid| ticks(pid) >= 10));
    let pid = Pid::from_raw(run.one_thread().unwrap());
    kill(pid, Signal::SIGKILL).unwrap();
    let (code, output, errors) = run.end();
    assert_eq!((code, output.as_str()), (Some(1), ""), "{errors}");
    assert!(errors.contains("answers no more"), "{errors}");
}

/// CPU time that a process has used, in ticks of which there are 100 a second.
fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // proc_pid_stat(5): utime and stime are the 12th and 13th field behind the program's name.
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}
