//! Tokens that browsers keep: `auth.issue.set_cookies`.

use crate::issue::{ISSUE, start};
use crate::support::Server;
use crate::support::client::Answer;
use serde_json::Value;

const OURS: &str = "Sec-Fetch-Site: same-origin\r\n";
const THEIRS: &str = "Sec-Fetch-Site: cross-site\r\nOrigin: https://evil.example\r\n";
const CREDENTIALS: &str = "username=demo&password=correct+horse";

#[test]
fn browsers_keep_tokens_that_no_script_reads() {
    let server = start(2, &ISSUE.replace("rotate = true", "rotate = true\nset_cookies = true"));
    let first = ask(&server, "POST", "/api/token/", OURS, CREDENTIALS);
    let cookies = set(&first);
    assert_eq!(cookies.iter().map(|cookie| cookie.0.as_str()).collect::<Vec<_>>(), NAMES);
    for (_, _, attributes) in &cookies {
        for wanted in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(attributes.contains(wanted), "{attributes}");
        }
    }
    assert!(cookies[0].2.contains("Max-Age=300;") && cookies[1].2.contains("Max-Age=86400;"), "{cookies:?}");
    let sent = header(&cookies);
    assert_eq!(ask(&server, "GET", "/", &sent, "").status, 200, "a protected route takes the cookie");
    assert_eq!(ask(&server, "POST", "/", &(sent.clone() + THEIRS), "").status, 403);

    let next = ask(&server, "POST", "/api/token/refresh/", &(sent.clone() + OURS), "");
    assert_eq!((next.status, next.text().as_str()), (200, "{}"), "no script reads the next one");
    let sent = header(&set(&next));
    let sessions = ask(&server, "GET", "/api/token/sessions/", &sent, "");
    assert!(sessions.text().contains("\"current\":true"), "{sessions:?}");
    let twice = format!("{sent}Authorization: Bearer x\r\n");
    assert_eq!(ask(&server, "GET", "/api/token/sessions/", &twice, "").status, 400);
    let repeated = "Authorization: Bearer x\r\nAuthorization: Bearer y\r\n";
    assert_eq!(ask(&server, "GET", "/api/token/sessions/", repeated, "").status, 400);

    let out = ask(&server, "POST", "/api/token/logout/", &(sent.clone() + OURS), "");
    assert_eq!(out.status, 200);
    assert!(set(&out).iter().all(|(_, value, more)| value.is_empty() && more.contains("Max-Age=0")));
    let refused = ask(&server, "POST", "/api/token/refresh/", &(sent + OURS), "");
    assert_eq!((refused.status, set(&refused).len()), (401, 2), "what is good for nothing is taken away");
}

#[test]
fn what_the_app_shall_not_see_is_seen_where_tokens_are_issued() {
    let stripping = ISSUE
        .replace("rotate = true", "rotate = true\nset_cookies = true")
        .replace("[[auth.provider]]", "[auth.forward]\nauthorization = \"strip\"\n[[auth.provider]]");
    let server = start(1, &stripping);
    let cookies = set(&ask(&server, "POST", "/api/token/", OURS, CREDENTIALS));
    let sessions = ask(&server, "GET", "/api/token/sessions/", &header(&cookies), "");
    assert!(sessions.text().contains("\"current\":true"), "{sessions:?}");
    let app = ask(&server, "GET", "/", &header(&cookies), "");
    assert!(app.status == 200 && !app.text().contains("__Host-"), "{app:?}");
    let shown = format!("Authorization: Bearer {}\r\n", cookies[0].1);
    assert_eq!(ask(&server, "GET", "/api/token/sessions/", &shown, "").status, 200);
    let next = ask(&server, "POST", "/api/token/refresh/", &(header(&cookies) + OURS), "");
    assert_eq!((next.status, set(&next).len()), (200, 2), "{next:?}");
    let out = ask(&server, "POST", "/api/token/logout/", &(header(&set(&next)) + OURS), "");
    assert_eq!(out.status, 200, "{out:?}");
}

#[test]
fn the_end_of_the_own_session_takes_the_cookies_away_and_that_of_another_does_not() {
    for more in ["", "\nrevoke_access = false"] {
        let issue = format!("rotate = true\nset_cookies = true{more}");
        let server = start(1, &ISSUE.replace("rotate = true", &issue));
        let log_in = || header(&set(&ask(&server, "POST", "/api/token/", OURS, CREDENTIALS))) + OURS;
        let (ours, _) = (log_in(), log_in());
        let told = ask(&server, "GET", "/api/token/sessions/", &ours, "");
        let told: Value = serde_json::from_str(&told.text()).expect("JSON");
        let sessions = told["sessions"].as_array().expect("sessions");
        let find =
            |is_ours: bool| sessions.iter().find(|session| session["current"] == is_ours).expect("both");
        for (is_ours, taken) in [(false, 0), (true, 2)] {
            let path = format!("/api/token/sessions/{}/", find(is_ours)["id"].as_str().expect("a name"));
            let ended = ask(&server, "DELETE", &path, &ours, "");
            assert_eq!((ended.status, set(&ended).len()), (200, taken), "{more} {ended:?}");
        }
    }
}

#[test]
fn pages_of_other_sites_move_no_cookie() {
    let server = start(1, &ISSUE.replace("rotate = true", "rotate = true\nset_cookies = true"));
    let login = ask(&server, "POST", "/api/token/", THEIRS, CREDENTIALS);
    assert_eq!((login.status, set(&login).len()), (200, 0), "nobody is logged in as somebody else");
    let sent = header(&set(&ask(&server, "POST", "/api/token/", OURS, CREDENTIALS)));
    for (method, path) in
        [("POST", "/api/token/refresh/"), ("POST", "/api/token/logout/"), ("DELETE", "/api/token/sessions/")]
    {
        for sender in [THEIRS, ""] {
            let refused = ask(&server, method, path, &(sent.clone() + sender), "");
            assert_eq!((refused.status, set(&refused).len()), (403, 0), "{method} {path} {sender}");
        }
    }
    let next = ask(&server, "POST", "/api/token/refresh/", &(sent + OURS), "");
    assert_eq!(next.status, 200, "the session goes on");
}

const NAMES: [&str; 2] = ["__Host-access", "__Host-refresh"];

fn ask(server: &Server, method: &str, path: &str, fields: &str, content: &str) -> Answer {
    let form = match content {
        "" => String::new(),
        _ => format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            content.len()
        ),
    };
    server.ask(&format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{form}{fields}\r\n{content}"
    ))
}

/// Name, value and attributes of each cookie that is set.
fn set(answer: &Answer) -> Vec<(String, String, String)> {
    let fields = answer.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    fields
        .map(|(_, cookie)| {
            let (pair, attributes) = cookie.split_once("; ").expect("attributes");
            let (name, value) = pair.split_once('=').expect("a pair");
            (name.to_owned(), value.to_owned(), format!("{attributes};"))
        })
        .collect()
}

fn header(cookies: &[(String, String, String)]) -> String {
    let pairs: Vec<String> = cookies.iter().map(|(name, value, _)| format!("{name}={value}")).collect();
    format!("Cookie: {}\r\n", pairs.join("; "))
}
