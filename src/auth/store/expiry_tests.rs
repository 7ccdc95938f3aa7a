//! What holds of sessions whose refresh token has expired, or that have reached their end.

use super::contract_tests::{NOW, exchange, next, session, token};
use super::*;

pub(super) fn no_successor_outlives_its_session(place: &StorePlace) {
    let mut store = place.open().unwrap();
    let short = Session { ends: NOW + 90, ..session(1, "u") };
    store.begin(&short, token("a")).unwrap();
    let Exchanged::Good(_, Some(successor)) = store.exchange(&exchange("a", NOW + 30, 11)).unwrap() else {
        panic!("it is good")
    };
    assert_eq!(successor.expires, NOW + 90);
    assert_eq!(store.exchange(&exchange(&next(11), NOW + 90, 12)).unwrap(), Exchanged::Ended);
}

/// Its refresh token expires after 100 seconds, and has been used ten before, for an access token of 300 that is taken for
/// 60 more.
fn refreshed_late(store: &mut dyn Backend, session: &Session, name: &str) {
    store.begin(session, RefreshToken { expires: NOW + 100, ..token(name) }).unwrap();
    let late = Exchange { successor: None, leeway: 60, ..exchange(name, NOW + 90, 0) };
    assert!(matches!(store.exchange(&late).unwrap(), Exchanged::Good(_, None)));
    assert_eq!(store.look(late.token, NOW + 100).unwrap(), TokenState::Ended);
}

pub(super) fn a_session_goes_on_while_its_access_tokens_are_taken(place: &StorePlace) {
    let mut store = place.open().unwrap();
    let short = |number| Session { ends: NOW + 120, ..session(number, "short") };
    for (session, name, until) in [
        (session(1, "u"), "a", NOW + 90 + 300 + 60),
        // No access token outlives its session.
        (Session { access_until: NOW, ..short(2) }, "b", NOW + 120 + 60),
    ] {
        refreshed_late(store.as_mut(), &session, name);
        let user = session.user.as_str();
        // Another login of the same user takes nothing away.
        let later = Session {
            id: SessionId([session.id.0[0] + 10; 16]),
            created: until - 2,
            ends: until - 1,
            access_until: until - 1,
            ..session.clone()
        };
        store.begin(&later, RefreshToken { expires: until - 1, ..token(&format!("{name} later")) }).unwrap();
        let listed = |store: &mut dyn Backend, now| -> Vec<SessionId> {
            store.sessions(Some(user), now).unwrap().iter().map(|session| session.id).collect()
        };
        assert_eq!(listed(store.as_mut(), until), []);
        assert_eq!(store.end(user, None, (EndReason::Operator, until)).unwrap(), 0);
        assert_eq!(listed(store.as_mut(), until - 1), [session.id]);
        assert_eq!(store.end(user, Some(session.id), (EndReason::Operator, until - 1)).unwrap(), 1);
        assert_eq!(listed(store.as_mut(), until - 1), []);
        let event = store.events(0, NOW).unwrap().pop().unwrap();
        assert_eq!((event.session, event.until), (session.id, until));
    }
}

pub(super) fn a_token_that_outlives_its_session_begins_no_other(place: &StorePlace) {
    let mut store = place.open().unwrap();
    let adopted = |number, name| (Session { ends: NOW + 90, ..session(number, "u") }, token(name));
    let used = |number, now| Exchange { adopt: Some(adopted(number, "used")), ..exchange("used", now, 11) };
    assert!(matches!(store.exchange(&used(1, NOW)).unwrap(), Exchanged::Good(..)));
    let logged_out = TokenHash::of("logged out");
    let end = |store: &mut dyn Backend, number, now| {
        store.end_by_token(logged_out, Some(&adopted(number, "logged out")), now).unwrap()
    };
    assert_eq!(end(store.as_mut(), 2, NOW), TokenState::Live);
    // All of both has expired, but for the tokens.
    let late = token("used").expires - 1;
    store.sweep(late).unwrap();
    assert_eq!(store.exchange(&used(3, late)).unwrap(), Exchanged::Ended);
    assert_eq!(end(store.as_mut(), 4, late), TokenState::Ended);
    // What Redis forgets by itself it forgets later than that.
    #[cfg(feature = "redis")]
    if let crate::config::DatabaseUrl::Redis(url) = &place.0 {
        let url: &str = url;
        let mut connection = ::redis::Client::open(url).unwrap().get_connection().unwrap();
        for number in [1, 2] {
            let name = format!("{{ferricorn}}:session:{}", SessionId([number; 16]));
            let left: i64 = ::redis::cmd("TTL").arg(name).query(&mut connection).unwrap();
            assert!(left >= late - NOW, "{left}");
        }
    }
    // And then all is forgotten.
    for _ in 0..2 {
        store.sweep(late + 1).unwrap();
    }
    store.begin(&session(1, "u"), token("later")).unwrap();
}
