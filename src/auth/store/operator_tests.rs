//! What operators need of a store; played on each engine by `contract_tests`.

use super::contract_tests::{NOW, exchange, next, session, token};
use super::{EndReason, Exchanged, SessionId, SessionKey, StorePlace, TokenHash};

/// Who has a copy of a token seldom has the newest.
pub(super) fn an_operator_ends_by_any_token(place: &StorePlace) {
    let mut store = place.open().unwrap();
    let (first, replaced) = (session(1, "u"), SessionKey::Token(TokenHash::of("a")));
    store.begin(&first, token("a")).unwrap();
    store.begin(&session(2, "u"), token("b")).unwrap();
    assert!(matches!(store.exchange(&exchange("a", NOW, 11)).unwrap(), Exchanged::Good(..)));
    for known in [replaced, SessionKey::Token(TokenHash::of(&next(11))), SessionKey::Id(first.id)] {
        assert_eq!(store.session(known).unwrap().as_ref(), Some(&first), "{known:?}");
    }
    for unknown in [SessionKey::Token(TokenHash::of("x")), SessionKey::Id(SessionId([9; 16]))] {
        assert_eq!(store.session(unknown).unwrap(), None, "{unknown:?}");
    }
    let mut end = || store.end("u", Some(first.id), (EndReason::Operator, NOW)).unwrap();
    assert_eq!([end(), end()], [1, 0]);
    // Also within the grace.
    for name in ["a", &next(11)] {
        assert_eq!(store.exchange(&exchange(name, NOW + 1, 12)).unwrap(), Exchanged::Ended, "{name}");
    }
    assert!(store.session(replaced).unwrap().is_some(), "it is kept until all of its tokens have expired");
    assert_eq!(store.sessions(None, NOW).unwrap().len(), 1);
}
