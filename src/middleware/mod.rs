//! What happens to every request around the app.
#![forbid(unsafe_code)]

pub mod access_log;
#[cfg(feature = "jwt")]
pub mod bearer;
#[cfg(not(feature = "jwt"))]
#[path = "bearer_without_jwt.rs"]
pub mod bearer;
#[cfg(feature = "jwt")]
mod bearer_check;
#[cfg(feature = "jwt")]
mod challenge;
#[cfg(feature = "jwt")]
mod cors;
#[cfg(feature = "jwt")]
mod extract;
pub mod health;
#[cfg(feature = "jwt")]
mod identity_fields;
pub mod limits;
#[cfg(feature = "jwt")]
mod policy;
pub mod quarantine;
pub mod refusals;
pub mod request_id;
pub mod times;
#[cfg(feature = "jwt")]
mod rights;
