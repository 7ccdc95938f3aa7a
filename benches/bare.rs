//! What the cryptography below costs by itself, for `benches/tokens.py` to compare with.
//!
//! `bare` prints microseconds as JSON. Each figure is the least of many short rounds: what else runs on the machine only ever
//! adds to it. `bare app RS256|ES256|EdDSA|nothing FLAGS...` serves an app that calls the library itself in each request.
#![expect(clippy::print_stderr, reason = "how it is used")]
#![expect(clippy::print_stdout, reason = "the figures")]
#![expect(clippy::unwrap_used, reason = "keys of its own making, on a machine that has randomness")]

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
};
use axum::Router;
use axum::routing::get;
use ferricorn::Server;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => {
            print_figures();
            ExitCode::SUCCESS
        }
        (Some("app"), Some(algorithm)) => {
            let flags = ["bare app".to_owned()].into_iter().chain(arguments);
            Server::new(move |_| std::future::ready(Ok(app(&algorithm)))).main(flags.map(Into::into))
        }
        (Some(_), _) => {
            eprintln!("usage: bare | bare app RS256|ES256|EdDSA|nothing FLAGS...");
            ExitCode::from(2)
        }
    }
}

fn print_figures() {
    let figures = [
        ("RS256", verification(&rs256())),
        ("ES256", verification(&es256())),
        ("EdDSA", verification(&eddsa())),
        ("argon2id", least(30, 1, password_hash)),
    ];
    let members: Vec<String> = figures.iter().map(|(name, us)| format!("{name:?}: {us:.3}")).collect();
    println!("{{{}}}", members.join(", "));
}

/// The same answer for everybody, and before it what a verification takes.
fn app(algorithm: &str) -> Router {
    let signed = match algorithm {
        "RS256" => Some(rs256()),
        "ES256" => Some(es256()),
        "EdDSA" => Some(eddsa()),
        _ => None,
    };
    let signed = Arc::new(signed);
    Router::new().route("/", get(move || answer(Arc::clone(&signed))))
}

async fn answer(signed: Arc<Option<Signed>>) -> &'static str {
    if let Some((key, signature)) = &*signed {
        key.verify_sig(black_box(MESSAGE), black_box(signature)).unwrap();
    }
    "Hello, World!"
}

/// About as long as what is signed of a token.
const MESSAGE: &[u8] = &[b'x'; 300];

/// A key, ready to be used, and its signature of the message.
type Signed = (ParsedPublicKey, Vec<u8>);

fn rs256() -> Signed {
    // As `ferricorn jwt keygen` makes them.
    let pair = RsaKeyPair::generate(KeySize::Rsa3072).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
    (ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref()).unwrap(), signature)
}

fn es256() -> Signed {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let signature = pair.sign(&SystemRandom::new(), MESSAGE).unwrap();
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref()).unwrap();
    (key, signature.as_ref().to_vec())
}

fn eddsa() -> Signed {
    let pair = Ed25519KeyPair::generate().unwrap();
    let key = ParsedPublicKey::new(&ED25519, pair.public_key().as_ref()).unwrap();
    (key, pair.sign(MESSAGE).as_ref().to_vec())
}

fn verification((key, signature): &Signed) -> f64 {
    least(100, 40, || key.verify_sig(black_box(MESSAGE), black_box(signature)).unwrap())
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
