//! The claims of a token whose signature is proven (RFC 7519 4.1).

use crate::auth::Reason;
use serde_json::{Map, Value};

/// What a provider's tokens must say.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimRules {
    /// The one issuer; `None` = any.
    pub issuer: Option<String>,
    /// Whom tokens may be meant for.
    pub audiences: Audiences,
    /// Tolerance for clocks in seconds.
    pub leeway: f64,
    /// Longest remaining life in seconds.
    pub max_lifetime: f64,
    /// The `token_type` claim; `None` = not checked.
    pub token_type: Option<String>,
    /// The claim that names the user; `None` = none is needed.
    pub subject_claim: Option<String>,
    /// Claims that must be there.
    pub require: Vec<String>,
}

/// Whom tokens may be meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audiences {
    /// Nobody in particular: tokens that name an audience are refused.
    Unnamed,
    /// One of these.
    AnyOf(Vec<String>),
    /// Anybody.
    Unchecked,
}

/// What good claims say.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The value of the subject claim.
    pub subject: Option<String>,
    /// When the token ends, in Unix seconds.
    pub expires: f64,
}

/// Judges the claims at the time `now`, in Unix seconds.
///
/// A claim of the wrong type is refused even where it is optional: CVE-2026-25537 was a wrong type taken
/// for an absent claim.
///
/// # Errors
/// The first [`Reason`] why the token is not good now.
pub fn judge(rules: &ClaimRules, claims: &Map<String, Value>, now: f64) -> Result<Judged, Reason> {
    let expires = judge_times(rules, claims, now)?;
    judge_issuer(rules, claims)?;
    judge_audience(rules, claims)?;
    for name in ["sub", "jti"] {
        optional_string(claims, name)?;
    }
    // RFC 7800 3: such a token is worth nothing without proof of the key, which a bearer does not give.
    if claims.contains_key("cnf") {
        return Err(Reason::Bound);
    }
    for name in &rules.require {
        if claims.get(name).is_none_or(Value::is_null) {
            return Err(if name == "jti" { Reason::NoId } else { Reason::MissingClaim });
        }
    }
    if let Some(wanted) = &rules.token_type {
        let found = claims.get("token_type").ok_or(Reason::NoTokenType)?;
        if found.as_str() != Some(wanted) {
            return Err(Reason::TokenType);
        }
    }
    let subject = match &rules.subject_claim {
        Some(name) => Some(subject(claims, name)?),
        None => None,
    };
    Ok(Judged { subject, expires })
}

/// `exp`, `nbf`, `iat`; returns `exp`.
fn judge_times(rules: &ClaimRules, claims: &Map<String, Value>, now: f64) -> Result<f64, Reason> {
    let expires = seconds(claims, "exp")?.ok_or(Reason::NoExpiry)?;
    let not_before = seconds(claims, "nbf")?;
    let issued = seconds(claims, "iat")?;
    // RFC 7519 4.1.4: "on or after" the time it is expired.
    if now >= expires + rules.leeway {
        return Err(Reason::Expired);
    }
    if [not_before, issued].into_iter().flatten().any(|start| start > now + rules.leeway) {
        return Err(Reason::NotYetValid);
    }
    if expires - now > rules.max_lifetime + rules.leeway {
        return Err(Reason::Lifetime);
    }
    Ok(expires)
}

/// A NumericDate (RFC 7519 2): a JSON number from 1970 to the end of the year 9999.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Reason> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    match value.as_f64() {
        Some(seconds) if (0.0..=LAST_SECOND).contains(&seconds) => Ok(Some(seconds)),
        Some(_) | None => Err(Reason::ClaimForm),
    }
}

/// RFC 7519 4.1.1: one string, compared exactly.
fn judge_issuer(rules: &ClaimRules, claims: &Map<String, Value>) -> Result<(), Reason> {
    let found = optional_string(claims, "iss")?;
    match &rules.issuer {
        Some(wanted) if found != Some(wanted) => Err(Reason::Issuer),
        Some(_) | None => Ok(()),
    }
}

/// RFC 7519 4.1.3: a string or an array of strings, one of which must be us.
fn judge_audience(rules: &ClaimRules, claims: &Map<String, Value>) -> Result<(), Reason> {
    let found: Vec<&str> = match claims.get("aud") {
        None => Vec::new(),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) if !many.is_empty() => {
            many.iter().map(Value::as_str).collect::<Option<_>>().ok_or(Reason::ClaimForm)?
        }
        Some(_) => return Err(Reason::ClaimForm),
    };
    let meant_for_us = match &rules.audiences {
        Audiences::Unnamed => found.is_empty(),
        Audiences::AnyOf(names) => found.iter().any(|name| names.iter().any(|ours| ours == name)),
        Audiences::Unchecked => true,
    };
    if meant_for_us { Ok(()) } else { Err(Reason::Audience) }
}

fn optional_string<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<Option<&'c String>, Reason> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Reason::ClaimForm),
    }
}

/// A name or a whole number: older simplejwt releases write `user_id` as a number.
fn subject(claims: &Map<String, Value>, name: &str) -> Result<String, Reason> {
    match claims.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::Number(number)) if !number.is_f64() => Ok(number.to_string()),
        Some(_) | None => Err(Reason::Subject),
    }
}

/// 9999-12-31T23:59:59Z: what Python's `datetime` and RFC 3339 can still name.
const LAST_SECOND: f64 = 253_402_300_799.0;
