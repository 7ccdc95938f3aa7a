//! The corpus of HTTP requests against the real program.

use crate::support::case::{Case, End, Expected, StaticStatus, Then, read_all};
use crate::support::client::{Address, Answer, Connection};
use crate::support::server::{Folder, config};
use crate::support::{Ended, Server, Transport};
use std::fs;

/// How the bytes of a case are handed to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    AtOnce,
    Bytewise,
}

const ROUTES: &str = "[[route]]\nprefix = \"/small\"\nbody = \"1 KiB\"\n\
    [[route]]\nprefix = \"/length-required\"\nlength_required = true\n";

#[test]
fn bad_requests_are_refused_on_tcp() {
    refuses(Transport::Tcp, ROUTES, Delivery::AtOnce);
}

#[test]
fn bad_requests_are_refused_on_unix() {
    refuses(Transport::Unix, ROUTES, Delivery::AtOnce);
}

#[test]
fn bad_requests_are_refused_however_they_arrive() {
    refuses(Transport::Tcp, ROUTES, Delivery::Bytewise);
}

#[test]
fn legitimate_requests_are_taken_on_tcp() {
    takes(Transport::Tcp, Delivery::AtOnce);
}

#[test]
fn legitimate_requests_are_taken_on_unix() {
    takes(Transport::Unix, Delivery::AtOnce);
}

#[test]
fn legitimate_requests_are_taken_however_they_arrive() {
    takes(Transport::Tcp, Delivery::Bytewise);
}

#[test]
fn bad_requests_for_files_are_refused_on_tcp() {
    refuses_for_files(Transport::Tcp);
}

#[test]
fn bad_requests_for_files_are_refused_on_unix() {
    refuses_for_files(Transport::Unix);
}

#[test]
fn legitimate_requests_for_files_are_taken_on_tcp() {
    takes_for_files(Transport::Tcp);
}

#[test]
fn legitimate_requests_for_files_are_taken_on_unix() {
    takes_for_files(Transport::Unix);
}

fn refuses_for_files(transport: Transport) {
    let server = static_server(transport);
    let refused: Vec<Case> = read_all("refused").into_iter().map(for_files).collect();
    check(&refused, |case| {
        let mut connection = send(case, server.address(), Delivery::AtOnce)?;
        let (last, before) = case.expected.split_last().ok_or("no expect")?;
        for _ in before {
            status_is(&answer(&mut connection, "GET")?, &[200])?;
        }
        status_is(&answer(&mut connection, "GET")?, &last.statuses)?;
        finished(&mut connection)
    });
}

fn takes_for_files(transport: Transport) {
    let server = static_server(transport);
    let taken: Vec<Case> = read_all("taken").into_iter().map(for_files).collect();
    check(&taken, |case| {
        let StaticStatus::Is(status) = case.static_status else { return Ok(()) };
        let mut connection = send(case, server.address(), Delivery::AtOnce)?;
        for expected in &case.expected {
            let method = if expected.echo.is_some() { "GET" } else { "HEAD" };
            let answer = answer(&mut connection, method)?;
            status_is(&answer, &[status])?;
            if status == 200 && method == "GET" && answer.content != b"a file\n" {
                return Err(format!("another content: {answer:?}"));
            }
        }
        goes_on_or_closes(case, &mut connection, "GET /file.txt HTTP/1.1", b"a file\n")
    });
}

fn refuses(transport: Transport, more: &str, delivery: Delivery) {
    let server = Server::configured(transport, 1, more);
    check(&sized_for(delivery, read_all("refused")), |case| {
        let mut connection = send(case, server.address(), delivery)?;
        let (last, before) = case.expected.split_last().ok_or("no expect")?;
        for expected in before {
            echoes(&answer(&mut connection, "GET")?, expected)?;
        }
        let answer = answer(&mut connection, "GET")?;
        status_is(&answer, &last.statuses)?;
        if !answer.closes() {
            return Err(format!("refused without Connection: close: {answer:?}"));
        }
        finished(&mut connection)
    });
}

fn takes(transport: Transport, delivery: Delivery) {
    let server = Server::configured(transport, 1, ROUTES);
    check(&sized_for(delivery, read_all("taken")), |case| {
        let mut connection = send(case, server.address(), delivery)?;
        for expected in &case.expected {
            let method = if expected.echo.is_some() { "GET" } else { "HEAD" };
            let answer = answer(&mut connection, method)?;
            status_is(&answer, &expected.statuses)?;
            if method == "GET" {
                echoes(&answer, expected)?;
            }
        }
        goes_on_or_closes(case, &mut connection, "GET /next HTTP/1.1", b"GET /next\n")
    });
}

/// Runs every case and fails with all that went wrong, one line each.
fn check(cases: &[Case], run: impl Fn(&Case) -> Result<(), String>) {
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| run(case).err().map(|error| format!("{}: {error}", case.name)))
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases fail:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

/// A byte at a time is for the cases about syntax; the large ones are about limits.
fn sized_for(delivery: Delivery, mut cases: Vec<Case>) -> Vec<Case> {
    if delivery == Delivery::Bytewise {
        cases.retain(|case| case.bytes.len() < 2000);
    }
    cases
}

fn send(case: &Case, address: &Address, delivery: Delivery) -> Result<Connection, String> {
    let mut connection = address.connect().map_err(|error| format!("connect: {error}"))?;
    let sent = match delivery {
        Delivery::AtOnce => connection.send(&case.bytes),
        Delivery::Bytewise => connection.send_bytewise(&case.bytes),
    };
    // A server that has refused may stop to listen; its answer is still to be read.
    if sent.is_ok() && case.end == End::ShutsDownWriting {
        connection.shut_down_writing().map_err(|error| format!("shutdown: {error}"))?;
    }
    Ok(connection)
}

fn answer(connection: &mut Connection, method: &str) -> Result<Answer, String> {
    connection.answer_to(method).map_err(|error| format!("no answer: {error}"))
}

fn status_is(answer: &Answer, statuses: &[u16]) -> Result<(), String> {
    if statuses.contains(&answer.status) {
        return Ok(());
    }
    Err(format!("expected {statuses:?}, got {} {:?}", answer.status, answer.text()))
}

/// Compares what the `echo` app was given with what the client meant.
fn echoes(answer: &Answer, expected: &Expected) -> Result<(), String> {
    status_is(answer, &expected.statuses)?;
    let content = &answer.content;
    let head = content.windows(2).position(|window| window == b"\n\n").ok_or("no empty line in the echo")?;
    let body = &content[head + 2..];
    let mut lines = content[..head].split(|byte| *byte == b'\n');
    let shown = || String::from_utf8_lossy(content).chars().take(400).collect::<String>();
    if lines.next() != expected.echo.as_deref() {
        return Err(format!("another request line: {:?}", shown()));
    }
    let lines: Vec<&[u8]> = lines.collect();
    if let Some(missing) = expected.fields.iter().find(|field| !lines.contains(&field.as_slice())) {
        return Err(format!("no field {:?} in {:?}", String::from_utf8_lossy(missing), shown()));
    }
    let has = |name: &str| lines.iter().any(|line| line.starts_with(format!("{name}:").as_bytes()));
    if let Some(name) = expected.absent.iter().find(|name| has(name)) {
        return Err(format!("a field {name} in {:?}", shown()));
    }
    if body != expected.body {
        return Err(format!("another content in {:?}", shown()));
    }
    Ok(())
}

/// A taken request leaves the connection where the next one begins, or ends it.
fn goes_on_or_closes(
    case: &Case,
    connection: &mut Connection,
    next: &str,
    start: &[u8],
) -> Result<(), String> {
    if case.then == Then::GoesOn {
        let request = format!("{next}\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        connection.send(request.as_bytes()).map_err(|error| format!("next request: {error}"))?;
        let answer =
            connection.answer().map_err(|error| format!("no answer to the next request: {error}"))?;
        status_is(&answer, &[200]).map_err(|error| format!("next request: {error}"))?;
        if !answer.content.starts_with(start) {
            return Err(format!("next request: another content: {:?}", answer.text()));
        }
    }
    finished(connection)
}

fn finished(connection: &mut Connection) -> Result<(), String> {
    match connection.end() {
        Ok(Ended::Finished) => Ok(()),
        Ok(Ended::Reset) => Err("the connection was reset".to_owned()),
        Err(error) => Err(format!("no end of the connection: {error}")),
    }
}

fn static_server(transport: Transport) -> Server {
    let folder = Folder::new();
    fs::create_dir(folder.path("files")).unwrap();
    folder.write("files/file.txt", "a file\n");
    let app = format!("{ROUTES}[[app]]\nstatic = \"{}\"\n", folder.path("files").display());
    folder.write("ferricorn.toml", &config(&folder, transport, 1, &app));
    Server::in_folder(folder)
}

/// The same request for an app that knows GET and HEAD alone.
fn for_files(mut case: Case) -> Case {
    const POST: &[u8] = b"POST /file.txt";
    let mut bytes = Vec::with_capacity(case.bytes.len());
    let mut rest = case.bytes.as_slice();
    while let Some((first, others)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(POST) {
            bytes.extend_from_slice(b"GET /file.txt");
            rest = behind;
        } else {
            bytes.push(*first);
            rest = others;
        }
    }
    case.bytes = bytes;
    case
}
