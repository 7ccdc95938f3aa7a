//! A store that does what it is asked, and whose answers are lost.

use super::tests::issuer;
use super::{Pair, Refusal};
use crate::auth::store::pool::{Bounds, Open, Pool};
use crate::auth::store::sqlite::Sqlite;
use crate::auth::store::{
    Attempts, Backend, EndReason, Event, Exchange, Exchanged, RefreshToken, Session, SessionId, SessionKey,
    StoreError, TokenHash, TokenState, UserChange, UserKey, UserRow,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[tokio::test]
async fn a_refresh_whose_answer_is_lost_once_is_done_once_and_keeps_its_session() {
    // Without a grace a second exchange would be a reuse.
    let (folder, mut issuer) = issuer("rotate = true\nreuse_grace = \"0s\"", "");
    let to_lose = Arc::new(AtomicUsize::new(0));
    let (file, counted) = (folder.path().join("auth.db"), Arc::clone(&to_lose));
    let open: Open<Box<dyn Backend>> = Arc::new(move || {
        let kept = Sqlite::open(&file)?;
        Ok(Box::new(Losing { kept, to_lose: Arc::clone(&counted) }))
    });
    let bounds = Bounds { threads: 1, queue: 8, limit: Duration::from_secs(60) };
    issuer.store = Arc::new(Pool::new("test", bounds, &open).unwrap());
    let token = |pair: Pair| pair.refresh.unwrap().token;
    let begun = token(issuer.obtain("ann".into(), "p\u{e4}ssword 1".into(), None).await.unwrap());
    to_lose.store(1, Ordering::Relaxed);
    let refreshed = issuer.refresh(&begun).await;
    assert_eq!(to_lose.load(Ordering::Relaxed), 0);
    let next = token(refreshed.unwrap());
    let next = token(issuer.refresh(&next).await.unwrap());
    to_lose.store(3, Ordering::Relaxed);
    assert_eq!(issuer.refresh(&next).await, Err(Refusal::Unavailable));
    assert_eq!(to_lose.load(Ordering::Relaxed), 1, "it is asked for once more, and no more");
}

/// Keeps all, and loses answers to exchanges.
struct Losing {
    kept: Sqlite,
    to_lose: Arc<AtomicUsize>,
}

impl Backend for Losing {
    fn begin(&mut self, session: &Session, token: RefreshToken) -> Result<(), StoreError> {
        self.kept.begin(session, token)
    }

    fn exchange(&mut self, exchange: &Exchange) -> Result<Exchanged, StoreError> {
        let outcome = self.kept.exchange(exchange)?;
        let left = self.to_lose.load(Ordering::Relaxed);
        if left == 0 {
            return Ok(outcome);
        }
        self.to_lose.store(left - 1, Ordering::Relaxed);
        Err(StoreError::Unavailable("the answer is lost".into()))
    }

    fn look(&mut self, token: TokenHash, now: i64) -> Result<TokenState, StoreError> {
        self.kept.look(token, now)
    }

    fn end_by_token(
        &mut self,
        token: TokenHash,
        adopt: Option<&(Session, RefreshToken)>,
        now: i64,
    ) -> Result<TokenState, StoreError> {
        self.kept.end_by_token(token, adopt, now)
    }

    fn end(
        &mut self,
        user: &str,
        which: Option<SessionId>,
        reason: (EndReason, i64),
    ) -> Result<usize, StoreError> {
        self.kept.end(user, which, reason)
    }

    fn sessions(&mut self, user: Option<&str>, now: i64) -> Result<Vec<Session>, StoreError> {
        self.kept.sessions(user, now)
    }

    fn session(&mut self, by: SessionKey) -> Result<Option<Session>, StoreError> {
        self.kept.session(by)
    }

    fn rehashed(&mut self, user: &str, from: [u8; 16], to: [u8; 16]) -> Result<(), StoreError> {
        self.kept.rehashed(user, from, to)
    }

    fn events(&mut self, after: i64, now: i64) -> Result<Vec<Event>, StoreError> {
        self.kept.events(after, now)
    }

    fn wait(&mut self, attempts: &[Attempts], now_ms: i64) -> Result<Duration, StoreError> {
        self.kept.wait(attempts, now_ms)
    }

    fn failed(&mut self, attempts: &[Attempts], now_ms: i64) -> Result<(), StoreError> {
        self.kept.failed(attempts, now_ms)
    }

    fn sweep(&mut self, now: i64) -> Result<usize, StoreError> {
        self.kept.sweep(now)
    }

    fn user(&mut self, by: UserKey<'_>) -> Result<Option<UserRow>, StoreError> {
        self.kept.user(by)
    }

    fn users(&mut self) -> Result<Vec<UserRow>, StoreError> {
        self.kept.users()
    }

    fn change_user(&mut self, name: &str, change: UserChange<'_>, now: i64) -> Result<bool, StoreError> {
        self.kept.change_user(name, change, now)
    }
}
