//! Databases, named by URLs.

use std::fmt;
use std::path::PathBuf;

/// Where users or sessions are kept, by its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// `sqlite:///FILE`, `sqlite:////ABSOLUTE/FILE`
    Sqlite(PathBuf),
    /// `redis://`, `rediss://` (by TLS), `redis+unix://` and `unix://` (a socket), the same with `valkey`
    Redis(String),
    /// `postgres://`, `postgresql://`
    Postgres(String),
}

impl DatabaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        match (scheme, text.strip_prefix("sqlite://")) {
            ("redis" | "rediss" | "redis+unix" | "valkey" | "valkeys" | "valkey+unix" | "unix", _) => {
                Ok(Self::Redis(text.into()))
            }
            ("postgres" | "postgresql", _) => Ok(Self::Postgres(text.into())),
            ("sqlite", Some(rest)) => match rest.strip_prefix('/') {
                Some("") | None => {
                    Err("the file is missing; write sqlite:////absolute/file or sqlite:///file".into())
                }
                Some(path) => Ok(Self::Sqlite(path.into())),
            },
            ("file", _) => Err("a file of users is named by auth.users.file".into()),
            (scheme, _) => Err(format!("{scheme:?} is no database that is known here")),
        }
    }
}

/// A password in it is not shown.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:///{}", path.display()),
            Self::Redis(url) | Self::Postgres(url) => {
                let start = url.find("://").map_or(0, |at| at + 3);
                let authority = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
                match url[start..authority].rfind('@').map(|at| start + at) {
                    Some(at) => match url[start..at].find(':') {
                        Some(colon) => write!(f, "{}:***{}", &url[..start + colon], &url[at..]),
                        None => f.write_str(url),
                    },
                    None => f.write_str(url),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_database_and_keep_its_password() {
        for (text, shown) in [
            ("sqlite:////var/lib/a.db", Some("sqlite:////var/lib/a.db")),
            ("sqlite:///a.db", Some("sqlite:///a.db")),
            ("sqlite://a.db", None),
            ("sqlite:///", None),
            ("/var/lib/a.db", None),
            ("file:///etc/site/users", None),
            ("mysql://h/d", None),
            ("redis://h:6379/0", Some("redis://h:6379/0")),
            ("redis://:se:c@ret@h/0", Some("redis://:***@h/0")),
            ("postgres://u:secret@h/d?x=@", Some("postgres://u:***@h/d?x=@")),
            ("postgresql://u@h/d", Some("postgresql://u@h/d")),
        ] {
            let found = DatabaseUrl::parse(text).map(|url| url.to_string()).ok();
            assert_eq!(found.as_deref(), shown, "{text}");
        }
        assert_eq!(DatabaseUrl::parse("sqlite:///a.db"), Ok(DatabaseUrl::Sqlite("a.db".into())));
    }
}
