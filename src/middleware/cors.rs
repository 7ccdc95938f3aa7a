//! Who may read a refusal: a page that cannot see a 401 never refreshes its token.

use crate::config;
use http::HeaderValue;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, HeaderMap,
    ORIGIN, VARY,
};

/// Which pages of other origins may read the answers that this server gives in place of an app.
#[derive(Debug, Clone)]
pub(super) struct Cors {
    origins: Vec<String>,
}

impl Cors {
    pub(super) fn new(config: &config::Cors) -> Self {
        Self { origins: config.allowed_origins.clone() }
    }

    /// Adds what a browser must see (Fetch 3.3) to the answer to a request of these fields.
    pub(super) fn permit(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if self.origins.is_empty() {
            return;
        }
        // RFC 9110 12.5.5: also on an answer to another page, which a cache must not give to this one.
        response.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = request.get(ORIGIN) else { return };
        let value = if self.origins.iter().any(|ours| ours.as_bytes() == origin.as_bytes()) {
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            origin.clone()
        } else if self.origins.iter().any(|ours| ours == "*") {
            HeaderValue::from_static("*")
        } else {
            return;
        };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
        response
            .insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("WWW-Authenticate, Retry-After"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer's fields for a page of that origin.
    fn answer(allowed: &[&str], origin: Option<&'static str>) -> HeaderMap {
        let allowed_origins = allowed.iter().map(|origin| (*origin).to_owned()).collect();
        let mut request = HeaderMap::new();
        request.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
        let mut response = HeaderMap::new();
        Cors::new(&config::Cors { allowed_origins }).permit(&request, &mut response);
        response
    }

    #[test]
    fn refusals_can_be_read_by_pages_of_allowed_origins_alone() {
        for (allowed, origin, readable, credentials) in [
            (&["https://app.example"][..], Some("https://app.example"), Some("https://app.example"), true),
            (&["https://app.example"], Some("https://app.example:8443"), None, false),
            (&["https://app.example"], Some("https://evil.example"), None, false),
            (&["https://app.example"], Some("null"), None, false),
            (&["*"], Some("https://any.example"), Some("*"), false),
            (&["*"], None, None, false),
        ] {
            let fields = answer(allowed, origin);
            let allows = fields.get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap());
            assert_eq!(allows, readable, "{allowed:?} {origin:?}");
            assert_eq!(fields.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS), credentials);
            assert_eq!(fields.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS), readable.is_some());
            assert_eq!(fields[VARY], "Origin");
        }
        assert!(
            answer(&[], Some("https://app.example")).is_empty(),
            "nothing is said where nothing is configured"
        );
    }
}
