//! What proves signatures: a key in the form that the cryptography works with, made once.

use super::ecdsa::Der;
use super::{KeyProblem, PublicKey};
use crate::auth::Algorithm;
use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};

/// A key that can do nothing but prove signatures of one algorithm.
///
/// To parse an RSA key for each token would cost half as much again as to verify its signature.
pub(super) enum Prover {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
    /// ECDSA, on a curve of as many bytes.
    Curve(ParsedPublicKey, usize),
}

impl Prover {
    /// Of a key that fits the algorithm.
    ///
    /// # Errors
    /// [`KeyProblem::Damaged`] when it is no valid key, [`KeyProblem::WrongKind`] when it does not fit after all.
    pub(super) fn new(algorithm: Algorithm, key: &PublicKey) -> Result<Self, KeyProblem> {
        let parsed = match (key, algorithm) {
            (PublicKey::Secret(secret), Algorithm::Hs256) => return Ok(secret_of(hmac::HMAC_SHA256, secret)),
            (PublicKey::Secret(secret), Algorithm::Hs384) => return Ok(secret_of(hmac::HMAC_SHA384, secret)),
            (PublicKey::Secret(secret), Algorithm::Hs512) => return Ok(secret_of(hmac::HMAC_SHA512, secret)),
            (PublicKey::Rsa { n, e }, _) => {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(rsa(algorithm, key)?)
            }
            (PublicKey::P256(point), Algorithm::Es256) => {
                return on_curve(ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point), 32);
            }
            (PublicKey::P384(point), Algorithm::Es384) => {
                return on_curve(ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, point), 48);
            }
            (PublicKey::Ed25519(point), Algorithm::EdDsa) => ParsedPublicKey::new(&ED25519, point),
            (PublicKey::Secret(_) | PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::Ed25519(_), _) => {
                return Err(KeyProblem::wrong_kind(algorithm, key));
            }
        };
        parsed.map(Self::Public).map_err(|_| KeyProblem::Damaged)
    }

    /// Whether it has made this signature; of a secret, compared in constant time.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(secret) => hmac::verify(secret, message, signature).is_ok(),
            Self::Public(key) => key.verify_sig(message, signature).is_ok(),
            Self::Curve(key, width) => Der::of(signature, *width)
                .is_some_and(|signature| key.verify_sig(message, signature.as_bytes()).is_ok()),
        }
    }
}

fn on_curve(key: Result<ParsedPublicKey, KeyRejected>, width: usize) -> Result<Prover, KeyProblem> {
    key.map(|key| Prover::Curve(key, width)).map_err(|_| KeyProblem::Damaged)
}

fn secret_of(algorithm: hmac::Algorithm, secret: &[u8]) -> Prover {
    Prover::Secret(Box::new(hmac::Key::new(algorithm, secret)))
}

fn rsa(algorithm: Algorithm, key: &PublicKey) -> Result<&'static RsaParameters, KeyProblem> {
    match algorithm {
        Algorithm::Rs256 => Ok(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Ok(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Ok(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Ok(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Ok(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Ok(&RSA_PSS_2048_8192_SHA512),
        Algorithm::Hs256
        | Algorithm::Hs384
        | Algorithm::Hs512
        | Algorithm::Es256
        | Algorithm::Es384
        | Algorithm::EdDsa => Err(KeyProblem::wrong_kind(algorithm, key)),
    }
}
