//! Whether what is kept was written by a program that keeps it as this one does.

use super::StoreError;

/// Counts the changes after which a program before cannot use what is kept any more.
pub(super) const VERSION: i64 = 1;

/// Refuses what another version keeps, and leaves it as it is: whoever made it can go on with it.
pub(super) fn check(what: &str, kept: i64) -> Result<(), StoreError> {
    if kept == VERSION {
        return Ok(());
    }
    let who = if kept > VERSION { "a newer" } else { "an older" };
    Err(StoreError::Unusable(format!(
        "{what} of version {kept}, and this program keeps version {VERSION}: {who} one made it; use that one, or name another \
         store in auth.store.url"
    )))
}

#[cfg(test)]
mod tests {
    use super::super::{Backend, StorePlace, UserChange, UserKey};
    use super::*;
    use crate::config::DatabaseUrl;

    /// It is refused as long as it has another version, and then nothing is missing.
    fn play(place: &StorePlace, set: &dyn Fn(i64)) {
        let open = || -> Result<Box<dyn Backend>, StoreError> { place.open() };
        open().unwrap().change_user("ann", UserChange::Add("hash"), 1).unwrap();
        for (version, who) in [(VERSION + 1, "a newer one"), (-1, "an older one")] {
            set(version);
            let refused = open().err();
            let says = |text: &str| text.contains(&format!("of version {version}")) && text.contains(who);
            assert!(matches!(&refused, Some(StoreError::Unusable(text)) if says(text)), "{refused:?}");
        }
        set(VERSION);
        assert!(open().unwrap().user(UserKey::Name("ann")).unwrap().is_some());
    }

    #[test]
    fn another_versions_file_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.db");
        play(&StorePlace::at(DatabaseUrl::Sqlite(path.clone())), &|version| {
            rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", version).unwrap();
        });
    }

    #[cfg(feature = "redis")]
    #[test]
    fn another_versions_keys_are_refused_and_left_as_they_are() {
        use super::super::databases::{Database, Engine};
        let Some(database) = Database::start(Engine::Redis) else { return };
        let url = database.url(0);
        play(&StorePlace::at(DatabaseUrl::parse(&url).unwrap()), &|version| {
            let mut connection = ::redis::Client::open(url.as_str()).unwrap().get_connection().unwrap();
            ::redis::cmd("SET").arg("{ferricorn}:version").arg(version).exec(&mut connection).unwrap();
        });
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn another_versions_tables_are_refused_and_left_as_they_are() {
        use super::super::databases::{Database, Engine};
        use super::super::postgres::Connection;
        let Some(database) = Database::start(Engine::Postgres) else { return };
        let url = database.url(0);
        play(&StorePlace::at(DatabaseUrl::parse(&url).unwrap()), &|version| {
            let change = format!("UPDATE ferricorn_version SET version = {version}");
            let mut connection = Connection::open(&url, "").unwrap();
            connection.run(async |client| Ok(client.batch_execute(&change).await?)).unwrap();
        });
    }
}
