//! Whether the users who come with our tokens may still come in: what was last known of each, in memory.

use crate::auth::revocations::Silence;
use crate::auth::{Reason, Standing};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// What is known of users, by the name that tokens have for them.
#[derive(Debug)]
pub(super) struct UserStates {
    /// How long an answer is good for.
    fresh: Duration,
    /// What holds when no new answer can be had.
    silence: Silence,
    known: RwLock<HashMap<String, Known>>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    verdict: Result<(), Reason>,
    /// When it was learnt, on the monotonic clock.
    learnt: Duration,
    /// When to ask again.
    again: Duration,
}

impl UserStates {
    pub(super) fn new(fresh: Duration, silence: Silence) -> Self {
        // The request that has waited for the answer comes back for it.
        Self { fresh: fresh.max(LEAST), silence, known: RwLock::new(HashMap::new()) }
    }

    /// What is known of a user, as the clock shows `now`.
    pub(super) fn of(&self, user: &str, now: Duration) -> Standing {
        let found = self.known.read().unwrap_or_else(PoisonError::into_inner).get(user).copied();
        match found {
            Some(known) if now < known.again => standing(known.verdict),
            Some(known) if self.is_over(&known, now) => Standing::Unknown,
            // One request asks; the others need not wait for what was right a moment ago.
            Some(known) if self.claim(user, &known, now) => Standing::Unknown,
            Some(known) => standing(known.verdict),
            None => Standing::Unknown,
        }
    }

    /// A user may come in, or may not.
    pub(super) fn learn(&self, user: String, verdict: Result<(), Reason>, now: Duration) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, known| now < known.again);
        }
        if known.len() >= MOST {
            // They are asked for again.
            known.clear();
        }
        known.insert(user, Known { verdict, learnt: now, again: now + self.fresh });
    }

    /// Nothing could be learnt: what was known last holds for a while, or what the configuration says.
    pub(super) fn fail(&self, user: String, now: Duration) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match (known.get(&user).copied(), self.silence) {
            (Some(last), _) if !self.is_over(&last, now) => {
                known.insert(user, Known { again: now + PAUSE, ..last });
            }
            (_, Silence::ChangesNothing) if known.len() < MOST => {
                known.insert(user, Known { verdict: Ok(()), learnt: now, again: now + PAUSE });
            }
            (_, Silence::ChangesNothing | Silence::ClosesAfter(_)) => {}
        }
    }

    /// Whether what is known is too old to go by while nothing newer can be had.
    fn is_over(&self, known: &Known, now: Duration) -> bool {
        match self.silence {
            Silence::ChangesNothing => false,
            Silence::ClosesAfter(limit) => now.saturating_sub(known.learnt) > self.fresh + limit,
        }
    }

    /// Whether this is the request that asks; the next one to ask comes after a pause.
    fn claim(&self, user: &str, seen: &Known, now: Duration) -> bool {
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(user) {
            Some(known) if known.again == seen.again => {
                known.again = now + PAUSE;
                true
            }
            Some(_) => false,
            None => true,
        }
    }
}

fn standing(verdict: Result<(), Reason>) -> Standing {
    verdict.map_or_else(Standing::Refused, |()| Standing::Good)
}

/// The shortest time that an answer is good for.
const LEAST: Duration = Duration::from_millis(100);

/// Between two questions about a user while no answer comes.
const PAUSE: Duration = Duration::from_secs(1);

/// Users of whom something is known; each takes about 150 bytes.
const MOST: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_known_of_a_user_is_asked_anew_when_it_is_old() {
        let states = UserStates::new(30 * SECOND, Silence::ClosesAfter(60 * SECOND));
        assert_eq!(states.of("u", SECOND), Standing::Unknown);
        states.learn("u".into(), Ok(()), SECOND);
        assert_eq!(states.of("u", 30 * SECOND), Standing::Good);
        assert_eq!(states.of("u", 31 * SECOND), Standing::Unknown, "one asks");
        assert_eq!(states.of("u", 31 * SECOND), Standing::Good, "the others go on");
        assert_eq!(states.of("u", 32 * SECOND), Standing::Unknown, "nobody has answered");
        states.learn("u".into(), Err(Reason::Inactive), 32 * SECOND);
        assert_eq!(states.of("u", 33 * SECOND), Standing::Refused(Reason::Inactive));
    }

    #[test]
    fn while_nothing_can_be_learnt_the_last_word_holds_for_a_while() {
        let closed = UserStates::new(30 * SECOND, Silence::ClosesAfter(60 * SECOND));
        closed.fail("u".into(), SECOND);
        assert_eq!(closed.of("u", SECOND), Standing::Unknown, "nothing was ever known");
        closed.learn("u".into(), Ok(()), SECOND);
        for seconds in [31, 90] {
            assert_eq!(closed.of("u", seconds * SECOND), Standing::Unknown);
            closed.fail("u".into(), seconds * SECOND);
            assert_eq!(closed.of("u", seconds * SECOND), Standing::Good);
        }
        closed.fail("u".into(), 92 * SECOND);
        assert_eq!(closed.of("u", 92 * SECOND), Standing::Unknown, "it is too long ago");
        let open = UserStates::new(30 * SECOND, Silence::ChangesNothing);
        open.fail("u".into(), SECOND);
        assert_eq!(open.of("u", SECOND), Standing::Good);
    }
}
