//! What can be wrong with a key, in the operator's words.

use super::PublicKey;
use crate::auth::{Algorithm, Family};

/// Why a key cannot be used, and what to do about it. Holds no key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// The file could not be read.
    #[error("cannot read {path}: {error}; check that it exists and that the server's user may read it")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        error: String,
    },
    /// The environment variable is not there.
    #[error("environment variable {0} is not set; set it for the server (systemd: EnvironmentFile=)")]
    NoVariable(String),
    /// The file is too large to be a key.
    #[error("{0} is larger than 256 KiB: that is no key file")]
    FileTooLarge(String),
    /// The material is no text where text is needed.
    #[error("the key is not UTF-8 text")]
    NotText,
    /// The secret is empty.
    #[error("the secret is empty")]
    EmptySecret,
    /// The secret is too short.
    #[error(
        "the secret has {have} bytes, {algorithm} needs {need} (RFC 7518 3.2); make one with `ferricorn jwt keygen`"
    )]
    ShortSecret {
        /// Its length.
        have: usize,
        /// The least length.
        need: usize,
        /// What it is used for.
        algorithm: Algorithm,
    },
    /// A key that others may know is used as secret.
    #[error(
        "the secret is a {0}, whose public half anybody may know: tokens could be forged; give it as pem_file or jwk_file with its own algorithm"
    )]
    SecretIsKey(&'static str),
    /// The base64 text is malformed.
    #[error("the secret is not base64 (RFC 4648 4, with padding)")]
    NotBase64,
    /// The PEM text is malformed or holds something else.
    #[error("{0}")]
    Pem(&'static str),
    /// The JWK is malformed or not for signatures.
    #[error("{0}")]
    Jwk(String),
    /// The key is of another kind than the algorithm.
    #[error("{algorithm} needs {needed}, this is {found}")]
    WrongKind {
        /// The algorithm that was configured.
        algorithm: Algorithm,
        /// What it needs.
        needed: &'static str,
        /// What was given.
        found: &'static str,
    },
    /// The RSA key is too small or too large.
    #[error("the RSA key has {0} bits; 2048 to 8192 are taken")]
    RsaSize(usize),
    /// The RSA exponent is unsafe.
    #[error("the RSA key's public exponent is unsafe: it must be odd, at least 3 and at most 2^32")]
    RsaExponent,
    /// The RSA key comes from a chip whose keys can be factored.
    #[error("the RSA key was made by a faulty chip (CVE-2017-15361) and can be broken; make another")]
    FaultyChip,
    /// The point is not on its curve, or the numbers are no key.
    #[error("the key is damaged: its numbers form no valid public key")]
    Damaged,
    /// The key was to sign, but has no private half.
    #[error("use is \"sign+verify\", but the key has no private half")]
    NoPrivateHalf,
    /// A private key stands where everybody reads.
    #[error(
        "a private key or secret does not belong into the configuration; give it as pem_file or jwk_file"
    )]
    InlinePrivate,
    /// The key failed its trial.
    #[error("the key failed its self-test: {0}")]
    SelfTest(&'static str),
    /// The algorithm's name is unknown.
    #[error(
        "unknown algorithm {0:?}; known: HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA"
    )]
    UnknownAlgorithm(String),
}

impl KeyProblem {
    /// Of a key that the algorithm cannot use.
    pub(super) fn wrong_kind(algorithm: Algorithm, key: &PublicKey) -> Self {
        let needed = match algorithm.family() {
            Family::Hmac => "a secret",
            Family::Rsa => "an RSA key",
            Family::P256 => "a P-256 key",
            Family::P384 => "a P-384 key",
            Family::Ed25519 => "an Ed25519 key",
        };
        Self::WrongKind { algorithm, needed, found: key.family().1 }
    }
}
