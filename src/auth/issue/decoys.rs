//! What is computed for users that are not there, so that nobody tells them from others by the time it takes (T21).
//!
//! Where all passwords of a table cost the same, so does each decoy. A table that has seen several algorithms or costs has
//! users who take this long and users who take that long, each always the same. So has it users that are not there: the
//! cost of each is chosen by its name, as often as it is found in the table, and by a secret, so that nobody else can tell
//! which it would be. The secret comes from the key that signs: it is the same in all workers, and no login, no user and no
//! restart changes it. Another would choose anew for those who are not there, and for nobody else.

use crate::auth::store::short_hash;
use crate::auth::users::password::PasswordHash;
use crate::sys::clock;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// Hashes that are nobody's.
#[derive(Debug)]
pub(super) struct Decoys {
    /// What is used where nobody's password is known.
    usual: PasswordHash,
    known: RwLock<Known>,
}

#[derive(Debug)]
struct Known {
    /// By their cost, and how many have it.
    kinds: BTreeMap<String, (PasswordHash, u64)>,
    secret: [u8; 16],
    /// When to look at the table again, on the monotonic clock.
    look_at: Duration,
}

impl Decoys {
    /// By passwords as they are stored.
    pub(super) fn new(usual: PasswordHash, secret: [u8; 16], samples: &[String]) -> Self {
        let known = Known { kinds: BTreeMap::new(), secret, look_at: now() + LOOK };
        let decoys = Self { usual, known: RwLock::new(known) };
        decoys.learn(samples);
        decoys
    }

    /// What a table holds now.
    pub(super) fn learn(&self, samples: &[String]) {
        if samples.is_empty() {
            return;
        }
        let mut kinds = BTreeMap::new();
        for hash in samples.iter().filter_map(|stored| PasswordHash::parse(stored).ok()) {
            kinds.entry(hash.cost()).or_insert_with(|| (hash.decoy(), 0)).1 += 1;
        }
        self.known.write().unwrap_or_else(PoisonError::into_inner).kinds = kinds;
    }

    /// Chooses by this secret from now on.
    pub(super) fn choose_by(&self, secret: [u8; 16]) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).secret = secret;
    }

    /// A user has a password of this cost.
    pub(super) fn saw(&self, hash: &PasswordHash) {
        let cost = hash.cost();
        if self.known.read().unwrap_or_else(PoisonError::into_inner).kinds.contains_key(&cost) {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Once, however often this user comes: else who has an account could choose what others cost.
        known.kinds.entry(cost).or_insert_with(|| (hash.decoy(), 1));
    }

    /// For a user of this name: of the same cost each time.
    pub(super) fn of(&self, name: &str) -> PasswordHash {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let all: u64 = known.kinds.values().map(|(_, count)| count).sum();
        // A share, not a remainder: one user more changes the cost of few names.
        let share = short_hash(&[b"decoy", &known.secret, name.as_bytes()]);
        let share = u128::from_be_bytes(share) >> 64;
        let mut place = (share * u128::from(all)) >> 64;
        for (hash, count) in known.kinds.values() {
            match place.checked_sub(u128::from(*count)) {
                Some(rest) => place = rest,
                None => return hash.clone(),
            }
        }
        self.usual.clone()
    }

    /// Whether it is time to look at the table again; who is told so does it.
    pub(super) fn claim_look(&self) -> bool {
        let now = now();
        if now < self.known.read().unwrap_or_else(PoisonError::into_inner).look_at {
            return false;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let is_first = known.look_at <= now;
        known.look_at = now + LOOK;
        is_first
    }
}

fn now() -> Duration {
    Duration::from_nanos(clock::monotonic_ns())
}

/// What a provider's key derives the secret for.
pub(super) const PURPOSE: &str = "ferricorn: costs of users that are not there";

/// Between two looks at the table, where somebody logs in: by `rehash`, or by Django's own logins, its costs change slowly.
const LOOK: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    const WEAK: &str =
        "pbkdf2_sha256$2000$fHBr1q7x86zYjF4cNhg4fC$aCYhTf/yfuT2jh8La7cuwt3zQj99F6756JaP5XkArDk=";
    const STRONG: &str = "argon2$argon2id$v=19$m=256,t=2,p=8$T200MTNPUnRwUDRRemFQbXBwTlBHRQ$trYxabBDUPwi4tObZFJEjDL9bidtajIgRTK2e6QRcoo";

    fn samples(of: &[(&str, usize)]) -> Vec<String> {
        of.iter().flat_map(|(stored, count)| vec![(*stored).to_owned(); *count]).collect()
    }

    fn decoys(of: &[(&str, usize)]) -> Decoys {
        Decoys::new(PasswordHash::usual(), [1; 16], &samples(of))
    }

    /// Which of a thousand names take as long as [`STRONG`].
    fn strong(decoys: &Decoys) -> Vec<bool> {
        let cost = PasswordHash::parse(STRONG).unwrap().cost();
        (0..1000).map(|number| decoys.of(&format!("user{number}")).cost() == cost).collect()
    }

    fn count(names: &[bool]) -> usize {
        names.iter().filter(|is_so| **is_so).count()
    }

    #[test]
    fn names_of_nobody_cost_what_users_cost_as_often_and_always_the_same() {
        let known = decoys(&[(WEAK, 75), ("!none", 9), (STRONG, 25)]);
        let before = strong(&known);
        assert!((200..300).contains(&count(&before)), "{}", count(&before));
        // Another worker, and the same one after somebody has logged in, and has got a better hash.
        assert_eq!(strong(&decoys(&[(WEAK, 75), (STRONG, 25)])), before);
        for _ in 0..100 {
            known.saw(&PasswordHash::parse(STRONG).unwrap());
        }
        assert_eq!(strong(&known), before, "nobody chooses it by logging in");
        // The oldest user, who comes first, gets another password, or goes.
        let others = WEAK.replace("fHBr", "fHBs");
        for users in
            [[(others.as_str(), 1), (WEAK, 74), (STRONG, 25)], [(STRONG, 25), (WEAK, 74), (&others, 1)]]
        {
            known.learn(&samples(&users));
            assert_eq!(strong(&known), before);
        }
        known.learn(&samples(&[(WEAK, 74), (STRONG, 26)]));
        let after = strong(&known);
        let changed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert!(changed < 30, "{changed}");
        known.learn(&samples(&[(STRONG, 100)]));
        assert_eq!(count(&strong(&known)), 1000);
    }

    #[test]
    fn which_name_costs_what_is_a_secret_of_the_key() {
        let known = decoys(&[(WEAK, 50), (STRONG, 50)]);
        let one = strong(&known);
        known.choose_by([2; 16]);
        let same = one.iter().zip(strong(&known)).filter(|(one, other)| **one == *other).count();
        assert!((400..600).contains(&same), "{same}");
    }

    #[test]
    fn what_is_usual_holds_until_somebody_is_seen() {
        let decoys = decoys(&[]);
        assert_eq!(decoys.of("a").cost(), PasswordHash::usual().cost());
        decoys.saw(&PasswordHash::parse(STRONG).unwrap());
        assert_eq!(count(&strong(&decoys)), 1000);
        assert!(!decoys.claim_look(), "it was looked at just now");
    }
}
