//! Transactional reloads by SIGHUP.

use crate::support::server::{Folder, config};
use crate::support::{Load, Reuse, Server, Transport, on_tcp_and_unix, until};
use nix::sys::signal::Signal;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

on_tcp_and_unix! {
    fn five_reloads_under_load_lose_nothing(transport) {
        let server = Server::start(transport, 2);
        let load = Load::start(server.address(), 4, &[Reuse::KeptAlive, Reuse::Closed]);
        reload_under(&load, &server, 5);
        let (answered, failures) = load.stop();
        assert!(failures.is_empty(), "{} of {answered} failed: {failures:?}", failures.len());
    }
}

on_tcp_and_unix! {
    fn reloads_of_a_single_worker_lose_nothing(transport) {
        let server = Server::start(transport, 1);
        let load = Load::start(server.address(), 4, &[Reuse::KeptAlive, Reuse::Closed]);
        reload_under(&load, &server, 3);
        let (answered, failures) = load.stop();
        assert!(failures.is_empty(), "{} of {answered} failed: {failures:?}", failures.len());
    }
}

on_tcp_and_unix! {
    fn every_worker_is_new_after_a_reload(transport) {
        let server = Server::start(transport, 2);
        let old = server.living_workers();
        server.signal(Signal::SIGHUP);
        server.wait_for("reload done: generation");
        until("the old workers have left", || {
            server.living_workers().iter().all(|worker| worker.generation > old[0].generation)
        });
        assert_eq!(server.living_workers().len(), 2);
        assert_eq!(server.ask(GET).status, 200);
    }
}

on_tcp_and_unix! {
    fn a_reload_says_which_keys_it_takes_and_which_wait_for_a_restart(transport) {
        let server = Server::start(transport, 1);
        let first = server.folder().read("ferricorn.toml");
        let changed = first.replace("[server]\n", "[server]\nbacklog = 99\n") + "[limits]\nfields = 50\n";
        server.folder().write("ferricorn.toml", &changed);
        // The second one finds nothing new to take, but the restart is still due.
        for count in 1..3 {
            server.signal(Signal::SIGHUP);
            server.wait_for_count("reload done: generation", count);
            server.wait_for_count("server.backlog has changed: this takes effect at a restart only", count);
            assert_eq!(server.count("the reload takes: limits.fields"), 1);
        }
    }
}

on_tcp_and_unix! {
    fn a_broken_configuration_changes_nothing(transport) {
        let server = Server::start(transport, 2);
        let good = server.folder().read("ferricorn.toml");
        let old = server.living_workers();
        let load = Load::start(server.address(), 2, &[Reuse::KeptAlive, Reuse::Closed]);
        let broken = ["[workers\n", "[workers]\ncuont = 1\n", "[timeouts]\nhead = \"soon\"\n"];
        for (count, broken) in broken.iter().enumerate() {
            server.folder().write("ferricorn.toml", broken);
            server.signal(Signal::SIGHUP);
            server.wait_for_count("reload failed: ", count + 1);
            load.goes_on();
        }
        assert_eq!(server.living_workers(), old);
        server.folder().write("ferricorn.toml", &good);
        server.signal(Signal::SIGHUP);
        server.wait_for("reload done: generation");
        load.goes_on();
        let (answered, failures) = load.stop();
        assert!(failures.is_empty(), "{} of {answered} failed: {failures:?}", failures.len());
    }
}

#[test]
fn more_workers_than_there_is_room_for_are_refused() {
    let server = Server::start(Transport::Tcp, 1);
    let good = server.folder().read("ferricorn.toml");
    let old = server.living_workers();
    for (count, too_many) in ["count = 257", "count = { min = 1, max = 257 }"].iter().enumerate() {
        server.folder().write("ferricorn.toml", &good.replace("count = 1", too_many));
        server.signal(Signal::SIGHUP);
        server
            .wait_for_count("workers.count: there is room for 256 until the server is restarted", count + 1);
    }
    assert_eq!(server.living_workers(), old);
    server.folder().write("ferricorn.toml", &good.replace("count = 1", "count = { min = 1, max = 256 }"));
    server.signal(Signal::SIGHUP);
    server.wait_for("reload done: generation");
}

on_tcp_and_unix! {
    fn a_crash_after_a_failed_reload_is_survived(transport) {
        let server = Server::start(transport, 2);
        server.folder().write("ferricorn.toml", "[workers\n");
        server.signal(Signal::SIGHUP);
        server.wait_for("reload failed: ");
        let victim = nix::unistd::Pid::from_raw(server.living_workers()[0].pid);
        nix::sys::signal::kill(victim, Signal::SIGKILL).unwrap();
        server.wait_for_count("worker ready", 3);
        assert_eq!(server.ask(GET).status, 200);
    }
}

on_tcp_and_unix! {
    fn idle_connections_go_on_with_the_successors(transport) {
        let server = Server::start(transport, 2);
        // More than the queue between workers holds at once.
        let mut kept: Vec<_> = (0..400).map(|_| server.address().connect().unwrap()).collect();
        for count in 1..4 {
            for connection in &mut kept {
                connection.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                let answer = connection.answer().unwrap();
                assert!(answer.status == 200 && !answer.closes(), "{answer:?}");
            }
            let old = server.living_workers();
            server.signal(Signal::SIGHUP);
            server.wait_for_count("reload done: generation", count);
            until("the old workers have left", || {
                old.iter().all(|worker| !crate::support::server::is_alive(worker.pid))
            });
        }
        assert!(kept.iter_mut().all(|connection| !connection.is_closed()), "a connection was closed");
    }
}

on_tcp_and_unix! {
    fn an_upload_under_way_survives_a_reload(transport) {
        let server = Server::start(transport, 1);
        let old = server.living_workers()[0].pid;
        let mut upload = server.address().connect().unwrap();
        let head = b"POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";
        upload.send(head).unwrap();
        assert_eq!(upload.next_answer("POST").unwrap().status, 100);
        upload.send(b"hello").unwrap();
        server.signal(Signal::SIGHUP);
        server.wait_for("reload done: generation");
        upload.send(b"world").unwrap();
        let answer = upload.answer().unwrap();
        assert!(answer.status == 200 && answer.text().ends_with("\nhelloworld"), "{answer:?}");
        assert!(!answer.closes(), "the successor goes on with the connection: {answer:?}");
        until("the old worker has left", || !crate::support::server::is_alive(old));
        upload.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(upload.answer().unwrap().status, 200);
    }
}

on_tcp_and_unix! {
    fn many_reload_signals_end_in_a_newer_generation(transport) {
        let server = Server::start(transport, 2);
        let load = Load::start(server.address(), 2, &[Reuse::KeptAlive, Reuse::Closed]);
        for _ in 0..10 {
            server.signal(Signal::SIGHUP);
        }
        server.wait_for("reload done: generation");
        load.goes_on();
        let (answered, failures) = load.stop();
        assert!(failures.is_empty(), "{} of {answered} failed: {failures:?}", failures.len());
    }
}

#[test]
fn a_reload_takes_the_new_configuration() {
    let server = Server::configured(Transport::Tcp, 1, "[limits]\nbody = \"1 KiB\"\n");
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2000\r\n\r\n{}",
        "x".repeat(2000)
    );
    assert_eq!(server.ask(&request).status, 413);
    let text = server.folder().read("ferricorn.toml");
    server
        .folder()
        .write("ferricorn.toml", &text.replace("1 KiB", "4 KiB").replace("count = 1", "count = 2"));
    server.signal(Signal::SIGHUP);
    server.wait_for("reload done: generation");
    until("two new workers serve", || {
        server.living_workers().iter().filter(|worker| worker.generation > 1).count() == 2
    });
    until("the old worker has left", || server.living_workers().iter().all(|worker| worker.generation > 1));
    assert_eq!(server.ask(&request).status, 200);
}

on_tcp_and_unix! {
    fn reloads_and_crashes_leak_no_descriptor_of_the_master(transport) {
        let server = Server::start(transport, 2);
        let open = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
        let before = open();
        for round in 1..=5 {
            server.signal(Signal::SIGHUP);
            server.wait_for_count("reload done: generation", round);
            let victim = nix::unistd::Pid::from_raw(server.workers().last().unwrap().pid);
            nix::sys::signal::kill(victim, Signal::SIGKILL).unwrap();
            server.wait_for_count("worker ready", 2 + 3 * round);
        }
        until("the descriptors of old workers are closed", || open() <= before);
    }
}

#[test]
fn a_missing_folder_of_files_fails_the_reload() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("files")).unwrap();
    folder.write("files/a.txt", "a");
    let app = format!("[[app]]\nstatic = \"{}\"\n", folder.path("files").display());
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 2, &app));
    let server = Server::in_folder(folder);
    std::fs::rename(server.folder().path("files"), server.folder().path("moved")).unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for("reload failed: ");
    let request = "GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(server.ask(request).text(), "a", "the old generation must go on serving");
}

fn reload_under(load: &Load, server: &Server, times: usize) {
    for round in 1..=times {
        server.signal(Signal::SIGHUP);
        server.wait_for_count("reload done: generation", round);
        load.goes_on();
    }
}
