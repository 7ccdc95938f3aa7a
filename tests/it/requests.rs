//! The requests in flight, as `ferricorn ctl` shows them.

use crate::support::server::{ferricorn, run};
use crate::support::{Server, Transport, until};
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
