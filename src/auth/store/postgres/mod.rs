//! Sessions in PostgreSQL, in tables of their own: for several machines, or beside the site's own data.
//!
//! Whoever changes a session locks its row first, so that of any number of exchanges one comes after the other. Every
//! commit is on the disk before it is answered.

mod connection;
mod rows;
mod url;

pub use connection::Connection;

use super::{
    Attempts, Backend, EndReason, Event, Exchange, Exchanged, Found, Judged, RefreshToken, SWEEP, Session,
    SessionId, SessionKey, StoreError, Successor, TokenHash, TokenState, UserChange, UserKey, UserRow,
    version,
};
use crate::config::Reuse;
use rows::{
    USERS, end_session, find_locked, insert_session, insert_token, lock, session_of, sessions_query, touch,
    user_of,
};
use std::time::Duration;
use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

/// One connection.
#[derive(Debug)]
pub struct Postgres {
    connection: Connection,
}

impl Postgres {
    /// Connects, and makes the tables when they are missing.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when they cannot be made or are something else.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let mut connection = Connection::open(url, DURABLE)?;
        connection.transact(migrate)?;
        Ok(Self { connection })
    }
}

/// Whether a URL can be understood; nobody is asked.
///
/// # Errors
/// [`StoreError::Unusable`].
pub fn check(url: &str) -> Result<(), StoreError> {
    url::Place::parse(url).map(drop)
}

impl Backend for Postgres {
    fn begin(&mut self, session: &Session, token: RefreshToken) -> Result<(), StoreError> {
        self.connection.transact(async |transaction| {
            insert_session(transaction, session).await?;
            insert_token(transaction, session.id, token).await
        })
    }

    fn exchange(&mut self, exchange: &Exchange) -> Result<Exchanged, StoreError> {
        self.connection.transact(async |transaction| {
            match find_or_adopt(transaction, exchange.token, exchange.adopt.as_ref()).await? {
                Some(found) => exchange_found(transaction, exchange, found).await,
                None => Ok(Exchanged::Unknown),
            }
        })
    }

    fn look(&mut self, token: TokenHash, now: i64) -> Result<TokenState, StoreError> {
        self.connection.run(async |client| {
            let rows = client.query_typed(&rows::find_query(), &[(&token.bytes(), Type::BYTEA)]).await?;
            let found = rows.first().map(rows::found).transpose()?;
            Ok(found.map_or(TokenState::Unknown, |found| found.state(now)))
        })
    }

    fn end_by_token(
        &mut self,
        token: TokenHash,
        adopt: Option<&(Session, RefreshToken)>,
        now: i64,
    ) -> Result<TokenState, StoreError> {
        self.connection.transact(async |transaction| {
            let Some(found) = find_or_adopt(transaction, token, adopt).await? else {
                return Ok(TokenState::Unknown);
            };
            let state = found.state(now);
            if state == TokenState::Live {
                end_session(transaction, &found.session, (EndReason::Logout, now)).await?;
            }
            Ok(state)
        })
    }

    fn end(
        &mut self,
        user: &str,
        which: Option<SessionId>,
        reason: (EndReason, i64),
    ) -> Result<usize, StoreError> {
        self.connection.transact(async |transaction| {
            // In one order, so that two who end the same wait for each other and not both.
            let text = sessions_query() + " ORDER BY id FOR UPDATE";
            let parameters: [(&(dyn ToSql + Sync), Type); 2] =
                [(&Some(user), Type::TEXT), (&reason.1, Type::INT8)];
            let rows = transaction.query_typed(&text, &parameters).await?;
            let mut sessions = rows.iter().map(session_of).collect::<Result<Vec<_>, _>>()?;
            sessions.retain(|session| which.is_none_or(|which| which == session.id));
            for session in &sessions {
                end_session(transaction, session, reason).await?;
            }
            Ok(sessions.len())
        })
    }

    fn sessions(&mut self, user: Option<&str>, now: i64) -> Result<Vec<Session>, StoreError> {
        self.connection.run(async |client| {
            let text = sessions_query() + " ORDER BY created, id";
            let rows = client.query_typed(&text, &[(&user, Type::TEXT), (&now, Type::INT8)]).await?;
            rows.iter().map(session_of).collect()
        })
    }

    fn session(&mut self, by: SessionKey) -> Result<Option<Session>, StoreError> {
        self.connection.run(async |client| rows::session(client, by).await)
    }

    fn rehashed(&mut self, user: &str, from: [u8; 16], to: [u8; 16]) -> Result<(), StoreError> {
        let text = "UPDATE ferricorn_session SET credential = $1 WHERE username = $2 AND credential = $3";
        let (from, to) = (from.as_slice(), to.as_slice());
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&to, Type::BYTEA), (&user, Type::TEXT), (&from, Type::BYTEA)];
        self.connection.run(async |client| {
            client.execute_typed(text, &parameters).await?;
            Ok(())
        })
    }

    fn events(&mut self, after: i64, now: i64) -> Result<Vec<Event>, StoreError> {
        let text = "SELECT session, number, until FROM ferricorn_event \
                    WHERE number > $1 AND until > $2 ORDER BY number";
        self.connection.run(async |client| {
            let rows = client.query_typed(text, &[(&after, Type::INT8), (&now, Type::INT8)]).await?;
            let event = |row| {
                let session = SessionId(rows::sixteen(row, 0)?);
                Ok(Event { session, number: row.try_get(1)?, until: row.try_get(2)? })
            };
            rows.iter().map(event).collect()
        })
    }

    fn wait(&mut self, attempts: &[Attempts], now_ms: i64) -> Result<Duration, StoreError> {
        let text = "SELECT until_ms FROM ferricorn_attempt WHERE key = $1";
        self.connection.run(async |client| {
            let mut longest = Duration::ZERO;
            for one in attempts {
                let rows = client.query_typed(text, &[(&one.key.as_slice(), Type::BYTEA)]).await?;
                let until = rows.first().map(|row| row.try_get(0)).transpose()?;
                longest = longest.max(one.wait(until, now_ms));
            }
            Ok(longest)
        })
    }

    /// Each by itself: nobody holds one row and waits for another.
    fn failed(&mut self, attempts: &[Attempts], now_ms: i64) -> Result<(), StoreError> {
        let text = "INSERT INTO ferricorn_attempt (key, until_ms) VALUES ($1, $2 + $3) ON CONFLICT (key) \
                    DO UPDATE SET until_ms = greatest(ferricorn_attempt.until_ms, $2) + $3";
        self.connection.run(async |client| {
            for one in attempts {
                let step = i64::try_from(one.step.as_millis()).unwrap_or(i64::MAX);
                let key = one.key.as_slice();
                let parameters: [(&(dyn ToSql + Sync), Type); 3] =
                    [(&key, Type::BYTEA), (&now_ms, Type::INT8), (&step, Type::INT8)];
                client.execute_typed(text, &parameters).await?;
            }
            Ok(())
        })
    }

    /// Rows that somebody uses are left for the next time. A session is known for as long as its tokens: one of simplejwt may
    /// outlive the session that it has begun, and begins no other.
    fn sweep(&mut self, now: i64) -> Result<usize, StoreError> {
        let now_ms = now.saturating_mul(1000);
        self.connection.run(async |client| {
            let mut swept = 0;
            for (table, key, over, now) in [
                ("token", "hash", "expires <= $1", now),
                (
                    "session",
                    "id",
                    &format!("ends <= $1 AND access_until <= $1 AND NOT EXISTS ({TOKENS})"),
                    now,
                ),
                ("event", "number", "until <= $1", now),
                ("attempt", "key", "until_ms <= $1", now_ms),
            ] {
                let text = format!(
                    "DELETE FROM ferricorn_{table} WHERE {key} IN \
                     (SELECT {key} FROM ferricorn_{table} WHERE {over} LIMIT {SWEEP} FOR UPDATE SKIP LOCKED)"
                );
                swept += client.execute_typed(&text, &[(&now, Type::INT8)]).await?;
            }
            Ok(usize::try_from(swept).unwrap_or(usize::MAX))
        })
    }

    fn user(&mut self, by: UserKey<'_>) -> Result<Option<UserRow>, StoreError> {
        self.connection.run(async |client| {
            let rows = match by {
                UserKey::Name(name) => {
                    let text = format!("{USERS} WHERE name = $1");
                    client.query_typed(&text, &[(&name, Type::TEXT)]).await?
                }
                UserKey::Id(id) => {
                    let Ok(id) = id.parse::<i64>() else { return Ok(None) };
                    client.query_typed(&format!("{USERS} WHERE id = $1"), &[(&id, Type::INT8)]).await?
                }
            };
            rows.first().map(user_of).transpose()
        })
    }

    fn users(&mut self) -> Result<Vec<UserRow>, StoreError> {
        self.connection.run(async |client| {
            let rows = client.query_typed(&format!("{USERS} ORDER BY name"), &[]).await?;
            rows.iter().map(user_of).collect()
        })
    }

    fn change_user(&mut self, name: &str, change: UserChange<'_>, now: i64) -> Result<bool, StoreError> {
        let (text, value): (_, (&(dyn ToSql + Sync), Type)) = match &change {
            UserChange::Add(password) => (
                "INSERT INTO ferricorn_user (name, password, active, created) VALUES ($1, $2, true, $3) \
                 ON CONFLICT (name) DO NOTHING",
                (password, Type::TEXT),
            ),
            UserChange::Password(password) => {
                ("UPDATE ferricorn_user SET password = $2 WHERE name = $1", (password, Type::TEXT))
            }
            UserChange::Hash { to, .. } => (
                "UPDATE ferricorn_user SET password = $2 WHERE name = $1 AND password = $3",
                (to, Type::TEXT),
            ),
            UserChange::Active(active) => {
                ("UPDATE ferricorn_user SET active = $2 WHERE name = $1", (active, Type::BOOL))
            }
        };
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&name, Type::TEXT), value];
        match &change {
            UserChange::Add(_) => parameters.push((&now, Type::INT8)),
            UserChange::Hash { from, .. } => parameters.push((from, Type::TEXT)),
            UserChange::Password(_) | UserChange::Active(_) => {}
        }
        self.connection.run(async |client| Ok(client.execute_typed(text, &parameters).await? > 0))
    }
}

/// One that is in no session yet begins one, if it may.
async fn find_or_adopt(
    transaction: &Transaction<'_>,
    token: TokenHash,
    adopt: Option<&(Session, RefreshToken)>,
) -> Result<Option<Found>, StoreError> {
    let Some((session, kept)) = adopt else { return find_locked(transaction, token).await };
    // There is no row yet that could be locked.
    let mut number = [0; 8];
    number.copy_from_slice(&token.bytes()[..8]);
    lock(transaction, i64::from_be_bytes(number)).await?;
    if let Some(found) = find_locked(transaction, token).await? {
        return Ok(Some(found));
    }
    insert_session(transaction, session).await?;
    insert_token(transaction, session.id, *kept).await?;
    find_locked(transaction, token).await
}

async fn exchange_found(
    transaction: &Transaction<'_>,
    exchange: &Exchange,
    found: Found,
) -> Result<Exchanged, StoreError> {
    let now = exchange.now;
    let (session, successor) = match found.judge(exchange) {
        Judged::Ended => return Ok(Exchanged::Ended),
        Judged::Again(session, successor) => {
            touch(transaction, session.id, now, exchange.access_until(&session)).await?;
            return Ok(Exchanged::Again(session, successor));
        }
        Judged::Reused(session) => {
            if exchange.reuse == Reuse::RevokeFamily {
                end_session(transaction, &session, (EndReason::Reuse, now)).await?;
            }
            return Ok(Exchanged::Reused(session));
        }
        Judged::Good(session, successor) => (session, successor),
    };
    touch(transaction, session.id, now, exchange.access_until(&session)).await?;
    if let Some(Successor { id, issued, expires }) = successor {
        let text = "UPDATE ferricorn_token SET replaced = $1, next = $2, next_issued = $3, next_expires = $4 \
                    WHERE hash = $5";
        let (next, hash) = (id.0.as_slice(), exchange.token.bytes());
        let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
            (&now, Type::INT8),
            (&next, Type::BYTEA),
            (&issued, Type::INT8),
            (&expires, Type::INT8),
            (&hash, Type::BYTEA),
        ];
        transaction.execute_typed(text, &parameters).await?;
        insert_token(transaction, session.id, RefreshToken { hash: id.hash(), expires }).await?;
    }
    Ok(Exchanged::Good(session, successor))
}

async fn migrate(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    // Not by to_regclass(): within a transaction PostgreSQL remembers that there was no such name, also after waiting for
    // whoever has made it.
    let exists = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class \
                  WHERE relname = 'ferricorn_version' AND pg_catalog.pg_table_is_visible(oid))";
    let mut is_there: bool = transaction.query_typed_one(exists, &[]).await?.try_get(0)?;
    if !is_there {
        lock(transaction, TABLES).await?;
        is_there = transaction.query_typed_one(exists, &[]).await?.try_get(0)?;
    }
    if is_there {
        let row = transaction.query_typed_one("SELECT max(version) FROM ferricorn_version", &[]).await?;
        let kept = row.try_get::<_, Option<i64>>(0)?;
        return version::check("the tables ferricorn_… are", kept.unwrap_or_default());
    }
    Ok(transaction.batch_execute(include_str!("schema.sql")).await?)
}

/// Of the session at hand.
const TOKENS: &str = "SELECT 1 FROM ferricorn_token t WHERE t.session = ferricorn_session.id";

/// A server that answers before it has written may forget that a token was used.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false) \
    WHERE current_setting('synchronous_commit') = 'off'";

/// Who makes the tables. Locks are numbered for the whole database: "ferrita".
const TABLES: i64 = 0x0066_6572_7269_7461;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::store::contract_tests::{NOW, exchange, next, session, token};
    use crate::auth::store::databases::{Database, Engine};
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn tables_are_made_by_all_who_want_them_at_once() {
        let Some(database) = Database::start(Engine::Postgres) else { return };
        for number in 0..5 {
            let (url, together) = (database.url(number), Barrier::new(8));
            thread::scope(|threads| {
                for _ in 0..8 {
                    threads.spawn(|| {
                        let mut connection = Connection::open(&url, DURABLE).unwrap();
                        together.wait();
                        // On a slow machine the others may wait longer for the first than a transaction may last.
                        let mut outcome = connection.transact(migrate);
                        for _ in 0..5 {
                            if matches!(outcome, Err(StoreError::Unavailable(_))) {
                                outcome = Postgres::open(&url).map(drop);
                            }
                        }
                        outcome.unwrap();
                    });
                }
            });
        }
    }

    #[test]
    fn a_transaction_that_changes_nothing_holds_nobody_up() {
        let Some(database) = Database::start(Engine::Postgres) else { return };
        let url = database.url(0);
        // The second finds the tables.
        let [mut one, mut other] = [(); 2].map(|()| Postgres::open(&url).unwrap());
        one.begin(&session(1, "u"), token("a")).unwrap();
        let first = exchange("a", NOW, 11);
        assert!(matches!(one.exchange(&first).unwrap(), Exchanged::Good(..)));
        // Nothing is done by this connection after that.
        assert_eq!(one.end_by_token(first.token, None, NOW).unwrap(), TokenState::Ended);
        let outcome = other.exchange(&exchange(&next(11), NOW, 12));
        assert!(matches!(outcome, Ok(Exchanged::Good(..))), "{outcome:?}");
        // Nor where it has failed for good.
        let twice = one.begin(&session(1, "u"), token("b"));
        assert!(twice.is_err(), "{twice:?}");
        let idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
        let count: i64 = other
            .connection
            .run(async |client| Ok(client.query_typed_one(idle, &[]).await?.try_get(0)?))
            .unwrap();
        assert_eq!(count, 0);
    }
}
