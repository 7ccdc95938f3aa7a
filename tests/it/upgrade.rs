//! Another program in the place of the running one: the same process, the same sockets, and nothing lost.

use crate::support::server::{Folder, config, ferricorn, run};
use crate::support::{Load, Reuse, Server, Transport, on_tcp_and_unix, until};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

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

/// Its first half.
fn cut_program(path: &Path) {
    let length = fs::metadata(env!("CARGO_BIN_EXE_ferricorn")).unwrap().len() / 2;
    let script = format!("head -c {length} \"$0\" > \"$1\" && chmod 755 \"$1\"");
    let program = env!("CARGO_BIN_EXE_ferricorn");
    let status = Command::new("sh").args(["-c", &script, program]).arg(path).status().unwrap();
    assert!(status.success());
}

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
