//! Why a worker died, as the log has it.

use crate::support::server::{Folder, config, ferricorn};
use crate::support::{Server, Transport, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn signals_are_told_apart() {
    let server = Server::start(Transport::Tcp, 1);
    for (round, signal, expected) in [
        (1, Signal::SIGABRT, "worker crashed: killed by SIGABRT"),
        (2, Signal::SIGKILL, "worker crashed: killed by SIGKILL, by somebody outside"),
        (3, Signal::SIGALRM, "worker crashed: killed by SIGALRM"),
    ] {
        kill(Pid::from_raw(server.living_workers()[0].pid), signal).unwrap();
        server.wait_for(expected);
        server.wait_for_count("worker ready", round + 1);
    }
    let log = server.log().join("\n");
    for (id, certainty) in [("FC-W02", "known"), ("FC-W04", "inferred"), ("FC-W07", "known")] {
        assert!(log.contains(&format!("id={id} certainty={certainty}")), "{log}");
    }
}

/// Where there is no memory cgroup of version 1 to be had, the kernel's kill is one by somebody outside.
#[test]
fn want_of_memory_is_known_where_a_cgroup_counts() {
    let folder = Folder::new();
    let more = "[limits]\nbody_memory = \"1 GiB\"\n";
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, more));
    let Some(group) = MemoryGroup::new() else {
        let server = Server::in_folder(folder);
        kill(Pid::from_raw(server.living_workers()[0].pid), Signal::SIGKILL).unwrap();
        server.wait_for("worker crashed: killed by SIGKILL, by somebody outside");
        return;
    };
    let program = ferricorn(&folder);
    let mut command = Command::new("sh");
    // The group first, then the server: both of its processes are in it from the start.
    let script = format!("echo $$ > {}/cgroup.procs; exec \"$0\" serve", group.0.display());
    command.arg("-c").arg(script).arg(program.get_program()).current_dir(folder.path(""));
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut server = Server::from_command(command, folder);
    let mut connection = server.address().connect().unwrap();
    connection.send(b"POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
    let piece = vec![b'x'; 1 << 20];
    // Ends with the worker.
    while connection.send(&piece).is_ok() {}
    let line = server.wait_for("worker crashed: killed by SIGKILL: out of memory");
    assert!(line.contains("id=FC-W03 certainty=known"), "{line}");
    server.wait_for("worker also had requests that were not in the app: 1 reading");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), Some(0));
}

/// A cgroup with little memory; removed when its processes are gone.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    fn new() -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup/memory");
        // Only there in a hierarchy of version 1.
        fs::metadata(root.join("memory.oom_control")).ok()?;
        let group = Self(root.join(format!("ferricorn-test-{}", std::process::id())));
        fs::create_dir(&group.0).ok()?;
        fs::write(group.0.join("memory.limit_in_bytes"), LIMIT).ok()?;
        Some(group)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        until("the cgroup can be removed", || fs::remove_dir(&self.0).is_ok());
    }
}

/// Bytes: several times what a debug build needs.
const LIMIT: &str = "100000000";
