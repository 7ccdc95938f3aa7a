//! The rows of the store, read and written one by one.

use crate::auth::store::{
    EndReason, Found, RefreshToken, Session, SessionId, SessionKey, StoreError, Successor, TokenHash,
    TokenId, UserRow,
};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Transaction};

/// A token with its session, which nobody else changes until the end of the transaction.
pub(super) async fn find_locked(
    transaction: &Transaction<'_>,
    token: TokenHash,
) -> Result<Option<Found>, StoreError> {
    // The lock comes first: a statement sees what was there at its beginning, and not what it has waited for.
    let lock = "SELECT 1 FROM ferricorn_session \
                WHERE id = (SELECT session FROM ferricorn_token WHERE hash = $1) FOR UPDATE";
    transaction.query_typed(lock, &[(&token.bytes(), Type::BYTEA)]).await?;
    let rows = transaction.query_typed(&find_query(), &[(&token.bytes(), Type::BYTEA)]).await?;
    rows.first().map(found).transpose()
}

pub(super) fn find_query() -> String {
    format!(
        "SELECT {SESSION}, ended IS NOT NULL, expires, replaced, next, next_issued, next_expires \
         FROM ferricorn_token t JOIN ferricorn_session s ON s.id = t.session WHERE hash = $1"
    )
}

pub(super) fn found(row: &Row) -> Result<Found, StoreError> {
    let replaced = match row.try_get::<_, Option<i64>>(9)? {
        Some(at) => {
            let id = TokenId(sixteen(row, 10)?);
            Some((at, Successor { id, issued: row.try_get(11)?, expires: row.try_get(12)? }))
        }
        None => None,
    };
    Ok(Found { session: session_of(row)?, ended: row.try_get(7)?, expires: row.try_get(8)?, replaced })
}

pub(super) async fn session(client: &Client, by: SessionKey) -> Result<Option<Session>, StoreError> {
    let (which, name) = match &by {
        SessionKey::Id(id) => ("$1", id.0.as_slice()),
        SessionKey::Token(token) => ("(SELECT session FROM ferricorn_token WHERE hash = $1)", token.bytes()),
    };
    let text = format!("SELECT {SESSION} FROM ferricorn_session WHERE id = {which}");
    let rows = client.query_typed(&text, &[(&name, Type::BYTEA)]).await?;
    rows.first().map(session_of).transpose()
}

pub(super) fn sessions_query() -> String {
    format!(
        "SELECT {SESSION} FROM ferricorn_session \
         WHERE ($1 IS NULL OR username = $1) AND ended IS NULL AND (access_until > $2 OR ends > $2 \
         AND EXISTS (SELECT 1 FROM ferricorn_token t WHERE t.session = ferricorn_session.id AND t.expires > $2))"
    )
}

/// The columns that [`session_of`] reads, first of all that a query asks for; the table of tokens has none of these names.
const SESSION: &str = "id, username, created, used, ends, access_until, credential";

pub(super) fn session_of(row: &Row) -> Result<Session, StoreError> {
    let has_credential = row.try_get::<_, Option<&[u8]>>(6)?.is_some();
    Ok(Session {
        id: SessionId(sixteen(row, 0)?),
        user: row.try_get(1)?,
        created: row.try_get(2)?,
        used: row.try_get(3)?,
        ends: row.try_get(4)?,
        access_until: row.try_get(5)?,
        credential: has_credential.then(|| sixteen(row, 6)).transpose()?,
    })
}

pub(super) const USERS: &str = "SELECT id, name, password, active FROM ferricorn_user";

pub(super) fn user_of(row: &Row) -> Result<UserRow, StoreError> {
    Ok(UserRow {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        password: row.try_get(2)?,
        active: row.try_get(3)?,
    })
}

pub(super) fn sixteen(row: &Row, column: usize) -> Result<[u8; 16], StoreError> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes
        .try_into()
        .map_err(|_| StoreError::Unusable("a table ferricorn_… has names of another length".into()))
}

pub(super) async fn insert_session(
    transaction: &Transaction<'_>,
    session: &Session,
) -> Result<(), StoreError> {
    let text = format!("INSERT INTO ferricorn_session ({SESSION}) VALUES ($1, $2, $3, $4, $5, $6, $7)");
    let credential = session.credential.as_ref().map(|credential| credential.as_slice());
    transaction
        .execute_typed(
            &text,
            &[
                (&session.id.0.as_slice(), Type::BYTEA),
                (&session.user, Type::TEXT),
                (&session.created, Type::INT8),
                (&session.used, Type::INT8),
                (&session.ends, Type::INT8),
                (&session.access_until, Type::INT8),
                (&credential, Type::BYTEA),
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn insert_token(
    transaction: &Transaction<'_>,
    session: SessionId,
    token: RefreshToken,
) -> Result<(), StoreError> {
    let text = "INSERT INTO ferricorn_token (hash, session, expires) VALUES ($1, $2, $3)";
    let (hash, session) = (token.hash.bytes(), session.0.as_slice());
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&hash, Type::BYTEA), (&session, Type::BYTEA), (&token.expires, Type::INT8)];
    transaction.execute_typed(text, &parameters).await?;
    Ok(())
}

pub(super) async fn touch(
    transaction: &Transaction<'_>,
    session: SessionId,
    now: i64,
    access_until: i64,
) -> Result<(), StoreError> {
    let text =
        "UPDATE ferricorn_session SET used = $1, access_until = greatest(access_until, $2) WHERE id = $3";
    let session = session.0.as_slice();
    transaction
        .execute_typed(text, &[(&now, Type::INT8), (&access_until, Type::INT8), (&session, Type::BYTEA)])
        .await?;
    Ok(())
}

/// Ends a session; its access tokens are refused everywhere by the event.
pub(super) async fn end_session(
    transaction: &Transaction<'_>,
    session: &Session,
    (reason, now): (EndReason, i64),
) -> Result<(), StoreError> {
    let session = session.id.0.as_slice();
    let text = "UPDATE ferricorn_session SET ended = $1, reason = $2 WHERE id = $3 AND ended IS NULL";
    transaction
        .execute_typed(text, &[(&now, Type::INT8), (&reason.word(), Type::TEXT), (&session, Type::BYTEA)])
        .await?;
    // Whoever reads the events goes on after the last number: none may come to be seen after a later one. And numbers follow
    // the clock, so that they go on rising when an older state of the database is restored.
    lock(transaction, EVENTS).await?;
    let text = "INSERT INTO ferricorn_event (number, session, until) \
                SELECT greatest((SELECT coalesce(max(number), 0) + 1 FROM ferricorn_event), \
                                (extract(epoch FROM clock_timestamp()) * 1000000)::bigint), id, access_until \
                FROM ferricorn_session WHERE id = $1";
    transaction.execute_typed(text, &[(&session, Type::BYTEA)]).await?;
    Ok(())
}

/// Held by one transaction at a time, to its end.
pub(super) async fn lock(transaction: &Transaction<'_>, number: i64) -> Result<(), StoreError> {
    transaction.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&number, Type::INT8)]).await?;
    Ok(())
}

/// Who writes events. Locks are numbered for the whole database: "ferriev".
const EVENTS: i64 = 0x0066_6572_7269_6576;
