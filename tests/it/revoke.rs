//! `ferricorn jwt revoke`: sessions that an operator ends.

use crate::issue::{ISSUE, get, log_in, member, post_token, start, user};
use crate::support::server::{Folder, config, ferricorn, run};
use crate::support::{Server, Transport, until};
use rusqlite::Connection;
use serde_json::Value;

#[test]
fn an_operator_revokes_by_what_tokens_say() {
    let server = start(1, ISSUE);
    let revoke = |arguments: [&str; 2]| revoke(&server, arguments);
    let claim = |token: &str, name: &str| claim(&server, token, name);
    let stays = log_in(&server);
    for name in ["sid", "jti"] {
        let pair = log_in(&server);
        let first = member(&pair, "refresh");
        // Who has a copy of a token seldom has the newest.
        let newest = member(&post_token(server.address(), "refresh/", "refresh", &first), "refresh");
        let value = claim(&first, name);
        assert_eq!(
            revoke([&format!("--{name}"), &value]),
            (Some(0), "1 session(s) ended\n".into(), String::new())
        );
        let access = member(&pair, "access");
        until("its access token has ended", || get(server.address(), "/", &access) == 401);
        // Also within the grace.
        for token in [&first, &newest] {
            assert_eq!(post_token(server.address(), "refresh/", "refresh", token).status, 401);
        }
        let (code, _, problem) = revoke([&format!("--{name}"), &value]);
        assert_eq!((code, problem.contains("has ended already")), (Some(1), true), "{problem}");
    }
    let database = Connection::open(server.folder().path("auth.db")).unwrap();
    let by_operators = "SELECT count(*) FROM session WHERE reason = 'operator'";
    assert_eq!(database.query_row(by_operators, [], |row| row.get::<_, i64>(0)), Ok(2));
    assert_eq!(get(server.address(), "/", &member(&stays, "access")), 200);
    let (code, _, problem) = revoke(["--jti", &claim(&member(&stays, "access"), "jti")]);
    assert_eq!(
        (code, problem.contains("blacklist/")),
        (Some(1), true),
        "it is no refresh token's: {problem}"
    );
    assert_eq!(revoke(["--sid", "x"]).0, Some(2));
    let id = claim(&member(&stays, "access"), "user_id");
    assert_eq!(revoke(["--id", &id]).1, "1 session(s) ended\n");
    log_in(&server);
    assert_eq!(revoke(["--user", "demo"]).1, "1 session(s) ended\n");
    for nobodys in [["--id", &id], ["--user", "demo"], ["--sid", "00000000000000000000000000000000"]] {
        let (code, _, problem) = revoke(nobodys);
        assert_eq!((code, problem.contains("auth.db")), (Some(1), true), "the store is named: {problem}");
    }
}

#[test]
fn an_operator_is_told_which_tokens_are_not_reached() {
    let server = start(1, &ISSUE.replace("rotate = true", "revoke_access = false"));
    let sid = claim(&server, &member(&log_in(&server), "refresh"), "sid");
    let (code, told, _) = revoke(&server, ["--sid", &sid]);
    assert_eq!((code, told.contains("access tokens stay good")), (Some(0), true), "{told}");
}

#[test]
fn who_looks_for_users_and_sessions_makes_no_store() {
    let folder = Folder::new();
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, ISSUE));
    folder.write("jwt.key", "a key of thirty-two bytes, or more");
    let mut command = ferricorn(&folder);
    command.args(["jwt", "revoke", "--id", "1"]);
    let (code, _, problem) = run(command);
    let store = "there is no store at auth.db";
    assert_eq!((code, problem.contains(store)), (Some(1), true), "{problem}");
    for arguments in [
        &["list"][..],
        &["passwd", "demo"],
        &["disable", "demo"],
        &["enable", "demo"],
        &["logout", "demo"],
        &["logout", "--id", "1"],
    ] {
        let (code, problem) = user(&folder, arguments, "");
        assert_eq!((code, problem.contains(store)), (Some(1), true), "{arguments:?}: {problem}");
    }
    assert!(!folder.path("auth.db").exists());
    assert_eq!(user(&folder, &["add", "demo"], "correct horse\n"), (Some(0), "added demo\n".into()));
    let (code, list) = user(&folder, &["list"], "");
    assert_eq!((code, list.contains("demo")), (Some(0), true), "{list}");
}

fn revoke(server: &Server, arguments: [&str; 2]) -> (Option<i32>, String, String) {
    let mut command = ferricorn(server.folder());
    command.args(["jwt", "revoke"]).args(arguments);
    run(command)
}

/// What a token says.
fn claim(server: &Server, token: &str, name: &str) -> String {
    let mut command = ferricorn(server.folder());
    command.args(["jwt", "inspect", "--json", token]);
    let told: Value = serde_json::from_str(&run(command).1).unwrap();
    told["payload"][name].as_str().unwrap().to_owned()
}
