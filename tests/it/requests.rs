//! The requests in flight, as `ferricorn ctl` shows them.

use crate::support::control::succeed;
use crate::support::server::{ferricorn, run};
use crate::support::{Ended, Server, Transport, until};
use serde_json::Value;

/// `ferricorn ctl requests` for this server; what it prints.
#[track_caller]
fn requests(server: &Server, arguments: &[&str]) -> String {
    let mut command = ferricorn(server.folder());
    command.args(["ctl", "--pid", &server.pid().to_string(), "requests"]).args(arguments);
    let (code, output, errors) = run(command);
    assert_eq!(code, Some(0), "{output}{errors}");
    output
}

#[test]
fn requests_in_flight_are_told() {
    let server = Server::start(Transport::Tcp, 2);
    let none = "slot  pid  age  state  client  id  request\n";
    assert_eq!(requests(&server, &[]), none);
    let mut unfinished = server.address().connect().unwrap();
    // The interim answer says that the head has been understood.
    unfinished
        .send(b"POST /a%20b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    assert_eq!(unfinished.next_answer("POST").unwrap().status, 100);
    let told: Value = serde_json::from_str(&requests(&server, &["--json"])).unwrap();
    let request = &told["requests"][0];
    assert_eq!(
        (request["state"].as_str(), request["request"].as_str()),
        (Some("reading"), Some("POST /a%20b"))
    );
    assert!(request["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{told}");
    assert!(server.workers().iter().any(|worker| Some(i64::from(worker.pid)) == request["pid"].as_i64()));
    unfinished.send(b"hello").unwrap();
    assert_eq!(unfinished.answer().unwrap().status, 200);
    until("the request is over", || requests(&server, &[]) == none);
}

/// The only request, as told, once it is told like this.
#[track_caller]
fn until_told(server: &Server, expected: &str) -> Value {
    let mut only = Value::Null;
    until("the request is told so", || {
        let told: Value = serde_json::from_str(&requests(server, &["--json"])).unwrap();
        only = told["requests"][0].clone();
        only["request"] == expected && told["requests"].as_array().unwrap().len() == 1
    });
    only
}

#[test]
fn a_request_whose_head_arrives_is_told_as_far_as_it_is_known_and_can_be_ended() {
    let server = Server::start(Transport::Tcp, 1);
    let mut client = server.address().connect().unwrap();
    client.send(b"PO").unwrap();
    let first = until_told(&server, "PO ...");
    assert_eq!((first["state"].as_str(), first["thread"].is_null()), (Some("reading"), true));
    assert!(first["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{first}");
    client.send(b"ST /a?token=x").unwrap();
    // What a query holds may be a secret.
    until_told(&server, "POST /a...");
    client.send(b"y HTTP/1.1\r\nHo").unwrap();
    let whole = until_told(&server, "POST /a?token=xy");
    assert_eq!(whole["id"], first["id"]);
    let id = whole["id"].as_str().unwrap();
    assert!(succeed(&server, &["stack", id]).ends_with(", reading)\nno stack: it arrives\n"));
    assert!(succeed(&server, &["cancel", id]).starts_with("cancelled: POST /a?token=xy (id "));
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.field("connection")), (503, Some("close")));
    assert_eq!(client.end().unwrap(), Ended::Finished);
}

#[test]
fn a_request_keeps_its_id_from_its_first_byte_to_its_end() {
    let server = Server::start(Transport::Unix, 1);
    let mut client = server.address().connect().unwrap();
    client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\n").unwrap();
    assert_eq!(client.answer().unwrap().status, 200);
    let arriving = until_told(&server, "POST /2");
    assert!(arriving["client"].is_null(), "{arriving}");
    client.send(b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert_eq!(client.next_answer("POST").unwrap().status, 100);
    assert_eq!(until_told(&server, "POST /2")["id"], arriving["id"]);
    client.send(b"hello").unwrap();
    assert_eq!(client.answer().unwrap().status, 200);
}
