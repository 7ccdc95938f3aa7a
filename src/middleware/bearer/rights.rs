//! What a good token must allow: scopes, and rules on single claims.

use crate::auth::Reason;
use crate::config::{AuthRoute, ClaimRule};
use serde_json::{Map, Value};

/// What a rule asks of the claims of a good token.
#[derive(Debug)]
pub(super) struct Rights {
    scopes_all: Vec<String>,
    scopes_any: Vec<String>,
    claims: Vec<(String, ClaimRule)>,
}

impl Rights {
    pub(super) fn new(route: &AuthRoute) -> Self {
        Self {
            scopes_all: route.scopes_all.clone(),
            scopes_any: route.scopes_any.clone(),
            claims: route.claims.iter().map(|(path, rule)| (path.clone(), rule.clone())).collect(),
        }
    }

    /// Whether anything is asked.
    pub(super) fn are_asked_for(&self) -> bool {
        !(self.scopes_all.is_empty() && self.scopes_any.is_empty() && self.claims.is_empty())
    }

    /// The scopes that a challenge names.
    pub(super) fn scopes(&self) -> &[String] {
        if self.scopes_all.is_empty() { &self.scopes_any } else { &self.scopes_all }
    }

    /// Whether good claims give these rights.
    ///
    /// # Errors
    /// [`Reason::Scope`] or [`Reason::ClaimRule`].
    pub(super) fn judge(&self, claims: &Map<String, Value>) -> Result<(), Reason> {
        if !(self.scopes_all.is_empty() && self.scopes_any.is_empty()) {
            let scopes = scopes(claims);
            let has = |wanted: &String| scopes.contains(&wanted.as_str());
            if !self.scopes_all.iter().all(has) {
                return Err(Reason::Scope);
            }
            if !(self.scopes_any.is_empty() || self.scopes_any.iter().any(has)) {
                return Err(Reason::Scope);
            }
        }
        let met =
            |(path, rule): &(String, ClaimRule)| claim(claims, path).is_some_and(|value| holds(rule, value));
        if self.claims.iter().all(met) { Ok(()) } else { Err(Reason::ClaimRule) }
    }
}

/// The claim at a dotted path; a claim whose own name has dots is found first.
pub(super) fn claim<'c>(claims: &'c Map<String, Value>, path: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    path.match_indices('.').find_map(|(at, _)| claim(claims.get(&path[..at])?.as_object()?, &path[at + 1..]))
}

fn holds(rule: &ClaimRule, value: &Value) -> bool {
    let array = || value.as_array().map_or(&[][..], Vec::as_slice);
    match rule {
        ClaimRule::Equals(wanted) => value == wanted,
        ClaimRule::OneOf(wanted) => wanted.contains(value),
        ClaimRule::Contains(wanted) => array().contains(wanted),
        ClaimRule::ContainsAny(wanted) => wanted.iter().any(|one| array().contains(one)),
        ClaimRule::ContainsAll(wanted) => wanted.iter().all(|one| array().contains(one)),
        ClaimRule::Present => !value.is_null(),
    }
}

/// RFC 8693 4.2: `scope` is a string with blanks; others write `scp` or `scopes`, as array or string.
fn scopes(claims: &Map<String, Value>) -> Vec<&str> {
    let mut found = Vec::new();
    for value in ["scope", "scp", "scopes"].into_iter().filter_map(|name| claims.get(name)) {
        match value {
            Value::String(list) => found.extend(list.split(' ')),
            Value::Array(list) => found.extend(list.iter().filter_map(Value::as_str)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_compare_values_with_their_type() {
        let both = || vec![json!("a"), json!("b")];
        for (rule, value, met) in [
            (ClaimRule::Equals(json!("1")), json!("1"), true),
            (ClaimRule::Equals(json!("1")), json!(1), false),
            (ClaimRule::Equals(json!("a")), json!(["a"]), false),
            (ClaimRule::OneOf(both()), json!("b"), true),
            (ClaimRule::OneOf(both()), json!("c"), false),
            (ClaimRule::Contains(json!("a")), json!(["x", "a"]), true),
            (ClaimRule::Contains(json!("a")), json!("a"), false),
            (ClaimRule::ContainsAny(both()), json!(["x", "b"]), true),
            (ClaimRule::ContainsAny(both()), json!(["x"]), false),
            (ClaimRule::ContainsAny(both()), json!("a"), false),
            (ClaimRule::ContainsAll(both()), json!(["b", "a", "c"]), true),
            (ClaimRule::ContainsAll(both()), json!(["a"]), false),
            (ClaimRule::Present, json!(false), true),
            (ClaimRule::Present, json!(null), false),
        ] {
            assert_eq!(holds(&rule, &value), met, "{rule:?} {value}");
        }
    }
}
