//! What is wrong with `[auth]` as a whole, which no provider and no rule can see alone.

use super::challenge::is_scope;
use crate::auth::AuthConfigError;
use crate::config::Auth;
use http::header::HeaderName;
use std::time::{Duration, SystemTime};

/// Everything that is wrong, at once.
pub(super) fn check_settings(config: &Auth) -> Vec<AuthConfigError> {
    let mut errors = Vec::new();
    if config.providers.is_empty() {
        errors.push(AuthConfigError::setting("provider", "there is none; add [[auth.provider]]"));
    }
    for (index, provider) in config.providers.iter().enumerate() {
        let place = format!("provider {:?}", provider.name);
        let earlier = &config.providers[..index];
        if earlier.iter().any(|other| other.name == provider.name) {
            errors.push(AuthConfigError::setting(&place, "the name is used twice"));
        }
        if config.providers.len() > 1 && provider.issuer.is_none() {
            errors.push(AuthConfigError::setting(
                &place,
                "issuer is required where there are several providers",
            ));
        }
        if provider.issuer.is_some() && earlier.iter().any(|other| other.issuer == provider.issuer) {
            errors.push(AuthConfigError::setting(
                &place,
                "the issuer is used twice: it could not choose the provider",
            ));
        }
    }
    for route in &config.routes {
        for scope in route.scopes_all.iter().chain(&route.scopes_any).filter(|scope| !is_scope(scope)) {
            let place = format!("route (prefix {:?})", route.prefix);
            errors.push(AuthConfigError::setting(place, format!("{scope:?} is no scope (RFC 6749 3.3)")));
        }
    }
    let schemes = &config.extract.authorization;
    if schemes.is_empty() || schemes.iter().any(|scheme| HeaderName::from_bytes(scheme.as_bytes()).is_err()) {
        errors.push(AuthConfigError::setting(
            "extract.authorization",
            "it must name schemes, such as \"Bearer\"",
        ));
    }
    errors.extend(clock_problem(SystemTime::now()));
    errors
}

/// A clock that stands still in the past would take tokens that have long expired.
fn clock_problem(now: SystemTime) -> Option<AuthConfigError> {
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(VERSION_SECONDS);
    (now < written).then(|| {
        AuthConfigError::setting(
            "clock",
            "the system's clock shows a time before this program was written; set it first",
        )
    })
}

/// 2026-01-01T00:00:00Z, the year of this version.
const VERSION_SECONDS: u64 = 1_767_225_600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_that_stands_before_this_program_is_refused() {
        assert!(clock_problem(SystemTime::UNIX_EPOCH).is_some());
        assert!(clock_problem(SystemTime::UNIX_EPOCH + Duration::from_secs(VERSION_SECONDS)).is_none());
        assert!(clock_problem(SystemTime::now()).is_none());
    }
}
