//! The table of users in PostgreSQL.

use super::{Blacklist, column, quoted, samples};
use crate::auth::store::StoreError;
use crate::auth::store::postgres::Connection;
use crate::auth::users::{Lookup, User};
use crate::config::AuthUsers;
use serde_json::Value;
use std::collections::BTreeMap;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

/// The table, and the connection it is read by.
#[derive(Debug)]
pub struct Table {
    connection: Connection,
    by_name: String,
    by_id: String,
    /// The types of ids and names, as PostgreSQL calls them.
    id_type: String,
    name_type: String,
    update: String,
    samples: [String; 2],
    claims: Vec<String>,
    blacklist: Blacklist,
}

impl Table {
    pub(super) fn open(
        url: &str,
        users: &AuthUsers,
        extra_claims: &BTreeMap<String, String>,
    ) -> Result<Self, StoreError> {
        let mut connection = Connection::open(url, if users.rehash { "" } else { READ_ONLY })?;
        // "schema.table" is one in that schema.
        let table = users.table.split('.').map(quoted).collect::<Vec<_>>().join(".");
        let columns = columns(&mut connection, &table)?;
        if columns.is_empty() {
            let text = format!("the database has no table {}; see auth.users.table", users.table);
            return Err(StoreError::Unusable(text));
        }
        let kind = |key, name| column(&columns, &users.table, (key, name));
        let id_type = kind("users.id_column", &users.id_column)?.to_owned();
        let name_type = kind("users.username_column", &users.username_column)?.to_owned();
        kind("users.password_column", &users.password_column)?;
        users.active_column.iter().try_for_each(|name| kind("users.active_column", name).map(drop))?;
        extra_claims.values().try_for_each(|name| kind("issue.extra_claims", name).map(drop))?;
        let (id, name) = (quoted(&users.id_column), quoted(&users.username_column));
        let password = quoted(&users.password_column);
        let active = users.active_column.as_deref().map_or_else(
            || "true".into(),
            |name| format!("coalesce({}::text IN ('true', '1'), false)", quoted(name)),
        );
        let extra: String =
            extra_claims.values().map(|column| format!(", to_json({})::text", quoted(column))).collect();
        let select = format!("SELECT {id}::text, {password}::text, {active}{extra} FROM {table}");
        if users.rehash && !may_update(&mut connection, &table, &users.password_column)? {
            let text = format!("{} may not be written; see auth.users.rehash", users.table);
            return Err(StoreError::Unusable(text));
        }
        let blacklisted = self::columns(&mut connection, "token_blacklist_blacklistedtoken")?;
        let blacklist = if blacklisted.is_empty() { Blacklist::Nowhere } else { Blacklist::Here };
        Ok(Self {
            connection,
            // Compared as the column compares: citext does not tell upper from lower case, and an index is used.
            by_name: format!(
                "{select} WHERE {name} = $1::text::{name_type}{}",
                one_spelling(&name, &name_type)
            ),
            by_id: format!("{select} WHERE {id} = $1::text::{id_type}"),
            update: format!(
                "UPDATE {table} SET {password} = $1 WHERE {id} = $2::text::{id_type} AND {password} = $3"
            ),
            id_type,
            name_type,
            samples: samples(&table, &id, &format!("{password}::text")),
            claims: extra_claims.keys().cloned().collect(),
            blacklist,
        })
    }

    pub(super) fn find(&mut self, lookup: &Lookup) -> Result<Option<User>, StoreError> {
        let (text, value) = match lookup {
            // PostgreSQL would take the question for a mistake.
            Lookup::Name(name) if !may_be(name, &self.name_type) => return Ok(None),
            Lookup::Id(id) if !may_be(id, &self.id_type) => return Ok(None),
            Lookup::Name(name) => (&self.by_name, name),
            Lookup::Id(id) => (&self.by_id, id),
        };
        let rows = self.connection.run(async |client| {
            match client.query_typed(text, &[(value, Type::TEXT)]).await {
                Err(error) if error.code().is_some_and(|code| NO_VALUE.contains(code)) => Ok(Vec::new()),
                outcome => Ok(outcome?),
            }
        })?;
        rows.first().map(|row| self.user(row)).transpose().map(Option::flatten)
    }

    pub(super) fn replace_hash(&mut self, id: &str, from: &str, to: &str) -> Result<bool, StoreError> {
        let parameters = [(&to as _, Type::TEXT), (&id as _, Type::TEXT), (&from as _, Type::TEXT)];
        self.connection.run(async |client| Ok(client.execute_typed(&self.update, &parameters).await? > 0))
    }

    pub(super) fn samples(&mut self) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for text in &self.samples {
            let rows = self.connection.run(async |client| Ok(client.query_typed(text, &[]).await?))?;
            for row in rows {
                found.push(row.try_get(0)?);
            }
        }
        Ok(found)
    }

    pub(super) fn is_blacklisted(&mut self, jti: &str) -> Result<bool, StoreError> {
        if self.blacklist == Blacklist::Nowhere {
            return Ok(false);
        }
        let text = "SELECT 1 FROM token_blacklist_blacklistedtoken b \
                    JOIN token_blacklist_outstandingtoken o ON o.id = b.token_id WHERE o.jti = $1";
        let rows = self
            .connection
            .run(async |client| Ok(client.query_typed(text, &[(&jti, Type::TEXT)]).await?))?;
        Ok(!rows.is_empty())
    }

    /// `None`: it has no id, and no token could name it.
    fn user(&self, row: &Row) -> Result<Option<User>, StoreError> {
        let Some(id) = row.try_get::<_, Option<String>>(0)?.filter(|id| !id.is_empty()) else {
            return Ok(None);
        };
        let extra = self.claims.iter().enumerate().map(|(number, claim)| {
            let json: Option<&str> = row.try_get(number + 3)?;
            let value = json.and_then(|json| serde_json::from_str(json).ok());
            Ok((claim.clone(), value.unwrap_or(Value::Null)))
        });
        Ok(Some(User {
            id,
            password: row.try_get::<_, Option<String>>(1)?.unwrap_or_default(),
            active: row.try_get(2)?,
            extra: extra.collect::<Result<_, StoreError>>()?,
        }))
    }
}

/// Names and types.
fn columns(connection: &mut Connection, table: &str) -> Result<BTreeMap<String, String>, StoreError> {
    // A text that is made "character" has one letter.
    let text = "SELECT attname::text, CASE atttypid WHEN 'bpchar'::regtype THEN 'bpchar' ELSE format_type(atttypid, NULL) END \
                FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
    let rows =
        connection.run(async |client| Ok(client.query_typed(text, &[(&table, Type::TEXT)]).await?))?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Whether this user of the database may write a column.
fn may_update(connection: &mut Connection, table: &str, column: &str) -> Result<bool, StoreError> {
    let text = "SELECT has_column_privilege($1, $2, 'UPDATE')";
    let parameters = [(&table as _, Type::TEXT), (&column as _, Type::TEXT)];
    let row = connection.run(async |client| Ok(client.query_typed(text, &parameters).await?))?;
    Ok(row.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(false))
}

/// Whoever tries passwords has one spelling of each name, except for its case, which is not counted by. Numbers, dates and
/// the like would take others, too. What texts are equal, is the column's own affair.
fn one_spelling(name: &str, kind: &str) -> String {
    match kind {
        "text" | "character varying" | "citext" => String::new(),
        // Without the blanks that fill it up.
        "bpchar" => format!(" AND lower({name}::text) = lower($1::text)"),
        // As it is printed; an address that is cast has a mask.
        _ => format!(" AND lower(format('%s', {name})) = lower($1::text)"),
    }
}

/// Whether a text can be a value of this type, where that is easily told.
fn may_be(text: &str, kind: &str) -> bool {
    match kind {
        "smallint" => text.parse::<i16>().is_ok(),
        "integer" => text.parse::<i32>().is_ok(),
        "bigint" => text.parse::<i64>().is_ok(),
        "uuid" => {
            let digits = text.replace('-', "");
            digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        }
        _ => true,
    }
}

/// A text is no value of its column's type; no text has a NUL.
const NO_VALUE: &[SqlState] = &[
    SqlState::INVALID_TEXT_REPRESENTATION,
    SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
    SqlState::INVALID_DATETIME_FORMAT,
    SqlState::DATETIME_FIELD_OVERFLOW,
    SqlState::CHARACTER_NOT_IN_REPERTOIRE,
];

/// What is not to be written cannot be.
const READ_ONLY: &str = "SET default_transaction_read_only TO on";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::store::databases::{Database, Engine};
    use serde_json::json;

    const DJANGO: &str = "
        CREATE TABLE auth_user (id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, password varchar(128) NOT NULL,
            is_staff boolean, username varchar(150) UNIQUE, email varchar(254), is_active boolean,
            date_joined timestamptz);
        INSERT INTO auth_user (password, is_staff, username, email, is_active, date_joined) VALUES
            ('a$pw1', true, 'demo', 'demo@a.example', true, '2026-01-02 03:04:05+00'),
            ('a$pw2', false, 'old', NULL, false, NULL);
        CREATE TABLE token_blacklist_outstandingtoken (id bigint PRIMARY KEY, jti varchar(255) UNIQUE);
        CREATE TABLE token_blacklist_blacklistedtoken (id bigint PRIMARY KEY, token_id bigint UNIQUE);
        INSERT INTO token_blacklist_outstandingtoken VALUES (1, 'good'), (2, 'bad');
        INSERT INTO token_blacklist_blacklistedtoken VALUES (1, 2);
        CREATE SCHEMA people;
        CREATE TABLE people.person (uid uuid PRIMARY KEY, password text, email varchar(254), code char(9), phone bigint,
            amount numeric, born date, address inet, none text);
        INSERT INTO people.person VALUES ('00112233-4455-6677-8899-aabbccddeeff', 'pw', 'a@b.example', 'c 1', 4912345,
            1.5, '2001-02-03', '10.0.0.1', NULL);";

    #[test]
    fn users_are_found_in_postgresql_as_django_wrote_them() {
        let Some(database) = Database::start(Engine::Postgres) else { return };
        let url = database.url(0);
        let mut writer = Connection::open(&url, "").unwrap();
        writer.run(async |client| Ok(client.batch_execute(DJANGO).await?)).unwrap();
        let extra = [("joined", "date_joined"), ("mail", "email"), ("staff", "is_staff")];
        let extra = extra.map(|(claim, column)| (claim.to_owned(), column.to_owned()));
        let mut table = Table::open(&url, &AuthUsers::default(), &BTreeMap::from(extra)).unwrap();
        for (lookup, expected) in [
            (Lookup::Name("demo".into()), Some(("1", "a$pw1", true))),
            (Lookup::Name("Demo".into()), None),
            (Lookup::Id("1".into()), Some(("1", "a$pw1", true))),
            (Lookup::Id("2".into()), Some(("2", "a$pw2", false))),
            (Lookup::Id("1 OR 1=1".into()), None),
            (Lookup::Id("99999999999".into()), None),
        ] {
            let found = table.find(&lookup).unwrap();
            let found = found.as_ref().map(|user| (user.id.as_str(), user.password.as_str(), user.active));
            assert_eq!(found, expected, "{lookup:?}");
        }
        let demo = table.find(&Lookup::Id("1".into())).unwrap().unwrap();
        let values: Vec<Value> = demo.extra.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [json!("2026-01-02T03:04:05+00:00"), json!("demo@a.example"), json!(true)]);
        assert_eq!(table.samples().unwrap(), ["a$pw1", "a$pw2", "a$pw2", "a$pw1"]);
        assert!(table.is_blacklisted("bad").unwrap() && !table.is_blacklisted("good").unwrap());
        let writing = AuthUsers { rehash: true, ..AuthUsers::default() };
        let mut writable = Table::open(&url, &writing, &BTreeMap::new()).unwrap();
        assert!(!writable.replace_hash("1", "a$other", "a$new").unwrap(), "it is another password");
        assert!(writable.replace_hash("1", "a$pw1", "a$new").unwrap());
        assert_eq!(table.find(&Lookup::Id("1".into())).unwrap().unwrap().password, "a$new");
        assert!(table.replace_hash("1", "a$new", "a$pw1").is_err(), "who may only read cannot write");
        let people = AuthUsers {
            table: "people.person".into(),
            id_column: "uid".into(),
            username_column: "email".into(),
            active_column: None,
            ..AuthUsers::default()
        };
        let mut table = Table::open(&url, &people, &BTreeMap::new()).unwrap();
        let user = table.find(&Lookup::Name("a@b.example".into())).unwrap().unwrap();
        assert_eq!((user.id.as_str(), user.active), ("00112233-4455-6677-8899-aabbccddeeff", true));
        assert!(table.find(&Lookup::Id(user.id)).unwrap().is_some());
        names_have_one_spelling(&url, &people);
        let wrong = AuthUsers { username_column: "login".into(), ..AuthUsers::default() };
        let refused = Table::open(&url, &wrong, &BTreeMap::new()).unwrap_err().to_string();
        assert!(refused.contains("auth.users.username_column"), "{refused}");
    }

    fn names_have_one_spelling(url: &str, people: &AuthUsers) {
        for (column, name, is_there) in [
            ("code", "c 1", true),
            ("code", "c 1 ", false),
            ("code", "c", false),
            ("phone", "4912345", true),
            ("phone", "+4912345", false),
            ("phone", "004912345", false),
            ("phone", "a@b", false),
            ("uid", "00112233-4455-6677-8899-aabbccddeeff", true),
            ("uid", "00112233445566778899aabbccddeeff", false),
            ("amount", "1.5", true),
            ("amount", "1.50", false),
            ("amount", "x", false),
            ("born", "2001-02-03", true),
            ("born", "20010203", false),
            ("born", "2001-02-33", false),
            ("born", "x", false),
            ("address", "10.0.0.1", true),
            ("address", "10.0.0.1/32", false),
            ("address", "x", false),
            ("email", "a\0", false),
        ] {
            let by_column = AuthUsers { username_column: column.into(), ..people.clone() };
            let mut table = Table::open(url, &by_column, &BTreeMap::new()).unwrap();
            let found = table.find(&Lookup::Name(name.into()));
            assert_eq!(found.as_ref().map(Option::is_some), Ok(is_there), "{column} {name}");
        }
        let nobody = AuthUsers { id_column: "none".into(), ..people.clone() };
        let mut table = Table::open(url, &nobody, &BTreeMap::new()).unwrap();
        assert_eq!(table.find(&Lookup::Name("a@b.example".into())).unwrap().map(|user| user.id), None);
    }
}
