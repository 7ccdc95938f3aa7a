//! Bearer tokens, checked before any app is entered (RFC 6750).
//!
//! - `settings`, `check`: what the configuration says, and what is wrong with it as a whole.
//! - `extract`: where the token stands in a request. `policy`: who may pass where, as `path_readings` may take the path; `rights`: what a
//!   good token must allow.
//! - `proof`: the token is verified, by the keys of `keyring`, which reads `key_files` anew; `tend` looks after them.
//! - `challenge`: how a refusal is said. `identity_fields`: how apps are told who it is. `decisions`: what is counted.
//! - `stream`: when what a token has opened must end.
//! - `layer`: all of it without the server, for any tower stack.

mod challenge;
mod check;
mod decisions;
mod extract;
mod identity_fields;
mod key_files;
mod keyring;
pub mod layer;
mod path_readings;
mod policy;
mod proof;
mod rights;
mod settings;
mod stream;
mod tend;

use crate::auth::{AuthConfigError, Bearer, Provider, Reason, Standing, Standings, cors, unix_seconds};
use crate::config::Auth;
use crate::contract::key_table::KeyTable;
use crate::contract::metrics::Metrics;
use crate::protocol::{Attempt, Halt, Identity, Response, Target};
use challenge::Challenge;
use check::check_settings;
use decisions::Decisions;
use extract::Extractor;
use http::header::{HeaderMap, HeaderName};
use identity_fields::IdentityFields;
use keyring::{Keys, Session};
use policy::{Policy, Requirement, Rule};
use proof::{Proof, Stop};
use settings::{Credential, Preflight, Settings};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

pub use crate::auth::cors::Permit;
pub use crate::middleware::asked::Asked;
pub use keyring::Renewal;
#[cfg(any(test, fuzzing))]
pub(crate) use policy::laws as policy_laws;
pub use tend::{LOOK, say, tend};

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
    /// `None` where nobody can ask.
    decisions: Option<Decisions>,
    warnings: Vec<String>,
}

/// Why a response refuses a token, for the log.
pub fn reason(response: &Response) -> Option<&'static str> {
    response.extensions().get::<Reason>().map(|reason| reason.code())
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
                decisions: None,
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

    /// The same with figures for `/metrics`. Without room for them, as when apps have filled the registry, nothing is counted.
    #[must_use]
    pub fn counting(mut self, metrics: &Metrics) -> Self {
        self.decisions = Decisions::new(metrics, &self.keys.load().providers).ok();
        self
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
        let renewal = self.keys.take_sets();
        self.count_keys();
        renewal
    }

    /// Reads all key files anew.
    pub fn read_files(&self) -> Renewal {
        self.told(self.keys.read_files())
    }

    /// Who issues tokens signs with the new keys.
    fn told(&self, renewal: Renewal) -> Renewal {
        self.count_keys();
        if let (Renewal::Changed(_), Some(standings)) = (&renewal, &self.standings) {
            standings.renewed(&self.keys.load().providers);
        }
        renewal
    }

    fn count_keys(&self) {
        if let Some(decisions) = &self.decisions {
            decisions.has_keys(&self.keys.load().providers);
            decisions.is_outdated(self.keys.are_outdated());
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
            Err(reason) => return Err(self.refuse(reason, None, &asked)),
        };
        let now = unix_seconds(now);
        let mut identity = None;
        for rule in rules.iter() {
            match self.apply(rule, &asked, now) {
                Ok(Some(found)) => identity = Some(found),
                Ok(None) => {}
                Err(Stop::Wait(what, _)) if attempt == Attempt::First => return Err(Halt::Wait(what)),
                Err(Stop::Wait(_, reason) | Stop::Refuse(reason)) => {
                    return Err(self.refuse(reason, Some(rule), &asked));
                }
            }
        }
        if let (Some(decisions), Some(identity)) = (&self.decisions, &identity) {
            decisions.verified(&identity.provider);
        }
        Ok(identity)
    }

    fn refuse(&self, reason: Reason, rule: Option<&Rule>, asked: &Asked<'_>) -> Halt {
        if let Some(decisions) = &self.decisions {
            decisions.refused(rule.and_then(Rule::provider), reason);
        }
        let scopes = rule.map_or(&[][..], |rule| rule.rights.scopes());
        Halt::Answer(self.challenge.refuse(reason, scopes, asked.fields))
    }

    /// How the page that sent a request of these fields may read an answer that the server gives in place of an app;
    /// `None`: no page is told.
    pub fn permit(&self, fields: &HeaderMap) -> Option<Permit> {
        Some(self.challenge.permit(fields)).filter(|permit| *permit != Permit::Silent)
    }

    /// A target as logs may show it; `None`: as it is.
    pub fn without_tokens(&self, target: &Target) -> Option<Target> {
        self.extractor.without_tokens(target)
    }

    /// The value of a `Referer` field as logs may show it; `None`: as it is.
    pub fn referer_without_tokens(&self, referer: &[u8]) -> Option<Vec<u8>> {
        self.extractor.referer_without_tokens(referer)
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
        let decisions = self.decisions.as_ref();
        let proof = Proof { keyring: &keyring, keys: &self.keys, settings: &self.config, decisions };
        let any = |token: Option<&str>, allowed: Option<&[usize]>| {
            let session = proof.prove(token.ok_or(Reason::NoCredential)?, allowed, now)?;
            self.judge_standing(&session.identity)?;
            Ok(session)
        };
        match &rule.requirement {
            Requirement::AnyOf(allowed) => any(tokens.only()?, Some(allowed)).map(|session| session.identity),
            Requirement::AllOf(wanted) => {
                let mut sessions: Vec<Session> =
                    tokens.iter().map(|token| any(Some(token), Some(wanted))).collect::<Result<_, Stop>>()?;
                if sessions.len() > wanted.len() {
                    return Err(Reason::CredentialRepeated.into());
                }
                // One of each, and none beside them; the app is told of the one that the rule names first.
                sessions.sort_by_key(|session| wanted.iter().position(|wanted| *wanted == session.provider));
                if !sessions.iter().map(|session| session.provider).eq(wanted.iter().copied()) {
                    return Err(Reason::NoCredential.into());
                }
                let all = sessions.into_iter().map(|session| session.identity).collect();
                together(all).ok_or(Reason::NoCredential.into())
            }
            Requirement::Nothing | Requirement::Optional | Requirement::Try => {
                any(tokens.only()?, None).map(|session| session.identity)
            }
        }
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
}

/// The first of several tokens, and the others beside it. What they have opened ends with whichever ends first.
fn together(mut all: Vec<Arc<Identity>>) -> Option<Arc<Identity>> {
    let stream_end = all.iter().filter_map(|one| one.stream_end).min_by_key(|end| end.at);
    let beside = all.split_off(all.len().min(1));
    let first = all.pop()?;
    if beside.is_empty() {
        return Some(first);
    }
    // Its claims are copied where it is remembered, too, and only there.
    Some(Arc::new(Identity { beside, stream_end, ..Arc::unwrap_or_clone(first) }))
}

/// The app must be able to answer it.
fn is_preflight(asked: &Asked<'_>) -> bool {
    *asked.method == http::Method::OPTIONS && cors::is_preflight(asked.fields)
}

#[cfg(test)]
#[path = "more_tests.rs"]
mod more_tests;
#[cfg(test)]
#[path = "places_tests.rs"]
mod places_tests;
#[cfg(test)]
pub(super) mod tests;
