//! A program with an app of its own, as a process: `examples/axum.rs`, and a site with faults.

use crate::support::server::{Folder, Server, run};
use crate::support::{Address, Connection, Ended, until};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use std::path::PathBuf;
use std::process::Command;

/// The example's program.
fn example(folder: &Folder, arguments: &str) -> Command {
    program("axum", folder, arguments)
}

/// A program that cargo has built as an example.
fn program(name: &str, folder: &Folder, arguments: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let folder_of_profile = tests.parent().and_then(std::path::Path::parent).unwrap();
    let program: PathBuf = folder_of_profile.join("examples").join(name);
    assert!(program.exists(), "build it: cargo build --example {name} --features hyper");
    let mut command = Command::new(program);
    command.args(arguments.split_whitespace()).current_dir(folder.path("")).env("NO_COLOR", "1");
    for name in ["PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "NOTES", "TOLD_BY"] {
        command.env_remove(name);
    }
    command
}

fn start(arguments: &str) -> Server {
    let folder = Folder::new();
    let command = example(&folder, &format!("-b 127.0.0.1:0 {arguments}"));
    Server::from_command(command, folder)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

fn post(path: &str, content: &str) -> String {
    let length = content.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{content}"
    )
}

/// A connection on which a WebSocket has been opened.
fn open_socket(server: &Server) -> Connection {
    let mut socket = server.address().connect().unwrap();
    let ask = "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
               Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // The first frame comes right behind the request: it must not be lost on the way to the app.
    socket.send(&[ask.as_bytes(), &text_frame("early")].concat()).unwrap();
    let answer = socket.next_answer("GET").unwrap();
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(answer.field("connection"), Some("upgrade"));
    assert_eq!(answer.field("upgrade"), Some("websocket"));
    // RFC 6455 1.3: the answer to this key.
    assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(next_frame(&mut socket), (TEXT, b"early".to_vec()));
    socket
}

/// RFC 6455 5.2: a client's frames are masked; this mask changes nothing.
fn text_frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 126);
    [&[0x80 | TEXT, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

fn next_frame(socket: &mut Connection) -> (u8, Vec<u8>) {
    let head = socket.exactly(2).unwrap();
    assert_eq!(head[0] & 0x80, 0x80, "a frame in one part");
    assert!(head[1] < 126, "a short frame without a mask");
    (head[0] & 0x0f, socket.exactly(usize::from(head[1])).unwrap())
}

const TEXT: u8 = 1;
const CLOSE: u8 = 8;

#[test]
fn axum_under_the_master_keeps_its_data_and_serves_streams_and_sockets() {
    let mut server = start("-w 2");
    assert_eq!(server.ask(&post("/notes", "one")).status, 201);
    assert_eq!(server.ask(&post("/notes", "two")).status, 201);
    assert_eq!(server.ask(&get("/notes")).text(), "one\ntwo\n");
    let whoami = server.ask(&get("/")).text();
    assert!(whoami.starts_with("worker ") && whoami.contains(" serves 127.0.0.1:"), "{whoami}");
    assert_eq!(server.ask(&get("/nothing")).status, 404);
    let mut socket = open_socket(&server);
    for text in ["hello", "again"] {
        socket.send(&text_frame(text)).unwrap();
        assert_eq!(next_frame(&mut socket), (TEXT, text.as_bytes().to_vec()));
    }
    let mut events = open_events(&server);
    assert_eq!(events.chunk().unwrap(), b"data: 2\n\n");
    drop((socket, events));
    assert_eq!(server.stop(Signal::SIGTERM), Some(0));
}

/// What `/metrics` of the admin address says of a figure without labels, whenever it is asked.
fn figure(server: &Server, name: &str) -> impl Fn() -> u64 + use<> {
    let line = server.wait_for("health, metrics and status at http://");
    let admin = Address::Tcp(line.rsplit_once("http://").unwrap().1.trim().parse().unwrap());
    let start = format!("{name} ");
    move || {
        let page = admin.ask(&get("/metrics")).unwrap().text();
        let line = page.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
    }
}

#[test]
fn figures_of_an_app_are_added_up_and_outlive_its_workers() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", "[admin]\naddress = \"127.0.0.1:0\"\n");
    let command = example(&folder, "-b 127.0.0.1:0 -w 3");
    let server = Server::from_command(command, folder);
    let told = figure(&server, "notes_added_total");
    assert_eq!(told(), 0);
    let mut added = 0;
    for round in 1..=3 {
        for _ in 0..20 {
            assert_eq!(server.ask(&post("/notes", "x")).status, 201);
            added += 1;
        }
        assert_eq!(told(), added);
        let victim = server.living_workers()[0].pid;
        kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
        server.wait_for_count("worker crashed", round);
        assert_eq!(told(), added, "what a killed worker has counted is kept");
        server.signal(Signal::SIGHUP);
        server.wait_for_count("reload done: generation", round);
        assert_eq!(told(), added);
    }
    until("the workers of before have left", || server.living_workers().len() == 3);
    assert_eq!(told(), added);
}

/// A stream of events, from its second event.
fn open_events(server: &Server) -> Connection {
    let mut events = server.address().connect().unwrap();
    events.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let head = events.head().unwrap();
    assert_eq!((head.status, head.field("content-type")), (200, Some("text/event-stream")));
    assert_eq!(events.chunk().unwrap(), b"data: 1\n\n");
    events
}

#[test]
fn at_a_reload_open_streams_and_sockets_end_in_order() {
    let mut server = start("-w 1");
    assert_eq!(server.ask(&post("/notes", "kept")).status, 201);
    let mut events = open_events(&server);
    let mut socket = open_socket(&server);
    let old = server.living_workers()[0].pid;
    server.signal(Signal::SIGHUP);
    server.wait_for("reload done: generation");
    // Whatever was said before it, the last event is the one that the drain brings, and the content ends whole.
    let mut last = Vec::new();
    loop {
        let chunk = events.chunk().unwrap();
        if chunk.is_empty() {
            break;
        }
        last = chunk;
    }
    assert_eq!(last, b"event: bye\ndata: reconnect\n\n");
    assert_eq!(next_frame(&mut socket).0, CLOSE);
    assert_eq!(socket.end().unwrap(), Ended::Finished);
    until("the old worker has left", || !crate::support::server::is_alive(old));
    assert_eq!(server.ask(&get("/notes")).text(), "kept\n");
    assert_eq!(server.stop(Signal::SIGTERM), Some(0));
}

#[test]
fn one_worker_may_have_all_cpus() {
    let server = start("-w 1 --threads auto");
    let threads =
        std::fs::read_dir(format!("/proc/{}/task", server.living_workers()[0].pid)).unwrap().count();
    let cpus = std::thread::available_parallelism().unwrap().get();
    assert!(threads > cpus.min(2), "{threads} threads for {cpus} CPUs");
    assert_eq!(server.ask(&get("/nothing")).status, 404);
}

#[test]
fn a_constructor_that_fails_is_an_app_that_did_not_load() {
    let folder = Folder::new();
    let mut command = example(&folder, "-b 127.0.0.1:0");
    command.env("NOTES", "/nowhere/notes.sqlite3");
    let (code, _, errors) = run(command);
    assert_eq!(code, Some(3), "{errors}");
    assert!(
        errors.contains("the app did not load: ")
            && errors.contains("cannot make /nowhere/notes.sqlite3.lock"),
        "{errors}"
    );
}

#[test]
fn a_constructor_that_fails_in_one_worker_is_tried_again_while_the_others_serve() {
    let folder = Folder::new();
    let words = folder.path("words");
    mkfifo(&words, Mode::S_IRWXU).unwrap();
    let mut command = program("waiting", &folder, "-b 127.0.0.1:0 -w 3");
    command.env("TOLD_BY", &words);
    let mut server = Server::with_one_ready(command, folder);
    server.wait_for_count("worker ready", 2);
    std::fs::write(&words, "told to fail").unwrap();
    server.wait_for("worker did not start, another try follows: told to fail");
    assert_eq!(server.ask(&get("/quick")).status, 200);
    std::fs::write(&words, "serve").unwrap();
    server.wait_for("ready: 3 workers");
    assert_eq!(server.stop(Signal::SIGTERM), Some(0));
}

#[test]
fn a_panic_in_a_handler_costs_one_request_and_is_counted() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", "[admin]\naddress = \"127.0.0.1:0\"\n");
    let command = program("waiting", &folder, "-b 127.0.0.1:0 -w 1");
    let server = Server::from_command(command, folder);
    let told = figure(&server, "ferricorn_panics_total");
    assert_eq!(told(), 0);
    let mut client = server.address().connect().unwrap();
    for (path, status) in [("/quick", 200), ("/panics", 500), ("/quick", 200)] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(client.next_answer("GET").unwrap().status, status, "{path}");
    }
    server.wait_for("the app panicked: told to panic");
    assert_eq!(told(), 1);
}

#[test]
fn a_second_service_is_mounted_beside_the_first() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", "[[app]]\nmount = \"/below/hello\"\ntarget = \"hello\"\n");
    let command = program("waiting", &folder, "-b 127.0.0.1:0 -w 2");
    let server = Server::from_command(command, folder);
    for (path, expected) in [("/below/it?x", "/below/it"), ("/below/hello", "Hello, World!")] {
        assert_eq!(server.ask(&get(path)).text(), expected);
    }
    assert_eq!(server.ask(&get("/below")).status, 404);
    assert_eq!(server.ask(&get("/quick")).status, 200);
    // A file that claims a place of the program's is refused, and the server goes on.
    server.folder().write("ferricorn.toml", "[[app]]\nmount = \"/below\"\ntarget = \"hello\"\n");
    server.signal(Signal::SIGHUP);
    server.wait_for("\"/below\" is the program's own app");
    assert_eq!(server.ask(&get("/below/it")).text(), "/below/it");
}

#[test]
fn a_reload_whose_constructor_fails_keeps_the_old_workers() {
    let server = start("-w 1");
    let old = server.living_workers();
    // A folder where the database was: it cannot be opened anew.
    for name in ["notes.sqlite3", "notes.sqlite3-wal", "notes.sqlite3-shm"] {
        let path = server.folder().path(name);
        if path.exists() {
            std::fs::remove_file(path).unwrap();
        }
    }
    std::fs::create_dir(server.folder().path("notes.sqlite3")).unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("reload failed: ");
    assert_eq!(server.living_workers(), old);
    assert_eq!(server.ask(&get("/nothing")).status, 404);
}

#[test]
fn wrong_flags_are_refused_as_ferricorn_does() {
    let folder = Folder::new();
    for (arguments, part) in [
        ("--daemon", "--daemon of Gunicorn is not supported"),
        ("hello", "serves its own app"),
        ("-w 0", "flag --workers"),
    ] {
        let (code, _, errors) = run(example(&folder, arguments));
        assert!(code == Some(2) && errors.contains(part), "{arguments}: {errors}");
    }
}
