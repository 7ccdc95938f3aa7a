//! The compact serialisation of RFC 7515 7.1, read strictly, and its signature.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::json::parse_object;
use crate::auth::keys::{KeySet, VerifyingKey};
use crate::auth::{Algorithm, Reason};
use serde_json::{Map, Value};

/// A signed token, taken apart; nothing in it is proven before [`Jws::verify`].
#[derive(Debug)]
pub struct Jws<'t> {
    /// The algorithm that its header names.
    pub algorithm: Algorithm,
    /// The key that its header names.
    pub kid: Option<String>,
    /// The type that its header names.
    pub typ: Option<String>,
    /// Its header, JSON text.
    pub header_json: Vec<u8>,
    /// Header and payload as they were signed.
    signing_input: &'t str,
    payload: &'t str,
    signature: Vec<u8>,
}

impl<'t> Jws<'t> {
    /// Takes a compact token apart.
    ///
    /// `jwk`, `jku`, `x5u` and `x5c` are not read: a token does not say which key proves it
    /// (RFC 8725 3.10, CVE-2018-0114).
    ///
    /// # Errors
    /// [`Reason`] for everything that is no strict compact JWS of an algorithm we know.
    pub fn parse(token: &'t str, max_bytes: usize) -> Result<Self, Reason> {
        // Before anything is decoded: work is bounded by the limit.
        if token.len() > max_bytes {
            return Err(Reason::TooLarge);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Reason::Shape);
        };
        match parts.count() {
            0 => {}
            // RFC 7516 7.1: five parts are an encrypted token.
            2 => return Err(Reason::Encrypted),
            _ => return Err(Reason::Shape),
        }
        if signature.is_empty() || header.len() > MAX_HEADER_BYTES.div_ceil(3) * 4 {
            return Err(Reason::Shape);
        }
        let signature = decode_base64url(signature).ok_or(Reason::Shape)?;
        let header_json = decode_base64url(header).ok_or(Reason::Shape)?;
        let members = parse_object(&header_json).map_err(|_| Reason::Header)?;
        let signing_input = &token[..header.len() + 1 + payload.len()];
        let (algorithm, kid, typ) = read_header(members)?;
        Ok(Self { algorithm, kid, typ, header_json, signing_input, payload, signature })
    }

    /// The payload, JSON text in a token; to be believed only after [`Jws::verify`].
    ///
    /// # Errors
    /// [`Reason::Shape`] when it is no base64url.
    pub fn payload(&self) -> Result<Vec<u8>, Reason> {
        decode_base64url(self.payload).ok_or(Reason::Shape)
    }

    /// Proves the signature by one of the keys and returns that key.
    ///
    /// # Errors
    /// [`Reason::UnknownKey`] when no usable key fits, [`Reason::Signature`] when none of them made it.
    pub fn verify<'k>(&self, sets: &[&'k KeySet], now: f64) -> Result<&'k VerifyingKey, Reason> {
        let mut refusal = Reason::UnknownKey;
        let candidates = |set: &&'k KeySet| set.candidates(self.kid.as_deref(), self.algorithm, now);
        for key in sets.iter().flat_map(candidates) {
            if key.verify(self.signing_input.as_bytes(), &self.signature) {
                return Ok(key);
            }
            refusal = Reason::Signature;
        }
        Err(refusal)
    }
}

/// Decodes base64url without padding; a text that another text of the same length could stand for is none
/// (RFC 4648 3.5).
pub(crate) fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Encodes base64url without padding.
pub(crate) fn encode_base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The members that decide anything; all others are left alone.
fn read_header(
    mut members: Map<String, Value>,
) -> Result<(Algorithm, Option<String>, Option<String>), Reason> {
    // RFC 7515 4.1.11: an extension that is not implemented makes the token invalid, and we have none.
    // RFC 7797 6: `b64` is only valid beside `crit`.
    if members.contains_key("crit") || members.contains_key("b64") {
        return Err(Reason::Critical);
    }
    // Members of encrypted tokens (RFC 7516 4.1, RFC 7518 4.8.1): such a token is made to confuse.
    if ["enc", "zip", "p2c", "p2s", "epk"].iter().any(|name| members.contains_key(*name)) {
        return Err(Reason::Encrypted);
    }
    let algorithm = match members.get("alg") {
        Some(Value::String(name)) => Algorithm::from_name(name).ok_or(Reason::Algorithm)?,
        Some(_) | None => return Err(Reason::Algorithm),
    };
    let kid = match members.remove("kid") {
        None => None,
        Some(Value::String(kid)) if is_key_id(&kid) => Some(kid),
        Some(_) => return Err(Reason::KeyId),
    };
    let typ = match members.remove("typ") {
        None => None,
        Some(Value::String(typ)) => Some(typ),
        Some(_) => return Err(Reason::HeaderType),
    };
    Ok((algorithm, kid, typ))
}

/// It reaches logs and comparisons, nothing else; even so, only what is harmless there.
pub(crate) fn is_key_id(kid: &str) -> bool {
    !kid.is_empty() && kid.len() <= MAX_KID_BYTES && kid.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Decoded header.
const MAX_HEADER_BYTES: usize = 2048;
const MAX_KID_BYTES: usize = 128;
