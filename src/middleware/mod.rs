//! What happens to every request around the app.
#![forbid(unsafe_code)]

pub mod access_log;
pub mod bearer;
mod challenge;
mod identity_fields;
pub mod limits;
pub mod policy;
pub mod refusals;
pub mod request_id;
