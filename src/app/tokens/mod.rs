//! The app that issues tokens: obtain, refresh, verify, log out, sessions, and the public keys.
//!
//! On the wire it is what djangorestframework-simplejwt 5.5 is: the same members, statuses and texts, so that clients
//! need not notice. [`crate::auth::issue`] decides; here are the shapes.

mod answer;
mod complaint;
mod form;
mod input;
mod jar;

#[cfg(test)]
mod tests;

use super::{App, AppError, BoxFuture, CallLimits};
use crate::auth::Reason;
use crate::auth::cors::Cors;
use crate::auth::issue::{Bearer, Issuer, Refusal};
use crate::auth::store::SessionId;
use crate::auth::users::typed::{NAME_LONGEST, PASSWORD_LONGEST};
use crate::config::{Auth, Preset, TrustProxy};
use crate::protocol::{Noting, Peer, Request, RequestHead, Response, Substitute};
use answer::Answers;
use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use input::{FieldProblem, Fields, Trim};
use jar::{Jar, Keeping, Kind};
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
    /// Authorization schemes that are taken.
    schemes: Vec<String>,
    /// By whose word it is known where a login comes from.
    trusts: TrustProxy,
    /// `None`: browsers keep no tokens.
    jar: Option<Jar>,
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
        let username = auth.users.name_member().to_owned();
        let trim = match auth.preset {
            Preset::SimpleJwt => Trim::Blanks,
            Preset::Strict => Trim::Nothing,
        };
        let (trusts, jar) = (auth.issue.limit.trust_proxy, Jar::new(auth));
        let (answers, cors) = (Answers::new(auth), Cors::new(&auth.cors));
        let schemes = auth.extract.authorization.clone();
        Self { issuer, answers, cors, username, trim, schemes, trusts, jar }
    }

    /// An answer that the page that asks may read, if it is of an allowed origin.
    async fn answer(&self, request: Box<Request>) -> Response {
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

    async fn judge(&self, request: Box<Request>) -> Response {
        let Some(endpoint) = Endpoint::of(&request) else { return self.answers.not_found() };
        let methods = endpoint.methods();
        let method = &request.head.method;
        let mut response = if *method == Method::OPTIONS {
            self.answers.options()
        } else if !methods.contains(method) {
            self.answers.not_allowed(method)
        } else {
            let keeping = self.jar.as_ref().map_or(Keeping::Nothing, |jar| jar.keeping(&request));
            let outcome = match endpoint {
                Endpoint::Obtain => self.obtain(request, keeping).await,
                Endpoint::Refresh => self.refresh(request, keeping).await,
                Endpoint::Verify => self.verify(request).await,
                Endpoint::LogOut => self.log_out(request, keeping).await,
                Endpoint::Sessions => self.all_sessions(request, keeping).await,
                Endpoint::Session(session) => self.end_session(request, session, keeping).await,
            };
            outcome.unwrap_or_else(|refused| *refused)
        };
        answer::allow(&mut response, methods);
        response
    }

    async fn obtain(&self, request: Box<Request>, keeping: Keeping) -> Result<Response, Box<Response>> {
        let from = self.address(&request);
        let fields = self.fields(request)?;
        let text = |name, most| fields.text(name, self.trim).and_then(|text| input::at_most(text, most));
        let (name, password) = match (text(&self.username, NAME_LONGEST), text("password", PASSWORD_LONGEST))
        {
            (Ok(name), Ok(password)) => (name, password),
            (name, password) => {
                let errors = [(self.username.as_str(), name.err()), ("password", password.err())];
                let errors = errors.into_iter().filter_map(|(name, error)| Some((name, error?)));
                return Err(self.answers.invalid(&errors.collect::<Vec<_>>()).into());
            }
        };
        let pair = self.issuer.obtain(name, password, from).await.map_err(|refusal| self.refuse(refusal))?;
        let refresh = pair.refresh.as_ref().map_or("", |refresh| &refresh.token);
        // Tokens are made of letters that JSON leaves as they are.
        let text = format!(r#"{{"refresh":"{refresh}","access":"{}"}}"#, pair.access.token);
        let mut response = self.answers.success(text);
        keeping.keep(&pair, &mut response);
        Ok(response)
    }

    async fn refresh(&self, request: Box<Request>, keeping: Keeping) -> Result<Response, Box<Response>> {
        let (token, place) = self.refresh_token(request)?;
        let pair = self.issuer.refresh(&token).await.map_err(|refusal| {
            let mut response = self.refuse(refusal);
            // It would be sent with everything, and refused each time.
            if place == Place::Cookie && refusal.is_final() {
                keeping.forget(&mut response);
            }
            response
        })?;
        let text = match place {
            // Where no script could read the token before, none reads the next one.
            Place::Cookie => "{}".into(),
            Place::Content => {
                // In simplejwt's order: the access token first, where the refresh token is the second thing.
                let refresh = pair.refresh.as_ref().map(|next| format!(r#","refresh":"{}""#, next.token));
                format!(r#"{{"access":"{}"{}}}"#, pair.access.token, refresh.unwrap_or_default())
            }
        };
        let mut response = self.answers.success(text);
        keeping.keep(&pair, &mut response);
        Ok(response)
    }

    async fn verify(&self, request: Box<Request>) -> Result<Response, Box<Response>> {
        let token = self.fields(request)?.text("token", self.trim);
        let token = token.map_err(|problem| Box::new(self.answers.invalid(&[("token", problem)])))?;
        self.issuer.verify(&token).await.map_err(|refusal| self.refuse(refusal))?;
        Ok(self.answers.success("{}".into()))
    }

    async fn log_out(&self, request: Box<Request>, keeping: Keeping) -> Result<Response, Box<Response>> {
        let (token, place) = self.refresh_token(request)?;
        let outcome = self.issuer.log_out(&token).await;
        let is_over = outcome.is_ok() || outcome.is_err_and(Refusal::is_final) && place == Place::Cookie;
        let mut response = outcome
            .map_or_else(|refusal| self.answers.refuse(refusal), |()| self.answers.success("{}".into()));
        if is_over {
            keeping.forget(&mut response);
        }
        Ok(response)
    }

    /// The sessions of whoever shows an access token, or the end of all of them.
    async fn all_sessions(&self, request: Box<Request>, keeping: Keeping) -> Result<Response, Box<Response>> {
        let bearer = self.bearer(&request)?;
        if request.head.method == Method::DELETE {
            let ended = self.issuer.end_sessions(bearer.user, None).await;
            let ended = ended.map_err(|refusal| self.refuse(refusal))?;
            let mut response = self.answers.success(json!({ "ended": ended }).to_string());
            keeping.forget(&mut response);
            return Ok(response);
        }
        let sessions = self.issuer.sessions(bearer.user).await.map_err(|refusal| self.refuse(refusal))?;
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
        Ok(self.answers.success(json!({ "sessions": shown }).to_string()))
    }

    async fn end_session(
        &self,
        request: Box<Request>,
        session: SessionId,
        keeping: Keeping,
    ) -> Result<Response, Box<Response>> {
        let bearer = self.bearer(&request)?;
        let ended = self.issuer.end_sessions(bearer.user, Some(session)).await;
        let ended = ended.map_err(|refusal| self.refuse(refusal))?;
        // Also that of somebody else: who guesses is told nothing.
        if ended == 0 {
            return Err(self.answers.not_found().into());
        }
        let mut response = self.answers.success(json!({ "ended": ended }).to_string());
        if bearer.session == Some(session) {
            keeping.forget(&mut response);
        }
        Ok(response)
    }

    fn fields(&self, request: Box<Request>) -> Result<Fields, Box<Response>> {
        Fields::read(&request.head.fields, request.content)
            .map_err(|problem| self.answers.unreadable(&problem).into())
    }

    /// From what was posted, or else from where a browser keeps it.
    fn refresh_token(&self, request: Box<Request>) -> Result<(String, Place), Box<Response>> {
        let kept = self.jar.as_ref().map_or(Ok(None), |jar| jar.token(&request, Kind::Refresh));
        let posted = self.fields(request)?.text("refresh", self.trim);
        match (posted, kept) {
            (Ok(token), _) => Ok((token, Place::Content)),
            (Err(FieldProblem::Missing), Ok(Some(token))) => Ok((token, Place::Cookie)),
            (Err(FieldProblem::Missing), Err(reason)) => Err(self.answers.refuse_sending(reason).into()),
            (Err(problem), _) => Err(self.answers.invalid(&[("refresh", problem)]).into()),
        }
    }

    /// Who shows an access token, by the field or by the cookie.
    fn bearer(&self, request: &Request) -> Result<Bearer, Box<Response>> {
        let kept = self.jar.as_ref().map_or(Ok(None), |jar| jar.token(request, Kind::Access));
        let kept = kept.map_err(|reason| Box::new(self.answers.refuse_sending(reason)))?;
        let fields = request.head.fields.get_all(AUTHORIZATION).iter().count();
        let token = match (bearer_token(&request.head, &self.schemes), kept.as_deref()) {
            (Some(token), None) if fields == 1 => token,
            (None, Some(token)) => token,
            (None, None) => return Err(self.answers.no_credential().into()),
            (Some(_), _) => return Err(self.answers.refuse_sending(Reason::CredentialRepeated).into()),
        };
        let mut bearer = self.issuer.bearer(token).map_err(|refusal| self.refuse(refusal))?;
        // An access token that lives on after its session does not name it; the refresh token beside it does.
        if bearer.session.is_none() && kept.is_some() {
            let refresh = self.jar.as_ref().and_then(|jar| jar.token(request, Kind::Refresh).ok()?);
            bearer.session = refresh.and_then(|refresh| self.issuer.session_of(&refresh, &bearer.user));
        }
        Ok(bearer)
    }

    fn refuse(&self, refusal: Refusal) -> Box<Response> {
        Box::new(self.answers.refuse(refusal))
    }

    fn address(&self, request: &Request) -> Option<IpAddr> {
        match self.trusts {
            TrustProxy::ServersRule => request.context.client().map(|client| client.address),
            TrustProxy::Never => match request.context.peer {
                Peer::Address(peer) => Some(peer.ip()),
                Peer::Unix => None,
            },
        }
    }
}

/// Where a refresh token stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Content,
    Cookie,
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
    fn call(&self, request: Box<Request>, _limits: CallLimits) -> BoxFuture<'_, Result<Response, AppError>> {
        Box::pin(async move { Ok(self.answer(request).await) })
    }

    fn word(&self, answer: &Substitute) -> Response {
        self.answers.in_place(answer)
    }
}

impl PublicKeys {
    /// The keys of this issuer.
    pub fn new(auth: &Auth, issuer: Arc<Issuer>) -> Self {
        Self { issuer, cors: Cors::new(&auth.cors) }
    }
}

impl App for PublicKeys {
    fn call(&self, request: Box<Request>, _limits: CallLimits) -> BoxFuture<'_, Result<Response, AppError>> {
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

fn bearer_token<'r>(head: &'r RequestHead, schemes: &[String]) -> Option<&'r str> {
    let value = head.fields.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once([' ', '\t'])?;
    schemes.iter().any(|ours| ours.eq_ignore_ascii_case(scheme)).then(|| token.trim_start())
}

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
