//! One request, ended or looked into by an operator.

use crate::support::control::{ctl, succeed};
use crate::support::server::{Folder, Server};
use crate::support::{Connection, Ended, Transport, until};
use serde_json::Value;
use std::process::Command;

/// A server of the app beside these tests, whose handlers wait for ever.
pub(crate) fn waiting(arguments: &str) -> Server {
    waiting_in(Folder::new(), arguments)
}

/// The same in a folder that is there already.
pub(crate) fn waiting_in(folder: Folder, arguments: &str) -> Server {
    let command = waiting_command(&folder, arguments);
    Server::from_command(command, folder)
}

/// What starts it.
pub(crate) fn waiting_command(folder: &Folder, arguments: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let profile = tests.parent().and_then(std::path::Path::parent).unwrap();
    let program = profile.join("examples/waiting");
    assert!(program.exists(), "build it: cargo build --example waiting");
    let mut command = Command::new(program);
    command.args(["-b", "127.0.0.1:0"]).args(arguments.split_whitespace());
    command.current_dir(folder.path("")).env("NO_COLOR", "1");
    for name in ["PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"] {
        command.env_remove(name);
    }
    command
}

/// A connection that has asked for this path.
pub(crate) fn asked(server: &Server, path: &str) -> Connection {
    let mut connection = server.address().connect().unwrap();
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    connection
}

/// The id of the only request, once it is there and in this state.
#[track_caller]
fn id(server: &Server, state: &str) -> String {
    let mut id = String::new();
    until("the request is in its state", || {
        let told: Value = serde_json::from_str(&succeed(server, &["requests", "--json"])).unwrap();
        let requests = told["requests"].as_array().unwrap();
        id = requests.first().and_then(|request| request["id"].as_str()).unwrap_or_default().to_owned();
        requests.len() == 1 && requests[0]["state"] == state
    });
    id
}

#[test]
fn a_cancelled_request_of_a_rust_app_is_dropped_and_answered() {
    let server = waiting("-w 1");
    let worker = server.ask("GET /quick HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").text();
    let mut client = asked(&server, "/waits?x=1");
    let id = id(&server, "in app");
    let stack = succeed(&server, &["stack", &id]);
    assert!(stack.starts_with(&format!("GET /waits?x=1 (id {id}, client 127.0.0.1:")), "{stack}");
    assert!(stack.ends_with(", in app)\nno stack: it waits in an app that blocks no thread\n"), "{stack}");
    let told: Value = serde_json::from_str(&succeed(&server, &["cancel", &id, "--json"])).unwrap();
    assert!(told["result"].as_str().unwrap().starts_with("cancelled: GET /waits?x=1 (id "), "{told}");
    let answer = client.answer().unwrap();
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (503, "The request was cancelled by the operator.\n")
    );
    server.wait_for("the handler was dropped");
    server.wait_for(&format!("request cancelled: GET /waits?x=1 (id {id}"));
    // The connection goes on, and so does the worker.
    client.send(b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(client.answer().unwrap().text(), worker);
    assert_eq!(server.count("worker ready"), 1);
}

#[test]
fn a_page_of_an_allowed_origin_reads_that_its_request_was_cancelled() {
    let folder = Folder::new();
    folder.write(
        "ferricorn.toml",
        "[auth]\ncors.allowed_origins = [\"https://app.example\"]\n[[auth.provider]]\nname = \"local\"\n\
         [[auth.provider.key]]\nalg = \"HS256\"\nsecret = \"a secret of more than thirty-two bytes\"\n\
         [[auth.route]]\nprefix = \"/\"\nrequire = \"none\"\n",
    );
    let server = waiting_in(folder, "-c ferricorn.toml -w 1");
    let mut client = server.address().connect().unwrap();
    let origin = "Host: a\r\nOrigin: https://app.example\r\n";
    client.send(format!("GET /waits HTTP/1.1\r\n{origin}\r\n").as_bytes()).unwrap();
    succeed(&server, &["cancel", &id(&server, "in app")]);
    let in_app = client.answer().unwrap();
    client.send(format!("POST /waits HTTP/1.1\r\n{origin}Content-Length: 5\r\n\r\nhel").as_bytes()).unwrap();
    succeed(&server, &["cancel", &id(&server, "reading")]);
    for answer in [in_app, client.answer().unwrap()] {
        assert_eq!((answer.status, answer.field("cache-control")), (503, Some("no-store")));
        assert_eq!(answer.field("access-control-allow-origin"), Some("https://app.example"));
    }
}

#[test]
fn a_response_that_has_begun_is_cut() {
    let server = waiting("-w 1");
    let mut client = asked(&server, "/streams");
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.chunk().unwrap(), b"beginning");
    let id = id(&server, "writing");
    succeed(&server, &["cancel", &id]);
    server.wait_for("the stream was dropped");
    // Without the chunk that would end it.
    assert_eq!(client.end().unwrap(), Ended::Finished);
}

#[test]
fn a_stream_that_stalls_is_named_and_cut() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", "[timeouts]\nrequest = \"200ms\"\n");
    let server = waiting_in(folder, "-c ferricorn.toml -w 1");
    let mut client = asked(&server, "/streams?x=1");
    assert_eq!(client.head().unwrap().status, 200);
    assert_eq!(client.chunk().unwrap(), b"beginning");
    assert_eq!(client.end().unwrap(), Ended::Finished);
    let line = server.wait_for("the app took too long; ");
    assert!(line.contains(": the next piece of GET /streams?x=1 (id "), "{line}");
    assert!(line.contains(", client 127.0.0.1:") && line.contains(", writing)"), "{line}");
}

#[test]
fn a_request_whose_content_arrives_is_answered_and_its_connection_closed() {
    let server = Server::start(Transport::Tcp, 2);
    let mut client = server.address().connect().unwrap();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel").unwrap();
    let id = id(&server, "reading");
    succeed(&server, &["cancel", &id]);
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.field("connection")), (503, Some("close")));
    assert_eq!(client.end().unwrap(), Ended::Finished);
}

#[test]
fn a_request_of_an_app_that_answers_at_once_is_noted_while_its_content_arrives() {
    let server = Server::start(Transport::Tcp, 1);
    let mut client = server.address().connect().unwrap();
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel").unwrap();
    id(&server, "reading");
    client.send(b"lo").unwrap();
    assert_eq!(client.answer().unwrap().status, 200);
}

#[test]
fn a_worker_whose_event_loop_stands_still_is_replaced_and_killed() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", "[timeouts]\nheartbeat = \"200ms\"\ngraceful = \"300ms\"\n");
    let server = waiting_in(folder, "-c ferricorn.toml -w 1");
    let first = server.living_workers()[0].pid;
    let _blocking = asked(&server, "/blocks?x=1");
    let line = server.wait_for("worker's event loop stands still (timeouts.heartbeat)");
    assert!(line.contains(&format!("pid={first}")), "{line}");
    let line = server.wait_for("worker was serving GET /blocks?x=1 (id ");
    assert!(line.contains("client 127.0.0.1:") && line.contains(", in app)"), "{line}");
    server.wait_for_count("worker ready", 2);
    let quick = "GET /quick HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_ne!(server.ask(quick).text(), first.to_string());
    let line = server.wait_for("worker killed: it had not left in time");
    assert!(line.contains(&format!("pid={first}")), "{line}");
}

#[test]
fn a_request_that_blocks_its_event_loop_cannot_be_dropped_and_that_is_told() {
    let folder = Folder::new();
    // Longer than an answer is waited for.
    folder.write("ferricorn.toml", "[timeouts]\nheartbeat = \"0s\"\n");
    let server = waiting_in(folder, "-c ferricorn.toml -w 1");
    let _blocking = asked(&server, "/blocks");
    let id = id(&server, "in app");
    let (code, _, complaint) = ctl(&server, &["cancel", &id]);
    assert_eq!(code, Some(1));
    assert!(
        complaint.starts_with("error: the worker does not answer: something blocks its event loop"),
        "{complaint}"
    );
}

#[test]
fn a_request_that_is_not_there_cannot_be_cancelled() {
    let server = Server::start(Transport::Tcp, 1);
    for command in ["cancel", "stack"] {
        let (code, output, complaint) = ctl(&server, &[command, "00ff"]);
        assert_eq!((code, output.as_str()), (Some(1), ""));
        assert_eq!(complaint, "error: no such request: 00000000000000ff; it may have ended\n");
        let (code, output, _) = ctl(&server, &[command, "00ff", "--json"]);
        let told: Value = serde_json::from_str(&output).unwrap();
        assert_eq!((code, told["error"].is_string()), (Some(1), true));
        assert_eq!(ctl(&server, &[command, "nonsense"]).0, Some(2));
    }
}
