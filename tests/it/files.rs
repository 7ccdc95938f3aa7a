//! Static files and mounts by host, over real sockets.

use crate::support::client::{Answer, Connection};
use crate::support::control::succeed;
use crate::support::server::{Folder, config};
use crate::support::{Ended, Server, Transport, on_tcp_and_unix, until};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// Larger than what the kernel holds for a connection, by far.
const LARGE: usize = 24 << 20;

/// A folder of files, by these rules.
fn serve(transport: Transport, lines: &str) -> Server {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("files/docs")).unwrap();
    for (name, content) in [
        ("a.css", "plain"),
        ("a.css.br", "as br"),
        ("a.css.gz", "as gzip"),
        ("docs/index.html", "an index"),
        ("empty", ""),
    ] {
        folder.write(&format!("files/{name}"), content);
        settle(&folder, name);
    }
    fs::write(folder.path("files/large"), pattern(0, LARGE)).unwrap();
    settle(&folder, "large");
    let app =
        format!("[[app]]\nmount = \"/files\"\nstatic = \"{}\"\n{lines}", folder.path("files").display());
    folder.write("ferricorn.toml", &config(&folder, transport, 1, &app));
    Server::in_folder(folder)
}

/// Makes a file old enough for a strong entity tag.
fn settle(folder: &Folder, name: &str) {
    let file = File::options().write(true).open(folder.path(&format!("files/{name}"))).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(784_111_777)).unwrap();
}

/// Bytes that tell where in the file they stand: a block whose length no size in use is a multiple of.
fn pattern(from: usize, length: usize) -> Vec<u8> {
    const BLOCK: usize = 65_521;
    let block: Vec<u8> = (0..BLOCK).map(|at| u8::try_from((at ^ (at >> 8)) & 0xff).unwrap()).collect();
    let mut bytes = block.repeat((from % BLOCK + length) / BLOCK + 1);
    bytes.drain(..from % BLOCK);
    bytes.truncate(length);
    bytes
}

fn ask(connection: &mut Connection, method: &str, target: &str, fields: &str) -> Answer {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n");
    connection.send(request.as_bytes()).unwrap();
    connection.answer_to(method).unwrap()
}

on_tcp_and_unix! {
    fn files_of_every_size_arrive_whole_and_the_connection_goes_on(transport) {
        let server = serve(transport, "");
        let folder = server.folder();
        let mut connection = server.address().connect().unwrap();
        // Around the sizes where another way of sending begins, and where another connection has its turn.
        for size in [0, 1, (2 << 10) - 1, 2 << 10, (2 << 10) + 1, 100 << 10, 2 << 20, (2 << 20) + 1] {
            fs::write(folder.path("files/sized"), pattern(0, size)).unwrap();
            let answer = ask(&mut connection, "GET", "/files/sized", "");
            assert_eq!((answer.status, answer.content.len()), (200, size));
            assert!(answer.content == pattern(0, size), "other bytes in {size}");
            let head = ask(&mut connection, "HEAD", "/files/sized", "");
            let length = size.to_string();
            assert_eq!((head.status, head.field("content-length")), (200, Some(length.as_str())));
        }
        assert!(ask(&mut connection, "GET", "/files/large", "").content == pattern(0, LARGE), "other bytes");
        assert_eq!(ask(&mut connection, "GET", "/files/a.css", "").text(), "plain");
    }
}

on_tcp_and_unix! {
    fn parts_and_conditions_hold_on_the_wire(transport) {
        let server = serve(transport, "max_age = \"1m\"\n");
        let mut connection = server.address().connect().unwrap();
        for (target, fields, status, range, length) in [
            ("/files/large", "Range: bytes=5-1000004\r\n", 206, Some("bytes 5-1000004/25165824"), 1_000_000),
            ("/files/large", "Range: bytes=-70000\r\n", 206, Some("bytes 25095824-25165823/25165824"), 70_000),
            ("/files/large", "Range: bytes=25165823-\r\n", 206, Some("bytes 25165823-25165823/25165824"), 1),
        ] {
            let answer = ask(&mut connection, "GET", target, fields);
            assert_eq!((answer.status, answer.field("content-range")), (status, range), "{fields}");
            let from = range.and_then(|range| range[6..].split('-').next()?.parse().ok()).unwrap();
            assert_eq!(answer.content.len(), length, "{fields}");
            assert!(answer.content == pattern(from, length), "other bytes for {fields}");
        }
        let past = ask(&mut connection, "GET", "/files/large", "Range: bytes=25165824-\r\n");
        assert_eq!((past.status, past.field("content-range")), (416, Some("bytes */25165824")));
        let empty = ask(&mut connection, "GET", "/files/empty", "Range: bytes=0-\r\n");
        assert_eq!((empty.status, empty.field("content-range")), (416, Some("bytes */0")));

        let coded = ask(&mut connection, "GET", "/files/a.css", "Accept-Encoding: gzip, br\r\n");
        assert_eq!((coded.text().as_str(), coded.field("content-encoding")), ("as br", Some("br")));
        let tag = coded.field("etag").unwrap().to_owned();
        let head = ask(&mut connection, "HEAD", "/files/a.css", "Accept-Encoding: gzip, br\r\n");
        let without_date = |answer: &Answer| {
            answer.fields.iter().filter(|(name, _)| name != "date").cloned().collect::<Vec<_>>()
        };
        assert_eq!((head.status, without_date(&head)), (200, without_date(&coded)));
        let same = format!("Accept-Encoding: gzip, br\r\nIf-None-Match: {tag}\r\n");
        let unchanged = ask(&mut connection, "GET", "/files/a.css", &same);
        assert_eq!((unchanged.status, unchanged.content.len()), (304, 0));
        assert_eq!((unchanged.field("etag"), unchanged.field("vary")), (Some(tag.as_str()), Some("accept-encoding")));
        assert_eq!(unchanged.field("cache-control"), Some("public, max-age=60"));
        let part = format!("Accept-Encoding: br\r\nRange: bytes=3-4\r\nIf-Range: {tag}\r\n");
        let part = ask(&mut connection, "GET", "/files/a.css", &part);
        assert_eq!((part.status, part.text().as_str(), part.field("content-encoding")), (206, "br", Some("br")));
        let other = format!("Accept-Encoding: gzip\r\nRange: bytes=3-4\r\nIf-Range: {tag}\r\n");
        let other = ask(&mut connection, "GET", "/files/a.css", &other);
        assert_eq!((other.status, other.text().as_str()), (200, "as gzip"));
    }
}

on_tcp_and_unix! {
    fn a_client_that_reads_late_holds_up_nobody_and_gets_the_file(transport) {
        let server = serve(transport, "");
        let mut slow: Vec<Connection> = (0..4).map(|_| server.address().connect().unwrap()).collect();
        for connection in &mut slow {
            connection.send(b"GET /files/large HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        }
        // One worker with one thread: it would be waiting for the four.
        for _ in 0..20 {
            let mut connection = server.address().connect().unwrap();
            assert_eq!(ask(&mut connection, "GET", "/files/a.css", "").text(), "plain");
        }
        for connection in &mut slow {
            let answer = connection.answer().unwrap();
            assert!(answer.status == 200 && answer.content == pattern(0, LARGE), "other bytes");
        }
    }
}

#[test]
fn a_download_that_takes_long_is_told_and_can_be_ended() {
    let server = serve(Transport::Tcp, "");
    let mut slow = server.address().connect().unwrap();
    slow.send(b"GET /files/large?x=1 HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    let mut id = String::new();
    until("the download is told", || {
        let told: Value = serde_json::from_str(&succeed(&server, &["requests", "--json"])).unwrap();
        let request = &told["requests"][0];
        id = request["id"].as_str().unwrap_or_default().to_owned();
        request["state"] == "writing" && request["request"] == "GET /files/large?x=1"
    });
    succeed(&server, &["cancel", &id]);
    assert!(slow.answer().is_err(), "the file was sent whole");
}

on_tcp_and_unix! {
    fn a_client_that_stops_reading_is_given_up(transport) {
        let mut server = serve(transport, "[timeouts]\nwrite = \"300ms\"\n");
        let mut connection = server.address().connect().unwrap();
        connection.send(b"GET /files/large HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        until("the answer has begun", || connection.has_input());
        // Stopping waits 30 s for running exchanges, longer than this test does: this one is over before.
        assert_eq!(server.stop(nix::sys::signal::Signal::SIGTERM), Some(0));
        assert!(connection.answer().is_err(), "the file was sent whole to a client that does not read");
    }
}

on_tcp_and_unix! {
    fn a_file_that_becomes_shorter_ends_the_connection(transport) {
        let server = serve(transport, "");
        let mut connection = server.address().connect().unwrap();
        connection.send(b"GET /files/large HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        until("the answer has begun", || connection.has_input());
        File::options().write(true).open(server.folder().path("files/large")).unwrap().set_len(0).unwrap();
        // Never padded: the length was told, and the end comes before it.
        let error = connection.answer().unwrap_err();
        assert!(
            matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset),
            "{error}"
        );
        server.wait_for("became shorter");
        let mut connection = server.address().connect().unwrap();
        assert_eq!(ask(&mut connection, "GET", "/files/a.css", "").text(), "plain");
    }
}

on_tcp_and_unix! {
    fn a_file_that_is_replaced_is_sent_as_it_was(transport) {
        let server = serve(transport, "");
        let mut connection = server.address().connect().unwrap();
        connection.send(b"GET /files/large HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
        until("the answer has begun", || connection.has_input());
        let folder = server.folder();
        File::create(folder.path("files/new")).unwrap().write_all(b"new").unwrap();
        fs::rename(folder.path("files/new"), folder.path("files/large")).unwrap();
        assert!(connection.answer().unwrap().content == pattern(0, LARGE), "other bytes");
        assert_eq!(ask(&mut connection, "GET", "/files/large", "").text(), "new");
    }
}

on_tcp_and_unix! {
    fn directories_redirect_to_their_slash_and_answer(transport) {
        let server = serve(transport, "index = \"index.html\"\nlisting = true\n");
        let mut connection = server.address().connect().unwrap();
        for (target, location) in [("/files", "./files/"), ("/files/docs?a=b", "./docs/?a=b"), ("//files", "")] {
            let answer = ask(&mut connection, "GET", target, "");
            if location.is_empty() {
                assert_eq!(answer.status, 404, "{target}");
            } else {
                assert_eq!((answer.status, answer.field("location")), (301, Some(location)), "{target}");
            }
        }
        assert_eq!(ask(&mut connection, "GET", "/files/docs/", "").text(), "an index");
        let list = ask(&mut connection, "GET", "/files/", "");
        assert!(list.text().contains("<a href=\"./docs/\">") && list.text().contains("<a href=\"./a.css\">"), "{list:?}");
        let head = ask(&mut connection, "HEAD", "/files/", "");
        assert_eq!(head.field("content-length"), list.field("content-length"));
    }
}

on_tcp_and_unix! {
    fn hosts_have_apps_of_their_own(transport) {
        let folder = Folder::new();
        for name in ["one", "below", "all"] {
            fs::create_dir(folder.path(name)).unwrap();
            folder.write(&format!("{name}/name"), name);
        }
        let app = |hosts: &str, mount: &str, name: &str| {
            format!("[[app]]\nhosts = [{hosts}]\nmount = \"{mount}\"\nstatic = \"{}\"\n", folder.path(name).display())
        };
        let apps = app("", "/", "all") + &app("\"*.b.example\"", "/", "below") + &app("\"a.example\"", "/x", "one");
        folder.write("ferricorn.toml", &config(&folder, transport, 1, &apps));
        let server = Server::in_folder(folder);
        let mut connection = server.address().connect().unwrap();
        for (target, host, status, expected) in [
            ("/name", "other.example", 200, "all"),
            ("/name", "A.B.Example:80", 200, "below"),
            ("/name", "b.example", 200, "all"),
            ("/x/name", "a.example", 200, "one"),
            ("/x/name", "A.example.:8000", 200, "one"),
            ("/x/name", "aa.example", 404, ""),
            ("/name", "a.example", 200, "all"),
            // The authority of the target takes the place of the Host field.
            ("http://c.b.example/name", "a.example", 200, "below"),
            ("http://a.example/x/name", "c.b.example", 200, "one"),
        ] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            connection.send(request.as_bytes()).unwrap();
            let answer = connection.answer().unwrap();
            assert_eq!(answer.status, status, "{target} {host}");
            assert!(status != 200 || answer.text() == expected, "{target} {host}: {answer:?}");
        }
        // HTTP/1.0 needs no Host: such a client gets what is mounted for all.
        connection.send(b"GET /name HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!(connection.answer().unwrap().text(), "all");
        assert_eq!(connection.end().unwrap(), Ended::Finished);
    }
}
