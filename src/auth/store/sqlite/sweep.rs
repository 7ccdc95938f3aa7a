//! What has expired is taken away. Whoever serves a client goes first: one writes at a time, and all others wait for it.

use super::BUSY;
use crate::auth::store::{SWEEP, StoreError};
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};
use std::time::Duration;

/// Takes away at most [`SWEEP`] rows of each kind; how many it were.
pub(super) fn sweep(connection: &mut Connection, now: i64) -> Result<usize, StoreError> {
    // Looked for before the lock is taken: there may be many rows, and none that has expired.
    let expired = KINDS.map(|kind| expired(connection, kind, now));
    let mut found = Vec::new();
    for (kind, keys) in KINDS.into_iter().zip(expired) {
        found.push((kind, keys?));
    }
    if found.iter().all(|(_, keys)| keys.is_empty()) {
        return Ok(0);
    }
    connection.busy_timeout(PATIENCE)?;
    let outcome = take_away(connection, &found, now);
    connection.busy_timeout(BUSY)?;
    outcome.map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy) => StoreError::Busy,
        _ => error.into(),
    })
}

fn expired(connection: &Connection, kind: Kind, now: i64) -> Result<Vec<Value>, StoreError> {
    let text = format!("SELECT {} FROM {} WHERE {} LIMIT {SWEEP}", kind.key, kind.table, kind.over);
    let mut statement = connection.prepare_cached(&text)?;
    let keys = statement.query_map(params![now], |row| row.get(0))?;
    Ok(keys.collect::<Result<_, _>>()?)
}

fn take_away(connection: &mut Connection, found: &[(Kind, Vec<Value>)], now: i64) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut swept = 0;
    for (kind, keys) in found {
        // Somebody may have prolonged it meanwhile.
        let text = format!("DELETE FROM {} WHERE {} AND {} = ?2", kind.table, kind.over, kind.key);
        let mut statement = transaction.prepare_cached(&text)?;
        for key in keys {
            swept += statement.execute(params![now, key])?;
        }
    }
    transaction.commit()?;
    Ok(swept)
}

/// Rows that expire.
#[derive(Clone, Copy)]
struct Kind {
    table: &'static str,
    key: &'static str,
    /// When one has; `?1` is now, in seconds.
    over: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind { table: "token", key: "hash", over: "expires <= ?1" },
    // Known for as long as its tokens: one of simplejwt may outlive the session that it has begun, and begins no other.
    Kind {
        table: "session",
        key: "id",
        over: "ends <= ?1 AND access_until <= ?1 AND NOT EXISTS (SELECT 1 FROM token WHERE session = session.id)",
    },
    Kind { table: "event", key: "number", over: "until <= ?1" },
    Kind { table: "attempt", key: "key", over: "until_ms <= ?1 * 1000" },
];

/// How long it waits for its turn: as long as it does, its worker hears of no session that has ended.
const PATIENCE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::super::Sqlite;
    use super::*;
    use crate::auth::store::Backend;

    #[test]
    fn a_sweep_gives_way_to_whoever_writes_and_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.db");
        let mut store = Sqlite::open(&path).unwrap();
        let other = Connection::open(&path).unwrap();
        let writes = "BEGIN IMMEDIATE; INSERT INTO attempt VALUES (x'01', 1000), (x'02', 9000)";
        other.execute_batch(writes).unwrap();
        assert_eq!(store.sweep(5), Ok(0), "what is not there yet has not expired");
        other.execute_batch("COMMIT; BEGIN IMMEDIATE").unwrap();
        assert_eq!(store.sweep(5), Err(StoreError::Busy));
        other.execute_batch("COMMIT").unwrap();
        assert_eq!((store.sweep(5), store.sweep(5)), (Ok(1), Ok(0)));
    }
}
