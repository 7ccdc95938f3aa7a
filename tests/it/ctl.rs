//! `ferricorn ctl` and the process behind it.

use crate::support::control::{admin, command, control_socket, ctl, status, succeed};
use crate::support::server::{Folder, config, ferricorn, run};
use crate::support::{Address, Load, Reuse, Server, Transport, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::sync::Barrier;

#[test]
fn the_state_and_the_workers_are_told() {
    let server = Server::start(Transport::Tcp, 2);
    let state = status(&server);
    assert_eq!((state["state"].as_str(), state["ready"].as_bool()), (Some("serving"), Some(true)));
    assert_eq!(state["pid"], server.pid());
    assert_eq!(state["config"], server.folder().path("ferricorn.toml").to_str().unwrap());
    let told: Vec<i64> =
        state["workers"].as_array().unwrap().iter().map(|worker| worker["pid"].as_i64().unwrap()).collect();
    let living: Vec<i64> = server.living_workers().iter().map(|worker| worker.pid.into()).collect();
    assert_eq!(told, living);
    assert!(state["workers"][0]["resident_bytes"].as_u64().unwrap() > 1 << 20);
    for _ in 0..5 {
        server.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    // A worker counts a request before it answers.
    assert_eq!(status(&server)["requests"], 5);
    kill(Pid::from_raw(server.living_workers()[0].pid), Signal::SIGKILL).unwrap();
    server.wait_for_count("worker ready", 3);
    assert_eq!(status(&server)["requests"], 5, "what a dead worker has counted is kept");
    let table = succeed(&server, &["status"]);
    assert!(table.starts_with("state       serving\nworkers     2 of 2 ready\n"), "{table}");
    assert_eq!(succeed(&server, &["workers"]).lines().count(), 3);
}

#[test]
fn commands_take_effect_under_load() {
    let server = Server::start(Transport::Tcp, 2);
    let load = Load::start(server.address(), 4, &[Reuse::KeptAlive, Reuse::Closed]);
    assert_eq!(succeed(&server, &["reload", "--wait"]), "generation 2\n");
    assert!(server.living_workers().iter().any(|worker| worker.generation == 2));
    load.goes_on();
    assert_eq!(succeed(&server, &["scale", "+1"]), "3 workers\n");
    assert_eq!(status(&server)["workers_ready"], 3);
    assert_eq!(succeed(&server, &["scale", "-1"]), "2 workers\n");
    assert_eq!(succeed(&server, &["scale", "4"]), "4 workers\n");
    for _ in 0..20 {
        status(&server);
    }
    assert_eq!(succeed(&server, &["scale", "1"]), "1 worker\n");
    load.goes_on();
    let (code, _, errors) = ctl(&server, &["scale", "-1"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("0 workers are not possible"), "{errors}");
    assert_eq!(succeed(&server, &["reopen"]), "the log files are open anew\n");
    assert_eq!(succeed(&server, &["upgrade", "--wait"]), "generation 3\n");
    let (answered, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {answered} failed: {failures:?}", failures.len());
}

#[test]
fn a_reload_that_fails_is_told_with_its_reason() {
    let server = Server::start(Transport::Tcp, 2);
    let good = server.folder().read("ferricorn.toml");
    server.folder().write("ferricorn.toml", "[workers]\ncuont = 1\n");
    let (code, output, errors) = ctl(&server, &["reload"]);
    assert_eq!((code, output.as_str()), (Some(1), ""));
    assert!(
        errors.starts_with("error: ") && errors.contains("cuont") && errors.contains("did you mean"),
        "{errors}"
    );
    let state = status(&server);
    assert_eq!(state["state"], "degraded");
    assert!(state["trouble"].as_str().unwrap().contains("cuont"), "{state}");
    let missing = format!("{good}\n[[app]]\nmount = \"/files\"\nstatic = \"/nowhere/at/all\"\n");
    server.folder().write("ferricorn.toml", &missing);
    let (code, _, errors) = ctl(&server, &["reload", "--wait"]);
    assert!(code == Some(1) && errors.contains("/nowhere/at/all"), "{errors}");
    server.folder().write("ferricorn.toml", &good);
    assert_eq!(succeed(&server, &["reload", "--wait"]), "generation 2\n");
    assert_eq!(status(&server)["state"], "serving");
    server.folder().write("ferricorn.toml", "[workers]\ncuont = 1\n");
    assert_eq!(
        succeed(&server, &["reload", "--no-wait"]),
        "accepted\n",
        "nobody waits for what becomes of it"
    );
    server.wait_for_count("reload failed: ", 3);
}

#[test]
fn each_of_two_reloads_gets_its_own_outcome() {
    let server = Server::start(Transport::Tcp, 2);
    let both = Barrier::new(2);
    let reload = || {
        both.wait();
        succeed(&server, &["reload", "--wait"])
    };
    let results = std::thread::scope(|threads| {
        let asked = [threads.spawn(reload), threads.spawn(reload)];
        asked.map(|thread| thread.join().unwrap())
    });
    // The second one asks before the first is done, or after: another generation serves it in both cases.
    assert_eq!(BTreeSet::from(results), BTreeSet::from(["generation 2\n".into(), "generation 3\n".into()]));
}

#[test]
fn a_killed_admin_process_comes_back_and_nobody_is_refused() {
    let server = Server::start(Transport::Tcp, 2);
    let load = Load::start(server.address(), 2, &[Reuse::KeptAlive, Reuse::Closed]);
    for round in 1..=2 {
        let victim = admin(&server).unwrap();
        kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
        // Whoever comes in between waits in the socket's queue.
        assert_eq!(status(&server)["workers_ready"], 2);
        server.wait_for_count("the admin process ended, another one follows: killed by SIGKILL", round);
        assert!(admin(&server).is_some_and(|pid| pid != victim));
    }
    load.goes_on();
    let (answered, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {answered} failed: {failures:?}", failures.len());
}

#[test]
fn a_control_socket_that_was_removed_is_made_anew() {
    let server = Server::start(Transport::Tcp, 1);
    let path = control_socket(&server);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_file(&path).unwrap();
    server.wait_for("the control socket was removed; it is made anew");
    until("it is there again", || path.exists());
    assert_eq!(status(&server)["state"], "serving");
}

#[test]
fn the_admin_process_holds_no_socket_of_the_server() {
    let server = Server::start(Transport::Tcp, 2);
    let sockets = |pid: i32| -> BTreeSet<String> {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        targets
            .map(|target| target.display().to_string())
            .filter(|target| target.starts_with("socket:"))
            .collect()
    };
    let admin = admin(&server).unwrap();
    let worker = sockets(server.living_workers()[0].pid);
    let shared: BTreeSet<String> = sockets(admin).intersection(&worker).cloned().collect();
    assert!(!worker.is_empty() && shared.is_empty(), "{shared:?}");
}

#[test]
fn two_servers_are_told_apart() {
    let (one, other) = (Server::start(Transport::Tcp, 1), Server::start(Transport::Tcp, 2));
    assert_ne!(control_socket(&one), control_socket(&other));
    let (code, output, errors) = run(command(one.folder(), &["status"]));
    assert_eq!((code, output.as_str()), (Some(2), ""));
    for server in [&one, &other] {
        assert!(errors.contains(&format!("--pid {}", server.pid())), "{errors}");
        let file = server.folder().path("ferricorn.toml");
        let config = file.to_str().unwrap();
        let socket = control_socket(server);
        for selection in [["--config", config], ["--socket", socket.to_str().unwrap()]] {
            let (_, output, errors) =
                run(command(one.folder(), &[&selection[..], &["status", "--json"]].concat()));
            let state: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{errors}"));
            assert_eq!(state["pid"], server.pid());
        }
        let mut by_variable = command(other.folder(), &["status", "--json"]);
        by_variable.env("FERRICORN_CONTROL", &socket);
        let state: Value = serde_json::from_str(&run(by_variable).1).unwrap();
        assert_eq!(state["pid"], server.pid());
    }
    let (code, _, errors) = run(command(one.folder(), &["status", "--pid", "1"]));
    assert!(code == Some(2) && errors.contains("no server with pid 1 runs"), "{errors}");
}

#[test]
fn a_stop_is_waited_for_and_leaves_nothing() {
    let mut server = Server::start(Transport::Tcp, 2);
    let path = control_socket(&server);
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    assert_eq!(succeed(&server, &["stop", "--wait"]), "the server has ended\n");
    assert_eq!(server.exit_code(), Some(0));
    assert!(!path.exists());
    assert_eq!(server.survivors(), [] as [i32; 0]);
    let mut server = Server::start(Transport::Tcp, 1);
    assert_eq!(succeed(&server, &["quit", "--no-wait"]), "accepted\n");
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_named_socket_is_made_and_one_that_is_taken_refuses_the_start() {
    let folder = Folder::new();
    let path = folder.path("own.sock");
    let admin = format!("[admin]\nsocket = \"{}\"\n", path.display());
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, &admin));
    let server = Server::in_folder(folder);
    let (code, output, errors) = run(command(server.folder(), &["-c", "ferricorn.toml", "workers"]));
    assert!(code == Some(0) && output.lines().count() == 2, "{output}{errors}");
    let mut second = ferricorn(server.folder());
    second.arg("serve");
    let (code, _, errors) = run(second);
    let expected = format!("own.sock (admin.socket): in use by pid {} (", server.pid());
    assert!(code == Some(4) && errors.contains(&expected), "{errors}");
    assert!(path.exists(), "the first one's is left in place");
}

#[test]
fn a_server_with_a_socket_of_another_name_is_found() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, "[admin]\nsocket = \"own.sock\"\n"));
    let server = Server::in_folder(folder);
    let (pid, elsewhere) = (server.pid().to_string(), Folder::new());
    let file = server.folder().path("ferricorn.toml");
    for selection in [["--pid", &pid], ["--config", file.to_str().unwrap()]] {
        let (_, output, errors) = run(command(&elsewhere, &[&selection[..], &["status", "--json"]].concat()));
        let state: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{errors}"));
        assert_eq!(state["pid"], server.pid());
    }
    let mut by_variable = command(&elsewhere, &["workers"]);
    by_variable.env("FERRICORN_CONFIG", &file);
    assert_eq!(run(by_variable).0, Some(0));
}

#[test]
fn a_server_is_found_by_the_variable_of_its_socket() {
    let folder = Folder::new();
    folder.write(
        "ferricorn.toml",
        &config(&folder, Transport::Tcp, 1, "[admin]\nsocket = \"not-this.sock\"\n"),
    );
    let socket = folder.path("own.sock");
    let mut serving = ferricorn(&folder);
    serving.arg("serve").env("FERRICORN_ADMIN_SOCKET", &socket);
    let server = Server::from_command(serving, folder);
    let file = server.folder().path("ferricorn.toml");
    let elsewhere = Folder::new();
    let state = |variable: &str| {
        let mut asking = command(&elsewhere, &["status", "--json"]);
        asking.env("FERRICORN_ADMIN_SOCKET", variable).env("FERRICORN_CONFIG", &file);
        let (code, output, errors) = run(asking);
        (code, serde_json::from_str::<Value>(&output).unwrap_or_else(|_| panic!("{errors}")))
    };
    assert_eq!(state(socket.to_str().unwrap()).1["pid"], server.pid());
    // Of these the file tells more.
    assert_eq!(state("auto").1["pid"], server.pid());
    let (code, told) = state("/nowhere/own.sock");
    assert!(code == Some(1) && told["error"].as_str().unwrap().contains("/nowhere/own.sock"), "{told}");
    // Where the file names another the server says which file it has.
    for named in ["not-this.sock", "/nowhere/own.sock"] {
        let file = server.folder().path("ferricorn.toml");
        let text = fs::read_to_string(&file).unwrap();
        let written = text.replace("not-this.sock", named);
        fs::write(&file, written).unwrap();
        assert_eq!(
            run(command(&elsewhere, &["-c", file.to_str().unwrap(), "workers"])).0,
            Some(0),
            "{named}"
        );
    }
}

#[test]
fn a_relative_path_in_the_variable_begins_where_the_server_works() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, ""));
    let mut serving = ferricorn(&folder);
    serving.arg("serve").env("FERRICORN_ADMIN_SOCKET", "relative.sock");
    let server = Server::from_command(serving, folder);
    let elsewhere = Folder::new();
    for directory in [server.folder(), &elsewhere] {
        let mut asking = command(directory, &["status", "--json"]);
        asking.env("FERRICORN_ADMIN_SOCKET", "relative.sock");
        let state: Value = serde_json::from_str(&run(asking).1).unwrap();
        assert_eq!(state["pid"], server.pid());
    }
}

#[test]
fn the_admin_address_tells_and_takes_no_command() {
    let server = Server::configured(Transport::Tcp, 2, "[admin]\naddress = \"127.0.0.1:0\"\n");
    let line = server.wait_for("health, metrics and status at http://");
    let address = Address::Tcp(line.rsplit_once("http://").unwrap().1.trim().parse().unwrap());
    let ask = |request: &str| {
        address.ask(&format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).unwrap()
    };
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(&format!("GET {path}")).status, 200, "{path}");
    }
    let metrics = ask("GET /metrics");
    assert_eq!(metrics.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = metrics.text();
    for line in [
        "ferricorn_workers{state=\"ready\"} 2",
        "ferricorn_ready 1",
        "ferricorn_reloads_total{outcome=\"done\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    succeed(&server, &["reload", "--wait"]);
    assert!(ask("GET /metrics").text().contains("ferricorn_reloads_total{outcome=\"done\"} 1\n"));
    assert!(ask("GET /status").text().contains("\"state\":\"serving\""));
    for (request, status) in
        [("POST /reload", 404), ("POST /quit", 404), ("GET /x", 404), ("POST /status", 405)]
    {
        assert_eq!(ask(request).status, status, "{request}");
    }
    // Connections that say nothing keep out neither those who ask next to them nor those who command.
    let silent: Vec<_> = (0..40).map(|_| address.connect().unwrap()).collect();
    assert_eq!(ask("GET /healthz").status, 200);
    status(&server);
    drop(silent);
    let worker = server.living_workers()[0].pid;
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    until("the death is counted", || {
        ask("GET /metrics").text().contains("deaths_total{cause=\"crashed\"} 1\n")
    });
}

#[test]
fn health_paths_are_answered_before_the_app_and_not_logged() {
    let folder = Folder::new();
    let log = folder.path("access.log");
    let more = format!(
        "[log]\naccess = \"{}\"\n[admin]\nlive_path = \"/alive\"\nready_path = \"/ready\"\n",
        log.display()
    );
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, &more));
    let server = Server::in_folder(folder);
    let ask = |line: &str| server.ask(&format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    for path in ["/alive", "/ready"] {
        let answer = ask(&format!("GET {path}"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    }
    assert!(ask("GET /ready/").text().starts_with("GET /ready/"), "the app's");
    assert!(ask("DELETE /ready").text().starts_with("DELETE /ready"), "the app's");
    until("the last request is logged", || server.folder().read("access.log").contains("DELETE /ready"));
    let logged = server.folder().read("access.log");
    assert!(!logged.contains("GET /alive") && !logged.contains("GET /ready HTTP"), "{logged}");
}
