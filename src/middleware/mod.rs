//! What happens to every request around the app.
#![forbid(unsafe_code)]

pub mod access_log;
pub mod request_id;
