use super::*;
use crate::auth::users::password::own_decoy;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Written by Django, at the least cost.
const STORED: [&str; 2] = [
    "pbkdf2_sha256$2000$fHBr1q7x86zYjF4cNhg4fC$aCYhTf/yfuT2jh8La7cuwt3zQj99F6756JaP5XkArDk=",
    "argon2$argon2id$v=19$m=256,t=2,p=8$T200MTNPUnRwUDRRemFQbXBwTlBHRQ$trYxabBDUPwi4tObZFJEjDL9bidtajIgRTK2e6QRcoo",
];

#[tokio::test]
async fn who_is_not_there_costs_as_much_as_who_is() {
    let hashing = Hashing::new(1, 0, own_decoy()).unwrap();
    let place = hashing.enter().await.unwrap();
    for known in STORED {
        for stored in [Some(known), None, Some("!unusable"), Some("nonsense"), Some(""), None] {
            assert!(!hashing.check(&place, stored, "wrong".into()).await.unwrap());
        }
    }
    let computed = hashing.computed.lock().unwrap();
    // Of the kind, and with the parameters, of who was here last.
    let expected = STORED.map(|known| vec![PasswordHash::parse(known).unwrap().cost(); 6]).concat();
    assert_eq!(*computed, expected);
}

#[tokio::test]
async fn memory_is_used_again_and_given_back_in_the_end() {
    let hashing = Hashing::new(1, 0, own_decoy()).unwrap();
    let place = hashing.enter().await.unwrap();
    let kept = || hashing.spare.held().memories.len();
    for _ in 0..3 {
        assert!(!hashing.check(&place, Some(STORED[1]), "wrong".into()).await.unwrap());
        assert_eq!(kept(), 1);
    }
    while kept() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!hashing.spare.held().watched, "the next one is looked after again");
}

#[tokio::test]
async fn only_so_many_wait_for_a_hash() {
    let hashing = Hashing::new(1, 1, own_decoy()).unwrap();
    let place = hashing.enter().await.unwrap();
    let mut next = pin!(hashing.enter());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(next.as_mut().poll(&mut cx).is_pending());
    assert!(matches!(pin!(hashing.enter()).poll(&mut cx), Poll::Ready(Err(StoreError::Busy))));
    drop(place);
    drop(next.await.unwrap());
    assert!(hashing.enter().await.is_ok());
}
