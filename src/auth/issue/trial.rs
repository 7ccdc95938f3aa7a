//! Whether the provider takes the tokens that are issued in its name: tried at the start, not at the first login.

use super::claims::{Names, Token, TokenType};
use crate::auth::store::SessionId;
use crate::auth::{AuthConfigError, Provider, unix_seconds, verify};
use crate::config::{Auth, AuthProvider};
use serde_json::Value;
use std::time::SystemTime;

/// Issues an access token to nobody and has it judged as a request's would be.
///
/// Where no key signs now it is not tried: keys come and go by date while the server runs, and it goes on verifying.
///
/// # Errors
/// [`AuthConfigError`] that says what refuses it; or the keys cannot be read.
pub(super) fn try_out(auth: &Auth, config: &AuthProvider) -> Result<(), Vec<AuthConfigError>> {
    let provider = Provider::new(config, &mut Vec::new())?;
    let now = unix_seconds(SystemTime::now());
    // Its claims are whole seconds.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "seconds since 1970 fit for longer than there are clocks"
    )]
    let issued = now as i64;
    let life = i64::try_from(auth.issue.access.as_secs()).unwrap_or(i64::MAX);
    let more: Vec<(String, Value)> =
        auth.issue.extra_claims.keys().map(|claim| (claim.clone(), Value::from("x"))).collect();
    let text = Names::new(config).write(&Token {
        kind: TokenType::Access,
        id: &"0".repeat(32),
        issued,
        expires: issued.saturating_add(life),
        session: Some(SessionId([0; 16])).filter(|_| auth.issue.revoke_access),
        user: "0",
        more: &more,
    });
    let Some(token) = provider.sign(&text, now) else { return Ok(()) };
    let longest = usize::try_from(auth.max_token_bytes).unwrap_or(usize::MAX);
    match verify(&token, longest, &[&provider], now) {
        Ok(_) => Ok(()),
        Err(refusal) => {
            let why = refusal.reason.explanation();
            let problem =
                format!("provider {:?} would refuse every token that is issued: {why}", config.name);
            Err(vec![AuthConfigError::setting(TRIAL, problem)])
        }
    }
}

/// Where it is told that they are refused.
pub(super) const TRIAL: &str = "issue";
