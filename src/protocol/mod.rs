//! From bytes to requests, and from responses to bytes.
#![forbid(unsafe_code)]

mod request;
mod target;

pub use request::*;
pub use target::Target;
