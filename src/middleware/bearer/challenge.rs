//! Refusals as answers.

use crate::auth::cors::{Cors, Permit};
use crate::auth::{AuthConfigError, Reason, Words};
use crate::config::Auth;
use crate::protocol::{Response, text_response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

/// Writes refusals.
#[derive(Debug)]
pub(super) struct Challenge {
    words: Words,
    cors: Cors,
}

impl Challenge {
    pub(super) fn new(config: &Auth) -> Result<Self, AuthConfigError> {
        if !config.has_quotable_realm() {
            return Err(AuthConfigError::setting(
                "realm",
                "it must be printable ASCII without quotes and backslashes",
            ));
        }
        Ok(Self { words: Words::new(config), cors: Cors::new(&config.cors) })
    }

    /// The refusal of a request of these fields; `scopes` are what the route asks for. The reason travels as an
    /// extension, for the log.
    pub(super) fn refuse(&self, reason: Reason, scopes: &[String], request: &HeaderMap) -> Box<Response> {
        let status = self.words.status(reason);
        let mut response = text_response(status, self.words.body(reason));
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(self.words.media_type()));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.words.challenge(reason, scopes).map(HeaderValue::try_from) {
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
}

/// When it is worth trying again: keys that could not be had are asked for again within seconds.
const RETRY_SECONDS: &str = "5";

/// RFC 6749 3.3: what a scope is made of; anything else would break out of the challenge.
pub(super) fn is_scope(scope: &str) -> bool {
    !scope.is_empty()
        && scope.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\'))
}
