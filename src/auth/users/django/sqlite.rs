//! The table of users in an SQLite file.

use super::{Blacklist, column, quoted, samples};
use crate::auth::store::StoreError;
use crate::auth::users::{Lookup, User};
use crate::config::AuthUsers;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The table, and the connection it is read by.
#[derive(Debug)]
pub struct Table {
    connection: Connection,
    by_name: String,
    by_id: String,
    update: String,
    samples: [String; 2],
    /// How the values of the columns are written in tokens: of the id first, then of each extra claim.
    forms: Vec<Form>,
    claims: Vec<String>,
    blacklist: Blacklist,
}

/// What a column holds, as Django declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    /// 0 and 1.
    Boolean,
    /// 32 hexadecimal digits, which stand for a UUID.
    Uuid,
}

impl Table {
    pub(super) fn open(
        path: &Path,
        users: &AuthUsers,
        extra_claims: &BTreeMap<String, String>,
    ) -> Result<Self, StoreError> {
        let access =
            if users.rehash { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|error| {
            StoreError::Unusable(format!("{}: {error}; see auth.users.url", path.display()))
        })?;
        connection.busy_timeout(BUSY)?;
        if users.rehash && connection.is_readonly("main")? {
            let text = format!("{} cannot be written; see auth.users.rehash", path.display());
            return Err(StoreError::Unusable(text));
        }
        let columns = columns(&connection, &users.table)?;
        if columns.is_empty() {
            let text = format!("{} has no table {}; see auth.users.table", path.display(), users.table);
            return Err(StoreError::Unusable(text));
        }
        let form = |key, name| column(&columns, &users.table, (key, name)).map(Form::of);
        let mut forms = vec![form("users.id_column", &users.id_column)?];
        form("users.username_column", &users.username_column)?;
        form("users.password_column", &users.password_column)?;
        users.active_column.iter().try_for_each(|name| form("users.active_column", name).map(drop))?;
        for column in extra_claims.values() {
            forms.push(form("issue.extra_claims", column)?);
        }
        let active = users.active_column.as_deref().map_or_else(|| "1".into(), quoted);
        let extra: String = extra_claims.values().map(|column| format!(", {}", quoted(column))).collect();
        let (table, password) = (quoted(&users.table), quoted(&users.password_column));
        let name = quoted(&users.username_column);
        let select = format!("SELECT {}, {password}, {active}{extra} FROM {table}", quoted(&users.id_column));
        let blacklist = if self::columns(&connection, "token_blacklist_blacklistedtoken")?.is_empty() {
            Blacklist::Nowhere
        } else {
            Blacklist::Here
        };
        Ok(Self {
            // Whoever tries passwords has one spelling of each name: a column of numbers would take others, too.
            by_name: format!("{select} WHERE {name} = ?1 AND CAST({name} AS TEXT) = ?1 COLLATE NOCASE"),
            by_id: format!("{select} WHERE {} = ?", quoted(&users.id_column)),
            update: format!(
                "UPDATE {table} SET {password} = ?1 WHERE {} = ?2 AND {password} = ?3",
                quoted(&users.id_column)
            ),
            samples: samples(&table, &quoted(&users.id_column), &password),
            connection,
            forms,
            claims: extra_claims.keys().cloned().collect(),
            blacklist,
        })
    }

    pub(super) fn find(&mut self, lookup: &Lookup) -> Result<Option<User>, StoreError> {
        let (text, value) = match lookup {
            Lookup::Name(name) => (&self.by_name, name.clone()),
            Lookup::Id(id) => (&self.by_id, self.forms[0].stored(id)),
        };
        let mut statement = self.connection.prepare_cached(text)?;
        // Whom no token can name is nobody.
        let user = statement.query_row(params![value], |row| self.user(row)).optional()?;
        Ok(user.filter(|user| !user.id.is_empty()))
    }

    pub(super) fn replace_hash(&mut self, id: &str, from: &str, to: &str) -> Result<bool, StoreError> {
        let mut statement = self.connection.prepare_cached(&self.update)?;
        Ok(statement.execute(params![to, self.forms[0].stored(id), from])? > 0)
    }

    pub(super) fn samples(&mut self) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for text in &self.samples {
            let mut statement = self.connection.prepare_cached(text)?;
            found.extend(statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?);
        }
        Ok(found)
    }

    pub(super) fn is_blacklisted(&mut self, jti: &str) -> Result<bool, StoreError> {
        if self.blacklist == Blacklist::Nowhere {
            return Ok(false);
        }
        let text = "SELECT 1 FROM token_blacklist_blacklistedtoken b \
                    JOIN token_blacklist_outstandingtoken o ON o.id = b.token_id WHERE o.jti = ?";
        Ok(self.connection.prepare_cached(text)?.exists(params![jti])?)
    }

    fn user(&self, row: &Row<'_>) -> rusqlite::Result<User> {
        let id = match self.forms[0].value(row.get_ref(0)?) {
            Value::String(text) => text,
            Value::Null => String::new(),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                other.to_string()
            }
        };
        let active = match row.get_ref(2)? {
            ValueRef::Integer(number) => number != 0,
            ValueRef::Null | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => false,
        };
        let extra = self.claims.iter().enumerate().map(|(number, claim)| {
            Ok((claim.clone(), self.forms[number + 1].value(row.get_ref(number + 3)?)))
        });
        // Nobody logs in without a password.
        let password = row.get::<_, Option<String>>(1)?.unwrap_or_default();
        Ok(User { id, password, active, extra: extra.collect::<rusqlite::Result<_>>()? })
    }
}

impl Form {
    fn of(declared: &str) -> Self {
        match declared.to_ascii_lowercase().as_str() {
            "bool" | "boolean" => Self::Boolean,
            // Django's UUIDField where the database has no type of its own.
            "char(32)" => Self::Uuid,
            _ => Self::Plain,
        }
    }

    /// A text as a column of this form has it.
    fn stored(self, text: &str) -> String {
        match self {
            Self::Uuid => text.replace('-', ""),
            Self::Plain | Self::Boolean => text.to_owned(),
        }
    }

    fn value(self, value: ValueRef<'_>) -> Value {
        match value {
            ValueRef::Null | ValueRef::Blob(_) => Value::Null,
            ValueRef::Integer(number) if self == Self::Boolean => (number != 0).into(),
            ValueRef::Integer(number) => number.into(),
            ValueRef::Real(number) => number.into(),
            ValueRef::Text(text) => {
                let text = String::from_utf8_lossy(text);
                if self == Self::Uuid && text.len() == 32 && text.is_ascii() {
                    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
                    return parts.join("-").into();
                }
                text.into()
            }
        }
    }
}

/// Names and declared types.
fn columns(connection: &Connection, table: &str) -> Result<BTreeMap<String, String>, StoreError> {
    let mut statement = connection.prepare("SELECT name, type FROM pragma_table_info(?)")?;
    let rows = statement.query_map(params![table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How long to wait for whoever writes.
const BUSY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn project(schema: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite3");
        Connection::open(&path).unwrap().execute_batch(schema).unwrap();
        (folder, path)
    }

    const DJANGO: &str = "
        CREATE TABLE auth_user (id integer PRIMARY KEY AUTOINCREMENT, password varchar(128), is_staff bool,
            username varchar(150) UNIQUE, email varchar(254), is_active bool);
        INSERT INTO auth_user VALUES (1, 'pw1', 1, 'demo', 'demo@a.example', 1), (2, 'pw2', 0, 'old', NULL, 0);
        CREATE TABLE token_blacklist_outstandingtoken (id integer PRIMARY KEY, jti varchar(255) UNIQUE);
        CREATE TABLE token_blacklist_blacklistedtoken (id integer PRIMARY KEY, token_id bigint UNIQUE);
        INSERT INTO token_blacklist_outstandingtoken VALUES (1, 'good'), (2, 'bad');
        INSERT INTO token_blacklist_blacklistedtoken VALUES (1, 2);";

    #[test]
    fn users_are_found_by_name_and_by_id() {
        let (_folder, path) = project(DJANGO);
        let extra = BTreeMap::from([
            ("staff".to_owned(), "is_staff".to_owned()),
            ("mail".to_owned(), "email".to_owned()),
        ]);
        let mut table = Table::open(&path, &AuthUsers::default(), &extra).unwrap();
        for (lookup, expected) in [
            (Lookup::Name("demo".into()), Some(("1", "pw1", true))),
            (Lookup::Name("Demo".into()), None),
            (Lookup::Id("1".into()), Some(("1", "pw1", true))),
            (Lookup::Id("2".into()), Some(("2", "pw2", false))),
            (Lookup::Id("1 OR 1=1".into()), None),
            (Lookup::Id("3".into()), None),
        ] {
            let found = table.find(&lookup).unwrap();
            let found = found.as_ref().map(|user| (user.id.as_str(), user.password.as_str(), user.active));
            assert_eq!(found, expected, "{lookup:?}");
        }
        let demo = table.find(&Lookup::Id("1".into())).unwrap().unwrap();
        let expected = [("mail".to_owned(), json!("demo@a.example")), ("staff".to_owned(), json!(true))];
        assert_eq!(demo.extra, expected);
        assert!(table.is_blacklisted("bad").unwrap() && !table.is_blacklisted("good").unwrap());
        assert_eq!(table.samples().unwrap(), [""; 0], "none has a hash of a known form");
        let add = "INSERT INTO auth_user (password, username) VALUES ('a$1', 'c'), ('!', 'd'), (NULL, 'e'), ('a$2', 'f')";
        Connection::open(&path).unwrap().execute_batch(add).unwrap();
        assert_eq!(table.find(&Lookup::Name("e".into())).unwrap().unwrap().password, "");
        assert_eq!(
            table.samples().unwrap(),
            ["a$1", "a$2", "a$2", "a$1"],
            "the oldest first, then the newest"
        );
    }

    #[test]
    fn a_name_has_one_spelling_and_who_has_no_id_is_nobody() {
        let (_folder, path) = project(
            "CREATE TABLE person (uid text, password text, phone bigint, nick text COLLATE NOCASE);
             INSERT INTO person VALUES ('a', 'pw', 4912345, 'Ann'), (NULL, 'pw', 1, 'x'), ('', 'pw', 2, 'y');",
        );
        for (column, name, id) in [
            ("phone", "4912345", Some("a")),
            ("phone", "+4912345", None),
            ("phone", "004912345", None),
            ("phone", " 4912345", None),
            ("phone", "4912345.0", None),
            ("nick", "ann", Some("a")),
            ("nick", "x", None),
            ("nick", "y", None),
        ] {
            let users = AuthUsers {
                table: "person".into(),
                id_column: "uid".into(),
                username_column: column.into(),
                active_column: None,
                ..AuthUsers::default()
            };
            let mut table = Table::open(&path, &users, &BTreeMap::new()).unwrap();
            let found = table.find(&Lookup::Name(name.into())).unwrap().map(|user| user.id);
            assert_eq!(found.as_deref(), id, "{column} {name}");
        }
    }

    #[test]
    fn a_hash_is_replaced_unless_it_is_of_another_password_by_now() {
        let (_folder, path) = project(DJANGO);
        let open = |rehash| {
            let users = AuthUsers { rehash, ..AuthUsers::default() };
            Table::open(&path, &users, &BTreeMap::new()).unwrap()
        };
        let mut table = open(true);
        assert!(!table.replace_hash("1", "pw", "new").unwrap());
        assert!(table.replace_hash("1", "pw1", "new").unwrap());
        assert_eq!(table.find(&Lookup::Name("demo".into())).unwrap().unwrap().password, "new");
        assert!(open(false).replace_hash("1", "new", "pw1").is_err(), "else nothing is written");
    }

    #[test]
    fn a_uuid_is_written_as_django_writes_it() {
        let (_folder, path) = project(
            "CREATE TABLE \"people\" (uid char(32) PRIMARY KEY, password varchar(128), email varchar(254));
             INSERT INTO people VALUES ('00112233445566778899aabbccddeeff', 'pw', 'a@b.example');",
        );
        let users = AuthUsers {
            table: "people".into(),
            id_column: "uid".into(),
            username_column: "email".into(),
            active_column: None,
            ..AuthUsers::default()
        };
        let mut table = Table::open(&path, &users, &BTreeMap::new()).unwrap();
        let user = table.find(&Lookup::Name("a@b.example".into())).unwrap().unwrap();
        assert_eq!((user.id.as_str(), user.active), ("00112233-4455-6677-8899-aabbccddeeff", true));
        assert!(table.find(&Lookup::Id(user.id)).unwrap().is_some());
        assert!(!table.is_blacklisted("x").unwrap());
    }

    #[test]
    fn what_is_missing_is_named_with_its_key() {
        let (folder, path) = project(DJANGO);
        let open = |path: &Path, users: &AuthUsers| match Table::open(path, users, &BTreeMap::new()) {
            Err(StoreError::Unusable(text)) => text,
            other => panic!("{other:?}"),
        };
        let users = AuthUsers::default();
        assert!(open(&folder.path().join("none"), &users).contains("auth.users.url"));
        assert!(
            open(&path, &AuthUsers { table: "people".into(), ..users.clone() }).contains("auth.users.table")
        );
        let wrong = AuthUsers { username_column: "login".into(), ..users };
        assert!(open(&path, &wrong).contains("auth.users.username_column"));
    }
}
