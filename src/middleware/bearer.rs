//! Bearer tokens, checked before any app is entered (RFC 6750).

use super::bearer_check::check_settings;
use super::bearer_settings::{Credential, Preflight, Settings, remote_user};
use super::challenge::Challenge;
use super::extract::Extractor;
use super::identity_fields::IdentityFields;
use super::keyring::{Keyring, Keys, Session};
use super::policy::{Policy, Requirement, Rule};
use super::stream_end::End;
use crate::auth::{
    AuthConfigError, Bearer, Family, Fingerprint, LookUp, Provider, Reason, Refusal, RefusalKind, Standing,
    Standings, Verified, cors, jwt, system_time, unix_seconds, verify,
};
use crate::config::Auth;
use crate::contract::key_table::KeyTable;
use crate::protocol::{Attempt, Halt, Identity, Response, StreamEnd, Target};
use http::header::{HeaderMap, HeaderName};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use super::extract::Asked;
pub use super::keyring::Renewal;
pub use super::tend::{LOOK, say, tend};

/// Decides who a client is and whether it may pass. Made once per worker; keys are parsed and tried in it.
#[derive(Debug)]
pub struct Authenticator {
    keys: Keys,
    standings: Option<Arc<dyn Standings>>,
    policy: Policy,
    challenge: Challenge,
    extractor: Extractor,
    fields: IdentityFields,
    config: Settings,
    warnings: Vec<String>,
}

/// Why a response refuses a token, for the log.
pub fn reason(response: &Response) -> Option<&'static str> {
    response.extensions().get::<Reason>().map(|reason| reason.code())
}

/// Why a token does not pass now.
enum Stop {
    Refuse(Reason),
    /// The reason is for those who have waited.
    Wait(LookUp, Reason),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Refuse(reason)
    }
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
        let policy = Policy::new(&config.rules(), &names).map_err(|more| errors.extend(more)).ok();
        let challenge = Challenge::new(config).map_err(|error| errors.push(error)).ok();
        let fields = IdentityFields::new(config).map_err(|more| errors.extend(more)).ok();
        match (policy, challenge, fields) {
            (Some(policy), Some(challenge), Some(fields)) if errors.is_empty() => Ok(Self {
                keys: Keys::new(config, providers),
                standings: None,
                policy,
                challenge,
                extractor: Extractor::new(config),
                fields,
                config: Settings::new(config),
                warnings,
            }),
            _ => Err(errors),
        }
    }

    /// The same with somebody who knows which sessions were revoked and which users may not come in.
    #[must_use]
    pub fn with_standings(mut self, standings: Arc<dyn Standings>) -> Self {
        self.standings = Some(standings);
        self
    }

    /// The same with keys that somebody else fetches and publishes in `table`; `wake` tells them that there is a wish.
    /// Paths are relative to `directory`.
    ///
    /// # Errors
    /// When there are more key sets to be fetched than the table holds.
    pub fn fetching(
        mut self,
        table: KeyTable,
        directory: &Path,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Self, AuthConfigError> {
        self.keys.fetch_by(table, directory, wake)?;
        Ok(self)
    }

    /// Whether there are keys to be fetched.
    pub fn needs_sets(&self) -> bool {
        self.keys.are_fetched()
    }

    /// Looks whether key files have changed or key sets have come. To be called every few seconds.
    pub fn look(&self) -> Renewal {
        self.told(self.keys.look())
    }

    /// Takes over the key sets that have been fetched.
    pub fn take_sets(&self) -> Renewal {
        self.keys.take_sets()
    }

    /// Reads all key files anew.
    pub fn read_files(&self) -> Renewal {
        self.told(self.keys.read_files())
    }

    /// Who issues tokens signs with the new keys.
    fn told(&self, renewal: Renewal) -> Renewal {
        if let (Renewal::Changed(_), Some(standings)) = (&renewal, &self.standings) {
            standings.renewed(&self.keys.load().providers);
        }
        renewal
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
    /// The response to send instead of entering the app, its [`Reason`] in its extensions, for the log; or, at the first
    /// attempt, what the request should wait for.
    pub fn authenticate(
        &self,
        asked: Asked<'_>,
        now: SystemTime,
        attempt: Attempt,
    ) -> Result<Option<Arc<Identity>>, Halt> {
        if self.config.preflight == Preflight::Pass && is_preflight(&asked) {
            return Ok(None);
        }
        let rules = match self.policy.rules_for(&asked) {
            Ok(rules) => rules,
            Err(reason) => return Err(Halt::Answer(self.challenge.refuse(reason, &[], asked.fields))),
        };
        let now = unix_seconds(now);
        let mut identity = None;
        for rule in rules.iter() {
            match self.apply(rule, &asked, now) {
                Ok(Some(found)) => identity = Some(found),
                Ok(None) => {}
                Err(Stop::Wait(what, _)) if attempt == Attempt::First => return Err(Halt::Wait(what)),
                Err(Stop::Wait(_, reason) | Stop::Refuse(reason)) => {
                    return Err(Halt::Answer(self.challenge.refuse(
                        reason,
                        rule.rights.scopes(),
                        asked.fields,
                    )));
                }
            }
        }
        Ok(identity)
    }

    /// A target as logs may show it; `None`: as it is.
    pub fn without_tokens(&self, target: &Target) -> Option<Target> {
        self.extractor.without_tokens(target)
    }

    /// Ready when what this identity has opened must end: its token has, or was revoked. `None`: nothing ends it.
    pub fn stream_end(self: &Arc<Self>, identity: &Arc<Identity>) -> Option<End> {
        let StreamEnd { at, .. } = identity.stream_end?;
        let (authenticator, identity) = (Arc::clone(self), Arc::clone(identity));
        Some(Box::pin(async move {
            while let Ok(left) = at.duration_since(SystemTime::now()) {
                // Nobody tells of a revocation: it is looked for.
                let pause = if authenticator.standings.is_some() { left.min(LOOK) } else { left };
                tokio::time::sleep(pause.max(Duration::from_millis(1))).await;
                if let Err(Stop::Refuse(reason)) = authenticator.judge_standing(&identity)
                    && reason.kind() != RefusalKind::Unavailable
                {
                    return;
                }
            }
        }))
    }

    /// Adds the fields that are made from the claims, and removes our credential if so configured.
    pub fn forward(&self, identity: Option<&Identity>, fields: &mut HeaderMap) {
        if let Some(identity) = identity {
            self.fields.assert(identity, fields);
        }
        if self.config.credential == Credential::Remove {
            self.extractor.remove(fields);
        }
    }

    fn apply(&self, rule: &Rule, asked: &Asked<'_>, now: f64) -> Result<Option<Arc<Identity>>, Stop> {
        if rule.requirement == Requirement::Nothing {
            return Ok(None);
        }
        let outcome = self.identify(rule, asked, now).and_then(|identity| {
            rule.rights.judge(&identity.claims)?;
            Ok(identity)
        });
        match (outcome, &rule.requirement) {
            (Ok(identity), _) => Ok(Some(identity)),
            (Err(stop @ Stop::Wait(..)), _) => Err(stop),
            (Err(_), Requirement::Try | Requirement::Nothing) => Ok(None),
            (Err(Stop::Refuse(Reason::NoCredential)), Requirement::Optional) => Ok(None),
            (Err(stop), Requirement::Optional | Requirement::AnyOf(_) | Requirement::AllOf(_)) => Err(stop),
        }
    }

    fn identify(&self, rule: &Rule, asked: &Asked<'_>, now: f64) -> Result<Arc<Identity>, Stop> {
        let tokens = self.extractor.tokens(asked, rule.query)?;
        let keyring = self.keys.load();
        let any = |token: Option<&str>, allowed: Option<&[usize]>| {
            let session = self.prove(&keyring, token.ok_or(Reason::NoCredential)?, allowed, now)?;
            self.judge_standing(&session.identity)?;
            Ok(session)
        };
        match &rule.requirement {
            Requirement::AnyOf(allowed) => any(tokens.only()?, Some(allowed)).map(|session| session.identity),
            Requirement::AllOf(wanted) => {
                let sessions: Vec<Session> =
                    tokens.iter().map(|token| any(Some(token), Some(wanted))).collect::<Result<_, Stop>>()?;
                if sessions.len() > wanted.len() {
                    return Err(Reason::CredentialRepeated.into());
                }
                let of = |provider: &usize| sessions.iter().find(|session| session.provider == *provider);
                // One of each, and none beside them; the app is told of the one that the rule names first.
                let all =
                    wanted.iter().map(of).collect::<Option<Vec<&Session>>>().ok_or(Reason::NoCredential)?;
                let first = all.first().ok_or(Reason::NoCredential)?;
                Ok(Arc::clone(&first.identity))
            }
            Requirement::Nothing | Requirement::Optional | Requirement::Try => {
                any(tokens.only()?, None).map(|session| session.identity)
            }
        }
    }

    /// Proves a token by the providers allowed, or by any.
    fn prove(
        &self,
        keyring: &Keyring,
        token: &str,
        allowed: Option<&[usize]>,
        now: f64,
    ) -> Result<Session, Stop> {
        let is_allowed = |position: usize| allowed.is_none_or(|allowed| allowed.contains(&position));
        let mut providers =
            keyring.providers.iter().enumerate().filter(|(position, _)| is_allowed(*position));
        // An HMAC costs no more than the look-up would.
        let worth_it = keyring.cache.is_enabled()
            && token.len() <= self.config.max_token_bytes
            && providers.clone().any(|(_, provider)| provider.is_asymmetric());
        let fingerprint = worth_it.then(|| Fingerprint::of(token));
        if let Some(session) = fingerprint.and_then(|fingerprint| keyring.cache.get(&fingerprint))
            && is_allowed(session.provider)
            && session.key_until.is_none_or(|until| now < until)
        {
            // The signature stays good; time goes on.
            jwt::judge(&keyring.providers[session.provider].rules, &session.identity.claims, now)?;
            return Ok(session);
        }
        let verified = match (providers.next(), providers.next()) {
            (Some((position, provider)), None) => {
                (position, self.verify(token, (&[provider], &[position]), now)?)
            }
            (Some(first), Some(second)) => {
                let (positions, several): (Vec<usize>, Vec<&Provider>) =
                    [first, second].into_iter().chain(providers).unzip();
                let verified = self.verify(token, (&several, &positions), now)?;
                (positions[verified.provider], verified)
            }
            (None, _) => return Err(Reason::UnknownIssuer.into()),
        };
        let (provider, verified) = verified;
        let keep = verified.algorithm.family() != Family::Hmac;
        let key_until = verified.key_until;
        let identity = Arc::new(self.identity(verified, &keyring.providers[provider])?);
        let session = Session { identity, provider, key_until };
        if let Some(fingerprint) = fingerprint.filter(|_| keep) {
            // Claims are kept as text and as values, which take about four times as much.
            keyring.cache.put(fingerprint, session.clone(), 512 + 5 * token.len());
        }
        Ok(session)
    }

    /// A token whose key is not there may be worth a wait: its provider may have a new one.
    fn verify(
        &self,
        token: &str,
        (providers, positions): (&[&Provider], &[usize]),
        now: f64,
    ) -> Result<Verified, Stop> {
        verify(token, self.config.max_token_bytes, providers, now).map_err(|Refusal { reason, lacking }| {
            let provider = lacking.and_then(|lacking| positions.get(lacking));
            match provider.and_then(|provider| self.keys.wait(*provider)) {
                Some(what) => Stop::Wait(what, reason),
                None => Stop::Refuse(reason),
            }
        })
    }

    /// What the token cannot say itself. It is asked anew each time: a remembered token may have been revoked since.
    fn judge_standing(&self, identity: &Identity) -> Result<(), Stop> {
        let Some(standings) = &self.standings else { return Ok(()) };
        let bearer = Bearer {
            provider: &identity.provider,
            subject: identity.subject.as_deref(),
            claims: &identity.claims,
        };
        match standings.of(bearer) {
            Standing::Good => Ok(()),
            Standing::Refused(reason) => Err(Stop::Refuse(reason)),
            Standing::Unavailable => Err(Stop::Refuse(Reason::NoState)),
            Standing::Unknown => Err(Stop::Wait(standings.look_up(bearer), Reason::NoState)),
        }
    }

    fn identity(&self, verified: Verified, provider: &Provider) -> Result<Identity, Reason> {
        let remote_user = match &self.config.remote_user {
            Some(path) => Some(remote_user(&verified.claims, path).ok_or(Reason::Subject)?),
            None => None,
        };
        Ok(Identity {
            claims_json: verified.claims_json,
            claims: verified.claims,
            header_json: verified.header_json,
            provider: Arc::clone(&provider.name),
            kid: verified.kid,
            subject: verified.subject,
            remote_user,
            expires: system_time(verified.expires),
            stream_end: self.config.ws_close_code.map(|close_code| StreamEnd {
                at: system_time(verified.expires + provider.rules.leeway),
                close_code,
            }),
        })
    }
}

/// The app must be able to answer it.
fn is_preflight(asked: &Asked<'_>) -> bool {
    *asked.method == http::Method::OPTIONS && cors::is_preflight(asked.fields)
}

#[cfg(test)]
#[path = "bearer_more_tests.rs"]
mod more_tests;
#[cfg(test)]
#[path = "bearer_places_tests.rs"]
mod places_tests;
#[cfg(test)]
#[path = "bearer_tests.rs"]
pub(super) mod tests;
