//! What tokens are signed with: taken up before a session begins or its refresh token is replaced.
//!
//! After that nothing may fail. A client whose refresh token has been replaced and that gets nothing for it has lost its
//! session where there is no grace, and has to ask again where there is one.

use super::claims::{Token, TokenType};
use super::{Issued, Issuer, Judges, Pair, Refusal};
use crate::auth::store::{Session, Successor, TokenId};
use crate::auth::unix_seconds;
use serde_json::Value;
use std::sync::Arc;
use std::time::SystemTime;

/// The keys of one moment, of which one signs in it, and the name of the access token to come.
pub(super) struct Pen {
    judges: Arc<Judges>,
    /// Seconds since 1970, by which the keys are chosen.
    at: f64,
    access: TokenId,
}

impl Issuer {
    /// # Errors
    /// [`Refusal::Unavailable`]: no key is for signing now, or the system's randomness failed.
    pub(super) fn pen(&self, now: SystemTime) -> Result<Pen, Refusal> {
        let (judges, at) = (self.judges.load_full(), unix_seconds(now));
        if !judges.refresh.can_sign(at) {
            tracing::error!("no token can be signed: no key of the provider is for signing now");
            return Err(Refusal::Unavailable);
        }
        Ok(Pen { judges, at, access: TokenId::random()? })
    }

    /// Both tokens; the refresh token only where there is a new one.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`], where the pen could not be tried out: for some algorithms a signature takes randomness.
    pub(super) fn pair(
        &self,
        pen: &Pen,
        session: &Session,
        (now, more): (i64, &[(String, Value)]),
        refresh: Option<Successor>,
    ) -> Result<Pair, Refusal> {
        let sign = |token: &Token<'_>| -> Result<Issued, Refusal> {
            let signed = pen.judges.refresh.sign(&self.names.write(token), pen.at);
            let signed = signed.ok_or_else(|| {
                tracing::error!("no token can be signed: the provider's key has failed");
                Refusal::Unavailable
            })?;
            Ok(Issued { token: signed, seconds: token.expires - now })
        };
        let user = session.user.as_str();
        let access = sign(&Token {
            kind: TokenType::Access,
            id: &pen.access.to_string(),
            issued: now,
            expires: (now + self.rules.access).min(session.ends),
            session: Some(session.id).filter(|_| self.rules.revokes_access),
            user,
            more,
        })?;
        let refresh = refresh.map(|refresh| {
            sign(&Token {
                kind: TokenType::Refresh,
                id: &refresh.id.to_string(),
                issued: refresh.issued,
                expires: refresh.expires,
                session: Some(session.id),
                user,
                more,
            })
        });
        Ok(Pair { access, refresh: refresh.transpose()? })
    }
}
