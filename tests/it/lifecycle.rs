//! Start, stop and exit codes.

use crate::support::server::{Folder, config, ferricorn, run};
use crate::support::{Ended, Server, Transport, on_tcp_and_unix};
use nix::sys::signal::Signal;
use std::process::Command;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

on_tcp_and_unix! {
    fn each_stop_signal_ends_it_as_asked(transport) {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
            let mut server = Server::start(transport, 2);
            assert_eq!(server.ask(GET).status, 200, "{signal}");
            assert_eq!(server.stop(signal), Some(0), "{signal}");
            assert_eq!(server.survivors(), [] as [i32; 0], "{signal}");
            assert!(server.address().connect().is_err(), "{signal}: still listening");
        }
    }
}

on_tcp_and_unix! {
    fn a_second_term_does_not_wait_for_clients(transport) {
        let mut server = Server::configured(transport, 1, "[timeouts]\ngraceful = \"10m\"\nbody = \"10m\"\n");
        let mut connection = server.address().connect().unwrap();
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
        connection.send(head).unwrap();
        assert_eq!(connection.next_answer("POST").unwrap().status, 100);
        server.signal(Signal::SIGTERM);
        // signal(7): two of one kind that are pending at once are one.
        server.wait_for("stopping");
        assert_eq!(server.stop(Signal::SIGTERM), Some(0));
    }
}

#[test]
fn every_configured_worker_gets_ready() {
    let server = Server::start(Transport::Tcp, 3);
    let workers = server.living_workers();
    let slots: Vec<u16> = workers.iter().map(|worker| worker.slot).collect();
    assert_eq!(workers.len(), 3, "{workers:?}");
    assert!(slots.windows(2).all(|pair| pair[0] < pair[1]), "two workers in one slot: {workers:?}");
    assert!(workers.iter().all(|worker| worker.generation == workers[0].generation), "{workers:?}");
    assert!(workers.iter().all(|worker| worker.pid != server.pid()), "the master serves: {workers:?}");
}

#[test]
fn one_request_may_follow_another_until_the_client_closes() {
    let server = Server::start(Transport::Tcp, 1);
    let mut connection = server.address().connect().unwrap();
    for _ in 0..200 {
        connection.send(b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        let answer = connection.answer().unwrap();
        assert!(answer.status == 200 && !answer.closes(), "{answer:?}");
    }
    connection.shut_down_writing().unwrap();
    assert_eq!(connection.end().unwrap(), Ended::Finished);
}

#[test]
fn pid_file_names_the_master_while_it_runs() {
    let folder = Folder::new();
    let text = config(&folder, Transport::Tcp, 1, "");
    folder.write("ferricorn.toml", &text.replace("[server]", "[server]\npid_file = \"pid\""));
    let mut server = Server::in_folder(folder);
    assert_eq!(server.folder().read("pid").trim(), server.pid().to_string());
    assert_eq!(server.stop(Signal::SIGTERM), Some(0));
    assert!(!server.folder().path("pid").exists(), "the pid file stays");
}

#[test]
fn starts_without_any_warning() {
    let server = Server::start(Transport::Tcp, 2);
    let log = server.log().join("\n");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[test]
fn usage_errors_exit_with_2() {
    let folder = Folder::new();
    for arguments in [&["--no-such-flag"][..], &["no-such-command", "x"], &["serve", "--workers", "many"]] {
        let mut command = ferricorn(&folder);
        command.args(arguments);
        let (code, output, errors) = run(command);
        assert_eq!(code, Some(2), "{arguments:?}: {output}{errors}");
        assert!(!errors.is_empty(), "{arguments:?}: no word about it");
    }
}

#[test]
fn configuration_errors_exit_with_2_and_are_told_all_at_once() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", "[workers]\ncuont = 2\n[timeouts]\nhead = 30\n");
    for subcommand in ["serve", "check"] {
        let mut command = ferricorn(&folder);
        command.arg(subcommand);
        let (code, output, errors) = run(command);
        let told = output + &errors;
        assert_eq!(code, Some(2), "{subcommand}: {told}");
        assert!(told.contains("ferricorn.toml:2") && told.contains("count"), "{subcommand}: {told}");
        assert!(told.contains("ferricorn.toml:4") && told.contains("30s"), "{subcommand}: {told}");
    }
}

#[test]
fn unknown_native_app_exits_with_2() {
    let folder = Folder::new();
    folder.write(
        "ferricorn.toml",
        "[server]\nbind = [\"127.0.0.1:0\"]\n[[app]]\ntarget = \"native:no-such-app\"\n",
    );
    let (code, output, errors) = run({
        let mut command = ferricorn(&folder);
        command.arg("serve");
        command
    });
    assert_eq!(code, Some(2), "{output}{errors}");
    assert!(errors.contains("no-such-app"), "{errors}");
}

#[test]
fn valid_configuration_and_version_exit_with_0() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, ""));
    for argument in ["check", "--version", "--help", "print-config"] {
        let mut command = ferricorn(&folder);
        command.arg(argument);
        let (code, output, errors) = run(command);
        assert_eq!(code, Some(0), "{argument}: {output}{errors}");
        assert!(!output.is_empty(), "{argument}: nothing said");
    }
}

#[test]
fn foreign_children_are_reaped() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, ""));
    let fifo = folder.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    // The shell leaves a child to the program that takes its place.
    let script = "cat fifo >/dev/null & echo $! >child; exec \"$0\" serve";
    let program = ferricorn(&folder);
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(program.get_program()).current_dir(folder.path(""));
    let server = Server::from_command(command, folder);
    let child = server.folder().read("child").trim().to_owned();
    let stat = format!("/proc/{child}/stat");
    assert!(std::fs::exists(&stat).unwrap(), "the foreign child is not there");
    // Opening and closing the other end of the pipe ends `cat`.
    drop(std::fs::OpenOptions::new().write(true).open(&fifo).unwrap());
    crate::support::until("the foreign child is reaped", || !std::fs::exists(&stat).unwrap());
    assert_eq!(server.ask(GET).status, 200);
}

#[test]
fn first_process_of_a_container_stops_and_reaps_as_any_other() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can make a PID namespace");
        return;
    }
    let folder = Folder::new();
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 2, ""));
    let mut command = Command::new("unshare");
    // pid_namespaces(7): the first process gets only the signals it handles, and every orphan.
    let program = ferricorn(&folder);
    command.args(["--pid", "--fork", "--kill-child"]).arg(program.get_program()).arg("serve");
    command.current_dir(folder.path(""));
    let mut server = Server::from_command(command, folder);
    assert!(server.log().iter().any(|line| line.contains("[1] ready: ")), "its pid is not 1");
    assert_eq!(server.ask(GET).status, 200);
    let children = format!("/proc/{0}/task/{0}/children", server.pid());
    let first = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), Signal::SIGTERM).unwrap();
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(server.survivors(), [] as [i32; 0]);
}
