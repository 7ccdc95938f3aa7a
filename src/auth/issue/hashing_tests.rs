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

fn hashing(threads: u16, queue: u32) -> Hashing {
    Hashing::new(threads, queue, Decoys::new(own_decoy(), [1; 16], &[])).unwrap()
}

#[tokio::test]
async fn who_is_not_there_costs_as_much_as_who_is() {
    for known in STORED {
        let hashing = hashing(1, 0);
        let place = hashing.enter().await.unwrap();
        for stored in [Some(known), None, Some("!unusable"), Some("nonsense"), Some(""), None] {
            assert!(!hashing.check(&place, stored, ("ann", "wrong".into())).await.unwrap());
        }
        // Of the kind, and with the parameters, of who was there.
        assert_eq!(*hashing.computed.lock().unwrap(), vec![PasswordHash::parse(known).unwrap().cost(); 6]);
    }
}

#[tokio::test]
async fn in_a_table_of_several_costs_each_name_that_is_nobodys_has_one_of_them() {
    let samples: Vec<String> = STORED.iter().cycle().take(20).map(|stored| (*stored).to_owned()).collect();
    let hashing = Hashing::new(1, 0, Decoys::new(own_decoy(), [1; 16], &samples)).unwrap();
    let place = hashing.enter().await.unwrap();
    let names: Vec<String> = (0..20).map(|number| format!("nobody{number}")).collect();
    let mut rounds = Vec::new();
    // Whoever logs in between.
    for known in STORED {
        for name in &names {
            assert!(!hashing.check(&place, None, (name, "wrong".into())).await.unwrap());
        }
        rounds.push(std::mem::take(&mut *hashing.computed.lock().unwrap()));
        hashing.check(&place, Some(known), ("ann", "wrong".into())).await.unwrap();
        hashing.computed.lock().unwrap().clear();
    }
    assert_eq!(rounds[0], rounds[1]);
    for known in STORED.map(|known| PasswordHash::parse(known).unwrap().cost()) {
        let share = rounds[0].iter().filter(|cost| **cost == known).count();
        assert!((1..20).contains(&share), "{known}: {share} of 20");
    }
}

#[tokio::test]
async fn memory_is_used_again_and_given_back_in_the_end() {
    let hashing = hashing(1, 0);
    let place = hashing.enter().await.unwrap();
    let kept = || hashing.spare.held().memories.len();
    for _ in 0..3 {
        assert!(!hashing.check(&place, Some(STORED[1]), ("ann", "wrong".into())).await.unwrap());
        assert_eq!(kept(), 1);
    }
    while kept() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!hashing.spare.held().watched, "the next one is looked after again");
}

#[tokio::test]
async fn only_so_many_wait_for_a_hash() {
    let hashing = hashing(1, 1);
    let place = hashing.enter().await.unwrap();
    let mut next = pin!(hashing.enter());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(next.as_mut().poll(&mut cx).is_pending());
    assert!(matches!(pin!(hashing.enter()).poll(&mut cx), Poll::Ready(Err(StoreError::Busy))));
    drop(place);
    drop(next.await.unwrap());
    assert!(hashing.enter().await.is_ok());
}
