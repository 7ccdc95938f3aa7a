//! `[[auth.route]]`: who may pass where.
//!
//! The rules read the path that the app gets: decoded once, slashes as sent. Where an app behind it could
//! take that path for another one (it collapses `//`, resolves `..`, takes `\` for `/`, decodes once more),
//! the rules of all these readings hold together. So no rule is weaker than any reading, and nobody is
//! refused for an odd path to a public place.

use crate::auth::{AuthConfigError, Reason};
use crate::config::{AuthRoute, ClaimRule, Require};
use crate::protocol::Target;
use http::Method;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// All rules, in order.
#[derive(Debug)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Without its trailing slashes: "" for "/".
    prefix: Vec<u8>,
    methods: Vec<Method>,
    /// What a request needs to pass.
    pub requirement: Requirement,
    /// Scopes that must all be there.
    pub scopes_all: Vec<String>,
    /// Scopes of which one must be there; empty = not checked.
    pub scopes_any: Vec<String>,
    claims: Vec<(String, ClaimRule)>,
}

/// What a request needs to pass; providers are given by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing.
    Nothing,
    /// A token may be missing, not bad.
    Optional,
    /// A bad token counts as none.
    Try,
    /// A good token of one of these.
    AnyOf(Vec<usize>),
}

impl Policy {
    /// Prepares the rules for these providers.
    ///
    /// # Errors
    /// All rules that could never do what they say, at once.
    pub fn new(routes: &[AuthRoute], providers: &[&str]) -> Result<Self, Vec<AuthConfigError>> {
        let mut errors = Vec::new();
        let mut rules = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            let place = format!("route {} (prefix {:?})", index + 1, route.prefix);
            match Rule::new(route, providers) {
                Ok(rule) => rules.push(rule),
                Err(problem) => errors.push(AuthConfigError::setting(place, problem)),
            }
        }
        // Without it a path that no rule names would be open, or closed, by accident.
        if routes.last().is_none_or(|last| last.prefix != "/" || !last.methods.is_empty()) {
            errors.push(AuthConfigError::setting(
                "route",
                "the last [[auth.route]] must cover everything: prefix = \"/\" without methods",
            ));
        }
        if errors.is_empty() { Ok(Self { rules }) } else { Err(errors) }
    }

    /// The rules that hold for a request: one, or more where its path can be read in more than one way.
    ///
    /// # Errors
    /// [`Reason::Path`] for a path with a NUL, which ends the path for some and not for others.
    pub fn rules_for(&self, method: &Method, target: &Target) -> Result<Vec<&Rule>, Reason> {
        let path = target.decoded_path();
        if path.contains(&0) {
            return Err(Reason::Path);
        }
        let mut found = Vec::with_capacity(1);
        if let Some(first) = self.first_match(method, &path) {
            found.push(first);
        }
        if is_plain(&path) {
            return Ok(found);
        }
        let mut views = vec![collapse(&path), resolve(&path)];
        let again: Cow<'_, [u8]> = percent_encoding::percent_decode(&path).into();
        if again != path {
            views.extend([collapse(&again), resolve(&again)]);
        }
        for view in views {
            let rule = self.first_match(method, &view);
            found.extend(rule.filter(|rule| !found.iter().any(|other| std::ptr::eq(*other, *rule))));
        }
        Ok(found)
    }

    fn first_match(&self, method: &Method, path: &[u8]) -> Option<&Rule> {
        // `OPTIONS *` names the whole server: the last rule, which covers everything.
        if path == b"*" {
            return self.rules.last();
        }
        self.rules.iter().find(|rule| rule.covers(method, path))
    }
}

impl Rule {
    fn new(route: &AuthRoute, providers: &[&str]) -> Result<Self, String> {
        let prefix = route.prefix.as_bytes();
        if prefix.first() != Some(&b'/') {
            return Err("the prefix must begin with \"/\"".into());
        }
        // It is compared with decoded paths, and with their plain form.
        if prefix.contains(&b'%') || !is_plain(prefix) {
            return Err("the prefix must be written decoded, without \"%\", \"//\", \"\\\", \".\" and \"..\" segments".into());
        }
        let methods = route
            .methods
            .iter()
            .map(|name| Method::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no method")))
            .collect::<Result<_, _>>()?;
        let requirement = match &route.require {
            Require::None => Requirement::Nothing,
            Require::Optional => Requirement::Optional,
            Require::Try => Requirement::Try,
            Require::Any(names) if names.is_empty() => return Err("require names no provider".into()),
            Require::Any(names) => Requirement::AnyOf(
                names
                    .iter()
                    .map(|name| {
                        providers.iter().position(|provider| provider == name).ok_or_else(|| {
                            format!("there is no provider {name:?}; known: {}", providers.join(", "))
                        })
                    })
                    .collect::<Result<_, _>>()?,
            ),
        };
        let has_conditions =
            !(route.scopes_all.is_empty() && route.scopes_any.is_empty() && route.claims.is_empty());
        if requirement == Requirement::Nothing && has_conditions {
            return Err("scopes and claims need a token, but require is \"none\"".into());
        }
        let end = prefix.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        Ok(Self {
            prefix: prefix[..end].to_vec(),
            methods,
            requirement,
            scopes_all: route.scopes_all.clone(),
            scopes_any: route.scopes_any.clone(),
            claims: route.claims.iter().map(|(path, rule)| (path.clone(), rule.clone())).collect(),
        })
    }

    /// "/admin" and "/admin/" both cover /admin, /admin/ and what is below, not /administrator.
    fn covers(&self, method: &Method, path: &[u8]) -> bool {
        let on_boundary =
            path.strip_prefix(&self.prefix[..]).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')));
        // Servers answer HEAD by the app's GET, and Django takes "get" for GET: a rule for one that did not
        // hold for the other would be a way around it.
        let names_method = |wanted: &Method| {
            wanted.as_str().eq_ignore_ascii_case(method.as_str())
                || (wanted == Method::GET && method.as_str().eq_ignore_ascii_case("HEAD"))
        };
        on_boundary && (self.methods.is_empty() || self.methods.iter().any(names_method))
    }

    /// Whether good claims give the rights that this rule asks for.
    ///
    /// # Errors
    /// [`Reason::Scope`] or [`Reason::ClaimRule`].
    pub fn judge_rights(&self, claims: &Map<String, Value>) -> Result<(), Reason> {
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
    match rule {
        ClaimRule::Equals(wanted) => value == wanted,
        ClaimRule::OneOf(wanted) => wanted.contains(value),
        ClaimRule::Contains(wanted) => value.as_array().is_some_and(|array| array.contains(wanted)),
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

/// Whether everybody reads this decoded path alike.
fn is_plain(path: &[u8]) -> bool {
    let dots = |segment: &[u8]| matches!(segment, b"." | b"..");
    memchr::memchr2(b'%', b'\\', path).is_none()
        && memchr::memmem::find(path, b"//").is_none()
        && !path.split(|byte| *byte == b'/').any(dots)
}

/// The path with `\` as `/` and each run of slashes as one.
fn collapse(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    for byte in path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }) {
        if byte != b'/' || out.last() != Some(&b'/') {
            out.push(byte);
        }
    }
    out
}

/// Likewise, with dot segments resolved (RFC 3986 5.2.4).
fn resolve(path: &[u8]) -> Vec<u8> {
    let collapsed = collapse(path);
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in collapsed.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let mut out = vec![b'/'];
    out.extend(segments.join(&b'/'));
    out
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
