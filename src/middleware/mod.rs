//! What happens to every request around the app.
#![forbid(unsafe_code)]

pub mod access_log;
#[cfg(feature = "jwt")]
pub mod auth_layer;
#[cfg(feature = "jwt")]
pub mod bearer;
#[cfg(not(feature = "jwt"))]
#[path = "bearer_without_jwt.rs"]
pub mod bearer;
#[cfg(feature = "jwt")]
mod bearer_check;
#[cfg(feature = "jwt")]
mod bearer_settings;
#[cfg(feature = "jwt")]
mod challenge;
#[cfg(feature = "jwt")]
mod decisions;
#[cfg(feature = "jwt")]
mod extract;
pub mod health;
#[cfg(feature = "jwt")]
mod identity_fields;
#[cfg(feature = "jwt")]
mod key_files;
#[cfg(feature = "jwt")]
mod keyring;
pub mod limits;
pub mod overload;
#[cfg(feature = "jwt")]
mod path_readings;
#[cfg(feature = "jwt")]
mod policy;
#[cfg(feature = "jwt")]
mod proof;
pub mod quarantine;
pub mod refusals;
pub mod request_id;
#[cfg(feature = "jwt")]
mod rights;
pub mod stream_end;
#[cfg(feature = "jwt")]
mod tend;
pub mod times;

#[cfg(all(feature = "jwt", any(test, fuzzing)))]
pub(crate) use policy::laws as policy_laws;
