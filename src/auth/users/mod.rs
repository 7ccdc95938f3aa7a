//! Whom tokens are issued to.

pub mod django;
pub mod file;
pub mod password;
pub mod typed;

use crate::auth::store::feed::now_seconds;
use crate::auth::store::pool::Pool;
use crate::auth::store::{Backend, StoreError, UserChange, UserKey, UserRow, short_hash};
use django::Table;
use file::UserFile;
use serde_json::Value;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A user as logins and refreshes see it.
#[derive(Clone)]
pub struct User {
    /// As tokens name it.
    pub id: String,
    /// The password's hash.
    pub password: String,
    /// Whether it may log in.
    pub active: bool,
    /// Further claims of its tokens.
    pub extra: Vec<(String, Value)>,
}

/// Where users are looked up.
#[derive(Debug)]
pub enum Users {
    /// In our own table, in the store.
    Own(Arc<Pool<Box<dyn Backend>>>),
    /// In Django's.
    Django(Pool<Table>),
    /// In a file.
    File(Pool<UserFile>),
    /// Where the app looks.
    App(AppPools),
}

/// Threads that ask an app. Its logins may take as long as a directory elsewhere takes; who has a token waits for none of them.
#[derive(Debug)]
pub struct AppPools {
    /// Who logs in.
    pub logins: Pool<Arc<dyn AppUsers>>,
    /// Who comes with a token.
    pub looks: Pool<Arc<dyn AppUsers>>,
}

/// The users of an app, as the app itself knows them. It blocks: threads of a pool call it.
pub trait AppUsers: Send + Sync + fmt::Debug {
    /// The user of a name and a password, sent from this address; `None` when the app does not let anybody in.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot say.
    fn authenticate(
        &self,
        name: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<Option<User>, StoreError>;

    /// The user that tokens name so.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot say.
    fn find(&self, id: &str) -> Result<Option<User>, StoreError>;

    /// Whether simplejwt has revoked a refresh token.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot say.
    fn is_blacklisted(&self, jti: &str) -> Result<bool, StoreError>;
}

/// How a user is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// As it logs in.
    Name(String),
    /// As tokens name it.
    Id(String),
}

impl Users {
    /// The user, whether it may log in or not.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be looked up now.
    pub async fn find(&self, lookup: Lookup) -> Result<Option<User>, StoreError> {
        match self {
            Self::Own(store) => {
                let found = store.run(move |store| store.user(lookup.key())).await?;
                Ok(found.map(User::from))
            }
            Self::Django(table) => table.run(move |table| table.find(&lookup)).await,
            Self::File(file) => file.run(move |file| Ok(file.find(&lookup))).await,
            Self::App(app) => match lookup {
                Lookup::Id(id) => app.looks.run(move |app| app.find(&id)).await,
                // Who logs in is the app's to say.
                Lookup::Name(_) => Ok(None),
            },
        }
    }

    /// Writes another hash of the same password, unless it is another password by now; whether it was written.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be written.
    pub async fn replace_hash(&self, name: &str, user: &User, hash: &str) -> Result<bool, StoreError> {
        let (name, id) = (name.to_owned(), user.id.clone());
        let (from, to) = (user.password.clone(), hash.to_owned());
        match self {
            Self::Own(store) => {
                let change = move |store: &mut Box<dyn Backend>| {
                    store.change_user(&name, UserChange::Hash { from: &from, to: &to }, now_seconds())
                };
                store.run(change).await
            }
            Self::Django(table) => table.run(move |table| table.replace_hash(&id, &from, &to)).await,
            Self::File(_) | Self::App(_) => Ok(false),
        }
    }

    /// Passwords as they are stored here, to see what they cost: those of the oldest users and of the newest ones, in that
    /// order. None of our own table, where all cost the same.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read now.
    pub async fn samples(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Django(table) => table.run(Table::samples).await,
            Self::File(file) => file.run(|file| Ok(file.samples())).await,
            Self::Own(_) | Self::App(_) => Ok(Vec::new()),
        }
    }

    /// Whether simplejwt has revoked a refresh token that it had issued.
    ///
    /// # Errors
    /// [`StoreError`] when that cannot be looked up now.
    pub async fn is_blacklisted(&self, jti: String) -> Result<bool, StoreError> {
        match self {
            Self::Own(_) | Self::File(_) => Ok(false),
            Self::Django(table) => table.run(move |table| table.is_blacklisted(&jti)).await,
            Self::App(app) => app.looks.run(move |app| app.is_blacklisted(&jti)).await,
        }
    }
}

impl Lookup {
    fn key(&self) -> UserKey<'_> {
        match self {
            Self::Name(name) => UserKey::Name(name),
            Self::Id(id) => UserKey::Id(id),
        }
    }
}

impl User {
    /// What changes with the password and tells nothing of it.
    pub fn credential(&self) -> [u8; 16] {
        Self::credential_of(&self.password)
    }

    /// The same of a password that is stored so.
    pub fn credential_of(password: &str) -> [u8; 16] {
        short_hash(&[b"credential", password.as_bytes()])
    }
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self { id: row.id.to_string(), password: row.password, active: row.active, extra: Vec::new() }
    }
}

/// Not the password, not even its hash.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("id", &self.id).field("active", &self.active).finish_non_exhaustive()
    }
}

/// Of the first and of the last users: enough to see what passwords cost, and read in a moment.
const SAMPLES: usize = 250;
