//! Limits of content, expectations, and what the logs say of it.

use crate::support::{Ended, Server, Transport, on_tcp_and_unix, until};
use nix::sys::signal::Signal;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

on_tcp_and_unix! {
    fn content_past_its_limit_gets_413(transport) {
        let server = Server::configured(transport, 1, "[limits]\nbody = \"64 KiB\"\n");
        for (length, status) in [(64 << 10, 200), ((64 << 10) + 1, 413), (1 << 20, 413)] {
            let content = "x".repeat(length);
            for head in [
                format!("Content-Length: {length}\r\n\r\n{content}"),
                format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{content}\r\n0\r\n\r\n"),
            ] {
                let mut connection = server.address().connect().unwrap();
                // A server that has refused may stop to listen; its answer is still to be read.
                let _ = connection.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}").as_bytes());
                assert_eq!(connection.answer().unwrap().status, status, "{length} bytes");
                if status == 413 {
                    assert_eq!(connection.end().unwrap(), Ended::Finished, "{length} bytes");
                }
            }
        }
        assert_eq!(server.ask(GET).status, 200);
    }
}

on_tcp_and_unix! {
    fn content_is_asked_for_when_the_client_waits(transport) {
        let server = Server::start(transport, 1);
        let mut connection = server.address().connect().unwrap();
        for _ in 0..2 {
            let head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
            connection.send(head).unwrap();
            assert_eq!(connection.next_answer("POST").unwrap().status, 100);
            connection.send(b"hello").unwrap();
            let answer = connection.next_answer("POST").unwrap();
            assert!(answer.status == 200 && answer.text().ends_with("\nhello"), "{answer:?}");
        }
    }
}

on_tcp_and_unix! {
    fn refused_content_is_not_asked_for(transport) {
        let server = Server::configured(transport, 1, "[limits]\nbody = \"1 KiB\"\n");
        let mut connection = server.address().connect().unwrap();
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n";
        connection.send(head).unwrap();
        assert_eq!(connection.next_answer("POST").unwrap().status, 413);
        assert_eq!(connection.end().unwrap(), Ended::Finished);
    }
}

on_tcp_and_unix! {
    fn large_content_goes_through_a_file_and_comes_back_whole(transport) {
        let server = Server::configured(transport, 1, "[limits]\nbody_memory = \"64 KiB\"\n");
        let content = "0123456789abcdef".repeat(128 << 10);
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", content.len());
        let answer = server.ask(&(head + &content));
        assert_eq!(answer.status, 200);
        assert!(answer.text().ends_with(&content), "{} bytes came back", answer.content.len());
    }
}

on_tcp_and_unix! {
    fn smaller_limits_of_the_head_hold(transport) {
        let limits = "[limits]\nhead = \"2 KiB\"\ntarget = \"256 B\"\nfields = 5\n";
        let server = Server::configured(transport, 1, limits);
        let long = "x".repeat(3000);
        for (request, status) in [
            (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..300]), 414),
            (format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {long}\r\n\r\n"), 431),
            (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-A: b\r\n".repeat(5)), 431),
            (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-A: b\r\n".repeat(4)), 200),
        ] {
            assert_eq!(server.ask(&request).status, status, "{request:.60}");
        }
    }
}

on_tcp_and_unix! {
    fn connections_past_their_limit_wait_in_the_queue(transport) {
        let server = Server::configured(transport, 1, "[limits]\nconnections = 1\n");
        let mut first = server.address().connect().unwrap();
        first.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(first.answer().unwrap().status, 200);
        let mut second = server.address().connect().unwrap();
        second.send(GET.as_bytes()).unwrap();
        for _ in 0..50 {
            first.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            assert_eq!(first.answer().unwrap().status, 200);
            assert!(!second.has_input(), "answered past the limit");
        }
        drop(first);
        assert_eq!(second.answer().unwrap().status, 200);
    }
}

#[test]
fn every_refusal_is_in_the_access_log() {
    let server = Server::configured(Transport::Tcp, 1, "[log]\naccess = \"access.log\"\n");
    assert_eq!(server.ask("GET / HTTP/1.1\r\nBad Field: x\r\n\r\n").status, 400);
    until("the refusal is logged", || server.folder().read("access.log").contains(" 400 "));
}

#[test]
fn no_request_forges_a_line_of_the_access_log() {
    let server = Server::configured(Transport::Tcp, 1, "[log]\naccess = \"access.log\"\n");
    let fields = "Host: a\r\nUser-Agent: x\" \\ \u{e4}\r\nReferer: \"\r\nConnection: close";
    assert_eq!(server.ask(&format!("GET /\"a HTTP/1.1\r\n{fields}\r\n\r\n")).status, 200);
    assert_eq!(server.ask(GET).status, 200);
    until("both are logged", || server.folder().read("access.log").lines().count() == 2);
    let log = server.folder().read("access.log");
    let first = log.lines().next().unwrap();
    assert!(first.is_ascii() && !first.contains("/\"a"), "{first}");
}

on_tcp_and_unix! {
    fn usr1_opens_the_access_log_anew(transport) {
        let server = Server::configured(transport, 2, "[log]\naccess = \"access.log\"\n");
        assert_eq!(server.ask(GET).status, 200);
        until("the request is logged", || server.folder().read("access.log").contains("/x"));
        std::fs::rename(server.folder().path("access.log"), server.folder().path("old.log")).unwrap();
        server.signal(Signal::SIGUSR1);
        until("a new file is written", || {
            server.ask(GET).status == 200 && server.folder().read("access.log").contains("/x")
        });
        until("no worker writes into the old file", || {
            let before = server.folder().read("old.log").len();
            (0..20).all(|_| server.ask(GET).status == 200) && server.folder().read("old.log").len() == before
        });
    }
}
