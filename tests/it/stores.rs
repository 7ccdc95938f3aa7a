//! What must hold of sessions wherever they are kept.

use crate::issue::{ISSUE, get, log_in, member, post_token, posted, start};
use crate::support::databases::{Database, Engine};
use crate::support::server::{Folder, config, ferricorn, run};
use crate::support::{Address, Server, Transport, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashSet;
use std::path::Path;
use std::thread;

/// Configuration of a server whose sessions are there, and what keeps the place alive; `None` where it is not installed.
fn kept_in(engine: Engine) -> Option<(Database, String)> {
    let database = Database::start(engine)?;
    let config = ISSUE.replace("sqlite:///auth.db", &database.url(0));
    Some((database, config))
}

#[test]
fn of_eight_refreshes_of_one_token_all_get_one_successor_from_sqlite() {
    refresh_eight_at_once(&start(4, ISSUE));
}

#[test]
fn of_eight_refreshes_of_one_token_all_get_one_successor_from_redis() {
    let Some((_database, config)) = kept_in(Engine::Redis) else { return };
    refresh_eight_at_once(&start(4, &config));
}

#[test]
fn of_eight_refreshes_of_one_token_all_get_one_successor_from_postgresql() {
    let Some((_database, config)) = kept_in(Engine::Postgres) else { return };
    refresh_eight_at_once(&start(4, &config));
}

fn refresh_eight_at_once(server: &Server) {
    let mut refresh = member(&log_in(server), "refresh");
    for round in 0..100 {
        let successors: HashSet<String> = thread::scope(|threads| {
            let running: Vec<_> = (0..8)
                .map(|_| threads.spawn(|| post_token(server.address(), "refresh/", "refresh", &refresh)))
                .collect();
            running.into_iter().map(|thread| member(&thread.join().unwrap(), "refresh")).collect()
        });
        assert_eq!(successors.len(), 1, "round {round}");
        refresh = successors.into_iter().next().unwrap();
    }
}

#[test]
fn killed_workers_lose_no_session_and_bring_none_back_in_sqlite() {
    kill_workers_amid_refreshes(&start(2, ISSUE));
}

#[test]
fn killed_workers_lose_no_session_and_bring_none_back_in_redis() {
    let Some((_database, config)) = kept_in(Engine::Redis) else { return };
    kill_workers_amid_refreshes(&start(2, &config));
}

#[test]
fn killed_workers_lose_no_session_and_bring_none_back_in_postgresql() {
    let Some((_database, config)) = kept_in(Engine::Postgres) else { return };
    kill_workers_amid_refreshes(&start(2, &config));
}

fn kill_workers_amid_refreshes(server: &Server) {
    let mut chains: Vec<String> = (0..2).map(|_| member(&log_in(server), "refresh")).collect();
    let ended = member(&log_in(server), "refresh");
    assert_eq!(post_token(server.address(), "logout/", "refresh", &ended).status, 200);
    for round in 0..4 {
        chains = thread::scope(|threads| {
            let running: Vec<_> = chains
                .iter()
                .map(|first| {
                    threads.spawn(|| {
                        let mut token = first.clone();
                        for _ in 0..20 {
                            token = persist(server.address(), &token);
                        }
                        token
                    })
                })
                .collect();
            let worker = &server.living_workers()[round % 2];
            let _ = kill(Pid::from_raw(worker.pid), Signal::SIGKILL);
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        until("two workers live", || server.living_workers().len() == 2);
        let refused = post_token(server.address(), "refresh/", "refresh", &ended);
        assert_eq!(refused.status, 401, "an ended session came back");
    }
}

/// Exchanges a token until there is an answer: what a client does whose connection has gone.
fn persist(address: &Address, token: &str) -> String {
    let mut successor = None;
    until("the token is exchanged", || {
        let request = posted("refresh/", "application/json", &format!(r#"{{"refresh":"{token}"}}"#));
        successor = address.ask(&request).ok().filter(|answer| answer.status == 200);
        successor.is_some()
    });
    member(&successor.unwrap(), "refresh")
}

#[test]
fn redis_may_go_away_and_come_back() {
    go_away_and_come_back(Engine::Redis);
}

#[test]
fn postgresql_may_go_away_and_come_back() {
    go_away_and_come_back(Engine::Postgres);
}

/// The server ends; then it stands still, which is worse: nothing is refused.
fn go_away_and_come_back(engine: Engine) {
    let Some((mut database, config)) = kept_in(engine) else { return };
    let server = start(
        2,
        &config
            .replace("[[auth.provider]]", "stale_max = \"1s\"\n[[auth.provider]]")
            .replace("rotate = true", "rotate = true\nreuse_grace = \"60s\""),
    );
    let mut refresh = member(&log_in(&server), "refresh");
    for round in 0..2 {
        let access = member(&log_in(&server), "access");
        if round == 0 {
            database.stop()
        } else {
            database.signal(Signal::SIGSTOP)
        }
        let refused = post_token(server.address(), "refresh/", "refresh", &refresh);
        assert_eq!(refused.status, 503, "round {round}");
        assert!(refused.field("retry-after").is_some() && refused.field("www-authenticate").is_none());
        assert_eq!(log_in(&server).status, 503);
        until("the store is too long away", || get(server.address(), "/", &access) == 503);
        if round == 0 {
            database.run()
        } else {
            database.signal(Signal::SIGCONT)
        }
        until("the store is there again", || (0..8).all(|_| get(server.address(), "/", &access) == 200));
        let next = post_token(server.address(), "refresh/", "refresh", &refresh);
        assert_eq!(next.status, 200, "round {round}");
        refresh = member(&next, "refresh");
    }
    server.wait_for("the store of sessions cannot be used");
    server.wait_for("the store of sessions is there again");
}

#[test]
fn stores_behind_tls_are_used_when_their_certificate_is_trusted() {
    if let Some(redis) = Database::start_by_tls(Engine::Redis) {
        let (url, trusted) = (redis.url(0), redis.authority());
        assert_eq!(list_users(&url, Some(&trusted)), (Some(0), String::new()));
        is_refused_for_its_certificate(&list_users(&url, None));
    }
    if let Some(postgresql) = Database::start_by_tls(Engine::Postgres) {
        let (url, authority) = (postgresql.url(0), postgresql.authority());
        let trusted = format!("{url}?sslmode=verify-full&sslrootcert={}", authority.display());
        assert_eq!(list_users(&trusted, None), (Some(0), String::new()));
        is_refused_for_its_certificate(&list_users(&format!("{url}?sslmode=verify-full"), None));
        let anybody = list_users(&format!("{url}?sslmode=require"), None);
        assert_eq!(anybody, (Some(0), String::new()), "whoever answers");
    }
}

fn is_refused_for_its_certificate((code, told): &(Option<i32>, String)) {
    assert!(*code != Some(0) && told.to_lowercase().contains("certificate"), "{told}");
}

/// What `ferricorn user list` says of a store at this URL, without the heading.
fn list_users(url: &str, authorities: Option<&Path>) -> (Option<i32>, String) {
    let folder = Folder::new();
    folder.write(
        "ferricorn.toml",
        &config(&folder, Transport::Tcp, 1, &ISSUE.replace("sqlite:///auth.db", url)),
    );
    folder.write("jwt.key", "a key of thirty-two bytes, and a few more");
    let mut command = ferricorn(&folder);
    command.args(["user", "list"]).envs(authorities.map(|file| ("SSL_CERT_FILE", file)));
    let (code, _, told) = run(command);
    (code, told)
}
