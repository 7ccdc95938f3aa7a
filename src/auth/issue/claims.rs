//! What our tokens say, in the order in which simplejwt says it.

use crate::auth::Verified;
use crate::auth::store::{SessionId, TokenHash};
use crate::auth::users::User;
use crate::config::AuthProvider;
use serde_json::{Map, Value};

/// What every token of this server says.
#[derive(Debug)]
pub(super) struct Names {
    /// The claim that names the user.
    subject: String,
    issuer: Option<String>,
    audience: Option<Value>,
}

/// Which of the two tokens it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenType {
    Access,
    Refresh,
}

/// What one token says besides.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenType,
    pub(super) id: &'a str,
    pub(super) issued: i64,
    pub(super) expires: i64,
    /// `None`: it is not said which session it belongs to.
    pub(super) session: Option<SessionId>,
    pub(super) user: &'a str,
    /// Claims of the user, and of the token that this one is made of.
    pub(super) more: &'a [(String, Value)],
}

/// A refresh token whose signature and claims are good.
#[derive(Debug)]
pub(super) struct Presented {
    pub(super) hash: TokenHash,
    pub(super) jti: String,
    /// `None` for one that simplejwt has made.
    pub(super) session: Option<SessionId>,
    pub(super) user: String,
    pub(super) expires: i64,
    /// What it says beyond what we would say of any.
    pub(super) more: Vec<(String, Value)>,
}

impl Names {
    pub(super) fn new(provider: &AuthProvider) -> Self {
        let audience = match provider.audiences.as_slice() {
            [] => None,
            [one] if one == "*" => None,
            [one] => Some(one.as_str().into()),
            several => Some(several.to_vec().into()),
        };
        Self { subject: provider.subject_claim.clone(), issuer: provider.issuer.clone(), audience }
    }

    /// The claims as JSON text.
    pub(super) fn write(&self, token: &Token<'_>) -> Vec<u8> {
        let kind = match token.kind {
            TokenType::Access => "access",
            TokenType::Refresh => "refresh",
        };
        let mut text = String::from("{");
        let mut put = |name: &str, value: Value| {
            let comma = if text.len() > 1 { "," } else { "" };
            text.push_str(&format!("{comma}{}:{value}", Value::from(name)));
        };
        put("token_type", kind.into());
        put("exp", token.expires.into());
        put("iat", token.issued.into());
        put("jti", token.id.into());
        put(&self.subject, token.user.into());
        if let Some(session) = token.session {
            put("sid", session.to_string().into());
        }
        for (name, value) in token.more {
            put(name, value.clone());
        }
        if let Some(audience) = &self.audience {
            put("aud", audience.clone());
        }
        if let Some(issuer) = &self.issuer {
            put("iss", issuer.as_str().into());
        }
        text.push('}');
        text.into_bytes()
    }

    /// What a verified refresh token says; `None` when it lacks what its provider's rules ask for.
    pub(super) fn read(&self, verified: Verified) -> Option<Presented> {
        let text = |claims: &Map<String, Value>, name: &str| claims.get(name)?.as_str().map(str::to_owned);
        let jti = text(&verified.claims, "jti")?;
        let session = text(&verified.claims, "sid").and_then(|sid| SessionId::parse(&sid));
        let own = |name: &str| OWN.contains(&name) || name == self.subject;
        let more = verified.claims.into_iter().filter(|(name, _)| !own(name)).collect();
        // Its rules have it from 0 to the year 9999.
        #[expect(clippy::cast_possible_truncation, reason = "checked by the claim rules")]
        let expires = verified.expires as i64;
        Some(Presented { hash: TokenHash::of(&jti), jti, session, user: verified.subject?, expires, more })
    }
}

/// What goes on from one token to the next: what it said, with the user as it is now.
pub(super) fn carried(mut more: Vec<(String, Value)>, user: &User) -> Vec<(String, Value)> {
    more.retain(|(name, _)| !user.extra.iter().any(|(fresh, _)| fresh == name));
    more.extend(user.extra.iter().cloned());
    more
}

/// Claims that are ours to set.
const OWN: [&str; 8] = ["token_type", "exp", "iat", "nbf", "jti", "sid", "aud", "iss"];
