//! New keys, and keys written down.

use super::der::rsa_private_numbers;
use super::pem::{SPKI_ED25519, SPKI_P256, SPKI_P384, to_pem};
use super::{KeyProblem, PublicKey, SigningKey};
use crate::auth::jwt::encode_base64url;
use crate::auth::{Algorithm, Family};
use aws_lc_rs::encoding::{
    AsBigEndian, AsDer, Curve25519SeedBin, EcPrivateKeyBin, Pkcs8V1Der, PublicKeyX509Der,
};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RsaKeyPair,
};
use serde_json::{Map, Value};

/// An identifier that nobody guesses or makes twice: 128 random bits in hexadecimal.
///
/// # Errors
/// [`KeyProblem::SelfTest`] when the system gives no randomness.
pub fn random_id() -> Result<String, KeyProblem> {
    let mut random = [0_u8; 16];
    SystemRandom::new().fill(&mut random).map_err(|_| NO_RANDOMNESS)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl SigningKey {
    /// Makes a key for this algorithm; an RSA key gets 3072 bits (NIST SP 800-57 1, table 2: beyond 2030).
    ///
    /// # Errors
    /// [`KeyProblem::SelfTest`] when the system gives no randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyProblem> {
        match algorithm.family() {
            Family::Hmac => {
                let mut secret = vec![0; algorithm.hash_bytes()];
                SystemRandom::new().fill(&mut secret).map_err(|_| NO_RANDOMNESS)?;
                // Text, so that it can be kept in a file or variable as it is; all its bytes count.
                Ok(Self::Secret(encode_base64url(secret).into_bytes()))
            }
            Family::Rsa => RsaKeyPair::generate(KeySize::Rsa3072)
                .map(|pair| Self::Rsa(Box::new(pair)))
                .map_err(|_| NO_RANDOMNESS),
            Family::P256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .map(Self::P256)
                .map_err(|_| NO_RANDOMNESS),
            Family::P384 => EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)
                .map(Self::P384)
                .map_err(|_| NO_RANDOMNESS),
            Family::Ed25519 => Ed25519KeyPair::generate().map(Self::Ed25519).map_err(|_| NO_RANDOMNESS),
        }
    }

    /// The key as PKCS #8 in PEM; a secret as it is.
    ///
    /// # Errors
    /// [`KeyProblem::Damaged`] when it cannot be written.
    pub fn to_private_text(&self) -> Result<String, KeyProblem> {
        let der = match self {
            Self::Secret(secret) => {
                return String::from_utf8(secret.clone()).map_err(|_| KeyProblem::NotText);
            }
            Self::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyProblem::Damaged)?;
                der.as_ref().to_vec()
            }
            Self::P256(pair) | Self::P384(pair) => {
                pair.to_pkcs8v1().map_err(|_| KeyProblem::Damaged)?.as_ref().to_vec()
            }
            Self::Ed25519(pair) => pair.to_pkcs8v1().map_err(|_| KeyProblem::Damaged)?.as_ref().to_vec(),
        };
        Ok(to_pem("PRIVATE KEY", &der))
    }

    /// The key as JWK, private members included.
    ///
    /// # Errors
    /// [`KeyProblem::Damaged`] when it cannot be written.
    pub fn to_private_jwk(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Result<Map<String, Value>, KeyProblem> {
        let mut jwk = self.public().describe(algorithm, kid);
        let mut put = |name: &str, bytes: &[u8]| {
            jwk.insert(name.into(), encode_base64url(bytes).into());
        };
        match self {
            Self::Secret(secret) => put("k", secret),
            Self::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyProblem::Damaged)?;
                let numbers = rsa_private_numbers(der.as_ref()).ok_or(KeyProblem::Damaged)?;
                // RFC 7518 6.3.2: all of them, since whoever writes one of the others writes all.
                for (name, number) in ["d", "p", "q", "dp", "dq", "qi"].into_iter().zip(numbers) {
                    put(name, number);
                }
            }
            Self::P256(pair) | Self::P384(pair) => {
                let key = pair.private_key();
                let scalar: EcPrivateKeyBin<'_> = key.as_be_bytes().map_err(|_| KeyProblem::Damaged)?;
                put("d", scalar.as_ref());
            }
            Self::Ed25519(pair) => {
                let seed = pair.seed().map_err(|_| KeyProblem::Damaged)?;
                let seed: Curve25519SeedBin<'_> = seed.as_be_bytes().map_err(|_| KeyProblem::Damaged)?;
                put("d", seed.as_ref());
            }
        }
        Ok(jwk)
    }
}

impl PublicKey {
    /// The key as SubjectPublicKeyInfo in PEM.
    ///
    /// # Errors
    /// [`KeyProblem::Pem`] for a secret, which has no public half.
    pub fn to_public_pem(&self) -> Result<String, KeyProblem> {
        let der = match self {
            Self::Secret(_) => return Err(NO_PUBLIC_HALF),
            Self::Rsa { n, e } => {
                let components = PublicKeyComponents { n: n.as_slice(), e: e.as_slice() };
                let der: PublicKeyX509Der<'_> = components.as_der().map_err(|_| KeyProblem::Damaged)?;
                der.as_ref().to_vec()
            }
            Self::P256(point) => [&SPKI_P256[..], point].concat(),
            Self::P384(point) => [&SPKI_P384[..], point].concat(),
            Self::Ed25519(point) => [&SPKI_ED25519[..], point].concat(),
        };
        Ok(to_pem("PUBLIC KEY", &der))
    }

    /// The key as public JWK.
    ///
    /// # Errors
    /// [`KeyProblem::Pem`] for a secret, which has no public half.
    pub fn to_public_jwk(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Result<Map<String, Value>, KeyProblem> {
        match self {
            Self::Secret(_) => Err(NO_PUBLIC_HALF),
            Self::Rsa { .. } | Self::P256(_) | Self::P384(_) | Self::Ed25519(_) => {
                Ok(self.describe(algorithm, kid))
            }
        }
    }

    /// All members but secret ones.
    fn describe(&self, algorithm: Algorithm, kid: Option<&str>) -> Map<String, Value> {
        let mut jwk = Map::new();
        let mut put = |name: &str, value: &str| {
            jwk.insert(name.into(), value.into());
        };
        put("alg", algorithm.name());
        put("use", "sig");
        if let Some(kid) = kid {
            put("kid", kid);
        }
        match self {
            Self::Secret(_) => put("kty", "oct"),
            Self::Rsa { n, e } => {
                put("kty", "RSA");
                put("n", &encode_base64url(n));
                put("e", &encode_base64url(e));
            }
            Self::P256(point) | Self::P384(point) => {
                let (x, y) = point[1..].split_at(point.len() / 2);
                put("kty", "EC");
                put("crv", if x.len() == 32 { "P-256" } else { "P-384" });
                put("x", &encode_base64url(x));
                put("y", &encode_base64url(y));
            }
            Self::Ed25519(point) => {
                put("kty", "OKP");
                put("crv", "Ed25519");
                put("x", &encode_base64url(point));
            }
        }
        jwk
    }
}

const NO_RANDOMNESS: KeyProblem = KeyProblem::SelfTest("the system gave no randomness");
const NO_PUBLIC_HALF: KeyProblem = KeyProblem::Pem("a secret has no public half");
