//! The answers: in the words of simplejwt, or as problem details (RFC 9457).

use super::input::{FieldProblem, Unreadable};
use super::status_of;
use crate::auth::issue::Refusal;
use crate::auth::{Reason, RefusalKind};
use crate::config::{Auth, Preset};
use crate::protocol::{Response, ResponseBody, Substitute};
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// Writes answers in one manner.
#[derive(Debug)]
pub(super) struct Answers {
    preset: Preset,
    /// `Bearer realm="…"`
    challenge: String,
    detail: Detail,
}

/// Whether answers say what was wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    Told,
    Withheld,
}

impl Answers {
    pub(super) fn new(auth: &Auth) -> Self {
        // The configuration has seen to it that the realm can be quoted.
        let challenge = format!("{} realm=\"{}\"", auth.extract.scheme(), auth.realm);
        let detail = if auth.detail { Detail::Told } else { Detail::Withheld };
        Self { preset: auth.preset, challenge, detail }
    }

    /// 200, with this JSON.
    pub(super) fn success(&self, text: String) -> Response {
        respond(StatusCode::OK, (JSON, text))
    }

    pub(super) fn refuse(&self, refusal: Refusal) -> Response {
        let (detail, code) = self.words(refusal);
        let mut response = self.problem(status_of(refusal), &detail, code);
        let fields = response.headers_mut();
        match refusal {
            Refusal::TooMany(wait) => fields.extend([(RETRY_AFTER, seconds(wait).into())]),
            Refusal::Unavailable => fields.extend([(RETRY_AFTER, RETRY.into())]),
            // RFC 6750 3.1: without a credential no error is named.
            Refusal::NoAccount => self.challenge(&mut response, None),
            Refusal::Token(_)
            | Refusal::Blacklisted
            | Refusal::NoAccountForToken
            | Refusal::PasswordChanged => {
                self.challenge(&mut response, Some(("invalid_token", &detail)));
            }
        }
        response
    }

    /// A request whose token came in a manner that is not allowed.
    pub(super) fn refuse_sending(&self, reason: Reason) -> Response {
        match reason.kind() {
            RefusalKind::CrossSite => self.problem(StatusCode::FORBIDDEN, reason.description(), None),
            RefusalKind::Request => {
                let mut response = self.problem(StatusCode::BAD_REQUEST, reason.description(), None);
                self.challenge(&mut response, Some(("invalid_request", reason.description())));
                response
            }
            RefusalKind::Missing | RefusalKind::Token | RefusalKind::Rights | RefusalKind::Unavailable => {
                self.refuse(Refusal::Token(reason))
            }
        }
    }

    pub(super) fn no_credential(&self) -> Response {
        let reason = Reason::NoCredential;
        let mut response = self.problem(StatusCode::UNAUTHORIZED, reason.description(), None);
        self.challenge(&mut response, None);
        response
    }

    /// RFC 6750 3; all texts are fixed and need no escapes.
    fn challenge(&self, response: &mut Response, error: Option<(&str, &str)>) {
        let mut challenge = self.challenge.clone();
        if let Some((error, description)) = error {
            challenge.push_str(&format!(", error=\"{error}\""));
            if self.detail == Detail::Told {
                challenge.push_str(&format!(", error_description=\"{description}\""));
            }
        }
        let challenge = HeaderValue::try_from(challenge).ok();
        response.headers_mut().extend(challenge.map(|challenge| (WWW_AUTHENTICATE, challenge)));
    }

    /// 400: fields that cannot be taken.
    pub(super) fn invalid(&self, errors: &[(&str, FieldProblem)]) -> Response {
        let errors: Vec<_> = errors.iter().map(|(name, problem)| (*name, problem.to_string())).collect();
        self.field_errors(&errors)
    }

    fn field_errors(&self, errors: &[(&str, String)]) -> Response {
        // By hand: a map would put them into the order of letters.
        let members: Vec<String> =
            errors.iter().map(|(name, text)| format!("{}:{}", json!(name), json!([text]))).collect();
        let errors = format!("{{{}}}", members.join(","));
        match self.preset {
            Preset::SimpleJwt => respond(StatusCode::BAD_REQUEST, (JSON, errors)),
            Preset::Strict => {
                let problem = format!(
                    "{{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\
                     \"detail\":\"The request has members that cannot be taken.\",\"errors\":{errors}}}"
                );
                respond(StatusCode::BAD_REQUEST, (PROBLEM, problem))
            }
        }
    }

    /// Content that is not what it should be.
    pub(super) fn unreadable(&self, problem: &Unreadable) -> Response {
        let text = problem.to_string();
        match problem {
            Unreadable::NoObject(_) | Unreadable::Nothing => self.field_errors(&[("non_field_errors", text)]),
            Unreadable::Malformed(_) | Unreadable::Twice(_) => {
                self.problem(StatusCode::BAD_REQUEST, &text, None)
            }
            Unreadable::MediaType(_) => self.problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text, None),
            Unreadable::TooLarge => self.problem(StatusCode::PAYLOAD_TOO_LARGE, &text, None),
        }
    }

    pub(super) fn not_found(&self) -> Response {
        self.problem(StatusCode::NOT_FOUND, "Not found.", None)
    }

    pub(super) fn not_allowed(&self, method: &Method) -> Response {
        let text = format!("Method \"{method}\" not allowed.");
        self.problem(StatusCode::METHOD_NOT_ALLOWED, &text, None)
    }

    /// What the server answers before a request is here, or when it takes too long.
    pub(super) fn in_place(&self, answer: &Substitute) -> Response {
        answer.complete(self.problem(answer.status(), answer.text(), None))
    }

    pub(super) fn options(&self) -> Response {
        let parses = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"];
        let text = json!({ "renders": ["application/json"], "parses": parses }).to_string();
        respond(StatusCode::OK, (JSON, text))
    }

    fn problem(&self, status: StatusCode, detail: &str, code: Option<&str>) -> Response {
        match self.preset {
            Preset::SimpleJwt => {
                let code = code.map(|code| format!(r#","code":"{code}""#)).unwrap_or_default();
                let text = format!(r#"{{"detail":{}{code}}}"#, Value::from(detail));
                respond(status, (JSON, text))
            }
            Preset::Strict => {
                let title = status.canonical_reason().unwrap_or_default();
                let status_code = status.as_u16();
                let problem =
                    json!({ "type": "about:blank", "title": title, "status": status_code, "detail": detail });
                respond(status, (PROBLEM, problem.to_string()))
            }
        }
    }

    /// The text and the code by which simplejwt's clients know a refusal.
    fn words(&self, refusal: Refusal) -> (String, Option<&'static str>) {
        let token = Some("token_not_valid");
        match refusal {
            Refusal::Token(_) | Refusal::Blacklisted | Refusal::PasswordChanged
                if self.detail == Detail::Withheld =>
            {
                ("Token is invalid".into(), token)
            }
            Refusal::Token(reason) if KNOWN.contains(&reason) => (reason.description().into(), token),
            Refusal::Token(_) => ("Token is invalid".into(), token),
            Refusal::Blacklisted => ("Token is blacklisted".into(), token),
            Refusal::NoAccount => ("No active account found with the given credentials".into(), None),
            Refusal::NoAccountForToken => ("No active account found for the given token.".into(), None),
            Refusal::PasswordChanged => {
                ("The user's password has been changed.".into(), Some("password_changed"))
            }
            Refusal::TooMany(wait) => {
                let (number, plural) = (seconds(wait), if seconds(wait) == 1 { "" } else { "s" });
                (format!("Request was throttled. Expected available in {number} second{plural}."), None)
            }
            Refusal::Unavailable => ("Service temporarily unavailable, try again later.".into(), None),
        }
    }
}

/// What simplejwt has its own text for; it says of everything else that the token is invalid.
const KNOWN: [Reason; 6] = [
    Reason::Expired,
    Reason::TokenType,
    Reason::NoTokenType,
    Reason::NoId,
    Reason::NoExpiry,
    Reason::Subject,
];

/// RFC 9110 10.2.3: whole seconds, and never too early.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The keys may be kept for a while: a new one is published long before it signs.
pub(super) fn public_keys(text: &str) -> Response {
    let mut response = respond(StatusCode::OK, ("application/jwk-set+json", text.into()));
    allow(&mut response, &READING);
    let fields = response.headers_mut();
    fields.remove(PRAGMA);
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

/// 204: the request that a page has asked for may be sent.
pub(super) fn preflight(fields: HeaderMap) -> Response {
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = fields;
    response
}

pub(super) fn only_read() -> Response {
    let text = json!({ "detail": "The keys can only be read." }).to_string();
    let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, (JSON, text));
    allow(&mut response, &READING);
    response
}

fn respond(status: StatusCode, (media_type, text): (&'static str, String)) -> Response {
    let mut response = Response::new(ResponseBody::Full(Bytes::from(text)));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    // RFC 6749 5.1: nobody on the way keeps a token.
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// RFC 9110 10.2.1: what may be asked here.
pub(super) fn allow(response: &mut Response, methods: &[Method]) {
    let list: Vec<&str> = methods.iter().map(Method::as_str).chain(["OPTIONS"]).collect();
    response.headers_mut().extend(HeaderValue::try_from(list.join(", ")).ok().map(|list| (ALLOW, list)));
}

const READING: [Method; 2] = [Method::GET, Method::HEAD];

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// Seconds after which it is worth trying again when the store is away.
const RETRY: u64 = 2;
