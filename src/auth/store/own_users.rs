//! Users of our own, as the store keeps them.

/// A user of our own table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// As tokens name it.
    pub id: i64,
    /// As it logs in.
    pub name: String,
    /// The password's hash.
    pub password: String,
    /// Whether it may log in.
    pub active: bool,
}

/// What a user of our own table is changed to.
#[derive(Debug, Clone, Copy)]
pub enum UserChange<'a> {
    /// It is made, with this hash of its password.
    Add(&'a str),
    /// Its password has this hash.
    Password(&'a str),
    /// The same password has another hash, unless it is another password by now.
    Hash {
        /// The hash that it had.
        from: &'a str,
        /// The hash that it has.
        to: &'a str,
    },
    /// It may log in, or not.
    Active(bool),
}

/// How a user is looked up.
#[derive(Debug, Clone, Copy)]
pub enum UserKey<'a> {
    /// As it logs in.
    Name(&'a str),
    /// As tokens name it.
    Id(&'a str),
}
