//! Rows as texts, as the scripts take and return them.

use crate::auth::revocations::parse_hex;
use crate::auth::store::{
    Event, Exchange, Exchanged, RefreshToken, Session, SessionId, StoreError, Successor, TokenId, TokenState,
};
use crate::config::Reuse;
use ::redis::{FromRedisValue, ParsingError, Value, from_redis_value};

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // A text takes whatever is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The seven of a session.
pub(super) fn session(session: &Session) -> Vec<String> {
    vec![
        session.id.to_string(),
        session.user.clone(),
        session.created.to_string(),
        session.used.to_string(),
        session.ends.to_string(),
        session.access_until.to_string(),
        session.credential.map(|credential| hex(&credential)).unwrap_or_default(),
    ]
}

/// A session that may be begun, and when its token expires.
pub(super) fn adopted(adopt: Option<&(Session, RefreshToken)>) -> Vec<String> {
    match adopt {
        Some((begun, token)) => session(begun).into_iter().chain([token.expires.to_string()]).collect(),
        None => vec![String::new()],
    }
}

/// What `exchange.lua` is given.
pub(super) fn exchange(exchange: &Exchange) -> Vec<String> {
    let reuse = match exchange.reuse {
        Reuse::RevokeFamily => "revoke_family",
        Reuse::Refuse => "refuse",
    };
    let successor = match &exchange.successor {
        Some(next) => [
            next.id.to_string(),
            hex(next.id.hash().bytes()),
            next.issued.to_string(),
            next.expires.to_string(),
        ],
        None => Default::default(),
    };
    [
        hex(exchange.token.bytes()),
        exchange.now.to_string(),
        exchange.access_expires.to_string(),
        exchange.leeway.to_string(),
        exchange.grace_seconds().to_string(),
        reuse.into(),
    ]
    .into_iter()
    .chain(successor)
    .chain(adopted(exchange.adopt.as_ref()))
    .collect()
}

/// "SESSION:UNTIL", and its number.
pub(super) fn event((member, number): &(String, i64)) -> Result<Event, StoreError> {
    let read = member.split_once(':').and_then(|(session, until)| {
        Some(Event { number: *number, session: SessionId::parse(session)?, until: until.parse().ok()? })
    });
    read.ok_or_else(|| {
        StoreError::Unusable(format!("{member:?} among the events was made by another program"))
    })
}

/// What `exchange.lua` returns.
pub(super) struct Exchanging(pub(super) Exchanged);

/// What `look.lua` returns.
pub(super) struct State(pub(super) TokenState);

/// What `sessions.lua` returns.
pub(super) struct Rows(pub(super) Vec<Session>);

impl FromRedisValue for Exchanging {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let parts: Vec<Value> = from_redis_value(value)?;
        let mut parts = parts.into_iter();
        let mut next = || parts.next().ok_or_else(|| ParsingError::from("an exchange has too few parts"));
        let word: String = from_redis_value(next()?)?;
        Ok(Self(match word.as_str() {
            "unknown" => Exchanged::Unknown,
            "ended" => Exchanged::Ended,
            "reused" => Exchanged::Reused(session_of(next()?)?),
            "again" => Exchanged::Again(session_of(next()?)?, successor_of(next()?)?),
            "good" => {
                let session = session_of(next()?)?;
                let successor = parts.next().map(successor_of).transpose()?;
                Exchanged::Good(session, successor)
            }
            _ => return Err(ParsingError::from("an exchange has an outcome that is not known")),
        }))
    }
}

impl FromRedisValue for State {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let word: String = from_redis_value(value)?;
        Ok(Self(match word.as_str() {
            "live" => TokenState::Live,
            "ended" => TokenState::Ended,
            "unknown" => TokenState::Unknown,
            _ => return Err(ParsingError::from("a token has a state that is not known")),
        }))
    }
}

impl FromRedisValue for Rows {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let rows: Vec<Value> = from_redis_value(value)?;
        Ok(Self(rows.into_iter().map(session_of).collect::<Result<_, _>>()?))
    }
}

fn session_of(value: Value) -> Result<Session, ParsingError> {
    type Row = (String, String, i64, i64, i64, i64, String);
    let (id, user, created, used, ends, access_until, credential): Row = from_redis_value(value)?;
    let id = SessionId::parse(&id).ok_or_else(|| ParsingError::from("the name of a session is malformed"))?;
    Ok(Session { id, user, created, used, ends, access_until, credential: parse_hex(&credential) })
}

fn successor_of(value: Value) -> Result<Successor, ParsingError> {
    let (id, issued, expires): (String, i64, i64) = from_redis_value(value)?;
    let id = parse_hex(&id).ok_or_else(|| ParsingError::from("the name of a token is malformed"))?;
    Ok(Successor { id: TokenId(id), issued, expires })
}
