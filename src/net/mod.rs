//! Sockets: where the server listens.
#![forbid(unsafe_code)]

pub mod bind;
pub mod listeners;
