//! PEM (RFC 7468): the forms in which OpenSSL and identity providers write keys.

use super::{KeyPair, KeyProblem, PublicKey, SigningKey, decode_base64};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Reads the one key of a PEM text, public or private.
///
/// # Errors
/// [`KeyProblem::Pem`] saying what it is instead.
pub fn parse_pem(text: &[u8]) -> Result<KeyPair, KeyProblem> {
    let text = std::str::from_utf8(text).map_err(|_| KeyProblem::NotText)?;
    let mut found = None;
    let mut rest = text;
    while let Some((label, body, after)) = next_block(rest)? {
        rest = after;
        // openssl ecparam writes the curve before the key.
        if label == "EC PARAMETERS" {
            continue;
        }
        if found.replace((label, body)).is_some() {
            return Err(KeyProblem::Pem("the PEM text holds more than one key; give each its own file"));
        }
    }
    let (label, body) = found.ok_or(KeyProblem::Pem("there is no PEM block (-----BEGIN …-----) in it"))?;
    if body.contains("Proc-Type:") || label == "ENCRYPTED PRIVATE KEY" {
        return Err(KeyProblem::Pem("the private key is encrypted; decrypt it with `openssl pkey`"));
    }
    let der = decode_base64(body.as_bytes())
        .map_err(|_| KeyProblem::Pem("the PEM block is damaged: its content is no base64"))?;
    match label {
        "PUBLIC KEY" => parse_spki(&der).map(public_only),
        "RSA PUBLIC KEY" => parse_rsa_public(&der).map(public_only),
        "PRIVATE KEY" => parse_pkcs8(&der).map(with_private),
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der)
            .map(|pair| with_private(SigningKey::Rsa(Box::new(pair))))
            .map_err(|_| KeyProblem::Pem("the RSA private key is damaged or not of 2048 to 8192 bits")),
        "EC PRIVATE KEY" => parse_ec_private(&der).map(with_private),
        "CERTIFICATE" => Err(KeyProblem::Pem(
            "it is a certificate; take its key out with `openssl x509 -pubkey -noout -in FILE`",
        )),
        _ => Err(KeyProblem::Pem("the PEM block is no key that signs tokens")),
    }
}

/// Writes a PEM block.
pub fn to_pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

/// The next block's label and body, and what follows it.
fn next_block(text: &str) -> Result<Option<(&str, &str, &str)>, KeyProblem> {
    const BROKEN: KeyProblem = KeyProblem::Pem("the PEM block is not closed");
    let Some((_, from_label)) = text.split_once("-----BEGIN ") else { return Ok(None) };
    let (label, from_body) = from_label.split_once("-----").ok_or(BROKEN)?;
    let (body, from_end) = from_body.split_once("-----END ").ok_or(BROKEN)?;
    let after = from_end.strip_prefix(label).and_then(|rest| rest.strip_prefix("-----")).ok_or(BROKEN)?;
    Ok(Some((label, body, after)))
}

fn public_only(public: PublicKey) -> KeyPair {
    KeyPair { public, signing: None }
}

pub(super) fn with_private(signing: SigningKey) -> KeyPair {
    KeyPair { public: signing.public(), signing: Some(signing) }
}

/// SubjectPublicKeyInfo (RFC 5280 4.1): on a curve it is a fixed prefix and the point, so it is compared.
fn parse_spki(der: &[u8]) -> Result<PublicKey, KeyProblem> {
    let point = |prefix: &[u8], length: usize| {
        der.strip_prefix(prefix).filter(|point| point.len() == length).map(<[u8]>::to_vec)
    };
    if let Some(point) = point(&SPKI_P256, 65) {
        return Ok(PublicKey::P256(point));
    }
    if let Some(point) = point(&SPKI_P384, 97) {
        return Ok(PublicKey::P384(point));
    }
    if let Some(point) = point(&SPKI_ED25519, 32) {
        return Ok(PublicKey::Ed25519(point));
    }
    parse_rsa_public(der)
}

fn parse_rsa_public(der: &[u8]) -> Result<PublicKey, KeyProblem> {
    let key = aws_lc_rs::rsa::PublicKey::from_der(der)
        .map_err(|_| KeyProblem::Pem("it is no public key of RSA, P-256, P-384 or Ed25519"))?;
    Ok(PublicKey::Rsa {
        n: key.modulus().big_endian_without_leading_zero().to_vec(),
        e: key.exponent().big_endian_without_leading_zero().to_vec(),
    })
}

fn parse_pkcs8(der: &[u8]) -> Result<SigningKey, KeyProblem> {
    if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
        return Ok(SigningKey::Rsa(Box::new(pair)));
    }
    // OpenSSL writes PKCS #8 version 1, without the public half; it is computed.
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        return Ok(SigningKey::Ed25519(pair));
    }
    parse_ec_private(der)
}

fn parse_ec_private(der: &[u8]) -> Result<SigningKey, KeyProblem> {
    if let Ok(pair) = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
        return Ok(SigningKey::P256(pair));
    }
    EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_FIXED_SIGNING, der).map(SigningKey::P384).map_err(
        |_| KeyProblem::Pem("it is no private key of RSA (2048 to 8192 bits), P-256, P-384 or Ed25519"),
    )
}

/// RFC 5480 2.1.1: id-ecPublicKey on secp256r1, then the BIT STRING's head.
pub(super) const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// RFC 5480 2.1.1: id-ecPublicKey on secp384r1, then the BIT STRING's head.
pub(super) const SPKI_P384: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
    0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];
/// RFC 8410 4: id-Ed25519, then the BIT STRING's head.
pub(super) const SPKI_ED25519: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
