//! After a reload that has failed: the code on disk is broken, and what serves must last.

use crate::cancel::waiting_command;
use crate::support::control::{ctl, status};
use crate::support::server::{Folder, Worker, config, ferricorn, is_alive, run};
use crate::support::uploads::uploads_to_slot_one;
use crate::support::{Load, Reuse, Server, Transport, on_tcp_and_unix, until};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use std::fs;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

on_tcp_and_unix! {
    fn twenty_kills_with_broken_code_cost_only_what_was_in_flight(transport) {
        let server = start(transport, 22, "max_requests = 100\n");
        let load = Load::start(server.address(), 4, &[Reuse::KeptAlive, Reuse::Closed]);
        break_code(&server);
        reload_fails(&server);
        for count in 1..=20 {
            let victim = server.living_workers()[0].clone();
            kill_worker(&victim);
            server.wait_for_count("worker crashed: ", count);
            load.goes_on();
        }
        server.wait_for("worker serves on: ");
        load.goes_on();
        assert_eq!(server.count("worker left"), 0, "somebody was recycled without a successor");
        let attempts = server.count("worker did not start");
        assert!((1..=10).contains(&attempts), "{attempts} attempts with code that is known to be broken");
        mend_code(&server);
        server.signal(Signal::SIGHUP);
        server.wait_for("reload done: generation");
        load.goes_on();
        let (answered, failures) = load.stop();
        // Each client has one request at a time: no more than these can have been in a killed worker.
        assert!(failures.len() <= 20 * 8, "{} of {answered} failed: {failures:?}", failures.len());
        let is_ours = |failure: &&String| failure.contains("refused") || failure.contains("answered");
        assert_eq!(failures.iter().find(is_ours), None, "failed otherwise than by a worker's death");
        until("every slot has a worker of the last generation", || {
            let last = server.workers().iter().map(|worker| worker.generation).max();
            let new = server.living_workers().into_iter().filter(|worker| Some(worker.generation) == last);
            new.map(|worker| worker.slot).eq(1..=22)
        });
    }
}

on_tcp_and_unix! {
    fn when_the_last_worker_dies_connections_wait_until_the_code_is_mended(transport) {
        let server = start(transport, 2, "");
        break_code(&server);
        reload_fails(&server);
        server.living_workers().iter().for_each(kill_worker);
        server.wait_for("nobody serves: ");
        let mut waiting: Vec<_> = (0..10).map(|_| server.address().connect().unwrap()).collect();
        for connection in &mut waiting {
            connection.send(GET.as_bytes()).unwrap();
        }
        server.wait_for("worker did not start, another try follows: ");
        mend_code(&server);
        for connection in &mut waiting {
            assert_eq!(connection.answer().unwrap().status, 200);
        }
        server.wait_for("the code on disk starts again");
        until("both slots are served", || server.living_workers().len() == 2);
    }
}

on_tcp_and_unix! {
    fn a_reload_that_stops_half_way_leaves_a_mixed_pool_that_a_later_one_replaces(transport) {
        let server = start(transport, 2, "");
        // The second wave waits for the old worker of the first to leave, and that one for these uploads.
        let mut uploads = uploads_to_slot_one(&server);
        server.signal(Signal::SIGHUP);
        server.wait_for_count("worker ready", 3);
        break_code(&server);
        for upload in &mut uploads {
            upload.send(b"x").unwrap();
            assert_eq!(upload.answer().unwrap().status, 200);
        }
        drop(uploads);
        let stopped = server.wait_for("reload stopped half-way: ");
        assert!(stopped.contains("1 new and 1 old workers go on serving"), "{stopped}");
        assert!(stopped.contains("/files/ready.txt"), "the reason is not named: {stopped}");
        until("the new worker of slot 2 is gone", || generations(&server) == [(1, 2), (2, 1)]);
        mend_code(&server);
        // Each slot keeps its own generation until a reload succeeds.
        let old = server.living_workers().into_iter().find(|worker| worker.slot == 2).unwrap();
        kill_worker(&old);
        until("the old one is replaced by an old one", || generations(&server) == [(1, 2), (2, 1)]);
        server.signal(Signal::SIGHUP);
        server.wait_for("reload done: generation 3");
        until("all are new", || generations(&server) == [(1, 3), (2, 3)]);
        assert_eq!(server.ask(GET).status, 200);
    }
}

#[test]
fn a_warm_up_request_that_is_answered_otherwise_fails_the_start() {
    let folder = Folder::new();
    let text = config(&folder, Transport::Tcp, 1, "");
    folder.write(
        "ferricorn.toml",
        &text.replace("[workers]\n", "[workers]\nwarm_up = [{ path = \"/a\", status = 404 }]\n"),
    );
    let mut command = ferricorn(&folder);
    command.arg("serve");
    let (code, _, errors) = run(command);
    assert_eq!(code, Some(1), "{errors}");
    let text = "the warm-up request for /a (Host: localhost) was answered with 200; expected: 404";
    assert!(errors.contains(text), "{errors}");
}

#[test]
fn a_warm_up_passes_through_hosts_and_mounts() {
    let folder = Folder::new();
    let apps = "[[app]]\nhosts = [\"a.example\"]\ntarget = \"echo\"\n";
    let warm_up = "warm_up = [{ path = \"/\", host = \"a.example\" }, { path = \"/\", status = 404 }]\nmax_requests = 1\n";
    let text = config(&folder, Transport::Tcp, 1, apps);
    folder.write("ferricorn.toml", &text.replace("[workers]\n", &format!("[workers]\n{warm_up}")));
    let server = Server::in_folder(folder);
    assert_eq!(server.count("worker retires"), 0, "a warm-up request counts as a client's");
    assert_eq!(server.ask(GET).status, 200);
    server.wait_for("worker retires");
}

#[test]
fn a_check_command_that_fails_stops_reload_and_start() {
    let folder = Folder::new();
    let check = "check_command = [\"sh\", \"-c\", \"echo looking for $WANTED; test -e $WANTED\"]\n";
    let app = "[[app]]\ntarget = \"echo\"\nenv = { WANTED = \"migrated\" }\n";
    let text = config(&folder, Transport::Tcp, 2, app);
    folder.write("ferricorn.toml", &text.replace("[workers]\n", &format!("[workers]\n{check}")));
    folder.write("migrated", "");
    let server = Server::in_folder(folder);
    let old = server.living_workers();
    fs::remove_file(server.folder().path("migrated")).unwrap();
    server.signal(Signal::SIGHUP);
    let failed = server.wait_for("reload failed: ");
    assert!(
        failed.contains("the check command failed: sh -c") && failed.contains("exit status 1"),
        "{failed}"
    );
    server.wait_for("| looking for migrated");
    assert_eq!(server.living_workers(), old);
    server.folder().write("migrated", "");
    server.signal(Signal::SIGHUP);
    server.wait_for("reload done: generation 3");
    let folder = Folder::new();
    folder.write("ferricorn.toml", &server.folder().read("ferricorn.toml"));
    let mut command = ferricorn(&folder);
    command.arg("serve");
    let (code, _, errors) = run(command);
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.contains("the check command failed: ") && errors.contains("looking for migrated"),
        "{errors}"
    );
}

#[test]
fn a_check_command_that_hangs_is_killed_with_all_it_has_started() {
    let folder = Folder::new();
    let text = config(&folder, Transport::Tcp, 1, "[timeouts]\ncheck = \"300ms\"\n");
    let check = "check_command = [\"sh\", \"-c\", \"test -e first && { echo begun; tail -f /dev/null | cat; }; touch first\"]\n";
    folder.write("ferricorn.toml", &text.replace("[workers]\n", &format!("[workers]\n{check}")));
    let server = Server::in_folder(folder);
    let processes = server.survivors().len();
    server.signal(Signal::SIGHUP);
    let failed = server.wait_for("reload failed: ");
    assert!(failed.contains("the check command was not done in time (timeouts.check)"), "{failed}");
    server.wait_for("| begun");
    until("only the server is left", || server.survivors().len() == processes);
    assert_eq!(server.ask(GET).status, 200);
}

#[test]
fn a_stop_ends_a_check_command() {
    let folder = Folder::new();
    let text = config(&folder, Transport::Tcp, 1, "");
    let check = "check_command = [\"sh\", \"-c\", \"test -e first && touch begun && tail -f /dev/null; touch first\"]\n";
    folder.write("ferricorn.toml", &text.replace("[workers]\n", &format!("[workers]\n{check}")));
    let mut server = Server::in_folder(folder);
    server.signal(Signal::SIGHUP);
    until("the check has begun", || server.folder().path("begun").exists());
    assert_eq!(server.stop(Signal::SIGTERM), Some(0));
}

#[test]
fn a_reload_that_is_not_done_in_time_changes_nothing_and_is_told() {
    let folder = Folder::new();
    let text = config(&folder, Transport::Tcp, 2, "[timeouts]\nreload = \"300ms\"\n");
    let check = "check_command = [\"sh\", \"-c\", \"test -e first && tail -f /dev/null; touch first\"]\n";
    folder.write("ferricorn.toml", &text.replace("[workers]\n", &format!("[workers]\n{check}")));
    let server = Server::in_folder(folder);
    let (old, processes) = (server.living_workers(), server.survivors().len());
    let (code, _, complaint) = ctl(&server, &["reload"]);
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains("it was not done in time (timeouts.reload)"), "{complaint}");
    assert_eq!(status(&server)["state"], "degraded");
    assert_eq!((server.living_workers(), server.ask(GET).status), (old, 200));
    until("what the check has started is gone", || server.survivors().len() <= processes + 1);
}

#[test]
fn a_reload_that_stops_half_way_keeps_what_serves_and_is_told() {
    let folder = Folder::new();
    let words = folder.path("words");
    mkfifo(&words, Mode::S_IRWXU).unwrap();
    folder.write("ferricorn.toml", "[workers]\nmax_surge = 1\n[timeouts]\nreload = \"2s\"\n");
    let mut command = waiting_command(&folder, "-c ferricorn.toml -w 2");
    command.env("TOLD_BY", &words);
    let server = Server::with_one_ready(command, folder);
    fs::write(&words, "serve").unwrap();
    server.wait_for("ready: 2 workers");
    // Nobody tells the second worker to serve.
    let (code, _, complaint) = ctl(&server, &["reload"]);
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains("it was not done in time (timeouts.reload)"), "{complaint}");
    let told = status(&server);
    assert_eq!((&told["state"], &told["workers_ready"]), (&"mixed".into(), &2.into()), "{told}");
    until("what was tried is gone", || {
        let told = status(&server);
        let workers = told["workers"].as_array().unwrap();
        let generations: Vec<_> = workers.iter().map(|worker| worker["generation"].as_u64()).collect();
        generations == [Some(2), Some(1)]
    });
}

/// A server whose workers start only as long as `files/ready.txt` is there, and that answers `Load`.
fn start(transport: Transport, workers: u16, keys: &str) -> Server {
    let folder = Folder::new();
    fs::create_dir(folder.path("files")).unwrap();
    let apps = format!(
        "[[app]]\ntarget = \"echo\"\n[[app]]\nmount = \"/status\"\ntarget = \"status\"\n[[app]]\nmount = \"/files\"\nstatic = \"{}\"\n",
        folder.path("files").display()
    );
    let text = config(&folder, transport, workers, &apps);
    let keys = format!("[workers]\nmax_surge = 1\nwarm_up = [\"/files/ready.txt\"]\n{keys}");
    folder.write("ferricorn.toml", &text.replace("[workers]\n", &keys));
    folder.write("files/ready.txt", "ready");
    Server::in_folder(folder)
}

fn break_code(server: &Server) {
    fs::remove_file(server.folder().path("files/ready.txt")).unwrap();
}

fn mend_code(server: &Server) {
    server.folder().write("files/ready.txt", "ready");
}

fn reload_fails(server: &Server) {
    server.signal(Signal::SIGHUP);
    let failed = server.wait_for("reload failed: ");
    assert!(failed.contains("the warm-up request for /files/ready.txt"), "{failed}");
}

/// Slot and generation of each worker.
fn generations(server: &Server) -> Vec<(u16, u32)> {
    server.living_workers().iter().map(|worker| (worker.slot, worker.generation)).collect()
}

fn kill_worker(worker: &Worker) {
    kill(Pid::from_raw(worker.pid), Signal::SIGKILL).unwrap();
    until("the worker is dead", || !is_alive(worker.pid));
}
