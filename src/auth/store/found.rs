//! What is to be done with a refresh token that a table has: the rule, for the stores that are asked in SQL.

use super::{Exchange, Session, Successor, TokenState};

impl Exchange {
    /// The grace as it is compared with times, which are whole seconds; 0: there is none.
    pub(super) fn grace_seconds(&self) -> i64 {
        let whole = self.grace.as_secs() + u64::from(self.grace.subsec_nanos() > 0);
        i64::try_from(whole).unwrap_or(i64::MAX)
    }

    /// Until when the access token is taken that is issued in this session: it never outlives it.
    pub(super) fn access_until(&self, session: &Session) -> i64 {
        self.access_expires.min(session.ends).saturating_add(self.leeway)
    }
}

/// A refresh token with its session.
pub(super) struct Found {
    pub(super) session: Session,
    /// Whether the session has been ended.
    pub(super) ended: bool,
    pub(super) expires: i64,
    pub(super) replaced: Option<(i64, Successor)>,
}

/// What becomes of it when it is exchanged.
pub(super) enum Judged {
    Ended,
    /// It gets its successor once more.
    Again(Session, Successor),
    Reused(Session),
    /// This one takes its place; `None`: it stays good.
    Good(Session, Option<Successor>),
}

impl Found {
    pub(super) fn state(&self, now: i64) -> TokenState {
        if self.is_over(now) || self.replaced.is_some() { TokenState::Ended } else { TokenState::Live }
    }

    pub(super) fn judge(self, exchange: &Exchange) -> Judged {
        if self.is_over(exchange.now) {
            return Judged::Ended;
        }
        let session = self.session;
        if let Some((at, successor)) = self.replaced {
            let grace = exchange.grace_seconds();
            // By this very exchange, which is asked for once more since its answer was lost.
            let is_by_us = exchange.successor.is_some_and(|ours| ours.id == successor.id);
            return if is_by_us || grace > 0 && exchange.now.saturating_sub(at) <= grace {
                Judged::Again(session, successor)
            } else {
                Judged::Reused(session)
            };
        }
        let limited = |next: Successor| Successor { expires: next.expires.min(session.ends), ..next };
        let successor = exchange.successor.map(limited);
        Judged::Good(session, successor)
    }

    fn is_over(&self, now: i64) -> bool {
        self.ended || self.expires <= now || self.session.ends <= now
    }
}
