//! The compact serialisation of RFC 7515 7.1, read strictly, and its signature.

use super::base64url::decode_base64url;
use super::json::parse_object;
use crate::auth::keys::{KeySet, VerifyingKey};
use crate::auth::{Algorithm, Reason};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::sync::Arc;

/// A signed token, taken apart; nothing in it is proven before [`Jws::verify`].
#[derive(Debug)]
pub struct Jws<'t> {
    /// What it says of itself.
    pub header: Arc<Header>,
    /// Header and payload as they were signed.
    signing_input: &'t str,
    payload: &'t str,
    signature: Vec<u8>,
}

/// The header of a token.
#[derive(Debug)]
pub struct Header {
    /// The algorithm that it names.
    pub algorithm: Algorithm,
    /// The key that it names.
    pub kid: Option<String>,
    /// The type that it names.
    pub typ: Option<String>,
    /// As it was signed, JSON text.
    pub json: Bytes,
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
        let mut dots = memchr::memchr_iter(b'.', token.as_bytes());
        let (Some(first), Some(second)) = (dots.next(), dots.next()) else { return Err(Reason::Shape) };
        match dots.count() {
            0 => {}
            // RFC 7516 7.1: five parts are an encrypted token.
            2 => return Err(Reason::Encrypted),
            _ => return Err(Reason::Shape),
        }
        let (header, payload, signature) = (&token[..first], &token[first + 1..second], &token[second + 1..]);
        if signature.is_empty() || header.len() > MAX_HEADER_BYTES.div_ceil(3) * 4 {
            return Err(Reason::Shape);
        }
        let signature = decode_base64url(signature).ok_or(Reason::Shape)?;
        let header = LAST.with_borrow_mut(|last| last.read(header))?;
        Ok(Self { header, signing_input: &token[..second], payload, signature })
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
        let candidates =
            |set: &&'k KeySet| set.candidates(self.header.kid.as_deref(), self.header.algorithm, now);
        for key in sets.iter().flat_map(candidates) {
            if key.verify(self.signing_input.as_bytes(), &self.signature) {
                return Ok(key);
            }
            refusal = Reason::Signature;
        }
        Err(refusal)
    }
}

thread_local! {
    static LAST: RefCell<LastHeader> = RefCell::default();
}

/// The header read last, and the text that it was: an issuer's tokens have the same one until it changes its key.
#[derive(Default)]
struct LastHeader {
    text: String,
    header: Option<Arc<Header>>,
}

impl LastHeader {
    fn read(&mut self, text: &str) -> Result<Arc<Header>, Reason> {
        if let Some(header) = self.header.as_ref().filter(|_| self.text == text) {
            return Ok(Arc::clone(header));
        }
        let json = decode_base64url(text).ok_or(Reason::Shape)?;
        let members = parse_object(&json).map_err(|_| Reason::Header)?;
        let header = Arc::new(read_header(members, json.into())?);
        *self = Self { text: text.to_owned(), header: Some(Arc::clone(&header)) };
        Ok(header)
    }
}

/// The members that decide anything; all others are left alone.
fn read_header(members: Map<String, Value>, json: Bytes) -> Result<Header, Reason> {
    let (mut algorithm, mut kid, mut typ) = (None, None, None);
    let (mut is_critical, mut is_encrypted) = (false, false);
    for (name, value) in members {
        match name.as_str() {
            // RFC 7515 4.1.11: an extension that is not implemented makes the token invalid, and we have none.
            // RFC 7797 6: `b64` is only valid beside `crit`.
            "crit" | "b64" => is_critical = true,
            // Members of encrypted tokens (RFC 7516 4.1, RFC 7518 4.8.1): such a token is made to confuse.
            "enc" | "zip" | "p2c" | "p2s" | "epk" => is_encrypted = true,
            "alg" => algorithm = Some(value),
            "kid" => kid = Some(value),
            "typ" => typ = Some(value),
            _ => {}
        }
    }
    if is_critical {
        return Err(Reason::Critical);
    }
    if is_encrypted {
        return Err(Reason::Encrypted);
    }
    let algorithm = match algorithm {
        Some(Value::String(name)) => Algorithm::from_name(&name).ok_or(Reason::Algorithm)?,
        Some(_) | None => return Err(Reason::Algorithm),
    };
    let kid = match kid {
        None => None,
        Some(Value::String(kid)) if is_key_id(&kid) => Some(kid),
        Some(_) => return Err(Reason::KeyId),
    };
    let typ = match typ {
        None => None,
        Some(Value::String(typ)) => Some(typ),
        Some(_) => return Err(Reason::HeaderType),
    };
    Ok(Header { algorithm, kid, typ, json })
}

/// It reaches logs and comparisons, nothing else; even so, only what is harmless there.
pub(crate) fn is_key_id(kid: &str) -> bool {
    !kid.is_empty() && kid.len() <= MAX_KID_BYTES && kid.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Decoded header.
const MAX_HEADER_BYTES: usize = 2048;
const MAX_KID_BYTES: usize = 128;
