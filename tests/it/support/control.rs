//! `ferricorn ctl` as tests call it, and the process behind it.

use super::Server;
use super::server::{Folder, ferricorn, is_alive, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// `ferricorn ctl` in a folder, for whichever server the arguments name.
pub(crate) fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = ferricorn(folder);
    command.arg("ctl").args(arguments);
    command
}

/// `ferricorn ctl` for this very server: exit code, standard output, standard error.
pub(crate) fn ctl(server: &Server, arguments: &[&str]) -> (Option<i32>, String, String) {
    let pid = server.pid().to_string();
    run(command(server.folder(), &[&["--pid", &pid], arguments].concat()))
}

/// The same for what must succeed; what it prints.
#[track_caller]
pub(crate) fn succeed(server: &Server, arguments: &[&str]) -> String {
    let (code, output, errors) = ctl(server, arguments);
    assert_eq!(code, Some(0), "{arguments:?}\n{output}{errors}");
    output
}

/// The state as JSON.
#[track_caller]
pub(crate) fn status(server: &Server) -> Value {
    serde_json::from_str(&succeed(server, &["status", "--json"])).unwrap()
}

/// The children of a master, workers and others.
fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// The admin process: the child that is no worker.
pub(crate) fn admin(server: &Server) -> Option<i32> {
    let workers: BTreeSet<i32> = server.workers().iter().map(|worker| worker.pid).collect();
    children(server.pid()).into_iter().find(|pid| !workers.contains(pid) && is_alive(*pid))
}

/// The file that it is reached by.
pub(crate) fn control_socket(server: &Server) -> PathBuf {
    status(server)["control"].as_str().unwrap().into()
}
