//! One token, taken apart and judged: pure functions, the time is an argument.

mod claims;
mod json;
mod jws;

#[cfg(test)]
mod claims_tests;
#[cfg(test)]
mod gaps_tests;
#[cfg(test)]
mod tests;

pub use claims::{Audiences, ClaimRules, Judged, judge};
pub use json::{JsonError, parse_object, parse_object_within};
pub use jws::Jws;
#[cfg(feature = "cli")]
pub(crate) use jws::is_key_id;
pub(crate) use jws::{decode_base64url, encode_base64url};
