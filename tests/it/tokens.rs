//! Tokens, from the command that signs them to the request that carries them.

use crate::support::control::succeed;
use crate::support::server::{Folder, config, ferricorn, run};
use crate::support::{Address, Server, Transport, on_tcp_and_unix, until};

const AUTH: &str = "
[auth]
realm = \"api\"
[[auth.provider]]
name = \"local\"
algorithms = [\"HS256\"]
[[auth.provider.key]]
alg = \"HS256\"
secret_file = \"jwt.key\"
[[auth.route]]
prefix = \"/api/\"
require = \"local\"
[[auth.route]]
prefix = \"/optional\"
require = \"optional\"
[[auth.route]]
prefix = \"/\"
require = \"none\"
";

on_tcp_and_unix! {
    fn a_token_opens_what_it_is_required_for(transport) {
        let (server, token) = server_and_token(transport);
        let (content, signature) = token.rsplit_once('.').unwrap();
        let forged = format!("{content}.{}", signature.chars().rev().collect::<String>());
        // {"alg":"none"}
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", content.split_once('.').unwrap().1);
        for (path, authorization, status) in [
            ("/api/x", format!("Bearer {token}"), 200),
            ("/api/x", format!("bearer {token}"), 200),
            ("/api/x", String::new(), 401),
            ("/api/x", "Basic ZGVtbzpkZW1v".to_owned(), 401),
            ("/api/x", format!("Bearer {forged}"), 401),
            ("/api/x", format!("Bearer {unsigned}"), 401),
            ("/api/x", "Bearer a.b.c".to_owned(), 401),
            ("/api", String::new(), 401),
            ("/api/", String::new(), 401),
            ("/%61pi/x", String::new(), 401),
            ("//api/x", String::new(), 400),
            ("/x/../api/x", String::new(), 400),
            ("http://b.example/api/x", String::new(), 401),
            ("/optional", String::new(), 200),
            ("/optional", format!("Bearer {forged}"), 401),
            ("/apis", String::new(), 200),
            ("/", format!("Bearer {forged}"), 200),
        ] {
            let answer = server.ask(&request(path, &authorization));
            assert_eq!(answer.status, status, "{path} with {authorization:?}: {answer:?}");
            let challenge = answer.field("www-authenticate");
            assert_eq!(challenge.is_some(), matches!(status, 400 | 401), "{path} with {authorization:?}: {challenge:?}");
        }
    }
}

#[test]
fn an_app_sees_no_identity_that_a_client_has_written() {
    let folder = Folder::new();
    sign_with_new_key(&folder);
    let auth =
        AUTH.replacen("[[auth.provider]]", "forward.headers = { X-Who = \"user_id\" }\n[[auth.provider]]", 1);
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, &auth));
    let server = Server::in_folder(folder);
    for path in ["/", "/optional"] {
        let asked = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nX-Who: forged\r\nx_who: forged\r\nX-WHO: forged\r\nConnection: close\r\n\r\n"
        );
        let answer = server.ask(&asked);
        assert_eq!(answer.status, 200);
        let seen = String::from_utf8_lossy(&answer.content).into_owned();
        assert!(!seen.contains("forged"), "{path}: {seen}");
    }
}

on_tcp_and_unix! {
    fn a_refused_token_leaves_the_connection_usable(transport) {
        let (server, token) = server_and_token(transport);
        let mut connection = server.address().connect().unwrap();
        for (authorization, status) in [("Bearer a.b.c".to_owned(), 401), (format!("Bearer {token}"), 200)] {
            let fields = format!("Host: a\r\nAuthorization: {authorization}\r\nContent-Length: 5");
            connection.send(format!("POST /api/x HTTP/1.1\r\n{fields}\r\n\r\nhello").as_bytes()).unwrap();
            assert_eq!(connection.answer().unwrap().status, status);
        }
    }
}

#[test]
fn verify_tells_by_its_exit_code() {
    let folder = Folder::new();
    jwt(&folder, &["keygen", "--alg", "HS256", "--out", "jwt.key"]);
    let (code, token, errors) = jwt(&folder, &["sign", "--secret-file", "jwt.key", "--claim", "sub=demo"]);
    assert_eq!(code, Some(0), "{errors}");
    let token = token.trim();
    for (token, key, expected) in [
        (token, "jwt.key", 0),
        (&format!("{token}x"), "jwt.key", 1),
        ("nonsense", "jwt.key", 1),
        (token, "no.key", 2),
    ] {
        let (code, output, errors) = jwt(&folder, &["verify", "--secret-file", key, token]);
        assert_eq!(code, Some(expected), "{token} by {key}: {output}{errors}");
        assert!(!errors.contains(token) || token == "nonsense", "the token is shown: {errors}");
    }
}

#[test]
fn an_unreadable_key_is_a_configuration_error() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, AUTH));
    for subcommand in ["check", "serve"] {
        let mut command = ferricorn(&folder);
        command.arg(subcommand);
        let (code, output, errors) = run(command);
        assert_eq!(code, Some(2), "{subcommand}: {output}{errors}");
        assert!((output + &errors).contains("jwt.key"), "{subcommand}: {errors}");
    }
}

#[test]
fn a_reload_takes_a_new_key_and_refuses_a_bad_one() {
    let (server, old) = server_and_token(Transport::Tcp);
    let bearer = |token: &str| request("/api/x", &format!("Bearer {token}"));
    server.folder().write("jwt.key", "short");
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for("reload failed: ");
    assert_eq!(server.ask(&bearer(&old)).status, 200, "the old generation must keep its key");
    let new = sign_with_new_key(server.folder());
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for("reload done: generation");
    until("the old key is gone", || server.ask(&bearer(&old)).status == 401);
    assert_eq!(server.ask(&bearer(&new)).status, 200);
}

#[test]
fn figures_tell_what_became_of_tokens_in_all_workers() {
    let folder = Folder::new();
    let token = sign_with_new_key(&folder);
    let admin = format!("{AUTH}[admin]\naddress = \"127.0.0.1:0\"\n");
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 2, &admin));
    let server = Server::in_folder(folder);
    let line = server.wait_for("health, metrics and status at http://");
    let admin = Address::Tcp(line.rsplit_once("http://").unwrap().1.trim().parse().unwrap());
    for (path, authorization) in [
        ("/api/x", format!("Bearer {token}")),
        ("/optional", format!("Bearer {token}")),
        ("/api/x", format!("Bearer {token}A")),
        ("/api/x", String::new()),
        ("/optional", String::new()),
        ("/", String::new()),
    ] {
        for _ in 0..10 {
            server.ask(&request(path, &authorization));
        }
    }
    let page = admin.ask(&request("/metrics", "")).unwrap().text();
    for expected in [
        "ferricorn_auth_decisions_total{provider=\"local\",reason=\"verified\"} 20\n",
        "ferricorn_auth_decisions_total{provider=\"local\",reason=\"signature\"} 10\n",
        "ferricorn_auth_decisions_total{provider=\"local\",reason=\"no_credential\"} 10\n",
        "ferricorn_auth_verification_seconds_count 30\n",
        "ferricorn_auth_keys{provider=\"local\"} 1\n",
        "ferricorn_auth_keys_outdated 0\n",
    ] {
        assert!(page.contains(expected), "{expected}{page}");
    }
}

#[test]
fn a_request_whose_head_arrives_is_told_without_its_token() {
    let folder = Folder::new();
    let auth =
        AUTH.replace("[[auth.provider]]", "[auth.extract]\nquery = [\"access_token\"]\n[[auth.provider]]");
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, &auth));
    sign_with_new_key(&folder);
    let server = Server::in_folder(folder);
    let mut client = server.address().connect().unwrap();
    for (bytes, expected) in [
        ("GET /api/?a=1&access_token=secr", "GET /api/..."),
        ("et HTTP/1.1\r\nHo", "GET /api/?a=1&access_token=***"),
    ] {
        client.send(bytes.as_bytes()).unwrap();
        until("it is told so", || {
            let told = succeed(&server, &["requests"]);
            assert!(!told.contains("secr"), "{told}");
            told.trim_end().ends_with(expected)
        });
    }
}

#[test]
fn no_line_of_the_access_log_has_a_token() {
    let folder = Folder::new();
    let log = "[log]\naccess = \"access.log\"\naccess_format = '%(r)s %(f)s %({referer}i)s %({sec-websocket-protocol}i)s'\n";
    let auth =
        AUTH.replace("[[auth.provider]]", "[auth.extract]\nquery = [\"access_token\"]\n[[auth.provider]]");
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, &format!("{log}{auth}")));
    sign_with_new_key(&folder);
    let server = Server::in_folder(folder);
    let fields = "Referer: https://a/?access_token=secret\r\nSec-WebSocket-Protocol: bearer.secret\r\n";
    for path in ["/?access_token=secret", "/api/?access_token=secret"] {
        server.ask(&request(path, "").replace("\r\n\r\n", &format!("\r\n{fields}\r\n")));
    }
    let lines = || std::fs::read_to_string(server.folder().path("access.log")).unwrap_or_default();
    until("both are logged", || lines().lines().count() == 2);
    let more = "https://a/?access_token=*** https://a/?access_token=*** bearer.***";
    assert_eq!(
        lines(),
        format!("GET /?access_token=*** HTTP/1.1 {more}\nGET /api/?access_token=*** HTTP/1.1 {more}\n")
    );
}

fn server_and_token(transport: Transport) -> (Server, String) {
    let folder = Folder::new();
    let token = sign_with_new_key(&folder);
    folder.write("ferricorn.toml", &config(&folder, transport, 1, AUTH));
    (Server::in_folder(folder), token)
}

fn sign_with_new_key(folder: &Folder) -> String {
    let (code, _, errors) = jwt(folder, &["keygen", "--alg", "HS256", "--out", "jwt.key", "--force"]);
    assert_eq!(code, Some(0), "{errors}");
    let claims = r#"{"token_type":"access","user_id":"1"}"#;
    let (code, token, errors) = jwt(folder, &["sign", "--secret-file", "jwt.key", "--claims", claims]);
    assert_eq!(code, Some(0), "{errors}");
    token.trim().to_owned()
}

fn jwt(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = ferricorn(folder);
    command.arg("jwt").args(arguments);
    run(command)
}

fn request(path: &str, authorization: &str) -> String {
    let field =
        if authorization.is_empty() { String::new() } else { format!("Authorization: {authorization}\r\n") };
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{field}\r\n")
}
