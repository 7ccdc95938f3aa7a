//! Who may read what the server answers in place of an app: a page that cannot see a 401 never refreshes its token.

use crate::config;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, ORIGIN, VARY,
};
use http::{HeaderValue, Method};

/// Which pages of other origins may read the answers that this server gives in place of an app.
#[derive(Debug, Clone)]
pub struct Cors {
    origins: Vec<String>,
}

/// How the page that sent a request is allowed to read the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// No origin is allowed here: nothing is said.
    Silent,
    /// Not at all; a cache has to know that other pages are.
    Refused,
    /// As any page, without cookies.
    Anybody,
    /// As a page of this origin, with cookies.
    Origin(HeaderValue),
}

impl Cors {
    /// By this configuration.
    pub fn new(config: &config::Cors) -> Self {
        Self { origins: config.allowed_origins.clone() }
    }

    /// What the page that sent a request of these fields may do.
    pub fn permit(&self, request: &HeaderMap) -> Permit {
        if self.origins.is_empty() {
            return Permit::Silent;
        }
        match request.get(ORIGIN) {
            Some(origin) if self.origins.iter().any(|ours| ours.as_bytes() == origin.as_bytes()) => {
                Permit::Origin(origin.clone())
            }
            Some(_) if self.origins.iter().any(|ours| ours == "*") => Permit::Anybody,
            Some(_) | None => Permit::Refused,
        }
    }
}

impl Permit {
    /// Adds what a browser must see (Fetch 3.3) to an answer.
    pub fn add_to(&self, response: &mut HeaderMap) {
        if *self == Self::Silent {
            return;
        }
        // RFC 9110 12.5.5: also on an answer to another page, which a cache must not give to this one.
        response.append(VARY, HeaderValue::from_static("Origin"));
        let origin = match self {
            Self::Silent | Self::Refused => return,
            Self::Anybody => HeaderValue::from_static("*"),
            Self::Origin(origin) => {
                response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                origin.clone()
            }
        };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response
            .insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("WWW-Authenticate, Retry-After"));
    }

    /// The fields of the answer to a preflight for a resource of these methods; `None`: none is allowed.
    pub fn preflight(&self, request: &HeaderMap, methods: &[Method]) -> Option<HeaderMap> {
        if !is_preflight(request) || matches!(self, Self::Silent | Self::Refused) {
            return None;
        }
        let mut fields = HeaderMap::new();
        self.add_to(&mut fields);
        // Nothing is to be read of a preflight.
        fields.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
        let list: Vec<&str> = methods.iter().map(Method::as_str).collect();
        fields.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::try_from(list.join(", ")).ok()?);
        // Whatever a page that may read the answer wants to send: tracing libraries add fields of their own.
        if let Some(wanted) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            fields.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
            fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        fields.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_SECONDS));
        Some(fields)
    }
}

/// Whether an OPTIONS request of these fields asks for another one (Fetch 3.2.2). A browser sends no credential in it.
pub fn is_preflight(request: &HeaderMap) -> bool {
    request.contains_key(ORIGIN) && request.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// How long a browser remembers a preflight: a change of the configuration is known everywhere after that.
const MAX_AGE_SECONDS: &str = "600";

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    /// The answer's fields for a page of that origin.
    fn answer(allowed: &[&str], origin: Option<&'static str>) -> HeaderMap {
        let allowed_origins = allowed.iter().map(|origin| (*origin).to_owned()).collect();
        let mut request = HeaderMap::new();
        request.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
        let mut response = HeaderMap::new();
        Cors::new(&config::Cors { allowed_origins }).permit(&request).add_to(&mut response);
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

    #[test]
    fn preflights_are_answered_for_pages_of_allowed_origins_alone() {
        let cors = Cors::new(&config::Cors { allowed_origins: vec!["https://app.example".into()] });
        let request = |fields: &[(HeaderName, &'static str)]| -> HeaderMap {
            fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
        };
        let (ours, other) = ((ORIGIN, "https://app.example"), (ORIGIN, "https://evil.example"));
        let method = (ACCESS_CONTROL_REQUEST_METHOD, "POST");
        let answer =
            |fields: &HeaderMap| cors.permit(fields).preflight(fields, &[Method::GET, Method::DELETE]);
        for fields in [&[ours.clone()][..], std::slice::from_ref(&method), &[other, method.clone()]] {
            assert_eq!(answer(&request(fields)), None, "{fields:?}");
        }
        let wanted = (ACCESS_CONTROL_REQUEST_HEADERS, "authorization,traceparent");
        let fields = answer(&request(&[ours.clone(), method.clone(), wanted])).unwrap();
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_ORIGIN, "https://app.example"),
            (ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, DELETE"),
            (ACCESS_CONTROL_ALLOW_HEADERS, "authorization,traceparent"),
            (ACCESS_CONTROL_MAX_AGE, "600"),
        ] {
            assert_eq!(fields[&name], value, "{name}");
        }
        let vary: Vec<&HeaderValue> = fields.get_all(VARY).iter().collect();
        assert_eq!(vary, ["Origin", "Access-Control-Request-Headers"]);
        assert!(!answer(&request(&[ours, method])).unwrap().contains_key(ACCESS_CONTROL_ALLOW_HEADERS));
    }
}
