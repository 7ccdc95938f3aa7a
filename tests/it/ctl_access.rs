//! Who may control a server.

use crate::support::control::{admin, command, status, succeed};
use crate::support::server::{Folder, config, run};
use crate::support::{Server, Transport};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// A user and a group that own nothing.
const STRANGER: u32 = 64_123;

/// A copy of the program that every user may run, wherever the checkout is.
fn for_everybody(folder: &Folder) -> PathBuf {
    let copy = folder.path("ferricorn");
    // By another process: execve(2) gives ETXTBSY as long as anybody has the file open for writing, and a child that another
    // test is starting at this moment would.
    let mut copying = Command::new("cp");
    copying.arg(env!("CARGO_BIN_EXE_ferricorn")).arg(&copy);
    assert_eq!(run(copying).0, Some(0));
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(copy.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
    copy
}

#[test]
fn strangers_are_refused_and_the_group_is_not() {
    assert!(nix::unistd::geteuid().is_root(), "this test needs root, to be somebody else");
    let folder = Folder::new();
    let program = for_everybody(&folder);
    let own = format!("[admin]\ngroup = \"{STRANGER}\"\n");
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, &own));
    let server = Server::in_folder(folder);
    let ask = |user: u32, group: u32| {
        let mut command = Command::new(&program);
        command.args(["ctl", "--pid", &server.pid().to_string(), "reload", "--wait"]).current_dir("/");
        run({
            command.uid(user).gid(group);
            command
        })
    };
    let (code, output, errors) = ask(STRANGER + 1, STRANGER);
    assert_eq!((code, output.as_str()), (Some(0), "generation 2\n"), "{errors}");
    let (code, _, errors) = ask(STRANGER, STRANGER + 1);
    assert!(code == Some(1) && errors.contains("permission denied; root, the user"), "{errors}");
    assert_eq!(status(&server)["generation"], 2);
}

#[test]
fn without_a_directory_the_socket_is_a_name_and_who_comes_is_known() {
    assert!(nix::unistd::geteuid().is_root(), "this test needs root, to be somebody else");
    let folder = Folder::new();
    let program = for_everybody(&folder);
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, ""));
    let folder_path = folder.path("");
    let mut start = Command::new(&program);
    start.arg("serve").current_dir(&folder_path).uid(STRANGER).gid(STRANGER);
    start.env_remove("XDG_RUNTIME_DIR").env_remove("RUNTIME_DIRECTORY").env("NO_COLOR", "1");
    let server = Server::from_command(start, folder);
    assert!(status(&server)["control"].as_str().unwrap().starts_with("@ferricorn/control-"), "root may");
    let ask = |user: u32| {
        let mut command = Command::new(&program);
        command.args(["ctl", "--pid", &server.pid().to_string(), "scale", "2"]).current_dir("/");
        run({
            command.uid(user).gid(STRANGER);
            command
        })
    };
    assert_eq!(ask(STRANGER).1, "2 workers\n", "its own user may");
    let (code, _, errors) = ask(STRANGER + 1);
    assert!(code == Some(1) && errors.contains("may not control this server"), "{errors}");
    assert!(
        !server.log().iter().any(|line| line.contains("ERROR") || line.contains("WARN")),
        "{:?}",
        server.log()
    );
}

#[test]
fn the_admin_process_is_the_lowered_user_and_the_apps_user_may_not_command() {
    assert!(nix::unistd::geteuid().is_root(), "this test needs root, to be somebody else");
    let folder = Folder::new();
    let program = for_everybody(&folder);
    let text = config(&folder, Transport::Tcp, 1, "");
    let user = format!("[server]\nuser = \"{STRANGER}\"\ngroup = \"{STRANGER}\"\n");
    folder.write("ferricorn.toml", &text.replace("[server]\n", &user));
    let server = Server::in_folder(folder);
    let own = fs::read_to_string(format!("/proc/{}/status", admin(&server).unwrap())).unwrap();
    assert!(own.contains(&format!("Uid:\t{STRANGER}\t{STRANGER}\t{STRANGER}\t{STRANGER}\n")), "{own}");
    assert_eq!(succeed(&server, &["reload", "--wait"]), "generation 2\n");
    let mut command = Command::new(&program);
    command.args(["ctl", "--pid", &server.pid().to_string(), "quit"]).current_dir("/");
    let (code, _, errors) = run({
        command.uid(STRANGER).gid(STRANGER);
        command
    });
    assert!(code == Some(1) && errors.contains("ermission denied"), "{errors}");
}

#[test]
fn a_socket_with_the_name_of_a_server_is_not_taken_for_it() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let server = Server::start(Transport::Tcp, 1);
    // Of another process, so of nobody who is asked for.
    let name = format!("ferricorn/control-{}-9", server.pid());
    let _false = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
    for _ in 0..3 {
        assert_eq!(status(&server)["pid"], server.pid());
    }
    let (_, _, errors) = run(command(server.folder(), &["status", "-c", "ferricorn.toml", "--timeout", "5"]));
    assert_eq!(errors, "");
}
