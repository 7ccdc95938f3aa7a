//! Bearer tokens, checked before any app is entered (RFC 6750).

use super::challenge::{Challenge, is_scope};
use super::identity_fields::IdentityFields;
use super::policy::{Policy, Requirement, Rule, claim};
use crate::auth::{
    AuthConfigError, Cache, Family, Fingerprint, Provider, Reason, Verified, jwt, system_time, unix_seconds,
    verify,
};
use crate::config::Auth;
use crate::protocol::{Identity, RequestHead, Response};
use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::SystemTime;

/// Decides who a client is and whether it may pass. Made once per worker; keys are parsed and tried in it.
#[derive(Debug)]
pub struct Authenticator {
    providers: Vec<Provider>,
    policy: Policy,
    challenge: Challenge,
    fields: IdentityFields,
    cache: Cache<Session>,
    config: Settings,
    warnings: Vec<String>,
}

/// What is needed of the configuration while serving.
#[derive(Debug)]
struct Settings {
    max_token_bytes: usize,
    schemes: Vec<String>,
    preflight: Preflight,
    remote_user: Option<String>,
    credential: Credential,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preflight {
    Pass,
    Check,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credential {
    Keep,
    Remove,
}

/// Why a response refuses a token, for the log.
pub fn reason(response: &Response) -> Option<&'static str> {
    response.extensions().get::<Reason>().map(|reason| reason.code())
}

/// A token that was verified before.
#[derive(Debug, Clone)]
struct Session {
    identity: Arc<Identity>,
    provider: usize,
    key_until: Option<f64>,
}

impl Authenticator {
    /// Reads all keys and prepares all rules; `check` calls it too.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn new(config: &Auth) -> Result<Self, Vec<AuthConfigError>> {
        let mut errors = check_settings(config);
        let mut warnings = Vec::new();
        let mut providers = Vec::new();
        for provider in &config.providers {
            match Provider::new(provider, &mut warnings) {
                Ok(provider) => providers.push(provider),
                Err(more) => errors.extend(more),
            }
        }
        let names: Vec<&str> = config.providers.iter().map(|provider| provider.name.as_str()).collect();
        let policy = Policy::new(&config.routes, &names).map_err(|more| errors.extend(more)).ok();
        let challenge = Challenge::new(config).map_err(|error| errors.push(error)).ok();
        let fields = IdentityFields::new(config).map_err(|more| errors.extend(more)).ok();
        match (policy, challenge, fields) {
            (Some(policy), Some(challenge), Some(fields)) if errors.is_empty() => Ok(Self {
                providers,
                policy,
                challenge,
                fields,
                cache: Cache::new(usize::try_from(config.cache_entries).unwrap_or(usize::MAX)),
                config: Settings::new(config),
                warnings,
            }),
            _ => Err(errors),
        }
    }

    /// What works but should not be so, for the log and for `check`.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The fields that [`Authenticator::strip`] removes, for `check`.
    pub fn stripped(&self) -> &[HeaderName] {
        self.fields.stripped()
    }

    /// Removes from a request, whatever its route, the fields by which this configuration asserts identity.
    pub fn strip(&self, fields: &mut HeaderMap) {
        self.fields.strip(fields);
    }

    /// Who the client has proven to be; `None` where it need not say.
    ///
    /// # Errors
    /// The response to send instead of entering the app. Its extensions hold the [`Reason`], for the log.
    pub fn authenticate(
        &self,
        head: &RequestHead,
        now: SystemTime,
    ) -> Result<Option<Arc<Identity>>, Box<Response>> {
        if self.config.preflight == Preflight::Pass && is_preflight(head) {
            return Ok(None);
        }
        let rules = self
            .policy
            .rules_for(&head.method, &head.target)
            .map_err(|reason| self.challenge.refuse(reason, &[]))?;
        let now = unix_seconds(now);
        let mut identity = None;
        for rule in rules {
            match self.apply(rule, &head.fields, now) {
                Ok(Some(found)) => identity = Some(found),
                Ok(None) => {}
                Err(reason) => {
                    let scopes = if rule.scopes_all.is_empty() { &rule.scopes_any } else { &rule.scopes_all };
                    return Err(self.challenge.refuse(reason, scopes));
                }
            }
        }
        Ok(identity)
    }

    /// Adds the fields that are made from the claims, and removes our credential if so configured.
    pub fn forward(&self, identity: Option<&Identity>, fields: &mut HeaderMap) {
        if let Some(identity) = identity {
            self.fields.assert(identity, fields);
        }
        // Credentials of other schemes are the app's own business.
        let ours =
            |value: &HeaderValue| split_scheme(value).is_some_and(|(scheme, _)| self.config.handles(scheme));
        if self.config.credential == Credential::Remove && fields.get_all(AUTHORIZATION).iter().any(ours) {
            fields.remove(AUTHORIZATION);
        }
    }

    fn apply(&self, rule: &Rule, fields: &HeaderMap, now: f64) -> Result<Option<Arc<Identity>>, Reason> {
        if rule.requirement == Requirement::Nothing {
            return Ok(None);
        }
        let outcome = self.config.token(fields).and_then(|token| match token {
            Some(token) => {
                let identity = self.identify(token, rule, now)?;
                rule.judge_rights(&identity.claims)?;
                Ok(identity)
            }
            None => Err(Reason::NoCredential),
        });
        match (outcome, &rule.requirement) {
            (Ok(identity), _) => Ok(Some(identity)),
            (Err(_), Requirement::Try | Requirement::Nothing) => Ok(None),
            (Err(Reason::NoCredential), Requirement::Optional) => Ok(None),
            (Err(reason), Requirement::Optional | Requirement::AnyOf(_)) => Err(reason),
        }
    }

    fn identify(&self, token: &str, rule: &Rule, now: f64) -> Result<Arc<Identity>, Reason> {
        let (positions, providers): (Vec<usize>, Vec<&Provider>) = self
            .providers
            .iter()
            .enumerate()
            .filter(|(position, _)| match &rule.requirement {
                Requirement::AnyOf(allowed) => allowed.contains(position),
                Requirement::Nothing | Requirement::Optional | Requirement::Try => true,
            })
            .unzip();
        // An HMAC costs no more than the look-up would.
        let worth_it = self.cache.is_enabled()
            && token.len() <= self.config.max_token_bytes
            && providers.iter().any(|provider| provider.is_asymmetric());
        let fingerprint = worth_it.then(|| Fingerprint::of(token));
        if let Some(session) = fingerprint.and_then(|fingerprint| self.cache.get(&fingerprint))
            && positions.contains(&session.provider)
            && session.key_until.is_none_or(|until| now < until)
        {
            // The signature stays good; time goes on.
            jwt::judge(&self.providers[session.provider].rules, &session.identity.claims, now)?;
            return Ok(session.identity);
        }
        let verified = verify(token, self.config.max_token_bytes, &providers, now)?;
        let keep = verified.algorithm.family() != Family::Hmac;
        let (provider, key_until) = (positions[verified.provider], verified.key_until);
        let identity = Arc::new(self.identity(verified, provider)?);
        if let Some(fingerprint) = fingerprint.filter(|_| keep) {
            self.cache.put(fingerprint, Session { identity: Arc::clone(&identity), provider, key_until });
        }
        Ok(identity)
    }

    fn identity(&self, verified: Verified, provider: usize) -> Result<Identity, Reason> {
        let remote_user = match &self.config.remote_user {
            Some(path) => Some(remote_user(&verified.claims, path).ok_or(Reason::Subject)?),
            None => None,
        };
        Ok(Identity {
            claims_json: verified.claims_json,
            claims: verified.claims,
            header_json: verified.header_json,
            provider: Arc::clone(&self.providers[provider].name),
            kid: verified.kid,
            subject: verified.subject,
            remote_user,
            expires: system_time(verified.expires),
        })
    }
}

impl Settings {
    fn new(config: &Auth) -> Self {
        Self {
            max_token_bytes: usize::try_from(config.max_token_bytes).unwrap_or(usize::MAX),
            schemes: config.extract.authorization.clone(),
            preflight: if config.preflight { Preflight::Pass } else { Preflight::Check },
            remote_user: config.forward.remote_user.clone().filter(|claim| !claim.is_empty()),
            credential: if config.forward.keep_authorization { Credential::Keep } else { Credential::Remove },
        }
    }

    /// RFC 9110 11.1: schemes have no case.
    fn handles(&self, scheme: &str) -> bool {
        self.schemes.iter().any(|ours| ours.eq_ignore_ascii_case(scheme))
    }

    /// The one token of a request; `None` when it brings none, or a credential that is not for us.
    fn token<'f>(&self, fields: &'f HeaderMap) -> Result<Option<&'f str>, Reason> {
        let mut values = fields.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        // Which of the two an app reads is anybody's guess.
        if values.next().is_some() {
            return Err(Reason::CredentialRepeated);
        }
        let Some((scheme, rest)) = split_scheme(value) else { return Ok(None) };
        if !self.handles(scheme) {
            return Ok(None);
        }
        // A token of other bytes than ASCII is judged as one that is malformed.
        let token = std::str::from_utf8(rest).map_err(|_| Reason::Shape)?;
        if token.is_empty() || token.contains([' ', '\t', ',']) {
            return Err(Reason::CredentialMalformed);
        }
        Ok(Some(token))
    }
}

/// The scheme and what follows it, blanks taken away; `None` for an empty value.
fn split_scheme(value: &HeaderValue) -> Option<(&str, &[u8])> {
    let value = value.as_bytes().trim_ascii();
    let end = value.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(value.len());
    let scheme = std::str::from_utf8(&value[..end]).ok().filter(|scheme| !scheme.is_empty())?;
    Some((scheme, value[end..].trim_ascii()))
}

/// A browser sends no credential in it (Fetch 3.2.2); the app must be able to answer.
fn is_preflight(head: &RequestHead) -> bool {
    head.method == http::Method::OPTIONS
        && head.fields.contains_key(ORIGIN)
        && head.fields.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// It becomes a CGI variable: what is not visible ASCII cannot be told apart there from what it imitates.
fn remote_user(claims: &Map<String, Value>, path: &str) -> Option<String> {
    let name = match claim(claims, path)? {
        Value::String(text) => text.clone(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let visible = name.bytes().all(|byte| byte.is_ascii_graphic());
    (visible && (1..=255).contains(&name.len())).then_some(name)
}

/// What no provider and no rule can see alone.
fn check_settings(config: &Auth) -> Vec<AuthConfigError> {
    let mut errors = Vec::new();
    if config.providers.is_empty() {
        errors.push(AuthConfigError::setting("provider", "there is none; add [[auth.provider]]"));
    }
    for (index, provider) in config.providers.iter().enumerate() {
        let place = format!("provider {:?}", provider.name);
        let earlier = &config.providers[..index];
        if earlier.iter().any(|other| other.name == provider.name) {
            errors.push(AuthConfigError::setting(&place, "the name is used twice"));
        }
        if config.providers.len() > 1 && provider.issuer.is_none() {
            errors.push(AuthConfigError::setting(
                &place,
                "issuer is required where there are several providers",
            ));
        }
        if provider.issuer.is_some() && earlier.iter().any(|other| other.issuer == provider.issuer) {
            errors.push(AuthConfigError::setting(
                &place,
                "the issuer is used twice: it could not choose the provider",
            ));
        }
    }
    for route in &config.routes {
        for scope in route.scopes_all.iter().chain(&route.scopes_any).filter(|scope| !is_scope(scope)) {
            let place = format!("route (prefix {:?})", route.prefix);
            errors.push(AuthConfigError::setting(place, format!("{scope:?} is no scope (RFC 6749 3.3)")));
        }
    }
    let schemes = &config.extract.authorization;
    if schemes.is_empty() || schemes.iter().any(|scheme| HeaderName::from_bytes(scheme.as_bytes()).is_err()) {
        errors.push(AuthConfigError::setting(
            "extract.authorization",
            "it must name schemes, such as \"Bearer\"",
        ));
    }
    errors
}

#[cfg(test)]
#[path = "bearer_more_tests.rs"]
mod more_tests;
#[cfg(test)]
#[path = "bearer_tests.rs"]
mod tests;
