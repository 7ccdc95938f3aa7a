//! `[[auth.route]]`: who may pass where.
//!
//! The rules read the path that the app gets: decoded once, slashes as sent. Where an app behind it could
//! take that path for another one (it collapses `//`, resolves `..`, takes `\` for `/`, decodes once more),
//! the rules of all these readings hold together. If one of them asks for anything, a path with dot segments, empty
//! segments, `\` or an encoded slash is refused. So no rule is weaker than any reading, and nobody is refused for an
//! odd path to a public place.

use super::Asked;
use super::extract::Query;
use super::path_readings::{has_dot_segment, is_plain, readings};
use super::rights::Rights;
use crate::auth::{AuthConfigError, Reason};
use crate::config::{AuthRoute, HostPattern, Require};
use crate::protocol::is_below;
use http::Method;

/// All rules, in order.
#[derive(Debug)]
pub(super) struct Policy {
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// Without its trailing slashes: "" for "/".
    prefix: Vec<u8>,
    hosts: Vec<HostPattern>,
    methods: Vec<Method>,
    /// What a request needs to pass.
    pub(super) requirement: Requirement,
    /// Whether the token may stand in the query.
    pub(super) query: Query,
    /// What the token must allow.
    pub(super) rights: Rights,
}

impl Rule {
    /// Position of the one provider whose token is wanted, where it is one.
    pub(super) fn provider(&self) -> Option<usize> {
        match &self.requirement {
            Requirement::AnyOf(providers) | Requirement::AllOf(providers) => match providers.as_slice() {
                [one] => Some(*one),
                _ => None,
            },
            Requirement::Nothing | Requirement::Optional | Requirement::Try => None,
        }
    }
}

/// The rules that hold for one request: hardly ever more than one.
#[derive(Debug)]
pub(super) struct Rules<'p> {
    first: Option<&'p Rule>,
    more: Vec<&'p Rule>,
}

impl<'p> Rules<'p> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &'p Rule> + '_ {
        self.first.iter().chain(&self.more).copied()
    }
}

/// What a request needs to pass; providers are given by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Requirement {
    /// Nothing.
    Nothing,
    /// A token may be missing, not bad.
    Optional,
    /// A bad token counts as none.
    Try,
    /// A good token of one of these.
    AnyOf(Vec<usize>),
    /// Good tokens, one of each of these.
    AllOf(Vec<usize>),
}

impl Policy {
    /// Prepares the rules for these providers.
    ///
    /// # Errors
    /// All rules that could never do what they say, at once.
    pub(super) fn new(routes: &[AuthRoute], providers: &[&str]) -> Result<Self, Vec<AuthConfigError>> {
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
        let is_whole =
            |last: &AuthRoute| last.prefix == "/" && last.methods.is_empty() && last.hosts.is_empty();
        if !routes.last().is_some_and(is_whole) {
            errors.push(AuthConfigError::setting(
                "route",
                "the last [[auth.route]] must cover everything: prefix = \"/\" without methods and hosts",
            ));
        }
        if errors.is_empty() { Ok(Self { rules }) } else { Err(errors) }
    }

    /// The rules that hold for a request: one, or more where its path can be read in more than one way.
    ///
    /// # Errors
    /// [`Reason::Path`] for a path with a NUL, which ends the path for some and not for others, and for other ambiguous
    /// paths where any of their rules asks for anything.
    pub(super) fn rules_for(&self, asked: &Asked<'_>) -> Result<Rules<'_>, Reason> {
        let path = asked.target.decoded_path();
        if memchr::memchr(0, &path).is_some() {
            return Err(Reason::Path);
        }
        let mut found = Rules { first: self.first_match(asked, &path), more: Vec::new() };
        if is_plain(&path) && !has_encoded_slash(asked.target.path()) {
            return Ok(found);
        }
        let Some(readings) = readings(&path) else {
            // Nobody writes such a path who does not want to be misread.
            let asks = self.rules.iter().any(|rule| rule.requirement != Requirement::Nothing);
            return if asks { Err(Reason::Path) } else { Ok(found) };
        };
        for reading in &readings {
            let rule = self.first_match(asked, reading);
            let is_new = |rule: &&Rule| !found.iter().any(|other| std::ptr::eq(other, *rule));
            found.more.extend(rule.filter(is_new));
        }
        let asks = found.iter().any(|rule| rule.requirement != Requirement::Nothing);
        if asks && is_ambiguous(asked.target.path(), &path) { Err(Reason::Path) } else { Ok(found) }
    }

    fn first_match(&self, asked: &Asked<'_>, path: &[u8]) -> Option<&Rule> {
        // `OPTIONS *` names the whole server: the last rule, which covers everything.
        if path == b"*" {
            return self.rules.last();
        }
        self.rules.iter().find(|rule| rule.covers(asked, path))
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
            Require::Any(names) | Require::All(names) if names.is_empty() => {
                return Err("require names no provider".into());
            }
            Require::Any(names) => Requirement::AnyOf(positions(names, providers)?),
            Require::All(names) => Requirement::AllOf(positions(names, providers)?),
        };
        let rights = Rights::new(route);
        if requirement == Requirement::Nothing && rights.are_asked_for() {
            return Err("scopes and claims need a token, but require is \"none\"".into());
        }
        let end = prefix.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        Ok(Self {
            prefix: prefix[..end].to_vec(),
            hosts: route.hosts.clone(),
            methods,
            requirement,
            query: if route.allow_query { Query::Taken } else { Query::Ignored },
            rights,
        })
    }

    /// "/admin" and "/admin/" both cover /admin, /admin/ and what is below, not /administrator.
    fn covers(&self, asked: &Asked<'_>, path: &[u8]) -> bool {
        // Servers answer HEAD by the app's GET, and Django takes "get" for GET: a rule for one that did not
        // hold for the other would be a way around it.
        let names_method = |wanted: &Method| {
            let method = asked.method.as_str();
            wanted.as_str().eq_ignore_ascii_case(method)
                || (wanted == Method::GET && method.eq_ignore_ascii_case("HEAD"))
        };
        is_below(path, &self.prefix)
            && (self.methods.is_empty() || self.methods.iter().any(names_method))
            && (self.hosts.is_empty()
                || self
                    .hosts
                    .iter()
                    .any(|pattern| pattern.matches(HostPattern::name_in(asked.host.unwrap_or_default()))))
    }
}

fn positions(names: &[String], providers: &[&str]) -> Result<Vec<usize>, String> {
    let unknown = |name: &str| format!("there is no provider {name:?}; known: {}", providers.join(", "));
    let mut found = Vec::new();
    for name in names {
        let position = providers.iter().position(|provider| provider == name).ok_or_else(|| unknown(name))?;
        if !found.contains(&position) {
            found.push(position);
        }
    }
    Ok(found)
}

/// Whether a path has what readers disagree about: given as sent, and decoded once.
fn is_ambiguous(raw: &[u8], path: &[u8]) -> bool {
    has_encoded_slash(raw)
        || memchr::memchr(b'\\', path).is_some()
        || memchr::memmem::find(path, b"//").is_some()
        || has_dot_segment(path)
}

/// `%2f` and `%5c`: a slash to some, part of a segment to others.
fn has_encoded_slash(raw: &[u8]) -> bool {
    memchr::memchr_iter(b'%', raw)
        .any(|at| matches!(raw.get(at + 1..at + 3), Some([b'2', b'f' | b'F'] | [b'5', b'c' | b'C'])))
}

#[cfg(any(test, fuzzing))]
#[path = "policy_laws.rs"]
pub(crate) mod laws;

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
