//! A provider: whose tokens are taken, proven by which keys, saying what.

use super::jwt::{Audiences, ClaimRules, Jws, judge, parse_object};
use super::keys::{self, KeyProblem, KeySet, VerifyingKey, load_fetched};
use super::{Algorithm, Family, Reason};
use crate::config::{AuthProvider, LEEWAY_MAX};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::sync::{Arc, LazyLock};

/// One provider, ready to judge.
#[derive(Debug, Clone)]
pub struct Provider {
    /// The name that rules use.
    pub name: Arc<str>,
    /// What its tokens must say.
    pub rules: ClaimRules,
    /// As configured; empty: those of the keys.
    algorithms: Vec<Algorithm>,
    /// Taken types, in lower case.
    typ: Vec<String>,
    /// Keys that were given.
    given: Arc<KeySet>,
    fetched: Fetched,
    max_keys: usize,
}

/// Keys that come from somewhere else.
#[derive(Debug, Clone)]
enum Fetched {
    /// There are none to come.
    None,
    /// They have not come yet, or are too old to be used.
    Awaited,
    /// They are here.
    Here(Arc<KeySet>),
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Position of the provider, among those asked, that a key of the token is missing of.
    pub lacking: Option<usize>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, lacking: None }
    }
}

/// What is wrong with `[auth]`: found at start and by `check`, never while serving.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthConfigError {
    /// A key cannot be used.
    #[error("[auth] provider {provider:?}, {place}: {problem}")]
    Key {
        /// The provider's name.
        provider: String,
        /// Which key.
        place: String,
        /// What is wrong with it.
        problem: KeyProblem,
    },
    /// Anything else.
    #[error("[auth] {place}: {problem}")]
    Setting {
        /// Which part of the section.
        place: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

impl AuthConfigError {
    pub(crate) fn setting(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Setting { place: place.into(), problem: problem.into() }
    }
}

/// A token whose signature and claims are good.
#[derive(Debug)]
pub struct Verified {
    /// Position of its provider among those asked.
    pub provider: usize,
    /// The algorithm that proved it.
    pub algorithm: Algorithm,
    /// The key that proved it.
    pub kid: Option<Arc<str>>,
    /// Its [mark](keys::VerifyingKey::mark).
    pub key: u64,
    /// From then on that key proves nothing.
    pub key_until: Option<f64>,
    /// The header as signed.
    pub header_json: Bytes,
    /// The payload as signed.
    pub claims_json: Bytes,
    /// The claims.
    pub claims: Map<String, Value>,
    /// The value of the subject claim.
    pub subject: Option<String>,
    /// When the token ends, in Unix seconds.
    pub expires: f64,
}

impl Provider {
    /// Reads the keys and prepares the rules; warnings are added to `warnings`.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn new(config: &AuthProvider, warnings: &mut Vec<String>) -> Result<Self, Vec<AuthConfigError>> {
        let place = format!("provider {:?}", config.name);
        let mut errors = Vec::new();
        let mut algorithms = Vec::new();
        for name in &config.algorithms {
            match Algorithm::from_name(name) {
                Some(algorithm) => algorithms.push(algorithm),
                None => errors.push(AuthConfigError::setting(
                    &place,
                    KeyProblem::UnknownAlgorithm(name.clone()).to_string(),
                )),
            }
        }
        let loaded = keys::load(config, &algorithms);
        warnings.extend(loaded.warnings.into_iter().map(|warning| format!("[auth] {place}, {warning}")));
        errors.extend(loaded.problems.into_iter().map(|(key, problem)| AuthConfigError::Key {
            provider: config.name.clone(),
            place: key,
            problem,
        }));
        let is_fetched = config.jwks_url.is_some() || config.discovery;
        if config.keys.is_empty() && config.jwks_file.is_none() && !is_fetched {
            errors.push(AuthConfigError::setting(
                &place,
                "it has no key; add [[auth.provider.key]], jwks_file or jwks_url",
            ));
        }
        let is_left_out = |algorithm: &Algorithm| !algorithms.is_empty() && !algorithms.contains(algorithm);
        for key in loaded.set.iter().filter(|key| is_left_out(&key.algorithm)) {
            let algorithm = key.algorithm;
            errors.push(AuthConfigError::setting(
                &place,
                format!("a key is for {algorithm}, which algorithms leaves out"),
            ));
        }
        if config.leeway > LEEWAY_MAX {
            errors
                .push(AuthConfigError::setting(&place, "leeway is more than 300 s; mend the clocks instead"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let typ = config.typ.iter().map(|typ| bare_type(typ)).collect();
        Ok(Self {
            name: config.name.as_str().into(),
            rules: rules(config),
            algorithms,
            typ,
            given: Arc::new(loaded.set),
            fetched: if is_fetched { Fetched::Awaited } else { Fetched::None },
            max_keys: config.jwks.max_keys.into(),
        })
    }

    /// The same with a set that has been fetched; with an empty one, without any.
    #[must_use]
    pub fn with_set(&self, text: &[u8]) -> Self {
        let allowed = if self.algorithms.is_empty() { &FETCHED[..] } else { &self.algorithms };
        // It was judged when it was fetched.
        let set = load_fetched(text, self.max_keys, allowed).ok();
        let fetched = set.map_or(Fetched::Awaited, |set| Fetched::Here(Arc::new(set)));
        Self { fetched, ..self.clone() }
    }

    /// The same with the fetched set of another state of this provider.
    #[must_use]
    pub fn with_set_of(self, other: &Self) -> Self {
        Self { fetched: other.fetched.clone(), ..self }
    }

    /// The same with the configuration's own keys as they are in another state of this provider.
    #[must_use]
    pub fn with_given_of(&self, other: &Self) -> Self {
        Self { given: Arc::clone(&other.given), ..self.clone() }
    }

    /// Whether both prove the same tokens.
    pub fn has_keys_of(&self, other: &Self) -> bool {
        let same_set = match (&self.fetched, &other.fetched) {
            (Fetched::Here(one), Fetched::Here(other)) => one.is_same(other),
            (Fetched::None, Fetched::None) | (Fetched::Awaited, Fetched::Awaited) => true,
            (Fetched::None | Fetched::Awaited | Fetched::Here(_), _) => false,
        };
        same_set && self.given.is_same(&other.given)
    }

    /// Whether the key of this [mark](keys::VerifyingKey::mark) has been taken out, or renamed. While the fetched keys are not there nobody
    /// knows, and it has not.
    pub fn has_dropped(&self, key: u64) -> bool {
        let is_there = || self.sets().iter().any(|set| set.iter().any(|one| one.has_mark(key)));
        !matches!(self.fetched, Fetched::Awaited) && !is_there()
    }

    /// Whether tokens of keys with a public half are taken.
    pub fn is_asymmetric(&self) -> bool {
        let mut given = self.given.iter();
        !matches!(self.fetched, Fetched::None) || given.any(|key| key.algorithm.family() != Family::Hmac)
    }

    /// How many keys prove its tokens.
    pub fn key_count(&self) -> usize {
        self.sets().iter().map(|set| set.iter().count()).sum()
    }

    /// Whether an algorithm is taken; of no key where keys are still to come that could have it.
    fn takes(&self, algorithm: Algorithm) -> Result<(), Reason> {
        let is_named = if self.algorithms.is_empty() {
            self.sets().iter().any(|set| set.iter().any(|key| key.algorithm == algorithm))
        } else {
            self.algorithms.contains(&algorithm)
        };
        match &self.fetched {
            _ if is_named => Ok(()),
            // The next set may have keys of it.
            Fetched::Awaited | Fetched::Here(_)
                if self.algorithms.is_empty() && FETCHED.contains(&algorithm) =>
            {
                Err(self.lack())
            }
            Fetched::None | Fetched::Awaited | Fetched::Here(_) => Err(Reason::Algorithm),
        }
    }

    /// What it means that there is no key.
    fn lack(&self) -> Reason {
        if matches!(self.fetched, Fetched::Awaited) { Reason::NoKeys } else { Reason::UnknownKey }
    }

    fn sets(&self) -> [&KeySet; 2] {
        let fetched: &KeySet = if let Fetched::Here(set) = &self.fetched { set } else { &NO_KEYS };
        [&self.given, fetched]
    }

    /// Signs claims (JSON text); `None` when no key is for signing now.
    pub fn sign(&self, claims: &[u8], now: f64) -> Option<String> {
        self.given.sign(claims, now)
    }

    /// Whether a key is for signing now.
    pub fn can_sign(&self, now: f64) -> bool {
        self.given.can_sign(now)
    }

    /// A secret of whoever signs these tokens, for this purpose alone; `None` where nobody does.
    pub fn derive(&self, purpose: &str) -> Option<[u8; 16]> {
        self.given.derive(purpose)
    }

    /// The public keys of this configuration, for others to verify its tokens by.
    pub fn public_jwks(&self, now: f64) -> Vec<Map<String, Value>> {
        self.given.public_jwks(now)
    }

    /// Header, then signature, and nothing of the payload before both are good.
    fn prove(&self, jws: &Jws<'_>, now: f64) -> Result<&VerifyingKey, Reason> {
        self.takes(jws.header.algorithm)?;
        // RFC 8725 3.11: an ID token or a logout token of the same issuer is no access token.
        if jws.header.typ.as_ref().is_some_and(|typ| !self.typ.contains(&bare_type(typ))) {
            return Err(Reason::HeaderType);
        }
        jws.verify(&self.sets(), now)
            .map_err(|reason| if reason == Reason::UnknownKey { self.lack() } else { reason })
    }
}

/// Judges a token at the time `now`: by the one provider, or by the one that has the token's issuer.
///
/// # Errors
/// The first [`Reason`] why it is refused.
pub fn verify(token: &str, max_bytes: usize, providers: &[&Provider], now: f64) -> Result<Verified, Refusal> {
    let jws = Jws::parse(token, max_bytes)?;
    let claims_json = jws.payload()?;
    // With one provider nothing of the payload is read before the signature is proven. With several its
    // issuer must be read to find the keys; it is believed only because these keys then prove it.
    let (provider, claims) = match providers {
        [_] => (0, None),
        _ => {
            let claims = parse_object(&claims_json).map_err(|_| Reason::UnknownIssuer)?;
            (by_issuer(providers, &claims).ok_or(Reason::UnknownIssuer)?, Some(claims))
        }
    };
    let judge_of = providers[provider];
    let key = judge_of.prove(&jws, now).map_err(|reason| Refusal {
        reason,
        lacking: matches!(reason, Reason::UnknownKey | Reason::NoKeys).then_some(provider),
    })?;
    let claims = match claims {
        Some(claims) => claims,
        None => parse_object(&claims_json).map_err(|_| Reason::Payload)?,
    };
    let judged = judge(&judge_of.rules, &claims, now)?;
    Ok(Verified {
        provider,
        algorithm: jws.header.algorithm,
        kid: key.kid.clone(),
        key: key.mark(jws.header.kid.as_deref()),
        key_until: key.until,
        header_json: jws.header.json.clone(),
        claims_json: claims_json.into(),
        claims,
        subject: judged.subject,
        expires: judged.expires,
    })
}

fn by_issuer(providers: &[&Provider], claims: &Map<String, Value>) -> Option<usize> {
    let issuer = claims.get("iss")?.as_str()?;
    providers.iter().position(|provider| provider.rules.issuer.as_deref() == Some(issuer))
}

fn rules(config: &AuthProvider) -> ClaimRules {
    let audiences = match config.audiences.as_slice() {
        [] => Audiences::Unnamed,
        names if names.iter().any(|name| name == "*") => Audiences::Unchecked,
        names => Audiences::AnyOf(names.to_vec()),
    };
    ClaimRules {
        issuer: config.issuer.clone(),
        audiences,
        leeway: config.leeway.as_secs_f64(),
        max_lifetime: config.max_lifetime.as_secs_f64(),
        token_type: config.token_type.clone().filter(|token_type| !token_type.is_empty()),
        subject_claim: Some(config.subject_claim.clone()).filter(|claim| !claim.is_empty()),
        require: config.require.clone(),
    }
}

/// RFC 7515 4.1.9: "application/" may be left out; media types have no case.
fn bare_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    match typ.strip_prefix("application/") {
        Some(bare) if !bare.contains('/') => bare.to_owned(),
        Some(_) | None => typ,
    }
}

/// Algorithms of fetched keys where the configuration names none. HMAC is never among them: a set is public.
const FETCHED: [Algorithm; 5] =
    [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];

static NO_KEYS: LazyLock<KeySet> = LazyLock::new(KeySet::default);
