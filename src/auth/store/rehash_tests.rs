//! Sessions and new hashes of their password: rules that every engine has to keep.

use super::super::StorePlace;
use super::super::contract_tests::{NOW, session, token};
use super::*;
use crate::auth::store::Session;

pub(in crate::auth::store) fn sessions_of_a_password_that_is_hashed_anew_go_on_meanwhile(place: &StorePlace) {
    // Two workers.
    let (mut one, mut other) = (place.open().unwrap(), place.open().unwrap());
    one.begin(&session(1, "u"), token("a")).unwrap();
    let (old, new, changed) = ([7; 16], [9; 16], [5; 16]);
    let announcement = Announcement { user: "u".into(), from: old, to: new };
    let is_same = |store: &mut dyn Backend, hashes, later_ms| {
        is_same_password(store, "u", hashes, NOW * 1000 + later_ms).unwrap()
    };
    assert!(!is_same(&mut *other, (old, new), 0), "nobody has announced it");
    let lasts = Duration::from_secs(30 * 86_400);
    announcement.make(&mut *one, (lasts, NOW * 1000)).unwrap();
    // The hash has been written, and the session has not been moved; or it has, and the user was looked up before.
    for (of_session, of_user, expected) in
        [(new, old, true), (old, changed, false), (new, changed, false), (changed, new, false)]
    {
        assert_eq!(is_same(&mut *other, (of_session, of_user), 1), expected, "{of_session:?} {of_user:?}");
    }
    let credential = |store: &mut dyn Backend| store.sessions(Some("u"), NOW).unwrap()[0].credential;
    assert_eq!(credential(&mut *other), Some(old), "who is behind moves nothing");
    assert!(is_same(&mut *other, (old, new), 1));
    assert_eq!(credential(&mut *other), Some(new), "who sees both does what is left to be done");
    // Sessions that have begun by the old hash meanwhile may be looked at days later.
    one.sweep(NOW + 29 * 86_400).unwrap();
    let days = |days: i64| days * 86_400_000;
    assert!(is_same(&mut *other, (old, new), days(29)));
    let others = is_same_password(&mut *other, "v", (old, new), NOW * 1000 + 1).unwrap();
    assert!(!others && !is_same(&mut *other, (old, new), days(30)), "for this user, and as long as it says");
}

/// A session is moved when it is refreshed, which may be after its password has got yet another hash.
pub(in crate::auth::store) fn sessions_outlive_several_new_hashes(place: &StorePlace) {
    let mut store = place.open().unwrap();
    store.begin(&session(1, "u"), token("a")).unwrap();
    let guessed = Session { credential: Some([5; 16]), ..session(2, "u") };
    store.begin(&guessed, token("b")).unwrap();
    let (began, lasts) = ([7; 16], Duration::from_secs(30 * 86_400));
    // Each time nobody has told the store that the new hash was written.
    for (from, to) in [(began, [8; 16]), ([8; 16], [9; 16]), ([9; 16], [10; 16])] {
        let announcement = Announcement { user: "u".into(), from, to };
        announcement.make(&mut *store, (lasts, NOW * 1000)).unwrap();
    }
    let mut credentials = || -> Vec<_> {
        store.sessions(Some("u"), NOW).unwrap().iter().map(|session| session.credential.unwrap()).collect()
    };
    let began_with = credentials();
    assert_eq!(began_with, [[9; 16], [5; 16]], "one change behind, and another password");
    let mut is_same = |hash| is_same_password(&mut *store, "u", (hash, [10; 16]), NOW * 1000 + 1).unwrap();
    assert!(is_same(began_with[0]) && !is_same(began_with[1]));
}
