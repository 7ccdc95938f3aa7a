//! What the token checks need of the configuration while they serve.

use super::rights::claim;
use crate::config::{Auth, StreamExpiry};
use serde_json::{Map, Value};

/// What is needed of the configuration while serving.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) max_token_bytes: usize,
    pub(super) preflight: Preflight,
    /// Of each provider, the claim that is REMOTE_USER.
    pub(super) remote_user: Vec<Option<String>>,
    pub(super) credential: Credential,
    /// `None`: streams go on.
    pub(super) ws_close_code: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preflight {
    Pass,
    Check,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential {
    Keep,
    Remove,
}

impl Settings {
    pub(super) fn new(config: &Auth) -> Self {
        Self {
            max_token_bytes: usize::try_from(config.max_token_bytes).unwrap_or(usize::MAX),
            preflight: if config.preflight { Preflight::Pass } else { Preflight::Check },
            remote_user: config
                .providers
                .iter()
                .map(|provider| config.remote_user_of(provider).map(str::to_owned))
                .collect(),
            credential: if config.forward.keep_authorization { Credential::Keep } else { Credential::Remove },
            ws_close_code: (config.stream_expiry == StreamExpiry::Close).then_some(config.ws_close_code),
        }
    }
}

/// It becomes a CGI variable: what is not visible ASCII cannot be told apart there from what it imitates.
pub(super) fn remote_user(claims: &Map<String, Value>, path: &str) -> Option<String> {
    let name = match claim(claims, path)? {
        Value::String(text) => text.clone(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let visible = name.bytes().all(|byte| byte.is_ascii_graphic());
    (visible && (1..=255).contains(&name.len())).then_some(name)
}
