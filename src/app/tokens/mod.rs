//! The app that issues tokens: obtain, refresh, verify, log out, sessions, and the public keys.
//!
//! On the wire it is what djangorestframework-simplejwt 5.5 is: the same members, statuses and texts, so that clients
//! need not notice. [`crate::auth::issue`] decides; here are the shapes.

mod answer;
mod form;
mod input;

#[cfg(test)]
mod tests;

use super::{App, AppError, BoxFuture, CallLimits};
use crate::auth::cors::Cors;
use crate::auth::issue::{Issuer, Refusal};
use crate::auth::store::SessionId;
use crate::config::{Auth, Preset, UserKind};
use crate::protocol::{Noting, Request, RequestHead, Response};
use answer::Answers;
use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use input::{Fields, Trim};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;

/// Issues tokens below its mount.
#[derive(Debug)]
pub struct Tokens {
    issuer: Arc<Issuer>,
    answers: Answers,
    cors: Cors,
    /// What the name is called that users log in by.
    username: String,
    trim: Trim,
}

/// Publishes the keys that prove our tokens.
#[derive(Debug)]
pub struct PublicKeys {
    issuer: Arc<Issuer>,
    cors: Cors,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Endpoint {
    Obtain,
    Refresh,
    Verify,
    LogOut,
    Sessions,
    Session(SessionId),
}

impl Tokens {
    /// The app of this configuration.
    pub fn new(auth: &Auth, issuer: Arc<Issuer>) -> Self {
        let username = match auth.users.kind {
            UserKind::Own => "username".into(),
            UserKind::Django | UserKind::Python => auth.users.username_column.clone(),
        };
        let trim = match auth.preset {
            Preset::SimpleJwt => Trim::Blanks,
            Preset::Strict => Trim::Nothing,
        };
        Self { issuer, answers: Answers::new(auth), cors: Cors::new(&auth.cors), username, trim }
    }

    /// An answer that the page that asks may read, if it is of an allowed origin.
    async fn answer(&self, request: Request) -> Response {
        let permit = self.cors.permit(&request.head.fields);
        if let Some(endpoint) = Endpoint::of(&request).filter(|_| request.head.method == Method::OPTIONS)
            && let Some(fields) = permit.preflight(&request.head.fields, endpoint.methods())
        {
            return answer::preflight(fields);
        }
        let mut response = self.judge(request).await;
        permit.add_to(response.headers_mut());
        response
    }

    async fn judge(&self, request: Request) -> Response {
        let Some(endpoint) = Endpoint::of(&request) else { return self.answers.not_found() };
        let methods = endpoint.methods();
        let method = &request.head.method;
        if *method == Method::OPTIONS {
            return self.answers.options(methods);
        }
        if !methods.contains(method) {
            return self.answers.not_allowed(method, methods);
        }
        let outcome = match endpoint {
            Endpoint::Sessions | Endpoint::Session(_) => self.about_sessions(&request.head, endpoint).await,
            Endpoint::Obtain | Endpoint::Refresh | Endpoint::Verify | Endpoint::LogOut => {
                self.exchange(request, endpoint).await
            }
        };
        outcome.unwrap_or_else(|refused| refused)
    }

    /// What simplejwt has, too.
    async fn exchange(&self, request: Request, endpoint: Endpoint) -> Result<Response, Response> {
        let from = request.context.client().map(|client| client.address);
        let fields = Fields::read(&request.head.fields, request.content)
            .map_err(|problem| self.answers.unreadable(&problem))?;
        let text = |name| fields.text(name, self.trim);
        let invalid = |errors| self.answers.invalid(errors);
        if endpoint == Endpoint::Obtain {
            return self.obtain(&fields, from).await;
        }
        let name = if endpoint == Endpoint::Verify { "token" } else { "refresh" };
        let token = text(name).map_err(|problem| invalid(vec![(name, problem)]))?;
        let done = match endpoint {
            Endpoint::Refresh => self.issuer.refresh(&token).await.map(|pair| {
                // In simplejwt's order: the access token first, where the refresh token is the second thing.
                let refresh = pair.refresh.map(|refresh| format!(r#","refresh":"{refresh}""#));
                format!(r#"{{"access":"{}"{}}}"#, pair.access, refresh.unwrap_or_default())
            }),
            Endpoint::Verify => self.issuer.verify(&token).await.map(|()| "{}".into()),
            Endpoint::LogOut | Endpoint::Obtain | Endpoint::Sessions | Endpoint::Session(_) => {
                self.issuer.log_out(&token).await.map(|()| "{}".into())
            }
        };
        let text = done.map_err(|refusal| self.answers.refuse(refusal))?;
        Ok(self.answers.success(text, &[Method::POST]))
    }

    async fn obtain(&self, fields: &Fields, from: Option<IpAddr>) -> Result<Response, Response> {
        let name = fields.text(&self.username, self.trim).and_then(|text| input::at_most(text, NAME_LONGEST));
        let password =
            fields.text("password", self.trim).and_then(|text| input::at_most(text, PASSWORD_LONGEST));
        let (name, password) = match (name, password) {
            (Ok(name), Ok(password)) => (name, password),
            (name, password) => {
                let errors = [(self.username.as_str(), name.err()), ("password", password.err())];
                let errors = errors.into_iter().filter_map(|(name, error)| Some((name, error?))).collect();
                return Err(self.answers.invalid(errors));
            }
        };
        let pair =
            self.issuer.obtain(name, password, from).await.map_err(|refusal| self.answers.refuse(refusal))?;
        // Tokens are made of letters that JSON leaves as they are.
        let text =
            format!(r#"{{"refresh":"{}","access":"{}"}}"#, pair.refresh.unwrap_or_default(), pair.access);
        Ok(self.answers.success(text, &[Method::POST]))
    }

    /// The sessions of whoever shows an access token.
    async fn about_sessions(&self, head: &RequestHead, endpoint: Endpoint) -> Result<Response, Response> {
        let refuse = |refusal| self.answers.refuse(refusal);
        let methods = endpoint.methods();
        let token = bearer_token(head).ok_or_else(|| self.answers.no_credential())?;
        let bearer = self.issuer.bearer(token).map_err(refuse)?;
        let which = if let Endpoint::Session(session) = endpoint { Some(session) } else { None };
        if head.method == Method::DELETE {
            let ended = self.issuer.end_sessions(bearer.user, which).await.map_err(refuse)?;
            // Also that of somebody else: who guesses is told nothing.
            return if ended == 0 && which.is_some() {
                Err(self.answers.not_found())
            } else {
                Ok(self.answers.success(json!({ "ended": ended }).to_string(), methods))
            };
        }
        let sessions = self.issuer.sessions(bearer.user).await.map_err(refuse)?;
        let shown: Vec<Value> = sessions
            .iter()
            .map(|session| {
                json!({
                    "id": session.id.to_string(),
                    "created": session.created,
                    "used": session.used,
                    "ends": session.ends,
                    "current": bearer.session == Some(session.id),
                })
            })
            .collect();
        Ok(self.answers.success(json!({ "sessions": shown }).to_string(), methods))
    }
}

impl Endpoint {
    fn of(request: &Request) -> Option<Self> {
        let path = request.head.target.decoded_path();
        let rest = path.strip_prefix(request.context.mount.as_bytes())?;
        let rest = std::str::from_utf8(rest).ok()?;
        // With and without the slash at its end: a redirect would lose what was posted.
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        match rest.strip_suffix('/').unwrap_or(rest) {
            "" => Some(Self::Obtain),
            "refresh" => Some(Self::Refresh),
            "verify" => Some(Self::Verify),
            "blacklist" | "logout" => Some(Self::LogOut),
            "sessions" => Some(Self::Sessions),
            other => other.strip_prefix("sessions/").and_then(SessionId::parse).map(Self::Session),
        }
    }

    fn methods(&self) -> &'static [Method] {
        match self {
            Self::Obtain | Self::Refresh | Self::Verify | Self::LogOut => &[Method::POST],
            Self::Sessions => &[Method::GET, Method::DELETE],
            Self::Session(_) => &[Method::DELETE],
        }
    }
}

impl App for Tokens {
    fn call(&self, request: Request, _limits: CallLimits) -> BoxFuture<'_, Result<Response, AppError>> {
        Box::pin(async move { Ok(self.answer(request).await) })
    }
}

impl PublicKeys {
    /// The keys of this issuer.
    pub fn new(auth: &Auth, issuer: Arc<Issuer>) -> Self {
        Self { issuer, cors: Cors::new(&auth.cors) }
    }
}

impl App for PublicKeys {
    fn call(&self, request: Request, _limits: CallLimits) -> BoxFuture<'_, Result<Response, AppError>> {
        let method = &request.head.method;
        let mut response = if *method == Method::GET || *method == Method::HEAD {
            answer::public_keys(&json!({ "keys": self.issuer.public_jwks() }).to_string())
        } else {
            answer::only_read()
        };
        self.cors.permit(&request.head.fields).add_to(response.headers_mut());
        Box::pin(std::future::ready(Ok(response)))
    }

    fn noting(&self) -> Noting {
        Noting::IfItWaits
    }
}

fn bearer_token(head: &RequestHead) -> Option<&str> {
    let value = head.fields.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once([' ', '\t'])?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

/// The longest name of a user: an address of mail (RFC 5321 4.5.3.1).
const NAME_LONGEST: usize = 254;

/// The longest password: hashing takes time by its length.
const PASSWORD_LONGEST: usize = 4096;

/// The status that stands for a refusal.
fn status_of(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::Token(_)
        | Refusal::Blacklisted
        | Refusal::NoAccount
        | Refusal::NoAccountForToken
        | Refusal::PasswordChanged => StatusCode::UNAUTHORIZED,
        Refusal::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}
