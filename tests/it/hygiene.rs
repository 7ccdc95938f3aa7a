//! What processes are: who they run as, what they are called, what they inherit and pass on.

use crate::support::server::{Folder, Worker, config, ferricorn, run};
use crate::support::{Load, Reuse, Server, Transport, on_tcp_and_unix, until};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

/// A user and a group that nobody has.
const STRANGER: u32 = 64_321;

fn start(transport: Transport, workers: u16, server_keys: &str, worker_keys: &str) -> Server {
    let folder = Folder::new();
    let text = config(&folder, transport, workers, "");
    let text = text.replace("[server]\n", &format!("[server]\n{server_keys}"));
    folder.write("ferricorn.toml", &text.replace("[workers]\n", &format!("[workers]\n{worker_keys}")));
    Server::in_folder(folder)
}

/// A field of /proc/PID/status, its words joined by one space.
fn status(pid: i32, field: &str) -> String {
    field_of(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap(), field)
}

fn field_of(status: &str, field: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {status}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn title(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap()
}

#[test]
fn a_worker_has_nothing_left_of_root() {
    assert!(is_root(), "this test needs root, to be somebody else");
    let keys =
        format!("user = \"{STRANGER}\"\ngroup = \"{STRANGER}\"\ncore_dumps = false\nno_new_privs = true\n");
    let server = start(Transport::Tcp, 1, &keys, "");
    let pid = server.living_workers()[0].pid;
    let all = [STRANGER; 4].map(|id| id.to_string()).join(" ");
    assert_eq!((status(pid, "Uid"), status(pid, "Gid")), (all.clone(), all));
    assert_eq!(status(pid, "Groups"), STRANGER.to_string());
    assert_eq!((status(pid, "CapEff"), status(pid, "CapPrm")), ("0".repeat(16), "0".repeat(16)));
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
    assert_eq!(server.ask(GET).status, 200);
}

#[test]
fn who_may_not_change_its_user_says_so() {
    assert!(is_root(), "this test needs root, to be somebody else");
    let folder = Folder::new();
    let text = config(&folder, Transport::Tcp, 1, "[admin]\nsocket = \"off\"\n");
    let user = format!("[server]\nuser = \"{STRANGER}\"\ngroup = \"{STRANGER}\"\n");
    folder.write("ferricorn.toml", &text.replace("[server]\n", &user));
    let program = folder.path("ferricorn");
    // That of the tests may lie where only root may look.
    fs::copy(ferricorn(&folder).get_program(), &program).unwrap();
    let mut command = Command::new(&program);
    command.arg("serve").current_dir(folder.path("")).uid(STRANGER + 1).gid(STRANGER + 1);
    let (code, _, errors) = run(command);
    assert_eq!(code, Some(1), "{errors}");
    let text =
        "cannot become the configured user: only root (or CAP_SETUID and CAP_SETGID) may become another";
    assert!(errors.contains(text), "{errors}");
}

#[test]
fn processes_say_what_they_are_and_workers_die_first_when_memory_runs_out() {
    let server = start(Transport::Tcp, 2, "open_files = 256\n", "");
    for Worker { slot, pid, generation } in server.living_workers() {
        assert_eq!(title(pid), format!("ferricorn: worker {slot}, generation {generation}\0"));
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        assert_eq!(comm, format!("ferricorn-w{slot}\n"));
        let score = |pid| -> i32 {
            fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().parse().unwrap()
        };
        assert_eq!(score(pid), (score(server.pid()) + 100).min(1000));
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let open = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_eq!(open.split_whitespace().nth(3), Some("256"), "{open}");
        // The variables lie behind the command line, and are still found.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(environment.windows(20).any(|found| found == b"FERRICORN_TEST_MARK="));
    }
    let admin = server.survivors().into_iter().find(|pid| title(*pid) == "ferricorn: admin\0");
    assert!(admin.is_some(), "no process says that it is the admin process");
    assert!(title(server.pid()).ends_with("\0serve\0"), "the master is called as it was started");
    assert_eq!(server.ask(GET).status, 200);
}

#[test]
fn signals_that_the_starter_has_blocked_or_ignored_are_passed_on_to_nobody() {
    let folder = Folder::new();
    let text = config(&folder, Transport::Tcp, 1, "");
    let check = "check_command = [\"sh\", \"-c\", \"cat /proc/self/status > status\"]\n";
    folder.write("ferricorn.toml", &text.replace("[workers]\n", &format!("[workers]\n{check}")));
    // env(1) of coreutils 8.31 and later.
    let mut command = Command::new("env");
    command.args(["--block-signal=TERM,HUP,CHLD,USR1", "--ignore-signal=HUP,USR1,TERM,ALRM"]);
    let program = ferricorn(&folder);
    command.arg(program.get_program()).arg("serve").current_dir(folder.path(""));
    let mut server = Server::from_command(command, folder);
    let none = "0".repeat(16);
    let child = server.folder().read("status");
    let worker = server.living_workers()[0].pid;
    for (whose, blocked) in [
        ("a child", field_of(&child, "SigBlk")),
        ("the worker", status(worker, "SigBlk")),
        ("the master", status(server.pid(), "SigBlk")),
    ] {
        assert_eq!(blocked, none, "{whose} blocks signals");
    }
    // signal(7): the runtime of Rust ignores SIGPIPE, number 13, here as well as there, and std::process gives it back.
    let broken_pipe = 1 << 12;
    // nptl(7): 32 and 33 are the C library's own.
    let ignored = |text: String| u64::from_str_radix(&text, 16).unwrap() & ((1 << 31) - 1);
    // CPython ignores SIGXFSZ, number 25, and what these tests were started by may be Python.
    let inherited = ignored(status(std::process::id().cast_signed(), "SigIgn")) & (1 << 24);
    assert_eq!(ignored(field_of(&child, "SigIgn")), inherited);
    assert_eq!(ignored(status(worker, "SigIgn")), inherited | broken_pipe);
    server.signal(Signal::SIGHUP);
    server.wait_for("reload done: generation 2");
    assert_eq!(server.stop(Signal::SIGTERM), Some(0));
}

on_tcp_and_unix! {
    fn workers_that_get_too_old_are_replaced_and_nobody_notices(transport) {
        let server = start(transport, 4, "", "max_age = \"1s\"\nmax_age_jitter = \"1s\"\n");
        let load = Load::start(server.address(), 4, &[Reuse::KeptAlive, Reuse::Closed]);
        server.wait_for_count("worker left", 8);
        load.goes_on();
        assert_eq!(load.stop().1, Vec::<String>::new());
        assert!(server.count("worker retires: it has served for workers.max_age") >= 8);
        until("all slots are served", || server.living_workers().len() >= 4);
    }
}

#[test]
fn a_worker_with_too_much_memory_is_replaced_and_nobody_notices() {
    // Less than any process has: each look finds some, and one at a time goes.
    let server = start(Transport::Tcp, 2, "", "max_memory = \"64 KiB\"\n");
    let load = Load::start(server.address(), 2, &[Reuse::KeptAlive, Reuse::Closed]);
    let said = server.wait_for("worker retires: it has ");
    assert!(said.contains("WARN") && said.contains("raise workers.max_memory"), "{said}");
    server.wait_for_count("worker left", 2);
    load.goes_on();
    assert_eq!(load.stop().1, Vec::<String>::new());
}
