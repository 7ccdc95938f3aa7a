//! Where a Django project's own settings of tokens and of users say something else than the configuration.

use crate::auth::{Provider, Reason, unix_seconds, verify};
use crate::config::{Auth, AuthProvider, UserKind};
use pyo3::prelude::*;
use serde_json::{Value, json};
use std::time::SystemTime;

/// The differences between the project that this interpreter has loaded and the configuration, a line each.
pub fn drift(auth: &Auth) -> Vec<String> {
    let Some(provider) = counterpart(auth) else { return Vec::new() };
    let given = said(auth, provider).to_string();
    let asked = Python::attach(|py| -> PyResult<(Vec<String>, Option<String>)> {
        let module = py.import("ferricorn.simplejwt")?;
        let lines = module.call_method1("differences", (given,))?.extract()?;
        Ok((lines, module.call_method0("trial_token")?.extract()?))
    });
    match asked {
        // What is refused for a reason that is named already is not told again.
        Ok((lines, Some(token))) if lines.is_empty() => refused(auth, provider, &token).into_iter().collect(),
        Ok((lines, _)) => lines,
        // A project whose simplejwt cannot be imported fails by itself.
        Err(error) => {
            let reason = Python::attach(|py| super::describe(py, &error));
            tracing::debug!("the project's SIMPLE_JWT cannot be compared with the configuration: {reason}");
            Vec::new()
        }
    }
}

/// The provider that stands for simplejwt: the one that issues, or the only one with keys of its own.
fn counterpart(auth: &Auth) -> Option<&AuthProvider> {
    if auth.issues() {
        return auth.issuing_provider();
    }
    let mut with_keys = auth.providers.iter().filter(|provider| !provider.keys.is_empty());
    with_keys.next().filter(|_| auth.enabled && with_keys.next().is_none())
}

/// What the configuration says of all that the project has settings for. Durations are seconds.
fn said(auth: &Auth, provider: &AuthProvider) -> Value {
    let algorithms: Vec<&str> = match provider.algorithms.as_slice() {
        [] => provider.keys.iter().map(|key| key.alg.as_str()).collect(),
        named => named.iter().map(String::as_str).collect(),
    };
    let asks = auth.issues() && auth.users.kind == UserKind::Python;
    let asked = asks
        .then(|| json!({ "id_column": auth.users.id_column, "username_field": auth.users.name_member() }));
    let users = (auth.issues() && auth.users.kind == UserKind::Django).then(|| {
        let users = &auth.users;
        json!({
            "url": users.url.as_ref().map(ToString::to_string).unwrap_or_default(),
            "table": users.table,
            "id_column": users.id_column,
            "username_column": users.username_column,
            "username_field": users.name_member(),
            "password_column": users.password_column,
            "active_column": users.active_column.as_deref().unwrap_or_default(),
        })
    });
    json!({
        "auth.provider.algorithms": algorithms,
        "auth.provider.issuer": provider.issuer.as_deref().unwrap_or_default(),
        "auth.provider.audiences": provider.audiences,
        "auth.provider.leeway": provider.leeway.as_secs(),
        "auth.provider.max_lifetime": provider.max_lifetime.as_secs(),
        "auth.provider.subject_claim": provider.subject_claim,
        "auth.provider.token_type": provider.token_type.as_deref().unwrap_or_default(),
        "auth.provider.require": provider.require,
        "auth.extract.authorization": auth.extract.authorization,
        "auth.issue.access": auth.issue.access.as_secs(),
        "auth.issue.refresh": auth.issue.refresh.as_secs(),
        "auth.issue.rotate": auth.rotates(),
        "issues": auth.issues(),
        "users": users,
        "users_asked": asked,
    })
}

/// What is wrong with a token as the project issues it.
fn refused(auth: &Auth, provider: &AuthProvider, token: &str) -> Option<String> {
    let judge = Provider::new(provider, &mut Vec::new()).ok()?;
    let longest = usize::try_from(auth.max_token_bytes).unwrap_or(usize::MAX);
    let reason = verify(token, longest, &[&judge], unix_seconds(SystemTime::now())).err()?.reason;
    let name = &provider.name;
    let is_the_key = matches!(reason, Reason::Signature | Reason::UnknownKey);
    Some(if is_the_key {
        format!(
            "no key of provider {name:?} takes a token that the project's SIMPLE_JWT[\"SIGNING_KEY\"] has signed"
        )
    } else {
        format!("provider {name:?} refuses a token as the project issues it: {}", reason.description())
    })
}
