//! Keys: read once per generation, checked, bound to one algorithm each, tried out before use.

mod der;
mod ecdsa;
mod generate;
mod jwk;
mod load;
mod material;
mod pem;
mod problem;
mod prover;
mod signing;

#[cfg(test)]
mod tests;

pub use generate::random_id;
pub use load::{LoadedKeys, load, load_fetched, without_line_end};
pub use material::{KeyPair, PublicKey, check_fit, decode_base64, read_limited};
pub use problem::KeyProblem;
pub use signing::SigningKey;

pub use jwk::{Jwk, JwkSetKey, parse_jwk, parse_jwk_set, parse_jwk_set_within};
pub use pem::{parse_pem, to_pem};

use crate::auth::Algorithm;
use crate::auth::jwt::encode_base64url;
use prover::Prover;
use serde_json::{Map, Value};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

/// A key that proves tokens of exactly one algorithm.
pub struct VerifyingKey {
    /// The `kid` that selects it.
    pub kid: Option<Arc<str>>,
    /// Its one algorithm.
    pub algorithm: Algorithm,
    /// From then on it proves nothing, in Unix seconds.
    pub until: Option<f64>,
    /// From then on it signs.
    pub(super) sign_from: Option<f64>,
    /// Tells keys apart without showing them, in this process.
    mark: u64,
    /// Its halves, where it is one of the configuration's own: for signing, and for being published.
    pub(super) pair: Option<KeyPair>,
    prover: Prover,
}

impl VerifyingKey {
    /// Binds a checked public key or secret to an algorithm.
    ///
    /// # Errors
    /// [`KeyProblem`] when the key does not fit the algorithm or is too weak for it.
    pub fn new(kid: Option<Arc<str>>, algorithm: Algorithm, key: &PublicKey) -> Result<Self, KeyProblem> {
        check_fit(algorithm, key)?;
        let prover = Prover::new(algorithm, key)?;
        Ok(Self { kid, algorithm, until: None, sign_from: None, mark: mark(key), pair: None, prover })
    }

    /// The same number for the same key, whenever and from wherever it was read, as long as it proves tokens of that `kid`;
    /// in another process another one.
    pub fn mark(&self, of_token: Option<&str>) -> u64 {
        STATE.hash_one((self.mark, self.algorithm.name(), of_token))
    }

    /// Whether a token of this [mark](Self::mark) would be tried with this key.
    pub fn has_mark(&self, mark: u64) -> bool {
        self.mark(None) == mark || self.kid.is_some() && self.mark(self.kid.as_deref()) == mark
    }

    /// Whether `signature` over `message` was made by this key's owner.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.prover.verify(message, signature)
    }
}

impl VerifyingKey {
    /// `None` when it is not for signing, or could not.
    fn sign(&self, claims: &[u8]) -> Option<String> {
        let signing = self.pair.as_ref()?.signing.as_ref()?;
        // The members in the order in which PyJWT writes them.
        let kid = self.kid.as_deref().map(|kid| format!(r#","kid":{}"#, Value::from(kid)));
        let header =
            format!(r#"{{"alg":"{}","typ":"JWT"{}}}"#, self.algorithm.name(), kid.unwrap_or_default());
        let message = format!("{}.{}", encode_base64url(header), encode_base64url(claims));
        let signature = signing.sign(self.algorithm, message.as_bytes()).ok()?;
        Some(format!("{message}.{signature}"))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// The keys of one provider, looked up by `kid` and algorithm.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
}

impl KeySet {
    /// Adds a key; `false` when one of that `kid` and algorithm is there: the first wins.
    pub fn add(&mut self, key: VerifyingKey) -> bool {
        let taken = key.kid.is_some()
            && self.keys.iter().any(|other| other.kid == key.kid && other.algorithm == key.algorithm);
        if !taken {
            self.keys.push(key);
        }
        !taken
    }

    /// Whether both hold the same keys, for the same uses.
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |(one, other): (&VerifyingKey, &VerifyingKey)| {
            let of = |key: &VerifyingKey| {
                (
                    key.kid.clone(),
                    key.algorithm,
                    [key.until, key.sign_from].map(|time| time.map(f64::to_bits)),
                    key.mark,
                )
            };
            of(one) == of(other)
        };
        self.keys.len() == other.keys.len() && self.keys.iter().zip(&other.keys).all(same)
    }

    /// All keys, in order of configuration.
    pub fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.iter()
    }

    /// Signs claims (JSON text) with the key that is for signing now; `None` when there is none, or it failed.
    pub fn sign(&self, claims: &[u8], now: f64) -> Option<String> {
        self.signing(now)?.sign(claims)
    }

    /// Whether a key is for signing now.
    pub fn can_sign(&self, now: f64) -> bool {
        self.signing(now).is_some()
    }

    /// Of several keys it is the one whose time has come last, and of those the first.
    fn signing(&self, now: f64) -> Option<&VerifyingKey> {
        let begins = |key: &VerifyingKey| key.sign_from.unwrap_or(f64::NEG_INFINITY);
        let signs = |key: &&VerifyingKey| {
            key.pair.as_ref().is_some_and(|pair| pair.signing.is_some())
                && begins(key) <= now
                && key.until.is_none_or(|until| now < until)
        };
        let latest = |one, other| if begins(other) > begins(one) { other } else { one };
        self.keys.iter().filter(signs).reduce(latest)
    }

    /// A secret for this purpose, the same wherever these keys are: of the first that signs, now or another time; `None`
    /// where there is none.
    pub fn derive(&self, purpose: &str) -> Option<[u8; 16]> {
        let mut signing = self.keys.iter().filter_map(|key| key.pair.as_ref()?.signing.as_ref());
        signing.next()?.derive(purpose).ok()
    }

    /// What others verify our tokens by (RFC 7517 5): the public keys of this configuration that are good now.
    pub fn public_jwks(&self, now: f64) -> Vec<Map<String, Value>> {
        let good = self.keys.iter().filter(|key| key.until.is_none_or(|until| now < until));
        let jwk = |key: &VerifyingKey| {
            key.pair.as_ref()?.public.to_public_jwk(key.algorithm, key.kid.as_deref()).ok()
        };
        good.filter_map(jwk).collect()
    }

    /// The keys that may have signed a token of that header, now.
    ///
    /// A `kid` selects at most one key. Without it at most four keys of the algorithm are tried, so that a
    /// forged token costs at most four signature checks.
    pub fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        now: f64,
    ) -> impl Iterator<Item = &VerifyingKey> {
        let limit = if kid.is_some() { 1 } else { ATTEMPTS_WITHOUT_KID };
        self.keys
            .iter()
            .filter(move |key| {
                key.algorithm == algorithm
                    && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid))
                    && key.until.is_none_or(|until| now < until)
            })
            .take(limit)
    }
}

/// Whoever reads a mark, in a log or a dump, learns nothing of the key: not even whether a guess at a secret is right.
fn mark(key: &PublicKey) -> u64 {
    STATE.hash_one(key.digest())
}

static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);

const ATTEMPTS_WITHOUT_KID: usize = 4;
