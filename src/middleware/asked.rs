//! What is asked when a request comes, with or without the feature `jwt`.

use crate::protocol::{Scheme, Target};
use http::{HeaderMap, Method};

/// What of a request decides who may pass.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'r> {
    /// The method.
    pub method: &'r Method,
    /// The target, as the app gets it.
    pub target: &'r Target,
    /// The host that it is for, as sent.
    pub host: Option<&'r [u8]>,
    /// The fields.
    pub fields: &'r HeaderMap,
    /// The scheme that the client used.
    pub scheme: Scheme,
}
