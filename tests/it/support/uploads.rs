//! Requests that keep a worker from leaving.

use super::{Connection, Server, until};

/// Begins uploads of one byte, of which the worker of slot 1 has at least one. The server has `status` at `/status`.
#[track_caller]
pub(crate) fn uploads_to_slot_one(server: &Server) -> Vec<Connection> {
    let mut uploads = Vec::new();
    until("the worker of slot 1 has an upload", || {
        let mut upload = server.address().connect().expect("a connection");
        let head = b"POST /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
        upload.send(head).expect("a connection");
        assert_eq!(upload.next_answer("POST").expect("an answer").status, 100);
        uploads.push(upload);
        // Connections that ask may be among them, and are gone a moment later.
        connections_of_slot_one(server) >= 3
    });
    uploads
}

fn connections_of_slot_one(server: &Server) -> u64 {
    let status = server.ask("GET /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").text();
    let slot_one = status.split('{').find(|worker| worker.contains("\"slot\":1,")).expect("slot 1");
    let (_, count) = slot_one.split_once("\"connections\":").expect("a count");
    count
        .split(|letter: char| !letter.is_ascii_digit())
        .next()
        .and_then(|count| count.parse().ok())
        .expect("a number")
}
