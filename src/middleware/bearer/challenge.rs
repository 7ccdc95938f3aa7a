//! Refusals in the words that clients know: RFC 6750 3, and the bodies of simplejwt or RFC 9457.

use crate::auth::cors::{Cors, Permit};
use crate::auth::{AuthConfigError, Reason, RefusalKind};
use crate::config::{Auth, Preset};
use crate::protocol::{Response, text_response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

/// Writes refusals.
#[derive(Debug)]
pub(super) struct Challenge {
    preset: Preset,
    /// `Bearer realm="…"`
    scheme_and_realm: String,
    detail: Detail,
    cors: Cors,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    Told,
    Withheld,
}

impl Challenge {
    pub(super) fn new(config: &Auth) -> Result<Self, AuthConfigError> {
        let realm = &config.realm;
        if realm.bytes().any(|byte| !(b' '..=b'~').contains(&byte) || matches!(byte, b'"' | b'\\')) {
            return Err(AuthConfigError::setting(
                "realm",
                "it must be printable ASCII without quotes and backslashes",
            ));
        }
        Ok(Self {
            preset: config.preset,
            scheme_and_realm: format!("{} realm=\"{realm}\"", config.extract.scheme()),
            detail: if config.detail { Detail::Told } else { Detail::Withheld },
            cors: Cors::new(&config.cors),
        })
    }

    /// The refusal of a request of these fields; `scopes` are what the route asks for. The reason travels as an
    /// extension, for the log.
    pub(super) fn refuse(&self, reason: Reason, scopes: &[String], request: &HeaderMap) -> Box<Response> {
        let status = self.status(reason);
        let mut response = text_response(status, self.body(reason, status));
        let media_type = match self.preset {
            Preset::SimpleJwt => "application/json",
            Preset::Strict => "application/problem+json",
        };
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.challenge(reason, scopes).map(HeaderValue::try_from) {
            // It cannot fail: the realm and the scopes were checked, all else is fixed.
            Some(challenge) => fields.extend(challenge.ok().map(|challenge| (WWW_AUTHENTICATE, challenge))),
            // A 401 would have every client drop its session for what is not its fault.
            None if status == StatusCode::SERVICE_UNAVAILABLE => {
                fields.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
            }
            None => {}
        }
        self.cors.permit(request).add_to(fields);
        response.extensions_mut().insert(reason);
        Box::new(response)
    }

    /// How the page that sent a request of these fields may read an answer that the server gives in place of an app.
    pub(super) fn permit(&self, request: &HeaderMap) -> Permit {
        self.cors.permit(request)
    }

    fn status(&self, reason: Reason) -> StatusCode {
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

    /// RFC 6750 3.1: without a credential no error is named. `None` where another token would not help.
    fn challenge(&self, reason: Reason, scopes: &[String]) -> Option<String> {
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
    fn body(&self, reason: Reason, status: StatusCode) -> String {
        match self.preset {
            Preset::SimpleJwt => self.simplejwt_body(reason),
            Preset::Strict => {
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

/// When it is worth trying again: keys that could not be had are asked for again within seconds.
const RETRY_SECONDS: &str = "5";

/// RFC 6749 3.3: what a scope is made of; anything else would break out of the challenge.
pub(super) fn is_scope(scope: &str) -> bool {
    !scope.is_empty()
        && scope.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\'))
}
