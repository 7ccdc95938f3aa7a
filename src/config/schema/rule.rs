//! The keys of `[[auth.route]]`.

use super::keys;
use crate::config::{AuthRoute, ClaimRule, HostPattern, Require};
use std::collections::BTreeMap;

keys! {
    /// `[[auth.route]]`
    RULE_KEYS: RuleDraft;
    "prefix".prefix, Reload, "Path prefix, on path segment boundaries; the first rule that matches wins.";
    "methods".methods, Reload, "Methods it holds for; empty = all.";
    "hosts".hosts, Reload, "Hosts it holds for, \"a.example\" or \"*.a.example\"; empty = all.";
    "require".require, Reload,
        "What a request needs: \"none\", \"optional\" (a bad token is refused), \"try\" (a bad token counts as none), \
         a provider's name, { any = [\"NAME\", ...] }, or { all = [\"NAME\", ...] } (one token of each).";
    "allow_query".allow_query, Reload, "Whether the token may stand in the query, under a name of auth.extract.query.";
    "scopes_all".scopes_all, Reload, "Scopes that must all be there.";
    "scopes_any".scopes_any, Reload, "Scopes of which one must be there; empty = not checked.";
    "claims".claims, Reload,
        "Rules on single claims, by dotted path: { \"realm_access.roles\" = { contains = \"ops\" } }; a value alone or \
         { equals = VALUE }, { in = [...] }, { contains = VALUE }, { contains_any = [...] }, { contains_all = [...] }, \
         { present = true }.";
}

/// An `[[auth.route]]` as it is written.
#[derive(Debug, Clone, Default)]
pub(in crate::config) struct RuleDraft {
    prefix: Option<String>,
    hosts: Vec<HostPattern>,
    methods: Vec<String>,
    require: Option<Require>,
    allow_query: bool,
    scopes_all: Vec<String>,
    scopes_any: Vec<String>,
    claims: BTreeMap<String, ClaimRule>,
}

impl From<&AuthRoute> for RuleDraft {
    fn from(rule: &AuthRoute) -> Self {
        let AuthRoute { prefix, hosts, methods, require, allow_query, scopes_all, scopes_any, claims } =
            rule.clone();
        let (prefix, require) = (Some(prefix), Some(require));
        Self { prefix, hosts, methods, require, allow_query, scopes_all, scopes_any, claims }
    }
}

impl RuleDraft {
    /// The rule, or the key that is wrong and why.
    pub(in crate::config) fn finish(self) -> Result<AuthRoute, (&'static str, String)> {
        let Some(prefix) = self.prefix else {
            return Err(("prefix", "missing; write prefix = \"/\" for everything".into()));
        };
        let Some(require) = self.require else {
            return Err((
                "require",
                "missing; write \"none\" for a public route, or a provider's name".into(),
            ));
        };
        Ok(AuthRoute {
            prefix,
            hosts: self.hosts,
            methods: self.methods,
            require,
            allow_query: self.allow_query,
            scopes_all: self.scopes_all,
            scopes_any: self.scopes_any,
            claims: self.claims,
        })
    }
}
