//! The users of a Django project, in its own database, which is only read unless `auth.users.rehash` says otherwise.

#[cfg(feature = "postgres")]
pub mod postgres;
pub mod sqlite;

use super::{Lookup, SAMPLES, User};
use crate::auth::store::StoreError;
use crate::config::{AuthUsers, DatabaseUrl};
use std::collections::BTreeMap;

/// The table of users, open.
#[derive(Debug)]
pub enum Table {
    /// In a file.
    Sqlite(Box<sqlite::Table>),
    /// In a server.
    #[cfg(feature = "postgres")]
    Postgres(Box<postgres::Table>),
}

/// Whether simplejwt keeps revoked tokens in this database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blacklist {
    Here,
    Nowhere,
}

impl Table {
    /// Opens the database.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when table or columns are not there; it says which key to set.
    pub fn open(
        url: &DatabaseUrl,
        users: &AuthUsers,
        extra_claims: &BTreeMap<String, String>,
    ) -> Result<Self, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) => {
                Ok(Self::Sqlite(Box::new(sqlite::Table::open(path, users, extra_claims)?)))
            }
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => {
                Ok(Self::Postgres(Box::new(postgres::Table::open(url, users, extra_claims)?)))
            }
            #[cfg(not(feature = "postgres"))]
            DatabaseUrl::Postgres(_) => Err(StoreError::Unusable(format!("{url}: {NO_TABLES}"))),
            DatabaseUrl::Redis(_) => Err(StoreError::Unusable(format!("{url}: {NO_TABLES}"))),
        }
    }

    /// How many threads may use it at once, each by a connection of its own.
    pub fn threads(url: &DatabaseUrl) -> usize {
        match url {
            DatabaseUrl::Sqlite(_) | DatabaseUrl::Redis(_) => 1,
            DatabaseUrl::Postgres(_) => 2,
        }
    }

    /// The user, if it is there.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read now.
    pub fn find(&mut self, lookup: &Lookup) -> Result<Option<User>, StoreError> {
        match self {
            Self::Sqlite(table) => table.find(lookup),
            #[cfg(feature = "postgres")]
            Self::Postgres(table) => table.find(lookup),
        }
    }

    /// Writes another hash of a password, unless it is another password by now; whether it was written.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written now.
    pub fn replace_hash(&mut self, id: &str, from: &str, to: &str) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(table) => table.replace_hash(id, from, to),
            #[cfg(feature = "postgres")]
            Self::Postgres(table) => table.replace_hash(id, from, to),
        }
    }

    /// Passwords as they are stored here, to see what they cost: of the oldest users, and of the newest ones.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read now.
    pub fn samples(&mut self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Sqlite(table) => table.samples(),
            #[cfg(feature = "postgres")]
            Self::Postgres(table) => table.samples(),
        }
    }

    /// Whether simplejwt has revoked this refresh token.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read now.
    pub fn is_blacklisted(&mut self, jti: &str) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(table) => table.is_blacklisted(jti),
            #[cfg(feature = "postgres")]
            Self::Postgres(table) => table.is_blacklisted(jti),
        }
    }
}

/// A column by its name, or which key names one that is not there.
fn column<'a>(
    columns: &'a BTreeMap<String, String>,
    table: &str,
    (key, name): (&str, &str),
) -> Result<&'a str, StoreError> {
    columns
        .get(name)
        .map(String::as_str)
        .ok_or_else(|| StoreError::Unusable(format!("table {table} has no column {name}; see auth.{key}")))
}

/// A name as SQL has it; the configuration has seen to it that it is plain.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What tells passwords from marks for there being none is the "$" that parts of all hashes are separated by. Users are
/// counted before that is looked for: a table of many users without a password is not searched for others.
fn samples(table: &str, id: &str, password: &str) -> [String; 2] {
    ["ASC", "DESC"].map(|order| {
        format!(
            "SELECT sample FROM (SELECT {id} AS id, {password} AS sample FROM {table} ORDER BY {id} {order} LIMIT {SAMPLES}) \
             AS users WHERE sample LIKE '%$%' ORDER BY id {order}"
        )
    })
}

const NO_TABLES: &str = "no tables of users can be read there; see auth.users.url";
