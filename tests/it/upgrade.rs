//! Another program in the place of the running one: the same process, the same sockets, and nothing lost.

use crate::support::control::ctl;
use crate::support::server::{Folder, config, ferricorn, run};
use crate::support::{Load, Reuse, Server, Transport, on_tcp_and_unix, until};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// A server whose program is a file of its own, `program` in its folder.
fn start(transport: Transport, workers: u16, more: &str) -> Server {
    let folder = Folder::new();
    folder.write("ferricorn.toml", &config(&folder, transport, workers, more));
    install(&folder, copy_program);
    let mut command = Command::new("./program");
    take_environment(&mut command, &ferricorn(&folder));
    command.arg("serve").current_dir(folder.path(""));
    Server::from_command(command, folder)
}

/// The environment that tests run the program in.
fn take_environment(command: &mut Command, model: &Command) {
    for (name, value) in model.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

/// Puts another file in the place of the program, in one step, as a package manager does.
fn install(folder: &Folder, make: impl Fn(&Path)) {
    let next = folder.path("program.next");
    make(&next);
    fs::rename(next, folder.path("program")).unwrap();
}

/// The true program, in a file of its own. Written by another process: a descriptor for writing that a child of another
/// test inherits for a moment would keep it from being executed (execve(2), ETXTBSY).
fn copy_program(path: &Path) {
    let status = Command::new("cp").arg(env!("CARGO_BIN_EXE_ferricorn")).arg(path).status().unwrap();
    assert!(status.success());
}

/// Its beginning.
fn cut_program(path: &Path) {
    let script = format!("head -c {CUT} \"$0\" > \"$1\" && chmod 755 \"$1\"");
    let program = env!("CARGO_BIN_EXE_ferricorn");
    let status = Command::new("sh").args(["-c", &script, program]).arg(path).status().unwrap();
    assert!(status.success());
}

/// Less than what is loaded, behind which debug information may follow.
const CUT: u32 = 1_000_000;

/// The file that the master runs.
fn inode(server: &Server) -> u64 {
    fs::metadata(format!("/proc/{}/exe", server.pid())).unwrap().ino()
}

fn installed_inode(server: &Server) -> u64 {
    fs::metadata(server.folder().path("program")).unwrap().ino()
}

/// `ferricorn ctl upgrade --wait`: exit code, what it prints, what it complains of.
fn upgrade(server: &Server) -> (Option<i32>, String, String) {
    let mut command = ferricorn(server.folder());
    command.args(["ctl", "upgrade", "--wait", "--timeout", "20", "--pid", &server.pid().to_string()]);
    run(command)
}

fn both_kinds(server: &Server) -> Load {
    Load::start(server.address(), 3, &[Reuse::KeptAlive, Reuse::Closed])
}

fn nothing_failed(load: Load) {
    let (answered, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {answered} failed: {failures:?}", failures.len());
}

on_tcp_and_unix! {
    fn another_program_takes_over_again_and_again_and_nothing_fails(transport) {
        let server = start(transport, 3, "");
        let load = both_kinds(&server);
        let mut generation = 1;
        for _ in 0..2 {
            let before = inode(&server);
            install(server.folder(), copy_program);
            let (code, output, errors) = upgrade(&server);
            generation += 1;
            assert_eq!((code, output.trim()), (Some(0), format!("generation {generation}").as_str()), "{errors}");
            assert_eq!(inode(&server), installed_inode(&server));
            assert_ne!(inode(&server), before);
            load.goes_on();
            // What the new program can do, too.
            server.signal(Signal::SIGHUP);
            generation += 1;
            server.wait_for(&format!("reload done: generation {generation}"));
            load.goes_on();
        }
        until("the workers of before have left", || {
            server.living_workers().iter().all(|worker| worker.generation == generation)
        });
        assert_eq!(server.living_workers().len(), 3);
        nothing_failed(load);
    }
}

/// Nothing has changed, and the operator knows why.
fn check_refused(make: impl Fn(&Path), more: &str, expected: &str) {
    let server = start(Transport::Tcp, 2, more);
    let (before, workers) = (inode(&server), server.living_workers());
    let load = both_kinds(&server);
    install(server.folder(), make);
    let (code, output, errors) = upgrade(&server);
    assert_eq!((code, output.as_str()), (Some(1), ""), "{errors}");
    assert!(errors.contains(expected), "{errors}");
    server.wait_for("upgrade failed: this program goes on; ");
    load.goes_on();
    assert_eq!((inode(&server), server.living_workers()), (before, workers));
    // What is left is a server that can be operated as before.
    install(server.folder(), copy_program);
    server.signal(Signal::SIGHUP);
    server.wait_for("reload done: generation ");
    let (code, _, errors) = upgrade(&server);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(inode(&server), installed_inode(&server));
    load.goes_on();
    nothing_failed(load);
}

#[test]
fn a_program_that_fails_at_once_changes_nothing() {
    let make = |path: &Path| symlink("/bin/false", path).unwrap();
    check_refused(make, "", "the new program ended before its workers were ready: ");
}

#[test]
fn a_program_that_is_cut_short_changes_nothing() {
    check_refused(cut_program, "", "the new program ended before its workers were ready: ");
}

#[test]
fn a_program_that_is_none_changes_nothing() {
    let make = |path: &Path| {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    check_refused(make, "", "cannot run it: Exec format error");
}

#[test]
fn a_program_that_complains_is_quoted() {
    let make = |path: &Path| script(path, "echo 'no such flag: serve' >&2; exit 2");
    check_refused(make, "", "exit status 2\nno such flag: serve");
}

#[test]
fn a_program_that_hands_over_otherwise_says_so() {
    // It begins with the number of the format.
    let change = r#"python3 -c 'import os; os.pwrite(int(os.environ["FERRICORN_HANDOVER"]), b"\xff", 0)'"#;
    let make =
        |path: &Path| script(path, &format!("{change}; exec {} \"$@\"", env!("CARGO_BIN_EXE_ferricorn")));
    check_refused(make, "", "the running program hands over in format 255, this one understands ");
}

#[test]
fn workers_that_do_not_get_ready_change_nothing() {
    let server = start(Transport::Tcp, 2, "");
    let (before, workers) = (inode(&server), server.living_workers());
    let load = both_kinds(&server);
    let good = server.folder().read("ferricorn.toml");
    let fifo = server.folder().path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // fifo(7): opening it for writing waits for a reader, for ever.
    let stuck = format!("[log]\naccess = \"{}\"\n[timeouts]\nboot = \"300ms\"\n", fifo.display());
    for (keys, sections, expected) in [
        ("", stuck.as_str(), "the new program's workers were not ready in time (timeouts.boot)"),
        ("check_command = [\"false\"]\n", "", "the check command failed: false: exit status 1"),
        (
            "check_command = [\"sleep\", \"60\"]\n",
            "[timeouts]\ncheck = \"300ms\"\n",
            "was not done in time (timeouts.check)",
        ),
        ("count = 0\n", "", "workers.count: expected"),
    ] {
        let text = good.replace("[workers]\ncount = 2\n", &format!("[workers]\n{keys}\n")) + sections;
        server.folder().write("ferricorn.toml", &text);
        let (code, _, errors) = upgrade(&server);
        assert!(code == Some(1) && errors.contains(expected), "{errors}");
        load.goes_on();
        assert_eq!((inode(&server), server.living_workers()), (before, workers.clone()));
    }
    // Nothing of it is left.
    server.folder().write("ferricorn.toml", &good);
    let (code, _, errors) = upgrade(&server);
    assert_eq!(code, Some(0), "{errors}");
    load.goes_on();
    nothing_failed(load);
}

#[test]
fn a_program_that_only_runs_is_killed_in_time() {
    let make = |path: &Path| script(path, "sleep 600 & exec sleep 600");
    check_refused(make, "[timeouts]\nboot = \"1s\"\n", "has proven nothing in time (timeouts.boot");
}

#[test]
fn a_reload_takes_a_changed_program_by_an_upgrade() {
    let server = start(Transport::Tcp, 1, "");
    let becomes = "the program on disk has changed: the reload becomes an upgrade";
    server.signal(Signal::SIGHUP);
    server.wait_for("reload done: generation 2");
    assert_eq!(server.count(becomes), 0);
    install(server.folder(), copy_program);
    let load = both_kinds(&server);
    assert_eq!(ctl(&server, &["reload"]), (Some(0), "generation 3\n".into(), String::new()));
    nothing_failed(load);
    server.wait_for("upgrade done: generation 3");
    assert_eq!((server.count(becomes), inode(&server)), (1, installed_inode(&server)));
    server.signal(Signal::SIGHUP);
    server.wait_for("reload done: generation 4");
    // What is no program fails the reload, and nothing else.
    install(server.folder(), |path| script(path, "exit 7"));
    let (code, _, complaint) = ctl(&server, &["reload"]);
    assert!(code == Some(1) && complaint.contains("exit status 7"), "{complaint}");
    assert_eq!((server.count(becomes), server.living_workers().len()), (2, 1));
}

#[test]
fn signals_during_an_upgrade_are_not_lost() {
    let mut server = start(Transport::Tcp, 2, "");
    for round in 1..=3 {
        let done = server.count("upgrade done: ");
        server.signal(Signal::SIGUSR2);
        // At any moment of it: the first may come before the child, the others between the two programs.
        for _ in 0..20 {
            server.signal(Signal::SIGUSR1);
            server.signal(Signal::SIGTTIN);
            server.signal(Signal::SIGTTOU);
        }
        server.wait_for_count("upgrade done: ", done + 1);
        assert_eq!(server.count("upgrade done: "), round);
    }
    server.signal(Signal::SIGUSR2);
    server.wait_for_count("upgrade started: ", 4);
    assert_eq!(server.stop(Signal::SIGTERM), Some(0));
    assert_eq!(server.survivors(), [] as [i32; 0]);
}

#[test]
fn what_is_held_goes_on_being_held() {
    let folder = Folder::new();
    let pid_file = folder.path("pid");
    let text = config(&folder, Transport::Unix, 2, "");
    let text = text.replace("[server]\n", &format!("[server]\npid_file = \"{}\"\n", pid_file.display()));
    folder.write("ferricorn.toml", &text);
    install(&folder, copy_program);
    let mut command = Command::new("./program");
    take_environment(&mut command, &ferricorn(&folder));
    command.arg("serve").current_dir(folder.path(""));
    let mut server = Server::from_command(command, folder);
    let open = || fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let before = open();
    let started = status(&server);
    for generation in 2..5 {
        install(server.folder(), copy_program);
        assert_eq!(upgrade(&server).0, Some(0));
        server.wait_for(&format!("upgrade done: generation {generation}"));
    }
    until("the descriptors of old workers are closed", || open() <= before);
    // Whoever would start beside it is refused, and its paths are removed at the end.
    let (code, _, errors) = run({
        let mut second = ferricorn(server.folder());
        second.arg("serve");
        second
    });
    assert!(code != Some(0) && errors.contains("in use by"), "{errors}");
    let now = status(&server);
    for key in ["pid", "started", "control", "bind", "config"] {
        assert_eq!(now[key], started[key], "{key}");
    }
    assert!(now["requests"].as_u64() >= started["requests"].as_u64());
    assert_eq!(server.folder().read("pid").trim(), server.pid().to_string());
    assert_eq!(server.stop(Signal::SIGTERM), Some(0));
    assert!(!pid_file.exists() && !server.folder().path("socket").exists());
}

/// `ferricorn ctl status --json`
fn status(server: &Server) -> serde_json::Value {
    let mut command = ferricorn(server.folder());
    command.args(["ctl", "status", "--json", "--pid", &server.pid().to_string()]);
    let (code, output, errors) = run(command);
    assert_eq!(code, Some(0), "{errors}");
    serde_json::from_str(&output).unwrap()
}

/// A script in the place of the program.
fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
