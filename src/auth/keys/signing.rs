//! Private halves, and the trial that every key stands before it is used.

use super::{KeyProblem, PublicKey, VerifyingKey};
use crate::auth::jwt::encode_base64url;
use crate::auth::{Algorithm, Family};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
};
use std::fmt;

/// A key that makes signatures, parsed once.
pub enum SigningKey {
    /// A shared secret.
    Secret(Vec<u8>),
    /// RSA.
    Rsa(Box<RsaKeyPair>),
    /// P-256.
    P256(EcdsaKeyPair),
    /// P-384.
    P384(EcdsaKeyPair),
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// What proves its signatures.
    pub fn public(&self) -> PublicKey {
        match self {
            Self::Secret(secret) => PublicKey::Secret(secret.clone()),
            Self::Rsa(pair) => PublicKey::Rsa {
                n: pair.public_key().modulus().big_endian_without_leading_zero().to_vec(),
                e: pair.public_key().exponent().big_endian_without_leading_zero().to_vec(),
            },
            Self::P256(pair) => PublicKey::P256(pair.public_key().as_ref().to_vec()),
            Self::P384(pair) => PublicKey::P384(pair.public_key().as_ref().to_vec()),
            Self::Ed25519(pair) => PublicKey::Ed25519(pair.public_key().as_ref().to_vec()),
        }
    }

    /// Signs a message; the result is base64url.
    ///
    /// # Errors
    /// [`KeyProblem`] when the algorithm is not of this key's kind, or the system's randomness failed.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<String, KeyProblem> {
        const FAILED: KeyProblem = KeyProblem::SelfTest("it cannot sign");
        let random = SystemRandom::new();
        match (self, algorithm.family()) {
            (Self::Secret(secret), Family::Hmac) => {
                let hash = match algorithm.hash_bytes() {
                    32 => hmac::HMAC_SHA256,
                    48 => hmac::HMAC_SHA384,
                    _ => hmac::HMAC_SHA512,
                };
                Ok(encode_base64url(hmac::sign(&hmac::Key::new(hash, secret), message)))
            }
            (Self::Rsa(pair), Family::Rsa) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding = rsa_padding(algorithm).ok_or(FAILED)?;
                pair.sign(padding, &random, message, &mut signature).map_err(|_| FAILED)?;
                Ok(encode_base64url(signature))
            }
            (Self::P256(pair), Family::P256) | (Self::P384(pair), Family::P384) => {
                Ok(encode_base64url(pair.sign(&random, message).map_err(|_| FAILED)?))
            }
            (Self::Ed25519(pair), Family::Ed25519) => {
                Ok(encode_base64url(pair.try_sign(message).map_err(|_| FAILED)?))
            }
            (_, Family::Hmac | Family::Rsa | Family::P256 | Family::P384 | Family::Ed25519) => Err(FAILED),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "SigningKey::Secret",
            Self::Rsa(_) => "SigningKey::Rsa",
            Self::P256(_) => "SigningKey::P256",
            Self::P384(_) => "SigningKey::P384",
            Self::Ed25519(_) => "SigningKey::Ed25519",
        })
    }
}

/// Tries a key out: what it signs it must prove, and what nobody signed it must refuse.
///
/// A key that takes everything, or a backend that is not there, is found before the first request.
pub(super) fn self_test(key: &VerifyingKey, signing: Option<&SigningKey>) -> Result<(), KeyProblem> {
    const MESSAGE: &[u8] = b"ferricorn.self-test";
    if let Some(signing) = signing {
        let signature = signing.sign(key.algorithm, MESSAGE)?;
        if !key.verify(MESSAGE, &signature) {
            return Err(KeyProblem::SelfTest(
                "it refuses its own signature: the halves do not belong together",
            ));
        }
        if key.verify(b"ferricorn.self-test!", &signature) {
            return Err(KeyProblem::SelfTest("it takes a signature of another message"));
        }
    }
    let length = match key.algorithm.family() {
        Family::Hmac => key.algorithm.hash_bytes(),
        Family::Rsa => 256,
        Family::P256 | Family::Ed25519 => 64,
        Family::P384 => 96,
    };
    for forged in [encode_base64url(vec![0; length]), encode_base64url(vec![0x5a; length]), String::new()] {
        if key.verify(MESSAGE, &forged) {
            return Err(KeyProblem::SelfTest("it takes a forged signature"));
        }
    }
    Ok(())
}

fn rsa_padding(algorithm: Algorithm) -> Option<&'static dyn aws_lc_rs::signature::RsaEncoding> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_SHA512),
        Algorithm::Hs256
        | Algorithm::Hs384
        | Algorithm::Hs512
        | Algorithm::Es256
        | Algorithm::Es384
        | Algorithm::EdDsa => None,
    }
}
