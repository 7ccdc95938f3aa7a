//! A file is opened, or made, by several workers at once.

use super::BUSY;
use crate::auth::store::StoreError;
use crate::auth::store::version::{self, VERSION};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A connection, and which file it is of (device and number).
pub(super) fn open(path: &Path) -> Result<(Connection, (u64, u64)), StoreError> {
    static OPENING: Mutex<()> = Mutex::new(());
    // Who makes the file closes it, too, and a process that closes a file loses all its locks on it (fcntl(2)): so nobody
    // else of this process may have begun to use what has just been made.
    let _alone = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    let file = make(path).map_err(|error| unusable(path, &error))?;
    let mut connection = Connection::open(path).map_err(|error| Problem::from(error).of(path))?;
    connection.busy_timeout(BUSY)?;
    let ends = Instant::now() + BUSY;
    while let Err(error) = prepare(&mut connection) {
        // To change the mode, SQLite does not wait for others, whatever the timeout: they may wait for it.
        if error != Problem::Busy || Instant::now() >= ends {
            return Err(error.of(path));
        }
        #[expect(clippy::disallowed_methods, reason = "SQLite tells nobody when a file is free")]
        thread::sleep(AGAIN);
    }
    connection.set_prepared_statement_cache_capacity(64);
    Ok((connection, file))
}

/// Makes the file where it is missing, readable by nobody else.
fn make(path: &Path) -> io::Result<(u64, u64)> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let file = fs::metadata(path)?;
    if file.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok((file.dev(), file.ino()))
}

fn prepare(connection: &mut Connection) -> Result<(), Problem> {
    // What SQLite may not write it opens for reading alone, and says nothing before the first login.
    if connection.is_readonly("main")? {
        let text = "it can only be read; give the workers' user the right to write it and its directory";
        return Err(Problem::Other(StoreError::Unavailable(text.into())));
    }
    // The mode stays with the file: one that is not ours must be refused before.
    {
        let glance = connection.transaction()?;
        kept(&glance)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    migrate(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), Problem> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match kept(&transaction)? {
        Kept::Nothing => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        Kept::Sessions => {}
    }
    Ok(transaction.commit()?)
}

/// What is in a file that can be used.
enum Kept {
    Nothing,
    /// Ours, of this version.
    Sessions,
}

/// A file that somebody else keeps other things in is not ours to fill. Other programs count their versions, too: ours are known by
/// a column that no other has. It must be one transaction: tables that are just being made are there as a whole, or not at all.
fn kept(transaction: &Transaction<'_>) -> Result<Kept, Problem> {
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let count = |query: &str| transaction.query_row(query, [], |row| row.get::<_, i64>(0));
    if version == 0 && count("SELECT count(*) FROM sqlite_master")? == 0 {
        return Ok(Kept::Nothing);
    }
    if version == 0
        || count("SELECT count(*) FROM pragma_table_info('session') WHERE name = 'access_until'")? == 0
    {
        let text = "another program keeps its tables in it; name a file of its own in auth.store.url";
        return Err(Problem::Other(StoreError::Unusable(text.into())));
    }
    version::check("its tables are", version).map_err(Problem::Other)?;
    Ok(Kept::Sessions)
}

fn unusable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unusable(format!("{}: {error}; see auth.store.url", path.display()))
}

/// Why a file is not ready yet, or cannot be used.
#[derive(Debug, PartialEq)]
enum Problem {
    /// Somebody else has it for himself.
    Busy,
    Other(StoreError),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Other(error.into()),
        }
    }
}

impl Problem {
    /// The same, naming the file.
    fn of(self, path: &Path) -> StoreError {
        let named = |text: String| format!("{}: {text}", path.display());
        match self {
            Self::Busy => StoreError::Unavailable(named(
                "others have it for themselves; end the program that has it open".into(),
            )),
            Self::Other(StoreError::Unavailable(text)) => StoreError::Unavailable(named(text)),
            Self::Other(StoreError::Unusable(text)) => StoreError::Unusable(named(text)),
            Self::Other(error @ (StoreError::Busy | StoreError::TooSlow)) => error,
        }
    }
}

const SCHEMA: &str = include_str!("schema.sql");

/// Pause before the next attempt: others take about as long to make their tables.
const AGAIN: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::OpenFlags;
    use std::process;
    use std::sync::Barrier;

    #[test]
    fn a_file_that_can_only_be_read_is_told_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.db");
        open(&path).unwrap();
        let mut connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let problem = prepare(&mut connection).unwrap_err().of(&path).to_string();
        let named = format!("{}: it can only be read; give the workers' user", path.display());
        assert!(problem.starts_with(&named), "{problem}");
    }

    #[test]
    fn the_file_of_another_program_stays_as_it_is_whatever_its_version() {
        let folder = tempfile::tempdir().unwrap();
        for (number, version) in [0, VERSION, 5].into_iter().enumerate() {
            let path = folder.path().join(format!("{number}.db"));
            let tables = format!("CREATE TABLE session (id); PRAGMA user_version = {version}");
            Connection::open(&path).unwrap().execute_batch(&tables).unwrap();
            let before = fs::read(&path).unwrap();
            let refused = open(&path).unwrap_err();
            assert!(
                refused.to_string().contains("another program keeps its tables in it"),
                "{version}: {refused}"
            );
            assert!(fs::read(&path).unwrap() == before, "version {version}: the file is another one");
        }
    }

    /// As many processes as threads would be more like workers; connections of one process refuse each other likewise.
    #[test]
    fn a_file_is_made_by_all_who_want_it_at_once() {
        let folder = std::env::temp_dir().join(format!("ferricorn-open-{}", process::id()));
        for round in 0..100 {
            let path = folder.join(format!("{round}.db"));
            make(&path).unwrap();
            let together = Barrier::new(9);
            let open_one = || {
                let mut connection = Connection::open(&path).unwrap();
                connection.busy_timeout(BUSY).unwrap();
                together.wait();
                loop {
                    match prepare(&mut connection) {
                        Ok(()) => return,
                        Err(problem) => assert_eq!(problem, Problem::Busy),
                    }
                }
            };
            thread::scope(|threads| {
                for _ in 0..8 {
                    threads.spawn(open_one);
                }
                together.wait();
                open(&path).unwrap();
            });
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
