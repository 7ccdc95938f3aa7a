//! The users of a Django project, who change while their tokens are alive.

use crate::issue::{ISSUE, get, member, post_token};
use crate::support::client::Answer;
use crate::support::server::{Folder, config, ferricorn, run};
use crate::support::{Server, Transport, until};
use rusqlite::Connection;
use std::time::{Duration, SystemTime};

/// As Django 5.2 stores `pässword 1`, at the least cost that it takes; and another password.
const PASSWORDS: [&str; 2] = [
    "pbkdf2_sha256$2000$fHBr1q7x86zYjF4cNhg4fC$aCYhTf/yfuT2jh8La7cuwt3zQj99F6756JaP5XkArDk=",
    "bcrypt_sha256$$2b$04$5DASGS61eDJFOalxMURyzeS6VqbY04aW0LOcrkgkIuaeHeO0XtxEy",
];

#[test]
fn users_who_may_not_come_in_any_more_are_refused_with_good_tokens() {
    let (server, database) = start("");
    let stays = log_in(&server, "ann");
    for (change, told) in [
        ("UPDATE auth_user SET is_active = 0 WHERE username = 'bob'", "User is inactive"),
        ("DELETE FROM auth_user WHERE username = 'bob'", "User not found"),
    ] {
        let pair = log_in(&server, "bob");
        // What was learnt of the one before holds for a moment in each worker.
        let is_taken = || get(server.address(), "/", &member(&pair, "access")) == 200;
        until("every worker takes it", || (0..8).all(|_| is_taken()));
        database.execute_batch(change).unwrap();
        let access = member(&pair, "access");
        // In each worker; or by the session, which has ended with the first look, once that is known there.
        until("every worker refuses it", || (0..8).all(|_| is_refused(&server, &access, told)));
        database.execute_batch("UPDATE auth_user SET is_active = 1").unwrap();
        let next = post_token(server.address(), "refresh/", "refresh", &member(&pair, "refresh"));
        assert_eq!(next.status, 401, "its session has ended: {change}");
    }
    assert_eq!(get(server.address(), "/", &member(&stays, "access")), 200, "another is another matter");
    let logout = |arguments: &[&str]| {
        let mut command = ferricorn(server.folder());
        command.args(["user", "logout"]).args(arguments);
        run(command).1
    };
    assert_eq!(
        (logout(&["ann"]).as_str(), logout(&["--id", "1"]).as_str()),
        ("1 session(s) ended\n", "0 session(s) ended\n")
    );
}

#[test]
fn another_password_ends_the_sessions_of_the_one_before() {
    let (server, database) = start("");
    let before = log_in(&server, "bob");
    assert_eq!(get(server.address(), "/", &member(&before, "access")), 200);
    database.execute("UPDATE auth_user SET password = ?1 WHERE username = 'bob'", [PASSWORDS[1]]).unwrap();
    let after = log_in(&server, "bob");
    let access = member(&before, "access");
    until("the access token has ended with the password", || get(server.address(), "/", &access) == 401);
    assert_eq!(get(server.address(), "/", &member(&after, "access")), 200);
}

#[test]
fn a_refresh_looks_at_the_user_where_nothing_else_does() {
    let (server, database) = start_as(2, &site("").replace("\"always\"", "\"off\""));
    for (change, told) in [
        (format!("UPDATE auth_user SET password = '{}'", PASSWORDS[1]), "password has been changed"),
        ("UPDATE auth_user SET is_active = 0".to_owned(), "No active account found for the given token."),
        ("DELETE FROM auth_user".to_owned(), "No active account found for the given token."),
    ] {
        let pair = log_in(&server, "bob");
        database.execute_batch(&format!("{change} WHERE username = 'bob'")).unwrap();
        let refresh = || post_token(server.address(), "refresh/", "refresh", &member(&pair, "refresh"));
        let answer = refresh();
        let text = String::from_utf8_lossy(&answer.content).into_owned();
        assert!(answer.status == 401 && text.contains(told), "{change}: {answer:?}");
        database.execute_batch("UPDATE auth_user SET is_active = 1").unwrap();
        assert_eq!(refresh().status, 401, "its session has ended: {change}");
    }
}

#[test]
fn guesses_that_come_at_once_are_as_many_as_others() {
    let limit = "rotate = true\nhash_threads = 1\nlimit = { per_account = \"5/1h\", per_ip = \"8/1h\" }";
    let (server, _database) = start_as(1, &site("").replace("rotate = true", limit));
    let statuses = |name: &'static str| {
        std::thread::scope(|threads| {
            let guess = || {
                let content = format!("username={name}&password=wrong");
                server.ask(&crate::issue::posted("", "application/x-www-form-urlencoded", &content)).status
            };
            let guesses = [(); 12].map(|()| threads.spawn(guess));
            guesses.map(|guess| guess.join().unwrap())
        })
    };
    let judged = |statuses: [u16; 12]| statuses.iter().filter(|status| **status == 401).count();
    let (ann, bob) = (statuses("ann"), statuses("bob"));
    assert!(ann.iter().chain(&bob).all(|status| [401, 429].contains(status)), "{ann:?} {bob:?}");
    assert_eq!(judged(ann), 5, "of one account");
    assert_eq!(judged(bob), 3, "of one address");
}

#[test]
fn users_of_a_file_log_in_until_they_are_taken_out_of_it() {
    let auth = ISSUE
        .replace("name = \"local\"", "name = \"local\"\nuser_state = \"always\"")
        .replace("[auth.store]", "[auth.users]\nkind = \"file\"\nfile = \"users\"\n[auth.store]");
    let folder = Folder::new();
    folder.write("users", &format!("# of this site\nbob:{}\n", PASSWORDS[0]));
    folder.write("jwt.key", "a key of thirty-two bytes, and a few more");
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 2, &auth));
    let server = Server::in_folder(folder);
    let access = member(&log_in(&server, "bob"), "access");
    assert_eq!(get(server.address(), "/", &access), 200);
    server.folder().write("users", "");
    // Whoever has just written a file may not be done: it takes nobody away before the change is a second old.
    let users = std::fs::File::options().write(true).open(server.folder().path("users")).unwrap();
    users.set_modified(SystemTime::now() - Duration::from_secs(2)).unwrap();
    until("every worker refuses it", || (0..8).all(|_| is_refused(&server, &access, "User not found")));
    assert_eq!(post_credentials(&server, "bob").status, 401);
}

#[test]
fn a_weak_hash_is_replaced_at_login_and_no_session_ends() {
    let (server, database) = start("rehash = true\n");
    let stored =
        || database.query_row("SELECT password FROM auth_user WHERE username = 'bob'", [], |row| row.get(0));
    // Of two at once one comes too late with its hash, and takes that of the other.
    let pairs = std::thread::scope(|threads| {
        let logins = [(); 2].map(|()| threads.spawn(|| log_in(&server, "bob")));
        logins.map(|login| login.join().unwrap())
    });
    let hash: String = stored().unwrap();
    assert!(hash.starts_with("pbkdf2_sha256$1000000$"), "{hash}");
    log_in(&server, "bob");
    assert_eq!(stored(), Ok(hash), "a hash that is good enough is left");
    for pair in pairs {
        assert_eq!(get(server.address(), "/", &member(&pair, "access")), 200);
        let next = post_token(server.address(), "refresh/", "refresh", &member(&pair, "refresh"));
        assert_eq!(next.status, 200, "{next:?}");
    }
}

#[test]
fn between_a_new_hash_and_its_note_no_session_ends() {
    let (server, users) = start("rehash = true\n");
    let sessions = Connection::open(server.folder().path("auth.db")).unwrap();
    let forbid = |database: &Connection, column: &str, table: &str| {
        let text = format!(
            "CREATE TRIGGER held BEFORE UPDATE OF {column} ON {table} BEGIN SELECT RAISE(ABORT, 'held'); END"
        );
        database.execute_batch(&text).unwrap();
    };
    let allow = |database: &Connection| database.execute_batch("DROP TRIGGER held").unwrap();
    forbid(&users, "password", "auth_user");
    let before = log_in(&server, "bob");
    allow(&users);
    // As when the worker dies between the two.
    forbid(&sessions, "credential", "session");
    let after = log_in(&server, "bob");
    allow(&sessions);
    let hashes = || {
        let text = "SELECT count(DISTINCT credential) FROM session";
        sessions.query_row(text, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(hashes(), 2, "one has the old hash, and one the new");
    // Whichever worker gets the requests.
    for pair in [&before, &after] {
        for _ in 0..8 {
            assert_eq!(get(server.address(), "/", &member(pair, "access")), 200);
        }
        let next = post_token(server.address(), "refresh/", "refresh", &member(pair, "refresh"));
        assert_eq!(next.status, 200, "{next:?}");
    }
    assert_eq!(hashes(), 1, "what was left to be done is done");
    users.execute("UPDATE auth_user SET password = ?1 WHERE username = 'bob'", [PASSWORDS[1]]).unwrap();
    let access = member(&after, "access");
    until("another password ends them", || get(server.address(), "/", &access) == 401);
}

#[test]
fn a_database_that_is_not_there_is_told_before_the_start() {
    let folder = Folder::new();
    folder.write("jwt.key", "a key of thirty-two bytes, and a few more");
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, 1, &site("")));
    let check = || {
        let mut command = ferricorn(&folder);
        command.arg("check");
        run(command)
    };
    let (code, valid, told) = check();
    let path = folder.path("db.sqlite3");
    let warning = format!("warning: auth.users.url: there is no file {}, ", path.display());
    assert_eq!((code, told.contains(&warning)), (Some(0), true), "{told}");
    assert!(valid.starts_with("configuration is valid"), "{valid}");
    assert!(!path.exists());
    database(&folder);
    let (code, _, told) = check();
    assert_eq!((code, told.as_str()), (Some(0), ""));
}

const USERS: &str = "[auth.users]\nkind = \"django\"\nurl = \"sqlite:///db.sqlite3\"\n";

/// A server whose users are `ann` and `bob`, and their database.
fn start(more: &str) -> (Server, Connection) {
    start_as(2, &site(more))
}

fn site(more: &str) -> String {
    ISSUE
        .replace("name = \"local\"", "name = \"local\"\nuser_state = \"always\"")
        .replace("[auth.store]", &format!("{USERS}{more}[auth.store]"))
}

fn start_as(workers: u16, auth: &str) -> (Server, Connection) {
    let folder = Folder::new();
    let database = database(&folder);
    folder.write("ferricorn.toml", &config(&folder, Transport::Tcp, workers, auth));
    let mut keygen = ferricorn(&folder);
    keygen.args(["jwt", "keygen", "--alg", "HS256", "--out", "jwt.key"]);
    assert_eq!(run(keygen).0, Some(0));
    (Server::in_folder(folder), database)
}

/// With both users in it.
fn database(folder: &Folder) -> Connection {
    let database = Connection::open(folder.path("db.sqlite3")).unwrap();
    let table = "CREATE TABLE auth_user (id integer PRIMARY KEY, password varchar(128), username varchar(150) UNIQUE, \
                 is_active bool)";
    database.execute_batch(table).unwrap();
    for name in ["ann", "bob"] {
        let text = "INSERT INTO auth_user (password, username, is_active) VALUES (?1, ?2, 1)";
        database.execute(text, [PASSWORDS[0], name]).unwrap();
    }
    database
}

fn log_in(server: &Server, name: &str) -> Answer {
    let answer = post_credentials(server, name);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

fn post_credentials(server: &Server, name: &str) -> Answer {
    let content = format!("username={name}&password=p%C3%A4ssword+1");
    let request = crate::issue::posted("", "application/x-www-form-urlencoded", &content);
    server.ask(&request)
}

fn is_refused(server: &Server, token: &str, told: &str) -> bool {
    let fields = format!("Host: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n");
    let answer = server.ask(&format!("GET / HTTP/1.1\r\n{fields}\r\n"));
    let text = String::from_utf8_lossy(&answer.content).into_owned();
    answer.status == 401 && [told, "token_not_valid"].iter().any(|known| text.contains(known))
}
