//! Refusals in the words that clients know: RFC 6750 3, and the bodies of simplejwt or RFC 9457.

use super::{Reason, RefusalKind};
use crate::config::{Auth, Preset};
use http::StatusCode;

/// How a configuration says that a token is refused.
#[derive(Debug)]
pub struct Words {
    preset: Preset,
    /// `Bearer realm="…"`
    scheme_and_realm: String,
    detail: Detail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    Told,
    Withheld,
}

impl Words {
    /// Those of this configuration, whose realm is quoted as it is: it has been checked where it is the server's.
    pub fn new(config: &Auth) -> Self {
        Self {
            preset: config.preset,
            scheme_and_realm: format!("{} realm=\"{}\"", config.extract.scheme(), config.realm),
            detail: if config.detail { Detail::Told } else { Detail::Withheld },
        }
    }

    /// What the body is.
    pub fn media_type(&self) -> &'static str {
        match self.preset {
            Preset::SimpleJwt => "application/json",
            Preset::Strict => "application/problem+json",
        }
    }

    /// The status of an answer that refuses for this reason.
    pub fn status(&self, reason: Reason) -> StatusCode {
        match reason.kind() {
            // simplejwt answers a malformed field like a bad token.
            RefusalKind::Request
                if reason == Reason::CredentialMalformed && self.preset == Preset::SimpleJwt =>
            {
                StatusCode::UNAUTHORIZED
            }
            RefusalKind::Request => StatusCode::BAD_REQUEST,
            RefusalKind::Missing | RefusalKind::Token => StatusCode::UNAUTHORIZED,
            RefusalKind::Rights | RefusalKind::CrossSite => StatusCode::FORBIDDEN,
            RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The challenge; `None` where another token would not help.
    ///
    /// RFC 6750 3.1: without a credential no error is named. `scopes` are what is asked for.
    pub fn challenge(&self, reason: Reason, scopes: &[String]) -> Option<String> {
        let mut challenge = self.scheme_and_realm.clone();
        let error = match reason.kind() {
            RefusalKind::CrossSite | RefusalKind::Unavailable => return None,
            RefusalKind::Missing => return Some(challenge),
            RefusalKind::Request => "invalid_request",
            RefusalKind::Token => "invalid_token",
            RefusalKind::Rights => "insufficient_scope",
        };
        challenge.push_str(&format!(", error=\"{error}\""));
        if self.detail == Detail::Told {
            challenge.push_str(&format!(", error_description=\"{}\"", reason.description()));
        }
        if reason == Reason::Scope && !scopes.is_empty() {
            challenge.push_str(&format!(", scope=\"{}\"", scopes.join(" ")));
        }
        Some(challenge)
    }

    /// JSON, its members in the order in which DRF writes them. All texts are fixed and need no escapes.
    pub fn body(&self, reason: Reason) -> String {
        match self.preset {
            Preset::SimpleJwt => self.simplejwt_body(reason),
            Preset::Strict => {
                let status = self.status(reason);
                let title = status.canonical_reason().unwrap_or_default();
                let detail = match self.detail {
                    Detail::Told => format!(r#","detail":"{}""#, reason.description()),
                    Detail::Withheld => String::new(),
                };
                let status = status.as_u16();
                format!(r#"{{"type":"about:blank","title":"{title}","status":{status}{detail}}}"#)
            }
        }
    }

    /// The bodies of djangorestframework-simplejwt 5.5, which clients in the field compare.
    fn simplejwt_body(&self, reason: Reason) -> String {
        let with_code = |detail: &str, code: &str| format!(r#"{{"detail":"{detail}","code":"{code}"}}"#);
        match reason.kind() {
            RefusalKind::Missing
            | RefusalKind::Rights
            | RefusalKind::CrossSite
            | RefusalKind::Unavailable => {
                format!(r#"{{"detail":"{}"}}"#, reason.description())
            }
            RefusalKind::Request if reason == Reason::Path => with_code(reason.description(), "bad_path"),
            RefusalKind::Request => {
                with_code(Reason::CredentialMalformed.description(), "bad_authorization_header")
            }
            RefusalKind::Token if reason == Reason::Subject => {
                with_code(reason.description(), "token_not_valid")
            }
            RefusalKind::Token if USER_REASONS.contains(&reason) && self.detail == Detail::Told => {
                let code = if reason == Reason::Inactive { "user_inactive" } else { reason.code() };
                with_code(
                    reason.description(),
                    if reason == Reason::NoUser { "user_not_found" } else { code },
                )
            }
            RefusalKind::Token => {
                let known = SIMPLEJWT_MESSAGES.contains(&reason) && self.detail == Detail::Told;
                let message = if known { reason.description() } else { "Token is invalid" };
                format!(
                    concat!(
                        r#"{{"detail":"Given token not valid for any token type","code":"token_not_valid","#,
                        r#""messages":[{{"token_class":"AccessToken","token_type":"access","message":"{}"}}]}}"#
                    ),
                    message
                )
            }
        }
    }
}

/// What simplejwt has its own message for; it says of everything else that the token is invalid.
const SIMPLEJWT_MESSAGES: [Reason; 6] = [
    Reason::Expired,
    Reason::TokenType,
    Reason::NoTokenType,
    Reason::NoId,
    Reason::NoExpiry,
    Reason::Revoked,
];
/// What it says in other bodies.
const USER_REASONS: [Reason; 3] = [Reason::Inactive, Reason::NoUser, Reason::PasswordChanged];
