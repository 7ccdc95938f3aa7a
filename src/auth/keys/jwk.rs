//! JSON Web Keys (RFC 7517, RFC 7518 6, RFC 8037 2).

use super::pem::with_private;
use super::{KeyPair, KeyProblem, PublicKey, SigningKey, check_fit};
use crate::auth::Algorithm;
use crate::auth::jwt::{decode_base64url, parse_object, parse_object_within};
use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, RsaKeyPair,
};
use serde_json::{Map, Value};

/// One JWK that may prove signatures.
#[derive(Debug)]
pub struct Jwk {
    /// Its material.
    pub key: KeyPair,
    /// Its name.
    pub kid: Option<String>,
    /// The one algorithm it says it is for.
    pub algorithm: Option<Algorithm>,
}

impl Jwk {
    /// Whether it is valid and strong enough to prove tokens, of the algorithm that it is for or of any of its kind.
    ///
    /// # Errors
    /// [`KeyProblem`] saying why not.
    pub fn check(&self) -> Result<(), KeyProblem> {
        let (family, _) = self.key.public.family();
        let of_kind = || Algorithm::ALL.into_iter().find(|algorithm| algorithm.family() == family);
        let algorithm = self.algorithm.or_else(of_kind).ok_or(KeyProblem::Damaged)?;
        check_fit(algorithm, &self.key.public)
    }
}

/// A member of a JWK set, or why it is left out.
#[derive(Debug)]
pub enum JwkSetKey {
    /// A public key.
    Usable(Box<Jwk>),
    /// A key for something else, as sets commonly hold.
    Skipped(String),
    /// A key that has no place in a set of public keys.
    Refused(KeyProblem),
}

/// Reads one JWK, public or private.
///
/// # Errors
/// [`KeyProblem::Jwk`] when it is malformed, or made for anything but signatures.
pub fn parse_jwk(text: &[u8]) -> Result<Jwk, KeyProblem> {
    let members = parse_object(text).map_err(|error| problem(&format!("it is no JWK: {error}")))?;
    if members.contains_key("keys") {
        return Err(problem("it is a JWK set; give it as jwks_file"));
    }
    read_jwk(&members)
}

/// Reads a JWK set: public keys only, at most 64.
///
/// # Errors
/// [`KeyProblem::Jwk`] when the whole is no set.
pub fn parse_jwk_set(text: &[u8]) -> Result<Vec<JwkSetKey>, KeyProblem> {
    parse_jwk_set_within(text, MAX_SET_KEYS)
}

/// The same with another limit on keys.
///
/// # Errors
/// [`KeyProblem::Jwk`] likewise.
pub fn parse_jwk_set_within(text: &[u8], max_keys: usize) -> Result<Vec<JwkSetKey>, KeyProblem> {
    let set = parse_object_within(text, max_keys.saturating_mul(MEMBERS_OF_KEY))
        .map_err(|error| problem(&format!("it is no JWK set: {error}")))?;
    let Some(keys) = set.get("keys").and_then(Value::as_array) else {
        return Err(problem("it is no JWK set: there is no array \"keys\""));
    };
    if keys.len() > max_keys {
        return Err(problem(&format!("it has more than {max_keys} keys")));
    }
    Ok(keys.iter().map(read_set_key).collect())
}

/// More keys than any provider rotates through.
const MAX_SET_KEYS: usize = 64;
/// Members of a key, on average.
const MEMBERS_OF_KEY: usize = 32;

fn problem(text: &str) -> KeyProblem {
    KeyProblem::Jwk(text.to_owned())
}

/// Each key is judged alone: one odd key does not take the set's others away.
fn read_set_key(key: &Value) -> JwkSetKey {
    let Some(members) = key.as_object() else {
        return JwkSetKey::Skipped("a member of \"keys\" is no object".into());
    };
    let label = match string(members, "kid") {
        Ok(Some(kid)) => format!("key {kid:?}"),
        Ok(None) | Err(_) => "a key without kid".into(),
    };
    // Whoever can read a set of public keys could sign with a secret or a private key in it.
    if members.get("kty").and_then(Value::as_str) == Some("oct") {
        return JwkSetKey::Refused(problem(&format!(
            "{label} is a secret: a JWK set is public; use secret_file"
        )));
    }
    if members.contains_key("d") {
        return JwkSetKey::Refused(problem(&format!(
            "{label} is a private key: a JWK set is public; remove it"
        )));
    }
    match read_jwk(members) {
        Ok(jwk) => JwkSetKey::Usable(Box::new(jwk)),
        Err(why) => JwkSetKey::Skipped(format!("{label} is left out: {why}")),
    }
}

fn read_jwk(members: &Map<String, Value>) -> Result<Jwk, KeyProblem> {
    // RFC 7517 4.2 and 4.3: a key is for what it says.
    if string(members, "use")?.is_some_and(|usage| usage != "sig") {
        return Err(problem("its \"use\" is not \"sig\""));
    }
    let private = members.contains_key("d") || members.contains_key("k");
    if let Some(operations) = members.get("key_ops") {
        let wanted = |operation: &Value| operation == "verify" || (private && operation == "sign");
        if !operations.as_array().is_some_and(|list| list.iter().any(wanted)) {
            return Err(problem("its \"key_ops\" do not hold \"verify\""));
        }
    }
    let algorithm = match string(members, "alg")? {
        Some(name) => {
            Some(Algorithm::from_name(name).ok_or_else(|| KeyProblem::UnknownAlgorithm(name.to_owned()))?)
        }
        None => None,
    };
    let key = match string(members, "kty")? {
        Some("oct") => with_private(SigningKey::Secret(bytes(members, "k")?)),
        Some("RSA") => read_rsa(members)?,
        Some("EC") => read_ec(members)?,
        Some("OKP") => read_okp(members)?,
        Some(_) | None => return Err(problem("its \"kty\" is none of oct, RSA, EC, OKP")),
    };
    let kid = string(members, "kid")?.map(str::to_owned);
    if let Some(algorithm) = algorithm {
        check_fit(algorithm, &key.public)?;
    }
    Ok(Jwk { key, kid, algorithm })
}

fn read_rsa(members: &Map<String, Value>) -> Result<KeyPair, KeyProblem> {
    let (n, e) = (number(members, "n")?, number(members, "e")?);
    if !members.contains_key("d") {
        return Ok(KeyPair { public: PublicKey::Rsa { n, e }, signing: None });
    }
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n, e },
        d: number(members, "d")?,
        p: number(members, "p")?,
        q: number(members, "q")?,
        dP: number(members, "dp")?,
        dQ: number(members, "dq")?,
        qInv: number(members, "qi")?,
    };
    let pair = RsaKeyPair::from_components(&components).map_err(|_| KeyProblem::Damaged)?;
    Ok(with_private(SigningKey::Rsa(Box::new(pair))))
}

fn read_ec(members: &Map<String, Value>) -> Result<KeyPair, KeyProblem> {
    type Make = fn(Vec<u8>) -> PublicKey;
    type MakePair = fn(EcdsaKeyPair) -> SigningKey;
    let (size, public, signing, curve): (usize, Make, MakePair, &'static EcdsaSigningAlgorithm) =
        match string(members, "crv")? {
            Some("P-256") => (32, PublicKey::P256, SigningKey::P256, &ECDSA_P256_SHA256_FIXED_SIGNING),
            Some("P-384") => (48, PublicKey::P384, SigningKey::P384, &ECDSA_P384_SHA384_FIXED_SIGNING),
            Some(_) | None => return Err(problem("its \"crv\" is neither P-256 nor P-384")),
        };
    let (x, y) = (bytes(members, "x")?, bytes(members, "y")?);
    // RFC 7518 6.2.1.2: full size, leading zeros included.
    if x.len() != size || y.len() != size {
        return Err(problem("its coordinates have the wrong length"));
    }
    let point = [&[4], &x[..], &y[..]].concat();
    if !members.contains_key("d") {
        return Ok(KeyPair { public: public(point), signing: None });
    }
    let pair = EcdsaKeyPair::from_private_key_and_public_key(curve, &bytes(members, "d")?, &point)
        .map_err(|_| KeyProblem::Damaged)?;
    Ok(with_private(signing(pair)))
}

fn read_okp(members: &Map<String, Value>) -> Result<KeyPair, KeyProblem> {
    if string(members, "crv")? != Some("Ed25519") {
        return Err(problem("its \"crv\" is not Ed25519"));
    }
    let point = bytes(members, "x")?;
    if !members.contains_key("d") {
        return Ok(KeyPair { public: PublicKey::Ed25519(point), signing: None });
    }
    let pair = Ed25519KeyPair::from_seed_and_public_key(&bytes(members, "d")?, &point)
        .map_err(|_| KeyProblem::Damaged)?;
    Ok(with_private(SigningKey::Ed25519(pair)))
}

fn string<'m>(members: &'m Map<String, Value>, name: &str) -> Result<Option<&'m str>, KeyProblem> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(problem(&format!("its {name:?} is no string"))),
    }
}

fn bytes(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyProblem> {
    string(members, name)?
        .and_then(decode_base64url)
        .ok_or_else(|| problem(&format!("its {name:?} is missing or no base64url")))
}

/// RFC 7518 2, Base64urlUInt: some writers prefix a zero byte; it changes nothing and is dropped.
fn number(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyProblem> {
    let bytes = bytes(members, name)?;
    let first =
        bytes.iter().position(|byte| *byte != 0).ok_or_else(|| problem(&format!("its {name:?} is zero")))?;
    Ok(bytes[first..].to_vec())
}
