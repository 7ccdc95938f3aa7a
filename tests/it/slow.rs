//! Clients that take their time.

use crate::support::{Ended, Server, Transport, on_tcp_and_unix};

const SHORT: &str = "[timeouts]\nhead = \"500ms\"\nbody = \"500ms\"\nkeep_alive = \"500ms\"\n";
const GET: &str = "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

on_tcp_and_unix! {
    fn a_byte_at_a_time_is_still_a_request(transport) {
        let server = Server::start(transport, 1);
        let mut connection = server.address().connect().unwrap();
        let request = b"POST /slow HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
        connection.send_bytewise(request).unwrap();
        let answer = connection.answer().unwrap();
        assert!(answer.status == 200 && answer.text().ends_with("\nhello"), "{answer:?}");
    }
}

on_tcp_and_unix! {
    fn an_unfinished_head_gets_408(transport) {
        let server = Server::configured(transport, 1, SHORT);
        let mut connection = server.address().connect().unwrap();
        connection.send(b"GET / HTTP/1.1\r\nHost: a.ex").unwrap();
        assert_eq!(connection.answer().unwrap().status, 408);
        assert_eq!(connection.end().unwrap(), Ended::Finished);
    }
}

on_tcp_and_unix! {
    fn a_head_that_trickles_gets_408(transport) {
        let server = Server::configured(transport, 1, SHORT);
        let mut connection = server.address().connect().unwrap();
        connection.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n").unwrap();
        // The time limit is for the whole head: bytes that go on coming must not extend it.
        let deadline = std::time::Instant::now() + crate::support::DEADLINE;
        while !connection.has_input() {
            assert!(std::time::Instant::now() < deadline, "no 408 for a head that trickles");
            let _ = connection.send(b"X-A: b\r\n");
            std::thread::park_timeout(std::time::Duration::from_millis(50));
        }
        assert_eq!(connection.answer().unwrap().status, 408);
    }
}

on_tcp_and_unix! {
    fn unfinished_content_gets_408(transport) {
        let server = Server::configured(transport, 1, SHORT);
        for head in ["Content-Length: 9\r\n\r\nhel", "Transfer-Encoding: chunked\r\n\r\n5\r\nhel"] {
            let mut connection = server.address().connect().unwrap();
            connection.send(format!("POST / HTTP/1.1\r\nHost: a.example\r\n{head}").as_bytes()).unwrap();
            assert_eq!(connection.answer().unwrap().status, 408, "{head}");
            assert_eq!(connection.end().unwrap(), Ended::Finished, "{head}");
        }
    }
}

on_tcp_and_unix! {
    fn idle_connections_are_ended_without_a_word(transport) {
        let server = Server::configured(transport, 1, SHORT);
        let mut fresh = server.address().connect().unwrap();
        let mut used = server.address().connect().unwrap();
        used.send(b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        assert_eq!(used.answer().unwrap().status, 200);
        assert_eq!(used.end().unwrap(), Ended::Finished);
        assert_eq!(fresh.end().unwrap(), Ended::Finished);
    }
}

on_tcp_and_unix! {
    fn slow_clients_hold_up_nobody(transport) {
        let server = Server::start(transport, 1);
        let slow: Vec<_> = ["GET / HT", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhel"]
            .iter()
            .cycle()
            .take(100)
            .map(|start| {
                let mut connection = server.address().connect().unwrap();
                connection.send(start.as_bytes()).unwrap();
                connection
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(server.ask(GET).status, 200);
        }
        drop(slow);
        assert_eq!(server.ask(GET).status, 200);
    }
}

on_tcp_and_unix! {
    fn a_client_that_reads_late_gets_everything(transport) {
        let server = Server::start(transport, 1);
        let mut connection = server.address().connect().unwrap();
        let content = "0123456789abcdef".repeat(256 << 10);
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", content.len());
        connection.send(head.as_bytes()).unwrap();
        connection.send(content.as_bytes()).unwrap();
        // The answer is larger than what the kernel holds: others are served while it waits.
        assert_eq!(server.ask(GET).status, 200);
        assert!(connection.answer().unwrap().text().ends_with(&content));
    }
}
