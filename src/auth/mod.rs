//! Tokens and the keys that prove them: what the bearer middleware and `ferricorn jwt` share.
//!
//! - A token is judged: `jwt` (its form, its signature, its claims), `algorithm`, `keys`, `provider` (whose tokens are taken, proven by
//!   which keys), `cache` (those that were proven before), `reason` (why one is refused), `words` (what its sender is told).
//! - Key sets are fetched: `jwks`, over `tls`.
//! - What a token itself cannot say: `standing`, `revocations`.
//! - Tokens are issued: `issue`, to those in `users`, remembered in `store`.
//! - Browsers: `cookies`, `cors`, `sender`.
//!
//! The way of a token: [`jwt::Jws::parse`] (shape, header) -> [`keys::KeySet`] (key by provider, `kid` and
//! algorithm) -> signature, by aws-lc with a key that was parsed once -> [`jwt::judge`] (claims). The jsonwebtoken crate
//! is asked for a second opinion when a key is loaded. It parses the key at each call, and its own rules about claims take
//! tokens that RFC 7519 and RFC 8725 have us refuse.
#![forbid(unsafe_code)]

mod algorithm;
mod cache;
pub mod cookies;
pub mod cors;
mod provider;
mod reason;
pub mod sender;
mod standing;
mod words;

#[cfg(feature = "issue")]
pub mod issue;
pub mod jwks;
pub mod jwt;
pub mod keys;
#[cfg(any(test, fuzzing))]
pub(crate) mod laws;
pub mod revocations;
#[cfg(feature = "issue")]
pub mod store;
mod tls;
#[cfg(feature = "issue")]
pub mod users;

#[cfg(test)]
mod vectors;

pub use crate::middleware::bearer::layer::{Answering, Authenticated, Layer, LayerError};
pub use algorithm::{Algorithm, Family};
pub use cache::{Cache, Fingerprint};
pub use provider::{AuthConfigError, Provider, Refusal, Verified, verify};
pub use reason::{Reason, RefusalKind};
pub use standing::{Bearer, LookUp, Standing, Standings};
pub use words::Words;

use std::time::{Duration, SystemTime};

/// Seconds since 1970, as claims count them; negative before.
pub fn unix_seconds(time: SystemTime) -> f64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

/// The moment that a checked claim (0 to 253402300799) names.
pub fn system_time(unix_seconds: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(unix_seconds).unwrap_or_default()
}
