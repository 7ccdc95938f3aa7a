//! What happens to every request around the app.
//!
//! - Before it: `request_id`, `limits`, `health` (checks that are answered at once), `bearer` (who may pass, by what is `asked`),
//!   `quarantine` (requests that have ended workers).
//! - In its place: `overload`, `refusals`.
//! - After it: `access_log`, `times`, `stream_end` (streams end with the token that opened them).
#![forbid(unsafe_code)]

pub mod access_log;
mod asked;
#[cfg(feature = "jwt")]
pub mod bearer;
#[cfg(not(feature = "jwt"))]
#[path = "bearer_without_jwt.rs"]
pub mod bearer;
pub mod health;
pub mod limits;
pub mod overload;
pub mod quarantine;
pub mod refusals;
pub mod request_id;
pub mod stream_end;
pub mod times;

#[cfg(all(feature = "jwt", any(test, fuzzing)))]
pub(crate) use bearer::policy_laws;
