//! What the cryptography below costs by itself, for `benches/tokens.py` to compare with: microseconds as JSON.
//!
//! Each figure is the least of many short rounds: what else runs on the machine only ever adds to it.
#![expect(clippy::print_stdout, reason = "the figures")]
#![expect(clippy::unwrap_used, reason = "keys of its own making, on a machine that has randomness")]

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
};
use std::hint::black_box;
use std::time::Instant;

fn main() {
    let message = [b'x'; 300];
    let figures = [
        ("RS256", verification(&rs256(&message), &message)),
        ("ES256", verification(&es256(&message), &message)),
        ("EdDSA", verification(&eddsa(&message), &message)),
        ("argon2id", least(30, 1, password_hash)),
    ];
    let members: Vec<String> = figures.iter().map(|(name, us)| format!("{name:?}: {us:.3}")).collect();
    println!("{{{}}}", members.join(", "));
}

/// A key, ready to be used, and a signature.
type Signed = (ParsedPublicKey, Vec<u8>);

fn rs256(message: &[u8]) -> Signed {
    // As `ferricorn jwt keygen` makes them.
    let pair = RsaKeyPair::generate(KeySize::Rsa3072).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
    (ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref()).unwrap(), signature)
}

fn es256(message: &[u8]) -> Signed {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let signature = pair.sign(&SystemRandom::new(), message).unwrap();
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref()).unwrap();
    (key, signature.as_ref().to_vec())
}

fn eddsa(message: &[u8]) -> Signed {
    let pair = Ed25519KeyPair::generate().unwrap();
    let key = ParsedPublicKey::new(&ED25519, pair.public_key().as_ref()).unwrap();
    (key, pair.sign(message).as_ref().to_vec())
}

fn verification((key, signature): &Signed, message: &[u8]) -> f64 {
    least(100, 40, || key.verify_sig(black_box(message), black_box(signature)).unwrap())
}

/// As the server's own user table has it.
fn password_hash() {
    let params = Params::new(19_456, 2, 1, Some(32)).unwrap();
    let mut digest = [0; 32];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(black_box(b"correct horse"), &[7; 16], &mut digest).unwrap();
    black_box(digest);
}

/// Microseconds of one call, in the best of the rounds.
fn least(rounds: u32, calls: u32, mut call: impl FnMut()) -> f64 {
    let round = || {
        let began = Instant::now();
        (0..calls).for_each(|_| call());
        began.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
    };
    std::iter::repeat_with(round).take(rounds as usize).fold(f64::INFINITY, f64::min)
}
