//! What every engine has to keep, played on each.

use super::expiry_tests::{
    a_session_goes_on_while_its_access_tokens_are_taken, a_token_that_outlives_its_session_begins_no_other,
    no_successor_outlives_its_session,
};
use super::operator_tests::an_operator_ends_by_any_token;
use super::rehash::tests::{
    sessions_of_a_password_that_is_hashed_anew_go_on_meanwhile, sessions_outlive_several_new_hashes,
};
use super::*;
use crate::config::DatabaseUrl;
#[cfg(any(feature = "postgres", feature = "redis"))]
use databases::{Database, Engine};
use std::collections::HashSet;
use std::path::Path;
use std::thread;

type Rule = (&'static str, fn(&StorePlace));

/// Each is played on a store of its own.
const RULES: &[Rule] = &[
    (
        "a_token_is_replaced_once_and_its_reuse_ends_the_session",
        a_token_is_replaced_once_and_its_reuse_ends_the_session,
    ),
    ("a_rule_that_only_refuses_leaves_the_session", a_rule_that_only_refuses_leaves_the_session),
    (
        "a_token_that_is_not_replaced_stays_good_until_it_expires",
        a_token_that_is_not_replaced_stays_good_until_it_expires,
    ),
    ("no_successor_outlives_its_session", no_successor_outlives_its_session),
    (
        "a_token_of_simplejwt_begins_one_session_and_none_after_a_logout",
        a_token_of_simplejwt_begins_one_session_and_none_after_a_logout,
    ),
    ("a_token_that_outlives_its_session_begins_no_other", a_token_that_outlives_its_session_begins_no_other),
    ("sessions_are_listed_and_ended_by_user", sessions_are_listed_and_ended_by_user),
    (
        "a_session_goes_on_while_its_access_tokens_are_taken",
        a_session_goes_on_while_its_access_tokens_are_taken,
    ),
    ("an_operator_ends_by_any_token", an_operator_ends_by_any_token),
    ("what_has_expired_is_swept_and_nothing_else", what_has_expired_is_swept_and_nothing_else),
    ("failures_of_all_connections_add_up", failures_of_all_connections_add_up),
    ("users_of_our_own_are_kept", users_of_our_own_are_kept),
    ("sessions_go_on_with_a_new_hash_of_their_password", sessions_go_on_with_a_new_hash_of_their_password),
    (
        "sessions_of_a_password_that_is_hashed_anew_go_on_meanwhile",
        sessions_of_a_password_that_is_hashed_anew_go_on_meanwhile,
    ),
    ("sessions_outlive_several_new_hashes", sessions_outlive_several_new_hashes),
    (
        "of_eight_who_exchange_one_token_all_get_one_successor",
        of_eight_who_exchange_one_token_all_get_one_successor,
    ),
];

fn sqlite() -> (tempfile::TempDir, StorePlace) {
    let folder = tempfile::tempdir().unwrap();
    let place = StorePlace(DatabaseUrl::Sqlite(folder.path().join("deep/auth.db")));
    (folder, place)
}

#[test]
fn sqlite_keeps_every_rule() {
    for (name, rule) in RULES {
        let (_folder, place) = sqlite();
        eprintln!("{name}");
        rule(&place);
    }
}

#[cfg(feature = "redis")]
#[test]
fn redis_keeps_every_rule() {
    keeps_every_rule(Engine::Redis);
}

#[cfg(feature = "postgres")]
#[test]
fn postgresql_keeps_every_rule() {
    keeps_every_rule(Engine::Postgres);
}

#[cfg(any(feature = "postgres", feature = "redis"))]
fn keeps_every_rule(engine: Engine) {
    let Some(database) = Database::start(engine) else { return };
    for (number, (name, rule)) in (0..).zip(RULES) {
        eprintln!("{name}");
        rule(&StorePlace(DatabaseUrl::parse(&database.url(number)).unwrap()));
    }
}

#[cfg(feature = "redis")]
#[test]
fn events_go_on_where_redis_has_lost_the_last_ones() {
    let Some(database) = Database::start(Engine::Redis) else { return };
    let url = database.url(0);
    let place = StorePlace(DatabaseUrl::parse(&url).unwrap());
    let end_one = |store: &mut dyn Backend, number| {
        store.begin(&session(number, "u"), token("a")).unwrap();
        store.end("u", None, (EndReason::Logout, NOW)).unwrap();
        store.events(0, NOW).unwrap().last().unwrap().number
    };
    let mut store = place.open().unwrap();
    let before = end_one(store.as_mut(), 1);
    let mut connection = ::redis::Client::open(url).unwrap().get_connection().unwrap();
    ::redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
    assert!(store.events(0, NOW).unwrap().is_empty(), "all is lost");
    assert!(end_one(store.as_mut(), 2) > before, "who has heard the one before hears this one");
}

#[cfg(feature = "redis")]
#[test]
fn what_redis_refuses_for_good_is_told_from_what_it_refuses_now() {
    for (url, unusable) in
        [("redis://127.0.0.1:1/0", false), ("redis://127.0.0.1:1/x", true), ("redis:///0", true)]
    {
        let refused = StorePlace(DatabaseUrl::parse(url).unwrap()).open().err();
        assert_eq!(matches!(refused, Some(StoreError::Unusable(_))), unusable, "{url}: {refused:?}");
    }
}

pub(super) const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3600;

pub(super) fn session(number: u8, user: &str) -> Session {
    Session {
        id: SessionId([number; 16]),
        user: user.into(),
        created: NOW,
        used: NOW,
        ends: NOW + 10 * HOUR,
        access_until: NOW + 300,
        credential: Some([7; 16]),
    }
}

pub(super) fn token(name: &str) -> RefreshToken {
    RefreshToken { hash: TokenHash::of(name), expires: NOW + HOUR }
}

pub(super) fn exchange(name: &str, now: i64, next: u8) -> Exchange {
    Exchange {
        token: TokenHash::of(name),
        now,
        access_expires: now + 300,
        leeway: 0,
        successor: Some(Successor { id: TokenId([next; 16]), issued: now, expires: now + HOUR }),
        grace: Duration::from_secs(10),
        reuse: Reuse::RevokeFamily,
        adopt: None,
    }
}

pub(super) fn next(number: u8) -> String {
    TokenId([number; 16]).to_string()
}

fn ended(store: &mut dyn Backend) -> Vec<(SessionId, i64)> {
    store.events(0, NOW).unwrap().into_iter().map(|event| (event.session, event.until)).collect()
}

fn a_token_is_replaced_once_and_its_reuse_ends_the_session(place: &StorePlace) {
    let mut store = place.open().unwrap();
    let first = session(1, "u");
    store.begin(&first, token("a")).unwrap();
    assert_eq!(store.look(TokenHash::of("a"), NOW).unwrap(), TokenState::Live);
    let Exchanged::Good(found, Some(successor)) = store.exchange(&exchange("a", NOW + 5, 11)).unwrap() else {
        panic!("it is good")
    };
    assert_eq!((found, successor.id), (first, TokenId([11; 16])));
    assert_eq!(store.look(TokenHash::of("a"), NOW + 5).unwrap(), TokenState::Ended);
    // Within the grace it is the same successor, whatever is proposed.
    for now in [NOW + 5, NOW + 15] {
        let Exchanged::Again(_, again) = store.exchange(&exchange("a", now, 12)).unwrap() else {
            panic!("it is replaced already")
        };
        assert_eq!(again, successor);
    }
    assert_eq!(store.look(TokenHash::of(&next(12)), NOW).unwrap(), TokenState::Unknown);
    assert_eq!(ended(store.as_mut()), []);
    let reused = store.exchange(&exchange("a", NOW + 16, 13)).unwrap();
    assert!(matches!(reused, Exchanged::Reused(_)), "{reused:?}");
    assert_eq!(store.exchange(&exchange(&next(11), NOW + 16, 14)).unwrap(), Exchanged::Ended);
    // Until the last access token that was given away: at NOW + 15, for 300 s.
    assert_eq!(ended(store.as_mut()), [(SessionId([1; 16]), NOW + 315)]);
    // Without a grace also in the same second.
    store.begin(&session(2, "u"), token("b")).unwrap();
    let strict = |next| Exchange { grace: Duration::ZERO, ..exchange("b", NOW, next) };
    assert!(matches!(store.exchange(&strict(21)).unwrap(), Exchanged::Good(..)));
    let again = store.exchange(&strict(21)).unwrap();
    assert!(matches!(again, Exchanged::Again(..)), "one whose answer was lost is done once: {again:?}");
    assert!(matches!(store.exchange(&strict(22)).unwrap(), Exchanged::Reused(_)));
}

fn a_rule_that_only_refuses_leaves_the_session(place: &StorePlace) {
    let mut store = place.open().unwrap();
    store.begin(&session(1, "u"), token("a")).unwrap();
    store.exchange(&exchange("a", NOW, 11)).unwrap();
    let late = Exchange { reuse: Reuse::Refuse, ..exchange("a", NOW + 60, 12) };
    assert!(matches!(store.exchange(&late).unwrap(), Exchanged::Reused(_)));
    assert!(matches!(store.exchange(&exchange(&next(11), NOW + 60, 13)).unwrap(), Exchanged::Good(..)));
}

fn a_token_that_is_not_replaced_stays_good_until_it_expires(place: &StorePlace) {
    let mut store = place.open().unwrap();
    store.begin(&session(1, "u"), token("a")).unwrap();
    let plain = |now| Exchange { successor: None, ..exchange("a", now, 0) };
    for now in [NOW, NOW + 60, NOW + HOUR - 1] {
        assert!(matches!(store.exchange(&plain(now)).unwrap(), Exchanged::Good(_, None)));
    }
    assert_eq!(store.exchange(&plain(NOW + HOUR)).unwrap(), Exchanged::Ended);
    assert_eq!(store.exchange(&exchange("unknown", NOW, 1)).unwrap(), Exchanged::Unknown);
}

fn a_token_of_simplejwt_begins_one_session_and_none_after_a_logout(place: &StorePlace) {
    let mut store = place.open().unwrap();
    let adopting = |name: &str, number, now, next| Exchange {
        adopt: Some((session(number, "u"), token(name))),
        ..exchange(name, now, next)
    };
    assert!(matches!(store.exchange(&adopting("a", 1, NOW, 11)).unwrap(), Exchanged::Good(..)));
    let Exchanged::Again(again, successor) = store.exchange(&adopting("a", 2, NOW + 1, 12)).unwrap() else {
        panic!("it has begun a session already")
    };
    assert_eq!((again.id, successor.id), (SessionId([1; 16]), TokenId([11; 16])));
    let out = (session(3, "u"), token("b"));
    assert_eq!(store.end_by_token(TokenHash::of("b"), Some(&out), NOW).unwrap(), TokenState::Live);
    assert_eq!(store.exchange(&adopting("b", 4, NOW, 13)).unwrap(), Exchanged::Ended);
}

fn sessions_are_listed_and_ended_by_user(place: &StorePlace) {
    let mut store = place.open().unwrap();
    for (number, user) in [(1, "u"), (2, "u"), (3, "v")] {
        store.begin(&session(number, user), token(user_token(number))).unwrap();
    }
    let ids = |store: &mut dyn Backend, user: Option<&str>| -> Vec<u8> {
        store.sessions(user, NOW).unwrap().iter().map(|session| session.id.0[0]).collect()
    };
    assert_eq!(ids(store.as_mut(), Some("u")), [1, 2]);
    assert_eq!(ids(store.as_mut(), None), [1, 2, 3]);
    let reason = (EndReason::Logout, NOW);
    // Somebody else's is not ended.
    assert_eq!(store.end("v", Some(SessionId([1; 16])), reason).unwrap(), 0);
    assert_eq!(store.end("u", Some(SessionId([1; 16])), reason).unwrap(), 1);
    assert_eq!(store.end("u", None, reason).unwrap(), 1);
    assert_eq!(ids(store.as_mut(), None), [3]);
    assert_eq!(store.end_by_token(TokenHash::of(user_token(3)), None, NOW).unwrap(), TokenState::Live);
    assert_eq!(store.end_by_token(TokenHash::of(user_token(3)), None, NOW).unwrap(), TokenState::Ended);
    let events: Vec<u8> = ended(store.as_mut()).iter().map(|(session, _)| session.0[0]).collect();
    assert_eq!(events, [1, 2, 3]);
    let last = store.events(0, NOW).unwrap()[1].number;
    assert_eq!(store.events(last, NOW).unwrap().len(), 1);
    assert_eq!(store.sessions(None, NOW + HOUR).unwrap(), []);
}

fn user_token(number: u8) -> &'static str {
    ["", "a", "b", "c"][usize::from(number)]
}

fn what_has_expired_is_swept_and_nothing_else(place: &StorePlace) {
    let mut store = place.open().unwrap();
    store.begin(&session(1, "u"), token("a")).unwrap();
    store.end("u", None, (EndReason::Logout, NOW)).unwrap();
    store.begin(&session(2, "u"), token("b")).unwrap();
    assert_eq!(store.sweep(NOW).unwrap(), 0);
    assert_eq!(ended(store.as_mut()).len(), 1);
    let expected = match place.0 {
        // In Redis tokens expire by themselves, and an ended session is in no list any more.
        DatabaseUrl::Redis(_) => [1, 1, 0],
        // Two tokens and one event, then two sessions.
        DatabaseUrl::Sqlite(_) | DatabaseUrl::Postgres(_) => [3, 2, 0],
    };
    let swept = [NOW + HOUR, NOW + 10 * HOUR, NOW + 10 * HOUR].map(|now| store.sweep(now).unwrap());
    assert_eq!(swept, expected);
    assert_eq!(ended(store.as_mut()), []);
}

fn failures_of_all_connections_add_up(place: &StorePlace) {
    let attempts = [Attempts { key: [1; 16], step: Duration::from_secs(10), room: Duration::from_secs(20) }];
    let (mut one, mut other) = (place.open().unwrap(), place.open().unwrap());
    for number in 0..3 {
        let store = if number == 1 { &mut other } else { &mut one };
        assert_eq!(store.wait(&attempts, 1_000).unwrap(), Duration::ZERO);
        store.failed(&attempts, 1_000).unwrap();
    }
    assert_eq!(other.wait(&attempts, 1_000).unwrap(), Duration::from_secs(10));
    assert_eq!(other.wait(&attempts, 11_000).unwrap(), Duration::ZERO);
}

fn users_of_our_own_are_kept(place: &StorePlace) {
    let mut store = place.open().unwrap();
    let mut change = |name: &str, change| store.change_user(name, change, NOW).unwrap();
    assert!(change("demo", UserChange::Add("hash")));
    assert!(!change("demo", UserChange::Add("other")), "there is one");
    assert!(change("demo", UserChange::Password("new")));
    assert!(!change("demo", UserChange::Hash { from: "hash", to: "stronger" }), "it is another password");
    assert!(change("demo", UserChange::Hash { from: "new", to: "stronger" }));
    assert!(change("demo", UserChange::Active(false)));
    assert!(!change("nobody", UserChange::Active(false)));
    let user = UserRow { id: 1, name: "demo".into(), password: "stronger".into(), active: false };
    for key in [UserKey::Name("demo"), UserKey::Id("1")] {
        assert_eq!(store.user(key).unwrap().as_ref(), Some(&user));
    }
    for key in [UserKey::Name("Demo"), UserKey::Id("2"), UserKey::Id("1 or 1")] {
        assert_eq!(store.user(key).unwrap(), None);
    }
    assert_eq!(store.users().unwrap(), [user]);
}

fn sessions_go_on_with_a_new_hash_of_their_password(place: &StorePlace) {
    let mut store = place.open().unwrap();
    let other = Session { credential: Some([8; 16]), ..session(2, "u") };
    for (session, name) in [(session(1, "u"), "a"), (other, "b"), (session(3, "v"), "c")] {
        store.begin(&session, token(name)).unwrap();
    }
    store.rehashed("u", [7; 16], [9; 16]).unwrap();
    let credentials: Vec<_> =
        store.sessions(None, NOW).unwrap().into_iter().map(|session| session.credential.unwrap()).collect();
    assert_eq!(credentials, [[9; 16], [8; 16], [7; 16]]);
}

fn of_eight_who_exchange_one_token_all_get_one_successor(place: &StorePlace) {
    place.open().unwrap().begin(&session(1, "u"), token("start")).unwrap();
    let mut stores: Vec<_> = (0..8).map(|_| place.open().unwrap()).collect();
    let mut name = "start".to_owned();
    for round in 0..100_u8 {
        let taken: HashSet<String> = thread::scope(|threads| {
            let running: Vec<_> = stores
                .iter_mut()
                .map(|store| {
                    let exchange = Exchange {
                        successor: Some(Successor {
                            id: TokenId::random().unwrap(),
                            issued: NOW,
                            expires: NOW + HOUR,
                        }),
                        ..exchange(&name, NOW, 0)
                    };
                    threads.spawn(move || {
                        let exchanged = store.exchange(&exchange).unwrap();
                        let (Exchanged::Good(_, Some(successor)) | Exchanged::Again(_, successor)) =
                            exchanged
                        else {
                            panic!("{exchanged:?}")
                        };
                        successor.id.to_string()
                    })
                })
                .collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(taken.len(), 1, "round {round}");
        name = taken.into_iter().next().unwrap();
    }
}

#[test]
fn events_go_on_where_an_older_state_of_the_file_is_restored() {
    let (folder, place) = sqlite();
    let (path, copy) = (folder.path().join("deep/auth.db"), folder.path().join("copy.db"));
    let end_one = |number| {
        let mut store = place.open().unwrap();
        store.begin(&session(number, "u"), token(user_token(number))).unwrap();
        store.end("u", None, (EndReason::Logout, NOW)).unwrap();
        store.events(0, NOW).unwrap().last().unwrap().number
    };
    drop(place.open().unwrap());
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute("VACUUM INTO ?", [copy.to_str().unwrap()]).unwrap();
    drop(reader);
    let before = end_one(1);
    std::fs::rename(copy, path).unwrap();
    assert!(end_one(2) > before, "who has heard the one before hears this one");
}

#[test]
fn the_file_is_private_and_no_other_file_is_touched() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, place) = sqlite();
    let mut store = place.open().unwrap();
    let path = folder.path().join("deep/auth.db");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    std::fs::remove_file(&path).unwrap();
    let lost = store.begin(&session(1, "u"), token("a"));
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "what is written there is lost: {lost:?}");
    let text = folder.path().join("text");
    std::fs::write(&text, "no database, for sure, and long enough to be seen as none").unwrap();
    assert!(matches!(StorePlace(DatabaseUrl::Sqlite(text)).open(), Err(StoreError::Unusable(_))));
    let foreign = folder.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
    let place = StorePlace(DatabaseUrl::Sqlite(foreign));
    assert!(matches!(place.open(), Err(StoreError::Unusable(_))));
}
