//! Tokens that the server issues: from a login to its end, in several workers.

use crate::support::client::Answer;
use crate::support::server::{Folder, config, ferricorn, run};
use crate::support::{Address, Server, Transport, until};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;

pub(crate) const ISSUE: &str = r#"
[auth]
[auth.issue]
enabled = true
rotate = true
[auth.store]
url = "sqlite:///auth.db"
[[auth.provider]]
name = "local"
[[auth.provider.key]]
alg = "HS256"
use = "sign+verify"
secret_file = "jwt.key"
[[auth.route]]
prefix = "/"
require = "local"
"#;

#[test]
fn a_session_lives_from_login_to_logout_in_all_workers() {
    let server = start(4, ISSUE);
    let wrong = post(server.address(), "", r#"{"username":"demo","password":"wrong"}"#);
    assert_eq!(wrong.status, 401);
    assert_eq!(text(&wrong), r#"{"detail":"No active account found with the given credentials"}"#);
    let pair = post(server.address(), "", r#"{"username":"demo","password":"correct horse"}"#);
    assert_eq!((pair.status, pair.field("cache-control")), (200, Some("no-store")));
    let (access, refresh) = (member(&pair, "access"), member(&pair, "refresh"));
    assert_eq!(get(server.address(), "/", &access), 200);
    assert_eq!(get(server.address(), "/", &refresh), 401, "a refresh token opens nothing");
    let next = post_token(server.address(), "refresh/", "refresh", &refresh);
    assert_eq!(post_token(server.address(), "verify/", "token", &refresh).status, 401, "it was replaced");
    let (access, refresh) = (member(&next, "access"), member(&next, "refresh"));
    assert_eq!(post_token(server.address(), "verify/", "token", &refresh).status, 200);
    assert_eq!(post_token(server.address(), "verify/", "token", &access).status, 200);
    let out = post_token(server.address(), "blacklist/", "refresh", &refresh);
    assert_eq!((out.status, text(&out).as_str()), (200, "{}"));
    // Whichever worker takes the connection.
    for _ in 0..3 {
        until("every worker has heard of the logout", || {
            (0..16).all(|_| get(server.address(), "/", &access) == 401)
        });
    }
    for path in ["refresh/", "blacklist/"] {
        let refused = post_token(server.address(), path, "refresh", &refresh);
        assert_eq!(text(&refused), r#"{"detail":"Token is blacklisted","code":"token_not_valid"}"#);
    }
}

#[test]
fn tokens_are_issued_on_the_hosts_of_apps_and_on_others() {
    let app = "[[app]]\ntarget = \"echo\"\nhosts = [\"a\", \"*.example\"]\n";
    let server = start(1, &format!("{ISSUE}{app}"));
    let pair = log_in(&server);
    assert_eq!(pair.status, 200, "{pair:?}");
    assert_eq!(get(server.address(), "/", &member(&pair, "access")), 200, "the app answers beside it");
    let refresh =
        posted("refresh/", "application/json", &format!(r#"{{"refresh":"{}"}}"#, member(&pair, "refresh")));
    for host in ["www.example:80", "other"] {
        let answer = server.ask(&refresh.replace("Host: a\r\n", &format!("Host: {host}\r\n")));
        // Each is good once: the second one comes within the grace for those that were not heard.
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
    }
}

#[test]
fn too_many_failed_logins_have_to_wait_and_good_ones_do_not_count() {
    let server =
        start(2, &ISSUE.replace("rotate = true", "limit = { per_account = \"2/1h\", per_ip = \"\" }"));
    for _ in 0..3 {
        assert_eq!(log_in(&server).status, 200);
    }
    let wrong = r#"{"username":"demo","password":"wrong"}"#;
    for _ in 0..2 {
        assert_eq!(post(server.address(), "", wrong).status, 401);
    }
    let refused = post(server.address(), "", r#"{"username":"demo","password":"correct horse"}"#);
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=1800).contains(&wait), "{wait}");
    let other = post(server.address(), "", r#"{"username":"other","password":"wrong"}"#);
    assert_eq!(other.status, 401, "another account is another matter");
}

#[test]
fn failed_logins_are_counted_by_the_address_that_a_trusted_proxy_tells() {
    for (trusts, rule, of_another) in [
        ("127.0.0.1", "server", 401),
        // Then all clients of the proxy are one.
        ("127.0.0.1", "never", 429),
        // Whoever writes the field itself gets no new address by it.
        ("192.0.2.1", "server", 429),
    ] {
        let limit = format!("limit = {{ per_account = \"\", per_ip = \"2/1h\", trust_proxy = \"{rule}\" }}");
        let folder = Folder::new();
        let text = config(&folder, Transport::Tcp, 2, &ISSUE.replace("rotate = true", &limit));
        let server = format!("[server]\nforwarded_allow_ips = [\"{trusts}\"]\n");
        folder.write("ferricorn.toml", &text.replace("[server]\n", &server));
        folder.write("jwt.key", "a key of thirty-two bytes, and a few more");
        let server = Server::in_folder(folder);
        let wrong = posted("", "application/json", r#"{"username":"demo","password":"wrong"}"#);
        let from = |client: &str| {
            let told = format!("X-Forwarded-For: {client}\r\nContent-Type");
            server.ask(&wrong.replacen("Content-Type", &told, 1)).status
        };
        let told = [from("198.51.100.1"), from("198.51.100.1"), from("198.51.100.1"), from("198.51.100.2")];
        assert_eq!(told, [401, 401, 429, of_another], "{trusts} {rule}");
    }
}

#[test]
fn logins_that_are_too_many_are_told_and_others_go_on() {
    let server = start(1, &ISSUE.replace("rotate = true", "hash_threads = 1\nhash_queue = 1"));
    let mut logins: Vec<_> = (0..6).map(|_| server.address().connect().unwrap()).collect();
    let login = posted("", "application/json", r#"{"username":"demo","password":"correct horse"}"#);
    for connection in &mut logins {
        connection.send(login.as_bytes()).unwrap();
    }
    // Of the server itself, while hashes are being computed.
    assert_eq!(get(server.address(), "/", "none"), 401);
    let answers: Vec<Answer> = logins.iter_mut().map(|connection| connection.answer().unwrap()).collect();
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(refused.iter().all(|answer| answer.field("retry-after").is_some()));
    let let_in = answers.iter().filter(|answer| answer.status == 200).count();
    assert!(let_in >= 2 && !refused.is_empty() && let_in + refused.len() == 6, "{answers:?}");
}

#[test]
fn users_are_managed_from_the_command_line() {
    let server = start(1, ISSUE);
    let access = member(&log_in(&server), "access");
    let folder = server.folder();
    assert!(user(folder, &["list"], "").1.contains("demo  active"));
    assert_eq!(user(folder, &["add", "demo"], "x\n").0, Some(1), "there is one");
    assert_eq!(user(folder, &["passwd", "demo"], "another\n").0, Some(0));
    until("the session has ended with its password", || get(server.address(), "/", &access) == 401);
    assert_eq!(log_in(&server).status, 401);
    let credentials = r#"{"username":"demo","password":"another"}"#;
    let access = member(&post(server.address(), "", credentials), "access");
    assert_eq!(user(folder, &["disable", "demo"], "").0, Some(0));
    until("the session of a disabled user has ended", || get(server.address(), "/", &access) == 401);
    assert_eq!(post(server.address(), "", credentials).status, 401);
    assert_eq!(user(folder, &["enable", "demo"], "").0, Some(0));
    let refresh = member(&post(server.address(), "", credentials), "refresh");
    assert_eq!(user(folder, &["logout", "demo"], "").1, "1 session(s) ended\n");
    assert_eq!(post_token(server.address(), "refresh/", "refresh", &refresh).status, 401);
    assert_eq!(user(folder, &["logout", "nobody"], "").0, Some(1));
}

#[test]
fn a_new_key_signs_without_a_restart_and_the_old_one_is_believed() {
    let rotating = ISSUE.replace(
        "[[auth.provider.key]]\nalg",
        "[[auth.provider.key]]\nalg = \"HS256\"\nsecret_file = \"old.key\"\n[[auth.provider.key]]\nalg",
    );
    let server = start(1, &rotating);
    let before = log_in(&server);
    let folder = server.folder();
    // What was signed with goes on verifying.
    folder.write("old.key", &folder.read("jwt.key"));
    folder.write("jwt.key", "another key of thirty-two bytes and more!");
    let signed = || {
        let access = member(&log_in(&server), "access");
        let mut verify = ferricorn(folder);
        verify.args(["jwt", "verify", "--secret-file", "jwt.key", &access]);
        run(verify).0 == Some(0)
    };
    until("the new key signs", signed);
    assert_eq!(get(server.address(), "/", &member(&before, "access")), 200);
    assert_eq!(post_token(server.address(), "refresh/", "refresh", &member(&before, "refresh")).status, 200);
}

#[test]
fn sessions_are_listed_and_ended_by_their_user() {
    let server = start(2, ISSUE);
    let first = member(&log_in(&server), "access");
    let second = log_in(&server);
    let bearer = |method: &str, path: &str, token: &str| {
        let fields = format!("Host: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n");
        server.ask(&format!("{method} /api/token/{path} HTTP/1.1\r\n{fields}\r\n"))
    };
    let listed: Value = serde_json::from_str(&text(&bearer("GET", "sessions/", &first))).unwrap();
    let sessions = listed["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    let others: Vec<&Value> = sessions.iter().filter(|session| session["current"] == false).collect();
    let id = others[0]["id"].as_str().unwrap();
    assert_eq!(bearer("DELETE", &format!("sessions/{id}/"), &first).status, 200);
    assert_eq!(bearer("DELETE", &format!("sessions/{id}"), &first).status, 404);
    assert_eq!(post_token(server.address(), "refresh/", "refresh", &member(&second, "refresh")).status, 401);
    assert_eq!(bearer("GET", "sessions/", "nonsense").status, 401);
    assert_eq!(bearer("DELETE", "sessions/", &first).status, 200);
    until("all sessions have ended", || bearer("GET", "sessions/", &first).status == 401);
}

#[test]
fn pages_of_allowed_origins_read_every_answer_and_others_none() {
    let cors = "[limits]\nbody = \"100 KiB\"\n[auth]\ncors.allowed_origins = [\"https://app.example\"]";
    let server = start(1, &ISSUE.replace("[auth]", cors));
    let ask = |origin: &str, request: &str, content: &str| {
        let length = content.len();
        let fields = format!("Host: a\r\nOrigin: {origin}\r\nConnection: close\r\nContent-Length: {length}");
        server.ask(&format!("{request}\r\nContent-Type: application/json\r\n{fields}\r\n\r\n{content}"))
    };
    let credentials = r#"{"username":"demo","password":"correct horse"}"#;
    let (ours, other) = ("https://app.example", "https://evil.example");
    for (request, content, status) in [
        ("POST /api/token/ HTTP/1.1", credentials, 200),
        ("POST /api/token/ HTTP/1.1", "{", 400),
        ("POST /api/token/refresh/ HTTP/1.1", r#"{"refresh":"x"}"#, 401),
        ("GET /api/token/ HTTP/1.1", "", 405),
        ("GET /api/token/none HTTP/1.1", "", 404),
        ("GET /api/token/sessions/ HTTP/1.1", "", 401),
    ] {
        for (origin, readable) in [(ours, Some(ours)), (other, None)] {
            let answer = ask(origin, request, content);
            let allowed = answer.field("access-control-allow-origin");
            assert_eq!((answer.status, allowed), (status, readable), "{request} {origin}");
            assert_eq!(answer.field("vary"), Some("Origin"), "{request} {origin}");
        }
    }
    // Refused before anybody has looked at the content.
    let long = "x".repeat(101 << 10);
    for (request, content, status) in [
        ("POST /api/token/ HTTP/1.1", long.as_str(), 413),
        ("POST /api/token/ HTTP/1.1\r\nExpect: later", "{}", 417),
        ("POST /api/token/ HTTP/2.0", "{}", 505),
    ] {
        let answer = ask(ours, request, content);
        assert_eq!((answer.status, answer.field("cache-control")), (status, Some("no-store")), "{request}");
        let readable = answer.field("access-control-allow-origin");
        assert_eq!(
            readable,
            (status == 413).then_some(ours),
            "what is not understood has no origin: {request}"
        );
        if status == 413 {
            assert_eq!(answer.field("content-type"), Some("application/json"));
            assert_eq!(member(&answer, "detail"), "content too large");
        }
    }
    let chunked = "POST /api/token/ HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    let answer = server.ask(chunked);
    assert_eq!((answer.status, answer.field("content-type")), (400, Some("application/json")));
    assert_eq!(answer.field("access-control-allow-origin"), Some(ours));
    let wanted = "OPTIONS /api/token/sessions/ HTTP/1.1\r\nAccess-Control-Request-Method: DELETE\r\n\
                  Access-Control-Request-Headers: authorization";
    let preflight = ask(ours, wanted, "");
    assert_eq!(
        (preflight.status, preflight.field("access-control-allow-methods")),
        (204, Some("GET, DELETE"))
    );
    assert_eq!(preflight.field("access-control-allow-headers"), Some("authorization"));
    assert_eq!(ask(other, wanted, "").field("access-control-allow-methods"), None);
}

#[test]
fn without_its_store_nobody_logs_in_and_access_closes_in_time() {
    let closing = ISSUE.replace("[[auth.provider]]", "stale_max = \"1s\"\n[[auth.provider]]");
    let server = start(1, &closing);
    let pair = log_in(&server);
    let folder = server.folder();
    std::fs::rename(folder.path("auth.db"), folder.path("away.db")).unwrap();
    std::fs::create_dir(folder.path("auth.db")).unwrap();
    let refused = post_token(server.address(), "refresh/", "refresh", &member(&pair, "refresh"));
    assert_eq!(refused.status, 503);
    assert!(refused.field("retry-after").is_some() && refused.field("www-authenticate").is_none());
    assert_eq!(log_in(&server).status, 503);
    let access = member(&pair, "access");
    until("the store is too long away", || get(server.address(), "/", &access) == 503);
    server.wait_for("the store of sessions cannot be used");
    std::fs::remove_dir(folder.path("auth.db")).unwrap();
    std::fs::rename(folder.path("away.db"), folder.path("auth.db")).unwrap();
    until("the store is there again", || get(server.address(), "/", &access) == 200);
    assert_eq!(post_token(server.address(), "refresh/", "refresh", &member(&pair, "refresh")).status, 200);
}

/// A server with the user `demo`.
pub(crate) fn start(workers: u16, more: &str) -> Server {
    let folder = Folder::new();
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, workers, more));
    let mut keygen = ferricorn(&folder);
    keygen.args(["jwt", "keygen", "--alg", "HS256", "--out", "jwt.key"]);
    assert_eq!(run(keygen).0, Some(0));
    folder.write("old.key", "yesterday's key, of thirty-two bytes and more");
    let added = user(&folder, &["add", "demo"], "correct horse\n");
    assert_eq!(added.0, Some(0), "{added:?}");
    Server::in_folder(folder)
}

pub(crate) fn user(folder: &Folder, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = ferricorn(folder);
    command.arg("user").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &errors)
}

pub(crate) fn log_in(server: &Server) -> Answer {
    post(server.address(), "", r#"{"username":"demo","password":"correct horse"}"#)
}

pub(crate) fn post_token(address: &Address, path: &str, name: &str, token: &str) -> Answer {
    post(address, path, &format!(r#"{{"{name}":"{token}"}}"#))
}

#[track_caller]
fn post(address: &Address, path: &str, json: &str) -> Answer {
    address.ask(&posted(path, "application/json", json)).expect("an answer")
}

pub(crate) fn posted(path: &str, media_type: &str, content: &str) -> String {
    let length = content.len();
    let fields =
        format!("Host: a\r\nConnection: close\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n");
    format!("POST /api/token/{path} HTTP/1.1\r\n{fields}\r\n{content}")
}

pub(crate) fn get(address: &Address, path: &str, token: &str) -> u16 {
    let fields = format!("Host: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n");
    address.ask(&format!("GET {path} HTTP/1.1\r\n{fields}\r\n")).expect("an answer").status
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.content.clone()).expect("text")
}

#[track_caller]
pub(crate) fn member(answer: &Answer, name: &str) -> String {
    let value: Value = serde_json::from_slice(&answer.content).expect("JSON");
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer:?}")).to_owned()
}
