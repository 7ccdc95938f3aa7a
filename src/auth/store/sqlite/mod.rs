//! Sessions in an SQLite file that all workers of a machine have open.
//!
//! Write-ahead logging lets readers go on while one writes; who wants to write waits for its turn. Every commit is on
//! the disk before it is answered (synchronous=FULL): a rotation that was lost would make a used token good again.

mod open;
mod rows;
mod sweep;

use super::{
    Attempts, Backend, EndReason, Event, Exchange, Exchanged, Found, Judged, RefreshToken, Session,
    SessionId, SessionKey, StoreError, Successor, TokenHash, TokenState, UserChange, UserKey, UserRow,
};
use crate::config::Reuse;
use rows::{end_session, find, insert_session, insert_token, session, sessions, taken_until, touch, user_of};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One connection. Never carried over a fork: the locks are the process's (SQLite, "How To Corrupt", 2.6).
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    /// The file that is open, to see when another one takes its name.
    file: (u64, u64),
}

impl Sqlite {
    /// Opens the file, and makes it when it is missing, readable by nobody else.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when it cannot be made or is something else.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let (connection, file) = open::open(path)?;
        Ok(Self { connection, path: path.to_owned(), file })
    }

    /// A transaction that writes, from its beginning: two that read first and then write would refuse each other.
    fn writing(&mut self) -> Result<Transaction<'_>, StoreError> {
        self.check_file()?;
        Ok(self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    fn reading(&mut self) -> Result<&mut Connection, StoreError> {
        self.check_file()?;
        Ok(&mut self.connection)
    }

    /// What is written to a file that has lost its name is lost for everybody else.
    fn check_file(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.path) {
            Ok(file) if (file.dev(), file.ino()) == self.file => Ok(()),
            Ok(_) => Err(StoreError::Unavailable(format!("{} is another file now", self.path.display()))),
            Err(error) => Err(StoreError::Unavailable(format!("{}: {error}", self.path.display()))),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Unusable(format!("{error}; see auth.store.url"))
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl Backend for Sqlite {
    fn begin(&mut self, session: &Session, token: RefreshToken) -> Result<(), StoreError> {
        let transaction = self.writing()?;
        insert_session(&transaction, session)?;
        insert_token(&transaction, session.id, token)?;
        Ok(transaction.commit()?)
    }

    fn exchange(&mut self, exchange: &Exchange) -> Result<Exchanged, StoreError> {
        let transaction = self.writing()?;
        let Some(found) = find_or_adopt(&transaction, exchange.token, exchange.adopt.as_ref())? else {
            return Ok(Exchanged::Unknown);
        };
        let outcome = exchange_found(&transaction, exchange, found)?;
        transaction.commit()?;
        Ok(outcome)
    }

    fn look(&mut self, token: TokenHash, now: i64) -> Result<TokenState, StoreError> {
        let found = find(self.reading()?, token)?;
        Ok(found.map_or(TokenState::Unknown, |found| found.state(now)))
    }

    fn end_by_token(
        &mut self,
        token: TokenHash,
        adopt: Option<&(Session, RefreshToken)>,
        now: i64,
    ) -> Result<TokenState, StoreError> {
        let transaction = self.writing()?;
        let Some(found) = find_or_adopt(&transaction, token, adopt)? else {
            return Ok(TokenState::Unknown);
        };
        let state = found.state(now);
        if state == TokenState::Live {
            end_session(&transaction, &found.session, (EndReason::Logout, now))?;
            transaction.commit()?;
        }
        Ok(state)
    }

    fn end(
        &mut self,
        user: &str,
        which: Option<SessionId>,
        reason: (EndReason, i64),
    ) -> Result<usize, StoreError> {
        let transaction = self.writing()?;
        let mut sessions = sessions(&transaction, Some(user), reason.1)?;
        sessions.retain(|session| which.is_none_or(|which| which == session.id));
        for session in &sessions {
            end_session(&transaction, session, reason)?;
        }
        transaction.commit()?;
        Ok(sessions.len())
    }

    fn sessions(&mut self, user: Option<&str>, now: i64) -> Result<Vec<Session>, StoreError> {
        sessions(self.reading()?, user, now)
    }

    fn session(&mut self, by: SessionKey) -> Result<Option<Session>, StoreError> {
        session(self.reading()?, by)
    }

    fn rehashed(&mut self, user: &str, from: [u8; 16], to: [u8; 16]) -> Result<(), StoreError> {
        let transaction = self.writing()?;
        let text = "UPDATE session SET credential = ? WHERE user = ? AND credential = ?";
        transaction.prepare_cached(text)?.execute(params![to, user, from])?;
        Ok(transaction.commit()?)
    }

    fn events(&mut self, after: i64, now: i64) -> Result<Vec<Event>, StoreError> {
        let mut statement = self.reading()?.prepare_cached(
            "SELECT number, session, until FROM event WHERE number > ? AND until > ? ORDER BY number",
        )?;
        let rows = statement.query_map(params![after, now], |row| {
            Ok(Event { number: row.get(0)?, session: SessionId(row.get(1)?), until: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn wait(&mut self, attempts: &[Attempts], now_ms: i64) -> Result<Duration, StoreError> {
        let connection = self.reading()?;
        let mut longest = Duration::ZERO;
        for one in attempts {
            longest = longest.max(one.wait(taken_until(connection, &one.key)?, now_ms));
        }
        Ok(longest)
    }

    fn failed(&mut self, attempts: &[Attempts], now_ms: i64) -> Result<(), StoreError> {
        let transaction = self.writing()?;
        for one in attempts {
            let until = one.after_failure(taken_until(&transaction, &one.key)?, now_ms);
            transaction
                .prepare_cached("INSERT OR REPLACE INTO attempt (key, until_ms) VALUES (?, ?)")?
                .execute(params![one.key, until])?;
        }
        Ok(transaction.commit()?)
    }

    fn sweep(&mut self, now: i64) -> Result<usize, StoreError> {
        self.check_file()?;
        sweep::sweep(&mut self.connection, now)
    }

    fn user(&mut self, by: UserKey<'_>) -> Result<Option<UserRow>, StoreError> {
        let (column, value) = match by {
            UserKey::Name(name) => ("name", name),
            UserKey::Id(id) => ("id", id),
        };
        let text = format!("SELECT id, name, password, active FROM user WHERE {column} = ?");
        Ok(self.reading()?.prepare_cached(&text)?.query_row(params![value], user_of).optional()?)
    }

    fn users(&mut self) -> Result<Vec<UserRow>, StoreError> {
        let mut statement =
            self.reading()?.prepare_cached("SELECT id, name, password, active FROM user ORDER BY name")?;
        Ok(statement.query_map([], user_of)?.collect::<Result<_, _>>()?)
    }

    fn change_user(&mut self, name: &str, change: UserChange<'_>, now: i64) -> Result<bool, StoreError> {
        let transaction = self.writing()?;
        let changed = match change {
            UserChange::Add(password) => transaction.execute(
                "INSERT INTO user (name, password, active, created) VALUES (?, ?, 1, ?) ON CONFLICT (name) DO NOTHING",
                params![name, password, now],
            )?,
            UserChange::Password(password) => {
                transaction.execute("UPDATE user SET password = ? WHERE name = ?", params![password, name])?
            }
            UserChange::Hash { from, to } => transaction.execute(
                "UPDATE user SET password = ? WHERE name = ? AND password = ?",
                params![to, name, from],
            )?,
            UserChange::Active(active) => {
                transaction.execute("UPDATE user SET active = ? WHERE name = ?", params![active, name])?
            }
        };
        transaction.commit()?;
        Ok(changed > 0)
    }
}

fn find_or_adopt(
    transaction: &Transaction<'_>,
    token: TokenHash,
    adopt: Option<&(Session, RefreshToken)>,
) -> Result<Option<Found>, StoreError> {
    let found = find(transaction, token)?;
    match adopt {
        Some((session, kept)) if found.is_none() => {
            insert_session(transaction, session)?;
            insert_token(transaction, session.id, *kept)?;
            find(transaction, token)
        }
        Some(_) | None => Ok(found),
    }
}

fn exchange_found(
    transaction: &Transaction<'_>,
    exchange: &Exchange,
    found: Found,
) -> Result<Exchanged, StoreError> {
    let now = exchange.now;
    let (session, successor) = match found.judge(exchange) {
        Judged::Ended => return Ok(Exchanged::Ended),
        Judged::Again(session, successor) => {
            touch(transaction, session.id, now, exchange.access_until(&session))?;
            return Ok(Exchanged::Again(session, successor));
        }
        Judged::Reused(session) => {
            if exchange.reuse == Reuse::RevokeFamily {
                end_session(transaction, &session, (EndReason::Reuse, now))?;
            }
            return Ok(Exchanged::Reused(session));
        }
        Judged::Good(session, successor) => (session, successor),
    };
    touch(transaction, session.id, now, exchange.access_until(&session))?;
    if let Some(Successor { id, issued, expires }) = successor {
        transaction
            .prepare_cached(
                "UPDATE token SET replaced = ?, next = ?, next_issued = ?, next_expires = ? WHERE hash = ?",
            )?
            .execute(params![now, id.0, issued, expires, exchange.token.bytes()])?;
        insert_token(transaction, session.id, RefreshToken { hash: id.hash(), expires })?;
    }
    Ok(Exchanged::Good(session, successor))
}

/// How long to wait for whoever writes; less than the pool's limit, so that its answer is still waited for.
const BUSY: Duration = Duration::from_secs(2);
