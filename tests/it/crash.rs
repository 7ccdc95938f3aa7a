//! Workers and masters that die.

use crate::cancel::{asked, waiting_in};
use crate::support::server::{Folder, Worker, is_alive};
use crate::support::{Load, Reuse, Server, Transport, on_tcp_and_unix, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

on_tcp_and_unix! {
    fn crashed_worker_is_replaced_in_its_slot(transport) {
        let server = Server::start(transport, 2);
        let victim = server.living_workers()[1].clone();
        kill_worker(&victim);
        server.wait_for_count("worker ready", 3);
        let successor = server.workers()[2].clone();
        assert_eq!(successor.slot, victim.slot);
        assert_ne!(successor.pid, victim.pid);
        let log = server.log().join("\n");
        let told = log.lines().any(|line| line.contains(&victim.pid.to_string()) && line.contains("SIGKILL"));
        assert!(told, "no word of what killed worker {}:\n{log}", victim.pid);
        assert_eq!(server.ask(GET).status, 200);
    }
}

on_tcp_and_unix! {
    fn killed_workers_cost_only_the_requests_they_had(transport) {
        let server = Server::start(transport, 2);
        let load = Load::start(server.address(), 4, &[Reuse::KeptAlive, Reuse::Closed]);
        let mut had = 0;
        for round in 0..5 {
            kill_worker(&server.living_workers()[round % 2]);
            server.wait_for_count("worker ready", 3 + round);
            // Each client has one request at a time: no more than these can have been in the worker.
            had += 8;
            load.goes_on();
        }
        let (answered, failures) = load.stop();
        assert!(failures.len() <= had, "{} of {answered} failed: {failures:?}", failures.len());
        let is_ours = |failure: &&String| failure.contains("refused") || failure.contains("answered");
        assert_eq!(failures.iter().find(is_ours), None, "failed otherwise than by the worker's death");
    }
}

on_tcp_and_unix! {
    fn worker_sent_term_is_replaced_without_a_failure(transport) {
        let server = Server::start(transport, 1);
        let load = Load::start(server.address(), 4, &[Reuse::KeptAlive, Reuse::Closed]);
        let asked = server.living_workers()[0].clone();
        kill(Pid::from_raw(asked.pid), Signal::SIGTERM).unwrap();
        server.wait_for_count("worker ready", 2);
        server.wait_for("worker left");
        load.goes_on();
        assert_eq!(load.stop().1, Vec::<String>::new());
        assert!(!is_alive(asked.pid));
    }
}

on_tcp_and_unix! {
    fn connections_waiting_in_a_dead_workers_queue_are_served(transport) {
        kill_with_a_full_queue(&Server::start(transport, 1), 20);
    }
}

on_tcp_and_unix! {
    fn siblings_serve_the_queue_of_a_dead_worker(transport) {
        kill_with_a_full_queue(&Server::start(transport, 2), 40);
    }
}

/// Kills a worker that is stopped, so that connections wait in its queue; every one of them is answered.
fn kill_with_a_full_queue(server: &Server, connections: usize) {
    let victim = server.living_workers()[0].clone();
    kill(Pid::from_raw(victim.pid), Signal::SIGSTOP).unwrap();
    let mut waiting: Vec<_> = (0..connections).map(|_| server.address().connect().unwrap()).collect();
    for connection in &mut waiting {
        connection.send(GET.as_bytes()).unwrap();
    }
    kill_worker(&victim);
    for connection in &mut waiting {
        assert_eq!(connection.answer().unwrap().status, 200);
    }
}

on_tcp_and_unix! {
    fn workers_leave_when_their_master_is_killed(transport) {
        let mut server = Server::start(transport, 3);
        let mut kept = server.address().connect().unwrap();
        kept.send(b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        assert_eq!(kept.answer().unwrap().status, 200);
        server.signal(Signal::SIGKILL);
        assert_eq!(server.exit_code(), None, "killed by a signal");
        until("the workers have left", || server.survivors().is_empty());
    }
}

on_tcp_and_unix! {
    fn a_worker_that_keeps_dying_is_replaced_each_time(transport) {
        let server = Server::start(transport, 1);
        for count in 2..5 {
            kill_worker(&server.living_workers()[0]);
            server.wait_for_count("worker ready", count);
            assert_eq!(server.ask(GET).status, 200);
        }
    }
}

on_tcp_and_unix! {
    fn workers_are_recycled_without_a_lost_request(transport) {
        let server = Server::start_with_workers(transport, 2, "max_requests = 200\n");
        let load = Load::start(server.address(), 3, &[Reuse::KeptAlive, Reuse::Closed]);
        server.wait_for_count("worker ready", 8);
        load.goes_on();
        let (answered, failures) = load.stop();
        assert!(failures.is_empty(), "{} of {answered} failed: {failures:?}", failures.len());
    }
}

on_tcp_and_unix! {
    fn what_a_killed_worker_had_is_in_the_log(transport) {
        let server = Server::start(transport, 1);
        let mut unfinished = server.address().connect().unwrap();
        // The interim answer says that the head has been understood.
        let head = b"POST /lost HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
        unfinished.send(head).unwrap();
        assert_eq!(unfinished.next_answer("POST").unwrap().status, 100);
        kill_worker(&server.living_workers()[0]);
        server.wait_for("worker also had requests that were not in the app: 1 reading, 0 queued, 0 writing");
        server.wait_for_count("worker ready", 2);
        assert!(!server.log().join("\n").contains("worker was serving"));
    }
}

#[test]
fn what_a_killed_worker_was_answering_is_named() {
    let server = waiting_in(Folder::new(), "-w 1");
    let mut stream = asked(&server, "/streams");
    assert_eq!(stream.head().unwrap().status, 200);
    assert_eq!(stream.chunk().unwrap(), b"beginning");
    kill_worker(&server.living_workers()[0]);
    let line = server.wait_for("worker was answering GET /streams (id ");
    assert!(line.contains(", writing)"), "{line}");
}

fn kill_worker(worker: &Worker) {
    kill(Pid::from_raw(worker.pid), Signal::SIGKILL).unwrap();
    until("the worker is dead", || !is_alive(worker.pid));
}
