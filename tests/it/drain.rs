//! How connections end when a worker leaves.

use crate::cancel::{asked, waiting_in};
use crate::support::control::succeed;
use crate::support::server::Folder;
use crate::support::{Address, Connection, Ended, Server, Transport, on_tcp_and_unix, until};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::thread::JoinHandle;

const GET: &[u8] = b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n";
const READY: &str = "GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const UPLOAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

on_tcp_and_unix! {
    fn the_next_answer_of_a_leaving_worker_says_close(transport) {
        let mut server = Server::configured(transport, 1, "[timeouts]\ndrain_idle = \"10s\"\n");
        let mut kept = used(&server);
        server.signal(Signal::SIGTERM);
        until_closing(&mut kept);
        assert_eq!(kept.end().unwrap(), Ended::Finished);
        assert_eq!(server.exit_code(), Some(0));
    }
}

on_tcp_and_unix! {
    fn idle_connections_end_with_a_fin(transport) {
        let mut server = Server::configured(transport, 2, "[timeouts]\ndrain_idle = \"200ms\"\n");
        let mut kept: Vec<_> = (0..8).map(|_| used(&server)).collect();
        server.signal(Signal::SIGTERM);
        for connection in &mut kept {
            assert_eq!(connection.end().unwrap(), Ended::Finished);
        }
        assert_eq!(server.exit_code(), Some(0));
    }
}

on_tcp_and_unix! {
    fn a_request_under_way_is_answered_before_the_stop(transport) {
        let mut server = Server::configured(transport, 1, "[timeouts]\ndrain_idle = \"100ms\"\n");
        let mut upload = server.address().connect().unwrap();
        upload.send(UPLOAD).unwrap();
        assert_eq!(upload.next_answer("POST").unwrap().status, 100);
        let mut idle = used(&server);
        server.signal(Signal::SIGTERM);
        // The end of an idle connection tells that the worker leaves.
        assert_eq!(idle.end().unwrap(), Ended::Finished);
        upload.send(b"hello").unwrap();
        let answer = upload.answer().unwrap();
        assert!(answer.status == 200 && answer.closes() && answer.text().ends_with("\nhello"), "{answer:?}");
        assert_eq!(upload.end().unwrap(), Ended::Finished);
        assert_eq!(server.exit_code(), Some(0));
    }
}

on_tcp_and_unix! {
    fn the_graceful_timeout_ends_what_does_not_end_itself(transport) {
        let timeouts = "[timeouts]\ngraceful = \"500ms\"\nbody = \"10m\"\n";
        let mut server = Server::configured(transport, 1, timeouts);
        let mut upload = server.address().connect().unwrap();
        upload.send(UPLOAD).unwrap();
        assert_eq!(upload.next_answer("POST").unwrap().status, 100);
        assert_eq!(server.stop(Signal::SIGTERM), Some(0));
    }
}

on_tcp_and_unix! {
    fn connections_in_the_queue_at_a_stop_are_served(transport) {
        let mut server = Server::start(transport, 1);
        let worker = nix::unistd::Pid::from_raw(server.living_workers()[0].pid);
        nix::sys::signal::kill(worker, Signal::SIGSTOP).unwrap();
        let mut waiting: Vec<_> = (0..20).map(|_| server.address().connect().unwrap()).collect();
        for connection in &mut waiting {
            connection.send(GET).unwrap();
        }
        server.signal(Signal::SIGTERM);
        nix::sys::signal::kill(worker, Signal::SIGCONT).unwrap();
        for connection in &mut waiting {
            assert_eq!(connection.answer().unwrap().status, 200);
        }
        drop(waiting);
        assert_eq!(server.exit_code(), Some(0));
    }
}

on_tcp_and_unix! {
    fn whoever_is_connected_during_a_stop_is_answered(transport) {
        for workers in [1, 2, 3] {
            let mut server = Server::start(transport, workers);
            let clients: Vec<_> = (0..8).map(|_| connect_until_refused(server.address())).collect();
            server.signal(Signal::SIGTERM);
            for client in clients {
                let (answered, failures) = client.join().unwrap();
                assert!(answered > 0, "not even one connection");
                assert_eq!(failures, Vec::<String>::new());
            }
            assert_eq!(server.exit_code(), Some(0));
        }
    }
}

on_tcp_and_unix! {
    fn a_lame_duck_serves_and_says_close(transport) {
        let mut server = Server::configured(transport, 2, "[admin]\nready_path = \"/ready\"\n[timeouts]\nlame_duck = \"10m\"\n");
        assert_eq!(server.ask(READY).status, 200);
        let mut kept = used(&server);
        server.signal(Signal::SIGTERM);
        server.wait_for("stopping in 600 s: serving on, not ready any more");
        until("the server is not ready", || server.ask(READY).status == 503);
        until_closing(&mut kept);
        // A worker that dies is replaced, and its successor says so too.
        let victim = server.living_workers()[0].pid;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(victim), Signal::SIGKILL).unwrap();
        server.wait_for_count("worker ready", 3);
        for _ in 0..20 {
            let mut late = server.address().connect().unwrap();
            until_closing(&mut late);
        }
        assert_eq!(server.stop(Signal::SIGTERM), Some(0));
    }
}

on_tcp_and_unix! {
    fn a_lame_duck_loses_nobody_when_its_time_is_over(transport) {
        let mut server = Server::configured(transport, 2, "[timeouts]\nlame_duck = \"100ms\"\n");
        let clients: Vec<_> = (0..8).map(|_| connect_until_refused(server.address())).collect();
        server.signal(Signal::SIGTERM);
        for client in clients {
            assert_eq!(client.join().unwrap().1, Vec::<String>::new());
        }
        assert_eq!(server.exit_code(), Some(0));
    }
}

#[test]
fn streams_of_a_leaving_worker_have_a_limit_of_their_own() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", "[timeouts]\ndrain_streaming = \"200ms\"\n");
    let server = waiting_in(folder, "-c ferricorn.toml -w 1");
    let mut stream = asked(&server, "/streams");
    assert_eq!(stream.head().unwrap().status, 200);
    assert_eq!(stream.chunk().unwrap(), b"beginning");
    let mut old = endless(&server);
    let _request = asked(&server, "/waits");
    let told = || -> Value { serde_json::from_str(&succeed(&server, &["requests", "--json"])).unwrap() };
    until("all are there", || told()["requests"].as_array().unwrap().len() == 3);
    server.signal(Signal::SIGHUP);
    // Without the chunk that would end it.
    assert_eq!(stream.end().unwrap(), Ended::Finished);
    assert_eq!(old.end().unwrap(), Ended::Reset);
    server.wait_for("the stream was dropped");
    // timeouts.graceful is 30 s.
    until("the other request is alone", || told()["requests"].as_array().unwrap().len() == 1);
    let left = told();
    assert_eq!(left["requests"][0]["request"], "GET /waits");
    succeed(&server, &["cancel", left["requests"][0]["id"].as_str().unwrap()]);
    server.wait_for("cut off what had not ended in time connections=2");
}

#[test]
fn a_response_that_a_killed_worker_leaves_behind_does_not_look_whole() {
    let server = waiting_in(Folder::new(), "-w 1");
    let mut old = endless(&server);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(server.living_workers()[0].pid), Signal::SIGKILL)
        .unwrap();
    assert_eq!(old.end().unwrap(), Ended::Reset);
}

/// A connection of HTTP/1.0 with the beginning of a response that would end with it.
fn endless(server: &Server) -> Connection {
    let mut connection = server.address().connect().unwrap();
    connection.send(b"GET /streams HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(connection.head().unwrap().status, 200);
    assert_eq!(connection.exactly(b"beginning".len()).unwrap(), b"beginning");
    connection
}

/// Asks on one connection after the other until there is none; how many were answered, and why others were not.
fn connect_until_refused(address: &Address) -> JoinHandle<(u64, Vec<String>)> {
    let address = address.clone();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        let (mut answered, mut failures) = (0, Vec::new());
        while let Ok(mut connection) = address.connect() {
            match connection.send(GET).and_then(|()| connection.answer()) {
                Ok(answer) if answer.status == 200 => answered += 1,
                Ok(answer) => failures.push(format!("{answer:?}")),
                Err(error) => failures.push(error.to_string()),
            }
            // Nobody listens any more when the main thread has gone on.
            let _ = ready.send(());
        }
        (answered, failures)
    });
    is_ready.recv_timeout(crate::support::DEADLINE).expect("a first answer");
    client
}

/// A kept-alive connection that has had an answer.
fn used(server: &Server) -> Connection {
    let mut connection = server.address().connect().unwrap();
    connection.send(GET).unwrap();
    let answer = connection.answer().unwrap();
    assert!(answer.status == 200 && !answer.closes(), "{answer:?}");
    connection
}

/// Asks until an answer says that the connection ends; every request must be answered.
fn until_closing(connection: &mut Connection) {
    let deadline = std::time::Instant::now() + crate::support::DEADLINE;
    loop {
        connection.send(GET).unwrap();
        let answer = connection.answer().unwrap();
        assert_eq!(answer.status, 200);
        if answer.closes() {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "no answer says close");
    }
}
