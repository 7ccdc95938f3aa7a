//! What happens around every app.
#![forbid(unsafe_code)]

pub mod bearer;
mod challenge;
mod identity_fields;
pub mod policy;
