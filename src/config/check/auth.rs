//! What parses in `[auth]` and still makes no sense.

use super::{Findings, jwks, prefix_and_methods};
use crate::config::suggest::nearest;
use crate::config::{Auth, AuthKey, AuthProvider, AuthRoute, KeySource, KeyUse, Require, is_token};
use std::time::Duration;

pub(super) fn contradictions(auth: &Auth, findings: &mut Findings<'_>) {
    general(auth, findings);
    fields(auth, findings);
    providers(auth, findings);
    jwks::number(&auth.providers, findings);
    for (number, provider) in auth.providers.iter().enumerate() {
        one_provider(&format!("auth.provider[{number}]"), provider, findings);
    }
    rules(auth, findings);
}

impl Auth {
    /// The request fields that are removed before an app sees a request, with the claim that replaces each.
    ///
    /// These and no others: a server with `[auth]` leaves all other fields of clients alone.
    pub fn stripped_fields(&self) -> Vec<(&str, Option<&str>)> {
        if !self.enabled {
            return Vec::new();
        }
        let asserted =
            self.forward.headers.iter().map(|(field, claim)| (field.as_str(), Some(claim.as_str())));
        // An app that looks for the user among the fields (HTTP_REMOTE_USER) must not find what a client says.
        let user = self.gives_remote_user().then_some(("Remote-User", None));
        asserted.chain(user).chain(self.strip.iter().map(|field| (field.as_str(), None))).collect()
    }

    /// The claim of this provider's tokens that the app is given as REMOTE_USER.
    pub fn remote_user_of<'a>(&'a self, provider: &'a AuthProvider) -> Option<&'a str> {
        named(&provider.remote_user).or_else(|| named(&self.forward.remote_user))
    }

    /// Whether an app is given a REMOTE_USER at all.
    pub fn gives_remote_user(&self) -> bool {
        let of_providers = self.providers.iter().map(|provider| &provider.remote_user);
        of_providers.chain([&self.forward.remote_user]).any(|claim| named(claim).is_some())
    }

    /// Whether the realm can be sent as a quoted string as it is (RFC 9110 5.6.4).
    pub fn has_quotable_realm(&self) -> bool {
        self.realm.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\'))
    }
}

fn named(claim: &Option<String>) -> Option<&str> {
    claim.as_deref().filter(|claim| !claim.is_empty())
}

fn general(auth: &Auth, findings: &mut Findings<'_>) {
    if auth.realm.is_empty() || !auth.has_quotable_realm() {
        findings.add("auth.realm", "expected visible ASCII without quotes and backslashes");
    }
    if !(64..=65_536).contains(&auth.max_token_bytes) {
        findings.add("auth.max_token_bytes", "expected a number from 64 to 65536");
    }
    if auth.cache_entries > 1_000_000 {
        findings.add("auth.cache_entries", "expected a number up to 1000000");
    }
    let schemes = &auth.extract.authorization;
    let path = "auth.extract.authorization";
    if schemes.is_empty() {
        findings.add(path, "no scheme; write [\"Bearer\"]");
    }
    for scheme in schemes.iter().filter(|scheme| !is_token(scheme.as_bytes())) {
        findings.add(path, format!("{scheme:?} is no scheme; write a word such as \"Bearer\""));
    }
    // RFC 6455 7.4.2: what applications may send.
    if auth.ws_close_code != 1008 && !(3000..=4999).contains(&auth.ws_close_code) {
        findings.add("auth.ws_close_code", "expected 1008, or a number from 3000 to 4999");
    }
    places(auth, findings);
}

/// Where else a token may stand, and which origins are trusted.
fn places(auth: &Auth, findings: &mut Findings<'_>) {
    for name in auth.extract.cookies.iter().filter(|name| !is_token(name.as_bytes())) {
        findings.add("auth.extract.cookies", format!("{name:?} is no name of a cookie (RFC 6265 4.1.1)"));
    }
    let is_plain = |name: &String| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    for name in auth.extract.query.iter().filter(|name| !is_plain(name)) {
        findings.add(
            "auth.extract.query",
            format!("{name:?} is no plain name of a parameter; write letters, digits, \"-\", \".\", \"_\""),
        );
    }
    let asks = auth.routes.iter().position(|rule| rule.allow_query);
    if let Some(number) = asks.filter(|_| auth.extract.query.is_empty()) {
        let at = format!("auth.route[{number}].allow_query");
        findings.add(&at, "no parameter carries a token; name one in auth.extract.query");
    }
    let origins = |path: &str, list: &[String], star: bool, findings: &mut Findings<'_>| {
        for origin in list.iter().filter(|origin| !(is_origin(origin) || star && *origin == "*")) {
            findings.add(path, format!("{origin:?} is no origin; write it as browsers do: \"https://app.example\", lower case, without a path"));
        }
    };
    origins("auth.extract.allowed_origins", &auth.extract.allowed_origins, false, findings);
    origins("auth.cors.allowed_origins", &auth.cors.allowed_origins, true, findings);
    if auth.cors.allowed_origins.len() > 1 && auth.cors.allowed_origins.iter().any(|origin| origin == "*") {
        findings.add("auth.cors.allowed_origins", "\"*\" stands beside origins; keep one or the others");
    }
}

/// RFC 6454 6.2: scheme, host and, unless it is the usual one, port.
fn is_origin(text: &str) -> bool {
    let host = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let usual = text.starts_with("https://") && text.ends_with(":443")
        || text.starts_with("http://") && text.ends_with(":80");
    host.is_some_and(|host| {
        !host.is_empty()
            && !usual
            && host
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]_".contains(&byte))
    })
}

fn fields(auth: &Auth, findings: &mut Findings<'_>) {
    let asserted = auth.forward.headers.keys().map(|field| ("auth.forward.headers", field));
    let stripped = auth.strip.iter().map(|field| ("auth.strip", field));
    for (path, field) in asserted.chain(stripped) {
        if !is_token(field.as_bytes()) {
            findings.add(path, format!("{field:?} is no field name"));
        } else if FRAMING.iter().any(|name| same_in_cgi(name, field)) {
            findings.add(path, format!("{field} is part of the protocol and cannot be replaced or removed"));
        }
    }
    let names: Vec<&String> = auth.forward.headers.keys().collect();
    for (number, name) in names.iter().enumerate() {
        if let Some(twin) = names[..number].iter().find(|twin| same_in_cgi(twin, name)) {
            findings
                .add("auth.forward.headers", format!("{name} and {twin} are one field to an app; keep one"));
        }
    }
    for (field, claim) in auth.forward.headers.iter().filter(|(_, claim)| claim.is_empty()) {
        findings.add("auth.forward.headers", format!("{field} names no claim {claim:?}"));
    }
}

/// RFC 3875 4.1.18: case is lost and "-" becomes "_" on the way into an environ.
fn same_in_cgi(one: &str, other: &str) -> bool {
    let spelled = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() };
    one.bytes().map(spelled).eq(other.bytes().map(spelled))
}

fn providers(auth: &Auth, findings: &mut Findings<'_>) {
    let several = auth.providers.len() > 1;
    for (number, provider) in auth.providers.iter().enumerate() {
        let at = format!("auth.provider[{number}]");
        let earlier = &auth.providers[..number];
        if ["", "none", "optional", "try"].contains(&provider.name.as_str()) {
            let message =
                format!("{:?} is no name for a provider; rules use these words otherwise", provider.name);
            findings.add(&format!("{at}.name"), message);
        } else if earlier.iter().any(|other| other.name == provider.name) {
            findings.add(&format!("{at}.name"), format!("there is another provider {:?}", provider.name));
        }
        match &provider.issuer {
            None if several => {
                findings.add(
                    &format!("{at}.issuer"),
                    "missing; with several providers it tells their tokens apart",
                );
            }
            Some(issuer) if earlier.iter().any(|other| other.issuer.as_ref() == Some(issuer)) => {
                findings.add(&format!("{at}.issuer"), format!("another provider has the issuer {issuer:?}"));
            }
            Some(_) | None => {}
        }
        // An app that goes by it would take their requests for nobody's, or for those of the session's last user.
        if auth.gives_remote_user() && auth.remote_user_of(provider).is_none() {
            findings.add(
                &format!("{at}.remote_user"),
                "missing; another provider's users are REMOTE_USER: name the claim here, or in auth.forward.remote_user for all",
            );
        }
    }
}

/// Tokens are taken for so long after their end by no configuration.
pub const LEEWAY_MAX: Duration = Duration::from_secs(300);

fn one_provider(at: &str, provider: &AuthProvider, findings: &mut Findings<'_>) {
    let path = |key: &str| format!("{at}.{key}");
    if provider.leeway > LEEWAY_MAX {
        findings.add(&path("leeway"), "more than 300s; set the clocks instead");
    }
    if provider.max_lifetime == Duration::ZERO {
        findings.add(&path("max_lifetime"), "0s would refuse every token");
    }
    if provider.subject_claim.is_empty() {
        findings.add(&path("subject_claim"), "names no claim");
    }
    let star = provider.audiences.iter().any(|audience| audience == "*");
    let alone = !star || provider.audiences.len() == 1;
    if !alone {
        findings.add(&path("audiences"), "\"*\" stands beside audiences; keep one or the others");
    }
    jwks::sources(at, provider, findings);
    for alg in &provider.algorithms {
        if let Some(problem) = algorithm_problem(alg) {
            findings.add(&path("algorithms"), problem);
        } else if !jwks::has_set(provider) && !provider.keys.iter().any(|key| key.alg == *alg) {
            findings.add(&path("algorithms"), format!("no key is for {alg}; remove it or add a key"));
        }
    }
    let signs_from = |key: &AuthKey| (key.r#use == KeyUse::SignAndVerify).then_some(key.sign_from);
    let begins: Vec<_> = provider.keys.iter().filter_map(signs_from).collect();
    if (1..begins.len()).any(|number| begins[..number].contains(&begins[number])) {
        findings
            .add(&path("key"), "two keys sign at the same time; give one sign_from, or let it verify alone");
    }
    for (number, key) in provider.keys.iter().enumerate() {
        one_key(&format!("{at}.key[{number}]"), provider, key, findings);
        let twin = provider.keys[..number].iter().any(|other| other.kid.is_some() && other.kid == key.kid);
        if twin {
            findings.add(&format!("{at}.key[{number}].kid"), "another key has this kid");
        }
        // No token that names another one is taken.
        let is_name = |kid: &String| {
            (1..=128).contains(&kid.len()) && kid.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        };
        if key.kid.as_ref().is_some_and(|kid| !is_name(kid)) {
            findings.add(&format!("{at}.key[{number}].kid"), "expected 1 to 128 visible ASCII characters");
        }
    }
}

fn one_key(at: &str, provider: &AuthProvider, key: &AuthKey, findings: &mut Findings<'_>) {
    let path = format!("{at}.alg");
    if let Some(problem) = algorithm_problem(&key.alg) {
        findings.add(&path, problem);
        return;
    }
    if !provider.algorithms.is_empty() && !provider.algorithms.contains(&key.alg) {
        let message =
            format!("{} is not among the provider's algorithms; add it there or remove the key", key.alg);
        findings.add(&path, message);
    }
    // A public key taken for an HMAC secret lets anyone sign (CVE-2015-9235).
    let hmac = key.alg.starts_with("HS");
    match &key.source {
        KeySource::Pem(_) | KeySource::PemFile(_) | KeySource::PemEnv(_) if hmac => {
            findings
                .add(&path, format!("{} is keyed by a secret, not by a PEM key; write secret_file", key.alg));
        }
        KeySource::Secret(_)
        | KeySource::SecretEnv(_)
        | KeySource::SecretFile(_)
        | KeySource::SecretBase64File(_)
            if !hmac =>
        {
            findings
                .add(&path, format!("{} is keyed by a key pair, not by a secret; write pem_file", key.alg));
        }
        KeySource::Pem(_)
        | KeySource::PemFile(_)
        | KeySource::PemEnv(_)
        | KeySource::Secret(_)
        | KeySource::SecretEnv(_)
        | KeySource::SecretFile(_)
        | KeySource::SecretBase64File(_)
        | KeySource::Jwk(_)
        | KeySource::JwkFile(_) => {}
    }
}

fn algorithm_problem(alg: &str) -> Option<String> {
    if ALGORITHMS.contains(&alg) {
        return None;
    }
    if alg.eq_ignore_ascii_case("none") {
        return Some("tokens without a signature are never taken".into());
    }
    let upper = alg.to_ascii_lowercase();
    let lower = ALGORITHMS.map(str::to_ascii_lowercase);
    let near = nearest(&upper, lower.iter().map(String::as_str));
    let near = near.and_then(|near| ALGORITHMS.into_iter().find(|known| known.eq_ignore_ascii_case(near)));
    let advice = near.map_or_else(String::new, |near| format!("did you mean {near:?}? "));
    Some(format!("{alg:?} is no algorithm that is supported; {advice}There are {}", ALGORITHMS.join(", ")))
}

fn rules(auth: &Auth, findings: &mut Findings<'_>) {
    let names: Vec<&str> = auth.providers.iter().map(|provider| provider.name.as_str()).collect();
    for (number, rule) in auth.routes.iter().enumerate() {
        let at = format!("auth.route[{number}]");
        prefix_and_methods(&at, (&rule.prefix, &rule.methods), findings);
        one_rule(&at, rule, &names, findings);
        let shadow = |other: &AuthRoute| {
            other.prefix == rule.prefix
                && (other.methods.is_empty() || other.methods == rule.methods)
                && (other.hosts.is_empty() || other.hosts == rule.hosts)
        };
        if auth.routes[..number].iter().any(shadow) {
            findings.add(&at, "an earlier rule takes all its requests; remove one");
        }
    }
    if !auth.enabled {
        return;
    }
    let message = "write a last rule for everything else: prefix = \"/\", require = \"NAME\" (or \"none\")";
    match auth.routes.last() {
        None => findings.add("auth.route", format!("there is no rule; {message}")),
        Some(rule) if rule.prefix != "/" || !rule.methods.is_empty() || !rule.hosts.is_empty() => {
            let at = format!("auth.route[{}]", auth.routes.len() - 1);
            findings
                .add(&at, format!("the last rule does not cover \"/\" for all methods and hosts; {message}"));
        }
        Some(_) => {}
    }
}

fn one_rule(at: &str, rule: &AuthRoute, names: &[&str], findings: &mut Findings<'_>) {
    let path = format!("{at}.require");
    let conditions = !rule.scopes_all.is_empty() || !rule.scopes_any.is_empty() || !rule.claims.is_empty();
    match &rule.require {
        Require::None if conditions => {
            findings
                .add(at, "scopes or claims on a public route; name a provider in require, or remove them");
        }
        Require::None => {}
        Require::Optional | Require::Try if names.is_empty() => {
            findings.add(&path, "there is no [[auth.provider]]")
        }
        Require::Optional | Require::Try => {}
        Require::Any(wanted) | Require::All(wanted) => {
            for name in wanted.iter().filter(|name| !names.contains(&name.as_str())) {
                let near = nearest(name, names.iter().chain(&["none", "optional", "try"]).copied());
                let advice = match near {
                    Some(near) => format!("did you mean {near:?}?"),
                    None if names.is_empty() => "write a [[auth.provider]]".into(),
                    None => format!("there are {}", names.join(", ")),
                };
                findings.add(&path, format!("there is no provider {name:?}; {advice}"));
            }
        }
    }
    let paths = rule.claims.keys().all(|path| !path.is_empty() && !path.split('.').any(str::is_empty));
    if !paths {
        findings.add(&format!("{at}.claims"), "a claim's path is names joined by dots");
    }
}

/// RFC 7518 3.1, RFC 8037 and RFC 9864, less what has no use or no implementation here.
const ALGORITHMS: [&str; 13] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
    "EdDSA", "Ed25519",
];

/// Fields without which a request has another meaning (RFC 9110 7.6.1, RFC 9112 6).
const FRAMING: [&str; 8] = [
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Upgrade",
    "TE",
    "Trailer",
    "Authorization",
];
