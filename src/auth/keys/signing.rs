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
use jsonwebtoken::DecodingKey;
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

    /// A secret of whoever has the private half, for this purpose alone: the key itself cannot be told from it.
    ///
    /// # Errors
    /// [`KeyProblem::Damaged`] when the key cannot be written.
    pub fn derive(&self, purpose: &str) -> Result<[u8; 16], KeyProblem> {
        let private = match self {
            Self::Secret(secret) => secret.clone(),
            Self::Rsa(_) | Self::P256(_) | Self::P384(_) | Self::Ed25519(_) => {
                self.to_private_text()?.into_bytes()
            }
        };
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &private), purpose.as_bytes());
        let mut secret = [0; 16];
        secret.copy_from_slice(&derived.as_ref()[..16]);
        Ok(secret)
    }

    /// Signs a message; the result is base64url.
    ///
    /// # Errors
    /// [`KeyProblem`] when the algorithm is not of this key's kind, or the system's randomness failed.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<String, KeyProblem> {
        self.signature(algorithm, message).map(encode_base64url)
    }

    fn signature(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, KeyProblem> {
        const FAILED: KeyProblem = KeyProblem::SelfTest("it cannot sign");
        let random = SystemRandom::new();
        match (self, algorithm.family()) {
            (Self::Secret(secret), Family::Hmac) => {
                let hash = match algorithm.hash_bytes() {
                    32 => hmac::HMAC_SHA256,
                    48 => hmac::HMAC_SHA384,
                    _ => hmac::HMAC_SHA512,
                };
                Ok(hmac::sign(&hmac::Key::new(hash, secret), message).as_ref().to_vec())
            }
            (Self::Rsa(pair), Family::Rsa) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding = rsa_padding(algorithm).ok_or(FAILED)?;
                pair.sign(padding, &random, message, &mut signature).map_err(|_| FAILED)?;
                Ok(signature)
            }
            (Self::P256(pair), Family::P256) | (Self::P384(pair), Family::P384) => {
                Ok(pair.sign(&random, message).map_err(|_| FAILED)?.as_ref().to_vec())
            }
            (Self::Ed25519(pair), Family::Ed25519) => {
                Ok(pair.try_sign(message).map_err(|_| FAILED)?.as_ref().to_vec())
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
        let signature = signing.signature(key.algorithm, MESSAGE)?;
        if !key.verify(MESSAGE, &signature) {
            return Err(KeyProblem::SelfTest(
                "it refuses its own signature: the halves do not belong together",
            ));
        }
        if key.verify(b"ferricorn.self-test!", &signature) {
            return Err(KeyProblem::SelfTest("it takes a signature of another message"));
        }
        if !others_take(key.algorithm, &signing.public(), MESSAGE, &signature) {
            return Err(KeyProblem::SelfTest("another library refuses its signature"));
        }
    }
    let length = match key.algorithm.family() {
        Family::Hmac => key.algorithm.hash_bytes(),
        Family::Rsa => 256,
        Family::P256 | Family::Ed25519 => 64,
        Family::P384 => 96,
    };
    for forged in [vec![0; length], vec![0x5a; length], Vec::new()] {
        if key.verify(MESSAGE, &forged) {
            return Err(KeyProblem::SelfTest("it takes a forged signature"));
        }
    }
    Ok(())
}

/// A second opinion, by the jsonwebtoken crate: others verify our tokens by such libraries.
fn others_take(algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let key = match key {
        PublicKey::Secret(secret) => DecodingKey::from_secret(secret),
        PublicKey::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
        PublicKey::P256(point) | PublicKey::P384(point) => DecodingKey::from_ec_der(point),
        PublicKey::Ed25519(point) => DecodingKey::from_ed_der(point),
    };
    // A second backend compiled in by some other crate would make the choice of one panic at its first use.
    // Somebody may have installed one before, which then judges.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let signature = encode_base64url(signature);
    matches!(jsonwebtoken::crypto::verify(&signature, message, &key, algorithm.elsewhere()), Ok(true))
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
