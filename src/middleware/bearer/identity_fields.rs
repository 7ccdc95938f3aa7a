//! Request fields by which the server asserts an identity: nobody else may write them.

use super::rights::claim;
use crate::auth::AuthConfigError;
use crate::config::{ArrayFormat, Auth};
use crate::protocol::Identity;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;

/// What an app that looks for the user among the fields would take for it: it reads HTTP_REMOTE_USER.
const REMOTE_USER: HeaderName = HeaderName::from_static("remote-user");

/// The fields that this configuration removes from requests and adds to them.
#[derive(Debug)]
pub(super) struct IdentityFields {
    asserted: Vec<(HeaderName, String)>,
    /// In lower case with `-`: these and their twins with `_` are removed.
    stripped: Vec<HeaderName>,
    arrays: ArrayFormat,
    max_bytes: usize,
}

impl IdentityFields {
    pub(super) fn new(config: &Auth) -> Result<Self, Vec<AuthConfigError>> {
        let mut errors = Vec::new();
        let mut parse = |place: &str, name: &str| {
            let parsed = HeaderName::from_bytes(name.replace('_', "-").as_bytes()).ok();
            let usable = parsed.filter(|parsed| !RESERVED.contains(parsed));
            if usable.is_none() {
                errors.push(AuthConfigError::setting(
                    place,
                    format!("{name:?} is no field name that can be used here"),
                ));
            }
            usable
        };
        let asserted: Vec<_> = config
            .forward
            .headers
            .iter()
            .filter_map(|(name, claim)| Some((parse("forward.headers", name)?, claim.clone())))
            .collect();
        let mut stripped: Vec<_> = asserted.iter().map(|(name, _)| name.clone()).collect();
        stripped.extend(config.strip.iter().filter_map(|name| parse("strip", name)));
        if config.gives_remote_user() {
            stripped.push(REMOTE_USER);
        }
        stripped.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        stripped.dedup();
        let max_bytes = usize::try_from(config.forward.max_bytes.0).unwrap_or(usize::MAX);
        let arrays = config.forward.arrays;
        if errors.is_empty() { Ok(Self { asserted, stripped, arrays, max_bytes }) } else { Err(errors) }
    }

    pub(super) fn stripped(&self) -> &[HeaderName] {
        &self.stripped
    }

    pub(super) fn strip(&self, fields: &mut HeaderMap) {
        for name in &self.stripped {
            fields.remove(name);
        }
        // CGI names (RFC 3875 4.1.18) make "-" and "_" one: an app would read the twin.
        if self.stripped.is_empty() || !fields.keys().any(|name| name.as_str().contains('_')) {
            return;
        }
        let is_twin = |name: &&HeaderName| {
            let plain = name.as_str().replace('_', "-");
            self.stripped.iter().any(|stripped| stripped.as_str() == plain)
        };
        let twins: Vec<HeaderName> = fields.keys().filter(is_twin).cloned().collect();
        for twin in twins {
            fields.remove(twin);
        }
    }

    pub(super) fn assert(&self, identity: &Identity, fields: &mut HeaderMap) {
        for (name, path) in &self.asserted {
            let value = claim(&identity.claims, path).and_then(|value| field_value(value, self.arrays));
            // Half of a list of roles is another list: what is too long is left out, as if it were not there.
            let value = value.filter(|text| text.len() <= self.max_bytes);
            if let Some(value) = value.and_then(|text| HeaderValue::try_from(text).ok()) {
                fields.insert(name.clone(), value);
            }
        }
    }
}

/// Strings, numbers and truth values as they are, arrays of them joined by commas; nothing for the rest.
fn field_value(value: &Value, arrays: ArrayFormat) -> Option<String> {
    match value {
        Value::Array(_) if arrays == ArrayFormat::Json => Some(ascii_json(value)),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(|item| scalar(item, ITEM)).collect();
            items.map(|items| items.join(","))
        }
        Value::Null | Value::Object(_) => None,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => scalar(value, TEXT),
    }
}

/// JSON without bytes that fields cannot hold (RFC 8259 7 has an escape for each).
fn ascii_json(value: &Value) -> String {
    let mut text = String::new();
    for unit in value.to_string().encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() && !byte.is_ascii_control() => text.push(char::from(byte)),
            Ok(_) | Err(_) => text.push_str(&format!("\\u{unit:04x}")),
        }
    }
    text
}

fn scalar(value: &Value, escaped: &'static AsciiSet) -> Option<String> {
    match value {
        Value::String(text) => Some(utf8_percent_encode(text, escaped).to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Everything but visible ASCII, and "%" itself, so that the text can be had back.
const TEXT: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
/// Within an array also the comma.
const ITEM: &AsciiSet = &TEXT.add(b',');

/// Fields that say how a message is read or where it goes, and the credential: never rewritten from a claim.
const RESERVED: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::EXPECT,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
