//! The rows of the store, read and written one by one.

use crate::auth::store::feed::now_ms;
use crate::auth::store::{
    EndReason, Found, RefreshToken, Session, SessionId, SessionKey, StoreError, Successor, TokenHash,
    TokenId, UserRow,
};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

pub(super) fn find(connection: &Connection, token: TokenHash) -> Result<Option<Found>, StoreError> {
    let text = format!(
        "SELECT {SESSION}, ended IS NOT NULL, expires, replaced, next, next_issued, next_expires \
         FROM token JOIN session ON session.id = token.session WHERE hash = ?"
    );
    let found = connection.prepare_cached(&text)?.query_row(params![token.bytes()], |row| {
        let replaced = match row.get::<_, Option<i64>>(9)? {
            Some(at) => Some((
                at,
                Successor { id: TokenId(row.get(10)?), issued: row.get(11)?, expires: row.get(12)? },
            )),
            None => None,
        };
        Ok(Found { session: session_of(row)?, ended: row.get(7)?, expires: row.get(8)?, replaced })
    });
    Ok(found.optional()?)
}

/// The columns that [`session_of`] reads, first of all that a query asks for; the table of tokens has none of these names.
const SESSION: &str = "id, user, created, used, ends, access_until, credential";

pub(super) fn session_of(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: SessionId(row.get(0)?),
        user: row.get(1)?,
        created: row.get(2)?,
        used: row.get(3)?,
        ends: row.get(4)?,
        access_until: row.get(5)?,
        credential: row.get(6)?,
    })
}

pub(super) fn user_of(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    Ok(UserRow { id: row.get(0)?, name: row.get(1)?, password: row.get(2)?, active: row.get(3)? })
}

pub(super) fn sessions(
    connection: &Connection,
    user: Option<&str>,
    now: i64,
) -> Result<Vec<Session>, StoreError> {
    let text = format!(
        "SELECT {SESSION} FROM session \
         WHERE (?1 IS NULL OR user = ?1) AND ended IS NULL AND (access_until > ?2 OR ends > ?2 \
         AND EXISTS (SELECT 1 FROM token WHERE session = session.id AND expires > ?2)) ORDER BY created, id"
    );
    let mut statement = connection.prepare_cached(&text)?;
    Ok(statement.query_map(params![user, now], session_of)?.collect::<Result<_, _>>()?)
}

pub(super) fn session(connection: &Connection, by: SessionKey) -> Result<Option<Session>, StoreError> {
    let (which, name) = match &by {
        SessionKey::Id(id) => ("?", id.0.as_slice()),
        SessionKey::Token(token) => ("(SELECT session FROM token WHERE hash = ?)", token.bytes()),
    };
    let text = format!("SELECT {SESSION} FROM session WHERE id = {which}");
    Ok(connection.prepare_cached(&text)?.query_row(params![name], session_of).optional()?)
}

pub(super) fn insert_session(transaction: &Transaction<'_>, session: &Session) -> Result<(), StoreError> {
    transaction
        .prepare_cached(&format!("INSERT INTO session ({SESSION}) VALUES (?, ?, ?, ?, ?, ?, ?)"))?
        .execute(params![
            session.id.0,
            session.user,
            session.created,
            session.used,
            session.ends,
            session.access_until,
            session.credential
        ])?;
    Ok(())
}

pub(super) fn insert_token(
    transaction: &Transaction<'_>,
    session: SessionId,
    token: RefreshToken,
) -> Result<(), StoreError> {
    transaction
        .prepare_cached("INSERT INTO token (hash, session, expires) VALUES (?, ?, ?)")?
        .execute(params![token.hash.bytes(), session.0, token.expires])?;
    Ok(())
}

pub(super) fn touch(
    transaction: &Transaction<'_>,
    session: SessionId,
    now: i64,
    access_until: i64,
) -> Result<(), StoreError> {
    transaction
        .prepare_cached("UPDATE session SET used = ?, access_until = max(access_until, ?) WHERE id = ?")?
        .execute(params![now, access_until, session.0])?;
    Ok(())
}

/// Ends a session; its access tokens are refused everywhere by the event.
pub(super) fn end_session(
    transaction: &Transaction<'_>,
    session: &Session,
    (reason, now): (EndReason, i64),
) -> Result<(), StoreError> {
    transaction
        .prepare_cached("UPDATE session SET ended = ?, reason = ? WHERE id = ? AND ended IS NULL")?
        .execute(params![now, reason.word(), session.id.0])?;
    // Whoever reads the events goes on after the last number. Numbers follow the clock, so that they go on rising when an
    // older state of the file is restored.
    let clock = now_ms().saturating_mul(1000);
    transaction
        .prepare_cached(
            "INSERT INTO event (number, session, until) \
             SELECT max(?1, 1 + coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)), id, access_until \
             FROM session WHERE id = ?2",
        )?
        .execute(params![clock, session.id.0])?;
    Ok(())
}

pub(super) fn taken_until(connection: &Connection, key: &[u8; 16]) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT until_ms FROM attempt WHERE key = ?")?;
    Ok(statement.query_row(params![key], |row| row.get(0)).optional()?)
}
