//! `[auth.issue]`, `[auth.store]`, `[auth.users]`: tokens that the server issues itself.

use crate::config::units::{parse_duration, show_duration};
use crate::config::words::words;
use crate::config::{Auth, AuthProvider, AuthRoute, DatabaseUrl, Preset, Require};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// `[auth.issue]`
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key that the operator sets for itself")]
pub struct Issue {
    /// Whether the server issues tokens. Default: false.
    pub enabled: bool,
    /// Where the endpoints are. Default: "/api/token/".
    pub prefix: String,
    /// Whose tokens are issued; `None` = those of the provider that has a key to sign with.
    pub provider: Option<String>,
    /// Life of an access token. Default: 5 min.
    pub access: Duration,
    /// Life of a refresh token. Default: 1 d.
    pub refresh: Duration,
    /// Longest life of a session, however often it is refreshed. Default: 30 d.
    pub session_max: Duration,
    /// Whether a refresh token is good for one refresh; `None` = by the preset: simplejwt no, strict yes.
    pub rotate: Option<bool>,
    /// What happens when a used refresh token comes again. Default: the session ends.
    pub reuse: Reuse,
    /// How long a used one gets its successor once more. Default: 10 s.
    pub reuse_grace: Duration,
    /// Whether access tokens end with their session. Default: true.
    pub revoke_access: bool,
    /// Whether refresh tokens that simplejwt has issued begin a session. Default: true.
    pub legacy_adopt: bool,
    /// Whether browsers get the tokens as cookies. Default: false.
    pub set_cookies: bool,
    /// Claim to column of the user table.
    pub extra_claims: BTreeMap<String, String>,
    /// Threads that compute password hashes, per worker. Default: 2.
    pub hash_threads: u16,
    /// Logins that may wait for them, per worker. Default: 64.
    pub hash_queue: u32,
    /// How many failed logins there may be.
    pub limit: IssueLimits,
}

/// `auth.issue.limit`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueLimits {
    /// For one account. Default: 5 in a minute.
    pub per_account: Option<Rate>,
    /// From one address. Default: 30 in a minute.
    pub per_ip: Option<Rate>,
    /// Whose word for the address is taken. Default: that of the proxies whom the server trusts.
    pub trust_proxy: TrustProxy,
}

/// By whose word the address is known from which a login comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustProxy {
    /// As everywhere in the server: by the word of `server.forwarded_allow_ips`, else it is the peer's.
    ServersRule,
    /// It is the peer's, whatever anybody says.
    Never,
}

/// What happens when a used refresh token comes again after its grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// The session ends: one of the two who hold the token is a thief.
    RevokeFamily,
    /// The token is refused and the session goes on.
    Refuse,
}

/// So many in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how much time.
    pub period: Duration,
}

/// `[auth.store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthStore {
    /// Where sessions are kept; `None` = a file of this server's own.
    pub url: Option<DatabaseUrl>,
    /// What becomes of protected routes when nothing has been heard of the store for `stale_max`.
    pub on_error: OnStoreError,
    /// How long the last word of the store is good for. Default: 60 s.
    pub stale_max: Duration,
}

/// What becomes of requests with a token while the store cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStoreError {
    /// They are answered 503.
    Closed,
    /// They pass by what was known last.
    Open,
}

/// `[auth.users]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthUsers {
    /// Whose table it is. Default: "own".
    pub kind: UserKind,
    /// Where it is; `None` = in the store.
    pub url: Option<DatabaseUrl>,
    /// The file of users, of kind "file".
    pub file: Option<PathBuf>,
    /// Its name. Default: `auth_user`, Django's.
    pub table: String,
    /// The column that tokens name users by. Default: `id`.
    pub id_column: String,
    /// The column that users log in by. Default: `username`.
    pub username_column: String,
    /// The member of a request that has the name; `None` = as [`name_member`](Self::name_member) says.
    pub username_field: Option<String>,
    /// The column with the password's hash. Default: `password`.
    pub password_column: String,
    /// The column that says whether a user may log in; `None` = all may. Default: `is_active`.
    pub active_column: Option<String>,
    /// Whether a password whose hash is weaker than it should be is hashed anew when its user logs in. Default: false.
    pub rehash: bool,
}

/// Whose table the users are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserKind {
    /// Django's, which is only read unless `rehash` says otherwise.
    Django,
    /// This server's, filled by `ferricorn user`.
    Own,
    /// The app is asked: Django's own `authenticate()`.
    Python,
    /// A file of lines `NAME:HASH`.
    File,
}

impl Auth {
    /// Whether the server issues tokens.
    pub fn issues(&self) -> bool {
        self.enabled && self.issue.enabled
    }

    /// Whether browsers get the tokens that are issued as cookies.
    pub fn sets_cookies(&self) -> bool {
        self.issues() && self.issue.set_cookies
    }

    /// Whether a refresh token is good for one refresh.
    pub fn rotates(&self) -> bool {
        self.issue.rotate.unwrap_or(match self.preset {
            Preset::SimpleJwt => false,
            Preset::Strict => true,
        })
    }

    /// How long a used refresh token gets its successor once more, by the clock of any machine that has the store: by another's it was
    /// replaced later, or sooner, by up to the leeway. Where there is no grace there is none.
    pub fn reuse_grace(&self, provider: &AuthProvider) -> Duration {
        let clocks_differ_by = match self.store.url {
            // A file has one machine, which has one clock.
            Some(DatabaseUrl::Sqlite(_)) | None => Duration::ZERO,
            Some(DatabaseUrl::Redis(_) | DatabaseUrl::Postgres(_)) => provider.leeway,
        };
        match self.issue.reuse_grace {
            Duration::ZERO => Duration::ZERO,
            grace => grace + clocks_differ_by,
        }
    }

    /// The rules in force: where tokens are issued none can be asked for.
    pub fn rules(&self) -> Vec<AuthRoute> {
        let open = self.issue_mounts().into_iter().map(|prefix| AuthRoute {
            prefix: prefix.into(),
            hosts: Vec::new(),
            methods: Vec::new(),
            require: Require::None,
            allow_query: false,
            scopes_all: Vec::new(),
            scopes_any: Vec::new(),
            claims: BTreeMap::new(),
        });
        open.chain(self.routes.iter().cloned()).collect()
    }

    /// Where the app that issues tokens is mounted; empty where there is none.
    pub fn issue_mounts(&self) -> Vec<&str> {
        if !self.issues() {
            return Vec::new();
        }
        // A secret has no public half.
        let publishes = self
            .issuing_provider()
            .is_some_and(|provider| provider.keys.iter().any(|key| !key.alg.starts_with("HS")));
        let mut mounts = vec![self.issue.prefix.as_str()];
        mounts.extend(publishes.then_some(JWKS_PATH));
        mounts
    }
}

/// RFC 8615: where clients look for the keys that prove tokens.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

impl Default for Issue {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const DAY: u64 = 24 * 60 * MINUTE;
        Self {
            enabled: false,
            prefix: "/api/token/".into(),
            provider: None,
            access: Duration::from_secs(5 * MINUTE),
            refresh: Duration::from_secs(DAY),
            session_max: Duration::from_secs(30 * DAY),
            rotate: None,
            reuse: Reuse::RevokeFamily,
            reuse_grace: Duration::from_secs(10),
            revoke_access: true,
            legacy_adopt: true,
            set_cookies: false,
            extra_claims: BTreeMap::new(),
            hash_threads: 2,
            hash_queue: 64,
            limit: IssueLimits {
                per_account: Some(Rate { count: 5, period: Duration::from_secs(MINUTE) }),
                per_ip: Some(Rate { count: 30, period: Duration::from_secs(MINUTE) }),
                trust_proxy: TrustProxy::ServersRule,
            },
        }
    }
}

impl Default for AuthStore {
    fn default() -> Self {
        Self { url: None, on_error: OnStoreError::Closed, stale_max: Duration::from_secs(60) }
    }
}

impl Default for AuthUsers {
    fn default() -> Self {
        Self {
            kind: UserKind::Own,
            url: None,
            file: None,
            table: "auth_user".into(),
            id_column: "id".into(),
            username_column: "username".into(),
            username_field: None,
            password_column: "password".into(),
            active_column: Some("is_active".into()),
            rehash: false,
        }
    }
}

impl AuthUsers {
    /// What requests call the name by which users log in.
    pub fn name_member(&self) -> &str {
        match (&self.username_field, self.kind) {
            (Some(field), _) => field,
            (None, UserKind::Django | UserKind::Python) => &self.username_column,
            (None, UserKind::Own | UserKind::File) => "username",
        }
    }
}

impl Rate {
    /// Reads "5/1m".
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (count, period) = text.split_once('/').ok_or("there is no \"/\"")?;
        let count = count.trim().parse().map_err(|_| format!("{count:?} is no whole number"))?;
        let period = parse_duration(period.trim())?;
        if count == 0 || period.is_zero() {
            return Err("nothing could ever pass".into());
        }
        Ok(Self { count, period })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, show_duration(self.period))
    }
}

words! {
    Reuse { RevokeFamily = "revoke_family", Refuse = "refuse" }
    TrustProxy { ServersRule = "server" | "server's own rule", Never = "never" }
    OnStoreError { Closed = "closed", Open = "open" }
    UserKind { Django = "django", Own = "own", Python = "python", File = "file" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_are_shown() {
        let rate = Rate::parse("5 / 60s").unwrap();
        assert_eq!((rate.count, rate.period), (5, Duration::from_secs(60)));
        assert_eq!(Rate::parse(&rate.to_string()), Ok(rate));
        for text in ["", "5", "0/1m", "5/0s", "x/1m", "5/x", "-1/1m"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }
}
