//! Sessions in Redis, Valkey, or what speaks like them: for several machines.
//!
//! Each operation is one script, which the server runs alone: whatever number of workers exchanges one token at the same
//! time, one of them replaces it. `common.lua` says what is kept under which name. What has expired goes by itself.

mod convert;
mod scripts;

use super::{
    Attempts, Backend, EndReason, Event, Exchange, Exchanged, RefreshToken, SWEEP, Session, SessionId,
    SessionKey, StoreError, TokenHash, TokenState, UserChange, UserKey, UserRow, version,
};
use ::redis::{Client, Connection, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, cmd};
use convert::{Exchanging, Rows, State, hex};
use scripts::{KEYS, Script};
use std::fmt;
use std::time::{Duration, Instant};

/// One connection.
pub struct Redis {
    client: Client,
    connection: Connection,
    /// When it was last heard.
    heard: Instant,
}

impl Redis {
    /// Connects.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the URL is none, the server wants another name or password, or keeps what another
    /// version has written.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        crate::auth::tls::prepare();
        let client = Client::open(url)?;
        let mut connection = connect(&client)?;
        let kept = scripts::KEPT_VERSION.run(&mut connection, &[version::VERSION.to_string()])?;
        version::check("what is kept below {ferricorn}: is", kept)?;
        Ok(Self { client, connection, heard: Instant::now() })
    }

    /// Whether a URL can be understood; nothing is connected.
    ///
    /// # Errors
    /// [`StoreError::Unusable`].
    pub fn check(url: &str) -> Result<(), StoreError> {
        Ok(Client::open(url).map(drop)?)
    }

    fn run<T: FromRedisValue>(&mut self, script: &Script, arguments: &[String]) -> Result<T, StoreError> {
        self.refresh()?;
        let outcome = script.run(&mut self.connection, arguments)?;
        self.heard = Instant::now();
        Ok(outcome)
    }

    /// Connects anew when the server has closed the connection while nobody used it. Only an idle one is asked: a
    /// command that has failed is never repeated, since it may have been done.
    fn refresh(&mut self) -> Result<(), StoreError> {
        if self.heard.elapsed() > IDLE {
            match cmd("PING").exec(&mut self.connection) {
                Ok(()) => {}
                Err(error) if error.is_timeout() => return Err(error.into()),
                Err(_) => self.connection = connect(&self.client)?,
            }
        }
        Ok(())
    }

    fn ask<T: FromRedisValue>(&mut self, command: &str, key: &str, more: &[&str]) -> Result<T, StoreError> {
        self.refresh()?;
        let answer = cmd(command).arg(format!("{KEYS}{key}")).arg(more).query(&mut self.connection)?;
        self.heard = Instant::now();
        Ok(answer)
    }

    fn user_named(&mut self, name: &str) -> Result<Option<UserRow>, StoreError> {
        let fields = ["id", "password", "active"];
        let row: Vec<Option<String>> = self.ask("HMGET", &format!("user:{name}"), &fields)?;
        let [Some(id), Some(password), Some(active)] = row.as_slice() else { return Ok(None) };
        let id =
            id.parse().map_err(|_| StoreError::Unusable(format!("the id of user {name} is no number")))?;
        Ok(Some(UserRow { id, name: name.into(), password: password.clone(), active: active == "1" }))
    }
}

fn connect(client: &Client) -> Result<Connection, StoreError> {
    let connection = client.get_connection_with_timeout(CONNECT)?;
    connection.set_read_timeout(Some(ANSWER))?;
    connection.set_write_timeout(Some(ANSWER))?;
    Ok(connection)
}

/// By what INFO says.
fn concerns(info: &str) -> Vec<String> {
    let value =
        |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let mut concerns = Vec::new();
    if value("aof_enabled") == Some("0") {
        concerns.push("it does not write down what it is told (appendonly no): after a restart sessions are gone, or used tokens are good again".into());
    }
    let policy = value("maxmemory_policy").filter(|policy| *policy != "noeviction");
    if let Some(policy) = policy.filter(|_| value("maxmemory").is_some_and(|bytes| bytes != "0")) {
        concerns.push(format!(
            "it throws sessions away when its memory is full (maxmemory-policy {policy}); set noeviction"
        ));
    }
    concerns
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis")
    }
}

/// What the server says when it is asked for something that it cannot do now is told from what it never will.
impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        let by_kind = matches!(
            error.kind(),
            ErrorKind::AuthenticationFailed
                | ErrorKind::InvalidClientConfig
                | ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::CrossSlot)
        );
        if by_kind || matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) {
            Self::Unusable(format!("{error}; see auth.store.url"))
        } else {
            Self::Unavailable(error.to_string())
        }
    }
}

impl Backend for Redis {
    /// Who may not ask is not told.
    fn concerns(&mut self) -> Vec<String> {
        let said =
            |section| cmd("INFO").arg(section).query::<String>(&mut self.connection).unwrap_or_default();
        concerns(&(["persistence", "memory"].map(said).concat()))
    }

    fn begin(&mut self, session: &Session, token: RefreshToken) -> Result<(), StoreError> {
        let mut arguments = convert::session(session);
        arguments.extend([hex(token.hash.bytes()), token.expires.to_string()]);
        self.run(&scripts::BEGIN, &arguments)
    }

    fn exchange(&mut self, exchange: &Exchange) -> Result<Exchanged, StoreError> {
        let Exchanging(outcome) = self.run(&scripts::EXCHANGE, &convert::exchange(exchange))?;
        Ok(outcome)
    }

    fn look(&mut self, token: TokenHash, now: i64) -> Result<TokenState, StoreError> {
        let State(state) = self.run(&scripts::LOOK, &[hex(token.bytes()), now.to_string()])?;
        Ok(state)
    }

    fn end_by_token(
        &mut self,
        token: TokenHash,
        adopt: Option<&(Session, RefreshToken)>,
        now: i64,
    ) -> Result<TokenState, StoreError> {
        let mut arguments = vec![hex(token.bytes()), now.to_string()];
        arguments.extend(convert::adopted(adopt));
        let State(state) = self.run(&scripts::END_BY_TOKEN, &arguments)?;
        Ok(state)
    }

    fn end(
        &mut self,
        user: &str,
        which: Option<SessionId>,
        (reason, now): (EndReason, i64),
    ) -> Result<usize, StoreError> {
        let which = which.map(|session| session.to_string()).unwrap_or_default();
        self.run(&scripts::END, &[user.into(), which, reason.word().into(), now.to_string()])
    }

    /// A part at a time: of very many sessions the server has other things to do in between.
    fn sessions(&mut self, user: Option<&str>, now: i64) -> Result<Vec<Session>, StoreError> {
        let index = user.map_or_else(|| "sessions".into(), |user| format!("sessions_of:{user}"));
        let over = now - SLACK;
        let names: Vec<String> = self.ask("ZRANGEBYSCORE", &index, &[&over.to_string(), "+inf"])?;
        let mut sessions = Vec::new();
        for part in names.chunks(PART) {
            let arguments: Vec<String> =
                std::iter::once(now.to_string()).chain(part.iter().cloned()).collect();
            let Rows(rows) = self.run(&scripts::SESSIONS, &arguments)?;
            sessions.extend(rows);
        }
        sessions.sort_by_key(|session| (session.created, session.id));
        Ok(sessions)
    }

    fn session(&mut self, by: SessionKey) -> Result<Option<Session>, StoreError> {
        let (kind, name) = match by {
            SessionKey::Id(id) => ("session", id.to_string()),
            SessionKey::Token(token) => ("token", hex(token.bytes())),
        };
        let Rows(rows) = self.run(&scripts::SESSION, &[kind.into(), name])?;
        Ok(rows.into_iter().next())
    }

    fn rehashed(&mut self, user: &str, from: [u8; 16], to: [u8; 16]) -> Result<(), StoreError> {
        self.run(&scripts::REHASHED, &[user.into(), hex(&from), hex(&to)])
    }

    fn events(&mut self, after: i64, now: i64) -> Result<Vec<Event>, StoreError> {
        let range = [&format!("({after}"), "+inf", "WITHSCORES"];
        let rows: Vec<(String, i64)> = self.ask("ZRANGEBYSCORE", "events", &range)?;
        let mut events = rows.iter().map(convert::event).collect::<Result<Vec<_>, _>>()?;
        events.retain(|event| event.until > now);
        Ok(events)
    }

    fn wait(&mut self, attempts: &[Attempts], now_ms: i64) -> Result<Duration, StoreError> {
        let mut longest = Duration::ZERO;
        for one in attempts {
            let until: Option<i64> = self.ask("GET", &format!("attempt:{}", hex(&one.key)), &[])?;
            longest = longest.max(one.wait(until, now_ms));
        }
        Ok(longest)
    }

    fn failed(&mut self, attempts: &[Attempts], now_ms: i64) -> Result<(), StoreError> {
        let each = attempts.iter().flat_map(|one| [hex(&one.key), one.step.as_millis().to_string()]);
        let arguments: Vec<String> = std::iter::once(now_ms.to_string()).chain(each).collect();
        self.run(&scripts::FAILED, &arguments)
    }

    fn sweep(&mut self, now: i64) -> Result<usize, StoreError> {
        self.run(&scripts::SWEEP, &[now.to_string(), SWEEP.to_string()])
    }

    fn user(&mut self, by: UserKey<'_>) -> Result<Option<UserRow>, StoreError> {
        match by {
            UserKey::Name(name) => self.user_named(name),
            UserKey::Id(id) => match self.ask::<Option<String>>("GET", &format!("user_name:{id}"), &[])? {
                Some(name) => self.user_named(&name),
                None => Ok(None),
            },
        }
    }

    fn users(&mut self) -> Result<Vec<UserRow>, StoreError> {
        let names: Vec<String> = self.ask("ZRANGE", "users", &["0", "-1"])?;
        names.iter().filter_map(|name| self.user_named(name).transpose()).collect()
    }

    fn change_user(&mut self, name: &str, change: UserChange<'_>, now: i64) -> Result<bool, StoreError> {
        let (what, value, from) = match change {
            UserChange::Add(password) => ("add", password, ""),
            UserChange::Password(password) => ("password", password, ""),
            UserChange::Hash { from, to } => ("password", to, from),
            UserChange::Active(true) => ("active", "1", ""),
            UserChange::Active(false) => ("active", "0", ""),
        };
        let arguments = [name, what, value, &now.to_string(), from].map(str::to_owned);
        self.run(&scripts::CHANGE_USER, &arguments)
    }
}

/// From the beginning of a connection to its end; less than the pool's limit, so that its answer is still waited for.
const CONNECT: Duration = Duration::from_secs(1);

/// From a command to its answer.
const ANSWER: Duration = Duration::from_millis(1500);

/// After that a connection is asked whether it is still one.
const IDLE: Duration = Duration::from_millis(400);

/// As in `common.lua`.
const SLACK: i64 = 600;

/// Sessions that are read by one script.
const PART: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_lose_sessions_are_told() {
        for (info, told) in [
            ("aof_enabled:1\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n", &[][..]),
            ("aof_enabled:1\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", &[]),
            (
                "aof_enabled:0\r\nmaxmemory:9\r\nmaxmemory_policy:allkeys-lru\r\n",
                &["appendonly", "allkeys-lru"],
            ),
            ("", &[]),
        ] {
            let found = concerns(info);
            assert_eq!(found.len(), told.len(), "{found:?}");
            assert!(found.iter().zip(told).all(|(found, told)| found.contains(told)), "{found:?}");
        }
    }
}
