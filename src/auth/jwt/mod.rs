//! One token, taken apart and judged: pure functions, the time is an argument.

mod base64url;
mod claims;
mod json;
mod jws;

#[cfg(test)]
mod claims_tests;
#[cfg(test)]
mod gaps_tests;
#[cfg(test)]
mod tests;

pub(crate) use base64url::{decode_base64url, encode_base64url};
pub use claims::{Audiences, ClaimRules, Judged, judge};
pub use json::{JsonError, parse_object, parse_object_within};
#[cfg(feature = "cli")]
pub(crate) use jws::is_key_id;
pub use jws::{Header, Jws};
