//! Key material of every form, brought to one form and judged.

use super::{KeyProblem, SigningKey};
use crate::auth::{Algorithm, Family};
use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What proves a signature.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// A shared secret (not public at all).
    Secret(Vec<u8>),
    /// An RSA key: big-endian, without leading zeros.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The public exponent.
        e: Vec<u8>,
    },
    /// A point on P-256, uncompressed (SEC 1 2.3.3).
    P256(Vec<u8>),
    /// A point on P-384, uncompressed.
    P384(Vec<u8>),
    /// An Ed25519 key (RFC 8032 5.1.5).
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// The kind of key, and its name.
    pub fn family(&self) -> (Family, &'static str) {
        match self {
            Self::Secret(_) => (Family::Hmac, "a secret"),
            Self::Rsa { .. } => (Family::Rsa, "an RSA key"),
            Self::P256(_) => (Family::P256, "a P-256 key"),
            Self::P384(_) => (Family::P384, "a P-384 key"),
            Self::Ed25519(_) => (Family::Ed25519, "an Ed25519 key"),
        }
    }
}

impl PublicKey {
    /// Tells two keys apart without showing them.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.family().1.as_bytes());
        match self {
            Self::Secret(bytes) | Self::P256(bytes) | Self::P384(bytes) | Self::Ed25519(bytes) => {
                context.update(bytes);
            }
            Self::Rsa { n, e } => {
                context.update(n);
                context.update(b"e");
                context.update(e);
            }
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        bytes
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.family().1)
    }
}

/// A key and, where it is known, its private half.
#[derive(Debug)]
pub struct KeyPair {
    /// What proves signatures.
    pub public: PublicKey,
    /// What makes them.
    pub signing: Option<SigningKey>,
}

/// Whether the key is of the algorithm's kind, valid, and strong enough for it.
///
/// The crate below checks none of this: it takes an empty secret, and reads a JWK of any curve and use.
///
/// # Errors
/// [`KeyProblem`] saying which.
pub fn check_fit(algorithm: Algorithm, key: &PublicKey) -> Result<(), KeyProblem> {
    if key.family().0 != algorithm.family() {
        return Err(KeyProblem::wrong_kind(algorithm, key));
    }
    match key {
        PublicKey::Secret(secret) => check_secret(algorithm, secret),
        PublicKey::Rsa { n, e } => check_rsa(n, e),
        PublicKey::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .parse()
            .map(drop)
            .map_err(|_| KeyProblem::Damaged),
        PublicKey::P384(point) => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
            .parse()
            .map(drop)
            .map_err(|_| KeyProblem::Damaged),
        PublicKey::Ed25519(point) => {
            UnparsedPublicKey::new(&ED25519, point).parse().map(drop).map_err(|_| KeyProblem::Damaged)
        }
    }
}

fn check_secret(algorithm: Algorithm, secret: &[u8]) -> Result<(), KeyProblem> {
    if secret.is_empty() {
        return Err(KeyProblem::EmptySecret);
    }
    if let Some(kind) = looks_like_key(secret) {
        return Err(KeyProblem::SecretIsKey(kind));
    }
    let need = algorithm.hash_bytes();
    if secret.len() < need {
        return Err(KeyProblem::ShortSecret { have: secret.len(), need, algorithm });
    }
    Ok(())
}

/// RS to HS confusion (RFC 8725 2.1) is a public key used as secret; it may be one in any spelling.
fn looks_like_key(secret: &[u8]) -> Option<&'static str> {
    if memchr::memmem::find(secret, b"-----BEGIN ").is_some() {
        return Some("PEM key");
    }
    if is_der(secret) {
        return Some("DER key");
    }
    let text = secret.trim_ascii();
    if text.first() == Some(&b'{')
        && serde_json::from_slice::<serde_json::Map<_, _>>(text).is_ok_and(|map| {
            let map: &serde_json::Map<String, serde_json::Value> = &map;
            map.contains_key("kty") || map.contains_key("keys")
        })
    {
        return Some("JWK");
    }
    // Consoles of identity providers show public keys as bare base64 of DER.
    let bare: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(bare).is_ok_and(|der| is_der(&der)).then_some("DER key in base64")
}

/// A DER SEQUENCE that fills the whole; a passphrase that begins with "0" is none.
fn is_der(bytes: &[u8]) -> bool {
    if bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        return false;
    }
    let content = match bytes {
        [0x30, length, content @ ..] if *length < 0x80 && usize::from(*length) == content.len() => content,
        [0x30, 0x81, length, content @ ..] if usize::from(*length) == content.len() => content,
        [0x30, 0x82, high, low, content @ ..]
            if usize::from(u16::from_be_bytes([*high, *low])) == content.len() =>
        {
            content
        }
        _ => return false,
    };
    // All key structures begin with an INTEGER (PKCS #1, PKCS #8, SEC 1) or a SEQUENCE (SPKI).
    matches!(content.first(), Some(0x02 | 0x30))
}

fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), KeyProblem> {
    let bits = match n.first() {
        Some(first) if *first != 0 => n.len() * 8 - first.leading_zeros() as usize,
        Some(_) | None => return Err(KeyProblem::Damaged),
    };
    if !(2048..=8192).contains(&bits) {
        return Err(KeyProblem::RsaSize(bits));
    }
    if n.last().is_none_or(|last| last % 2 == 0) {
        return Err(KeyProblem::Damaged);
    }
    if e.len() > 8 {
        return Err(KeyProblem::RsaExponent);
    }
    let exponent = e.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    if exponent % 2 == 0 || !(3..=1 << 32).contains(&exponent) {
        return Err(KeyProblem::RsaExponent);
    }
    if is_from_faulty_chip(n) {
        return Err(KeyProblem::FaultyChip);
    }
    Ok(())
}

/// CVE-2017-15361 (ROCA): such a modulus is, by each small prime, a remainder of a power of 65537; another
/// one is so by chance in less than one of a hundred million.
fn is_from_faulty_chip(n: &[u8]) -> bool {
    let remainder = |prime: u32| n.iter().fold(0, |value, byte| (value << 8 | u32::from(*byte)) % prime);
    let is_power = |prime: u32| {
        let wanted = remainder(prime);
        std::iter::successors(Some(1), |power| Some(power * 65_537 % prime))
            .take(prime as usize)
            .any(|power| power == wanted)
    };
    SMALL_PRIMES.into_iter().all(is_power)
}

const SMALL_PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// Decodes base64 with padding; line ends and blanks between are skipped.
///
/// # Errors
/// [`KeyProblem::NotBase64`] for anything else.
pub fn decode_base64(text: &[u8]) -> Result<Vec<u8>, KeyProblem> {
    let bare: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(bare).map_err(|_| KeyProblem::NotBase64)
}

/// Reads a file of at most 256 KiB.
///
/// # Errors
/// [`KeyProblem`] naming the file.
pub fn read_limited(path: &Path) -> Result<Vec<u8>, KeyProblem> {
    let unreadable = |error: std::io::Error| KeyProblem::Unreadable {
        path: path.display().to_string(),
        error: error.to_string(),
    };
    let mut content = Vec::new();
    File::open(path)
        .map_err(unreadable)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(KeyProblem::FileTooLarge(path.display().to_string()));
    }
    Ok(content)
}

const MAX_FILE_BYTES: u64 = 256 << 10;
