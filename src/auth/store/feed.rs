//! How a worker hears of sessions that have ended: it asks the store, a thread of its own, twice a second.

use super::{Backend, SWEEP, StoreError, StorePlace};
use crate::auth::revocations::Revocations;
use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Between two questions: a session that has ended is refused everywhere within this time.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// Between two sweeps of what has expired.
const SWEEPS: Duration = Duration::from_secs(60);

/// After a sweep that leaves something, the pause is so many times as long as it took, waiting for others included.
const REST: u32 = 20;

/// For so long all that is known of a token is known after its end: more than `leeway` may be, also after a reload.
const LEEWAY: i64 = 600;

/// Asks for events and adds them.
#[derive(Debug)]
struct Feed {
    revocations: Weak<Revocations>,
    place: StorePlace,
    last: i64,
    /// Said once until the store is heard again.
    complained: bool,
    next_sweep: Instant,
}

/// Hears what there is, then goes on listening in a thread until nobody wants to know any more.
///
/// A store that is away now is listened for all the same.
///
/// # Errors
/// [`StoreError::Unusable`], or the system refuses a thread.
pub fn listen(place: &StorePlace, revocations: &Arc<Revocations>) -> Result<(), StoreError> {
    let mut feed = Feed {
        revocations: Arc::downgrade(revocations),
        place: place.clone(),
        last: 0,
        complained: false,
        // Not all workers at once.
        next_sweep: Instant::now() + SWEEPS / 2 + SWEEPS.mul_f64(fraction()) / 2,
    };
    let mut backend = match place.open() {
        Ok(backend) => Some(backend),
        Err(error @ StoreError::Unusable(_)) => return Err(error),
        Err(error) => {
            feed.complain(&error);
            None
        }
    };
    feed.round(&mut backend);
    let begun = thread::Builder::new().name("ferricorn-feed".into()).spawn(move || feed.run(backend));
    begun.map(drop).map_err(|error: io::Error| StoreError::Unavailable(error.to_string()))
}

impl Feed {
    fn run(mut self, mut backend: Option<Box<dyn Backend>>) {
        while self.revocations.strong_count() > 0 {
            thread::park_timeout(INTERVAL);
            if backend.is_none() {
                backend = self.place.open().map_err(|error| self.complain(&error)).ok();
            }
            self.round(&mut backend);
        }
    }

    fn round(&mut self, backend: &mut Option<Box<dyn Backend>>) {
        let (Some(open), Some(revocations)) = (backend.as_mut(), self.revocations.upgrade()) else { return };
        let over = now_seconds() - LEEWAY;
        match open.events(self.last, over) {
            Ok(events) => {
                for event in events {
                    revocations.add(event.session.0, event.until);
                    self.last = self.last.max(event.number);
                }
                revocations.heard(over);
                if std::mem::take(&mut self.complained) {
                    tracing::info!("the store of sessions is there again");
                }
            }
            Err(error) => {
                self.complain(&error);
                *backend = None;
                return;
            }
        }
        if Instant::now() >= self.next_sweep {
            let begun = Instant::now();
            let outcome = open.sweep(over);
            self.next_sweep = Instant::now() + pause_after(&outcome, begun.elapsed());
            // What is not swept now is swept later.
            if let Err(error) = outcome {
                tracing::debug!("the store of sessions cannot be swept: {error}");
            }
        }
    }

    fn complain(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.complained, true) {
            tracing::error!("the store of sessions cannot be used: {error}");
        }
    }
}

/// How long not to sweep after a sweep that took so long.
fn pause_after(outcome: &Result<usize, StoreError>, took: Duration) -> Duration {
    match outcome {
        // There is more: tokens that are exchanged may expire faster than one sweep each minute takes them away. All workers
        // sweep, and together they leave the store to the clients for most of the time.
        Ok(swept) if *swept >= SWEEP as usize => (took * REST).min(SWEEPS),
        Err(StoreError::Busy) => (took * REST).min(SWEEPS),
        Ok(_) | Err(StoreError::Unavailable(_) | StoreError::TooSlow | StoreError::Unusable(_)) => SWEEPS,
    }
}

/// Now, in whole Unix seconds.
pub fn now_seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The same in milliseconds.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// From 0 to 1, differently in each worker.
fn fraction() -> f64 {
    f64::from(std::process::id() % 64) / 64.0
}

#[cfg(test)]
mod tests {
    use super::super::{EndReason, RefreshToken, Session, SessionId, TokenHash};
    use super::*;
    use crate::auth::Reason;
    use crate::auth::revocations::Silence;
    use crate::config::DatabaseUrl;
    use serde_json::Map;

    #[test]
    fn what_has_expired_is_swept_as_fast_as_it_comes() {
        let folder = tempfile::tempdir().unwrap();
        let place = StorePlace::at(DatabaseUrl::Sqlite(folder.path().join("auth.db")));
        let mut store = place.open().unwrap();
        let session = Session {
            id: SessionId([1; 16]),
            user: "u".into(),
            created: 0,
            used: 0,
            ends: i64::MAX,
            access_until: 0,
            credential: None,
        };
        store.begin(&session, RefreshToken { hash: TokenHash::of("0"), expires: 1 }).unwrap();
        let connection = rusqlite::Connection::open(folder.path().join("auth.db")).unwrap();
        let many = format!(
            "WITH RECURSIVE number (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM number WHERE n < {}) \
             INSERT INTO token (hash, session, expires) SELECT n, x'01', 1 FROM number",
            3 * SWEEP
        );
        connection.execute_batch(&many).unwrap();
        let revocations = Arc::new(Revocations::new(Silence::ChangesNothing));
        let mut feed = feed(&revocations, place);
        let mut store = Some(store);
        for _ in 0..4 {
            feed.next_sweep = Instant::now();
            feed.round(&mut store);
        }
        let left: u32 = connection.query_row("SELECT count(*) FROM token", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn an_ended_session_is_known_as_long_as_its_tokens_are_taken_with_leeway() {
        let folder = tempfile::tempdir().unwrap();
        let place = StorePlace::at(DatabaseUrl::Sqlite(folder.path().join("auth.db")));
        let mut store = place.open().unwrap();
        let now = now_seconds();
        // The longest `leeway` there is, and a moment for the test.
        let session = Session {
            id: SessionId([1; 16]),
            user: "u".into(),
            created: now - 1000,
            used: now - 1000,
            ends: now + 1000,
            access_until: now - 300 - 60,
            credential: None,
        };
        store.begin(&session, RefreshToken { hash: TokenHash::of("0"), expires: now + 1000 }).unwrap();
        store.end("u", None, (EndReason::Logout, now)).unwrap();
        let revocations = Arc::new(Revocations::new(Silence::ChangesNothing));
        let mut feed = feed(&revocations, place);
        let claims = Map::from_iter([("sid".to_owned(), session.id.to_string().into())]);
        let mut store = Some(store);
        // Read in the first round, and still known after another one that sweeps.
        for _ in 0..2 {
            feed.round(&mut store);
            assert_eq!(revocations.judge(&claims), Err(Reason::Revoked));
        }
    }

    fn feed(revocations: &Arc<Revocations>, place: StorePlace) -> Feed {
        Feed {
            revocations: Arc::downgrade(revocations),
            place,
            last: 0,
            complained: false,
            next_sweep: Instant::now(),
        }
    }

    #[test]
    fn a_sweep_that_leaves_something_is_followed_by_another_and_by_more_time_without_one() {
        let full = Ok(SWEEP as usize);
        let failed = StoreError::Unavailable(String::new());
        for (outcome, took, expected) in [
            (full.clone(), 40, Duration::from_millis(800)),
            (Err(StoreError::Busy), 100, Duration::from_secs(2)),
            (full, 10_000, SWEEPS),
            (Ok(SWEEP as usize - 1), 40, SWEEPS),
            (Err(failed), 40, SWEEPS),
        ] {
            assert_eq!(pause_after(&outcome, Duration::from_millis(took)), expected, "{outcome:?} {took}");
        }
    }
}
