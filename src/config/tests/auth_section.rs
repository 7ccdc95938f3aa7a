//! `[auth]`: how it is read, and what is refused.

use super::{good, refused};
use crate::config::{ClaimRule, KeySource, KeyUse, Require};
use std::time::{Duration, UNIX_EPOCH};

/// Everything that the section can say.
pub(super) const AUTH: &str = r#"
[auth]
preset = "strict"
preflight = "check"
strip = ["X-User"]
[auth.extract]
authorization = ["Bearer", "JWT"]
cookies = ["__Host-access"]
query = ["access_token"]
websocket_protocol = true
csrf = "off"
allowed_origins = ["https://app.example"]
[auth.cors]
allowed_origins = ["https://app.example", "http://localhost:3000"]
[auth.forward]
remote_user = "user_id"
authorization = "strip"
headers = { "X-Auth-Subject" = "user_id" }
[[auth.provider]]
name = "local"
issuer = "https://api.example"
audiences = ["api.example"]
algorithms = ["HS256", "RS256"]
leeway = "10s"
max_lifetime = "7d"
require = []
  [[auth.provider.key]]
  kid = "2026-11"
  alg = "HS256"
  use = "sign+verify"
  secret_env = "SECRET"
  [[auth.provider.key]]
  kid = "2026-05"
  alg = "RS256"
  pem_file = "old.pem"
  until = 2026-12-01T00:00:00Z
[[auth.provider]]
name = "idp"
issuer = "https://idp.example/"
algorithms = ["RS256", "ES256"]
token_type = ""
subject_claim = "sub"
remote_user = "email"
jwks_url = "https://idp.example/jwks.json"
jwks = { refresh = "5m", ca_file = "ca.pem" }
[[auth.route]]
prefix = "/both/"
hosts = ["*.a.example"]
require = { all = ["local", "idp"] }
allow_query = true
claims = { a = { equals = 1 }, b = { contains_any = ["x"] }, c = { contains_all = ["x"] }, d = { present = true } }
[[auth.route]]
prefix = "/healthz"
require = "none"
[[auth.route]]
prefix = "/admin/"
methods = ["GET", "POST"]
require = { any = ["local", "idp"] }
scopes_all = ["admin"]
claims = { "realm_access.roles" = { contains = "ops" }, staff = true, level = { one_of = [1, 2] }, plan = { in = ["a"] } }
[[auth.route]]
prefix = "/blog/"
require = "optional"
[[auth.route]]
prefix = "/try/"
require = "try"
[[auth.route]]
prefix = "/"
require = "local"
"#;

#[test]
fn every_key_is_read() {
    let auth = good(AUTH).auth.unwrap();
    assert!(!auth.preflight && !auth.forward.keep_authorization);
    let stripped = [("X-Auth-Subject", Some("user_id")), ("Remote-User", None), ("X-User", None)];
    assert_eq!(auth.stripped_fields(), stripped);
    let [local, idp] = auth.providers.as_slice() else { panic!("{auth:?}") };
    assert_eq!([local, idp].map(|provider| auth.remote_user_of(provider)), [Some("user_id"), Some("email")]);
    let none = AUTH.replace("remote_user = \"user_id\"\n", "").replace("remote_user = \"email\"\n", "");
    assert_eq!(good(&none).auth.unwrap().stripped_fields(), [stripped[0], stripped[2]]);
    assert_eq!(local.leeway, Duration::from_secs(10));
    assert_eq!(local.require, ["exp"]);
    assert_eq!(local.keys[0].source, KeySource::SecretEnv("SECRET".into()));
    assert_eq!(local.keys[0].r#use, KeyUse::SignAndVerify);
    assert_eq!(local.keys[1].until, Some(UNIX_EPOCH + Duration::from_secs(1_796_083_200)));
    assert_eq!((idp.token_type.as_deref(), idp.subject_claim.as_str()), (None, "sub"));
    assert_eq!(idp.typ, ["JWT", "at+jwt"]);
    assert_eq!(idp.jwks_url.as_deref(), Some("https://idp.example/jwks.json"));
    assert_eq!((idp.jwks.refresh, idp.jwks.max_keys), (Duration::from_secs(300), 64));
    let (both, routes) = auth.routes.split_first().unwrap();
    assert_eq!(both.require, Require::All(vec!["local".into(), "idp".into()]));
    assert!(both.allow_query && both.hosts.len() == 1 && both.claims.len() == 4);
    let require: Vec<&Require> = routes.iter().map(|rule| &rule.require).collect();
    let any = |names: &[&str]| Require::Any(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(
        require,
        [&Require::None, &any(&["local", "idp"]), &Require::Optional, &Require::Try, &any(&["local"])]
    );
    let claims = &routes[1].claims;
    assert_eq!(claims["realm_access.roles"], ClaimRule::Contains("ops".into()));
    assert_eq!(claims["staff"], ClaimRule::Equals(true.into()));
    assert_eq!(claims["level"], ClaimRule::OneOf(vec![1.into(), 2.into()]));
}

/// A section that is right but for what is replaced in it.
const RIGHT: &str = r#"[auth]
[[auth.provider]]
name = "local"
[[auth.provider.key]]
alg = "HS256"
secret_env = "S"
[[auth.route]]
prefix = "/"
require = "local"
"#;

#[test]
fn several_keys_sign_one_after_the_other() {
    let two = |second: &str| {
        let both = format!(
            "use = \"sign+verify\"\n[[auth.provider.key]]\nalg = \"HS256\"\nsecret_env = \"T\"\n{second}\n[[auth.route]]"
        );
        RIGHT.replacen("[[auth.route]]", &both, 1)
    };
    good(&two("use = \"sign+verify\"\nsign_from = 2027-01-01T00:00:00Z"));
    refused(&two("use = \"sign+verify\""), &[("x.toml:2: auth.provider[0].key", "sign_from")]);
    refused(
        &two("sign_from = 2027-01-01T00:00:00Z"),
        &[("x.toml:11: auth.provider[0].key[1].sign_from", "sign+verify")],
    );
}

#[test]
fn contradictions_are_refused() {
    good(RIGHT);
    for (old, new, place, part) in [
        (
            "require = \"local\"",
            "require = \"loacl\"",
            "x.toml:9: auth.route[0].require",
            "did you mean \"local\"?",
        ),
        ("prefix = \"/\"", "prefix = \"/api/\"", "x.toml:7: auth.route[0]", "does not cover \"/\""),
        (
            "alg = \"HS256\"",
            "alg = \"HS256\"\nkid = \"é\"",
            "x.toml:6: auth.provider[0].key[0].kid",
            "visible ASCII",
        ),
        (
            "require = \"local\"",
            "require = \"local\"\nmethods = [\"GET\"]",
            "x.toml:7: auth.route[0]",
            "all methods",
        ),
        ("require = \"local\"", "", "x.toml:7: auth.route[0].require", "missing"),
        (
            "require = \"local\"",
            "require = \"none\"\nscopes_all = [\"a\"]",
            "x.toml:7: auth.route[0]",
            "public",
        ),
        ("require = \"local\"", "require = { any = [] }", "x.toml:9: auth.route[0].require", "no provider"),
        ("alg = \"HS256\"", "alg = \"none\"", "x.toml:5: auth.provider[0].key[0].alg", "never taken"),
        ("alg = \"HS256\"", "alg = \"HS265\"", "x.toml:5: auth.provider[0].key[0].alg", "did you mean"),
        ("alg = \"HS256\"", "alg = \"RS256\"", "x.toml:5: auth.provider[0].key[0].alg", "pem_file"),
        ("secret_env = \"S\"", "pem_file = \"x\"", "x.toml:5: auth.provider[0].key[0].alg", "secret_file"),
        ("secret_env = \"S\"", "", "x.toml:4: auth.provider[0].key[0]", "no source"),
        (
            "secret_env",
            "secret_file = \"x\"\nsecret_env",
            "x.toml:6: auth.provider[0].key[0].secret_file",
            "one source",
        ),
        (
            "name = \"local\"",
            "name = \"local\"\nleeway = \"301s\"",
            "x.toml:4: auth.provider[0].leeway",
            "300s",
        ),
        ("[auth]\n", "[auth]\nissue.enabled = true\n", "x.toml:1: auth.issue.provider", "sign+verify"),
        ("[auth]\n", "[auth]\nstrip = [\"host\"]\n", "x.toml:2: auth.strip", "protocol"),
        (
            "[auth]\n",
            "[auth]\nforward.headers = { X-A = \"a\", x_a = \"b\" }\n",
            "x.toml:2: auth.forward.headers",
            "one field",
        ),
        ("[auth]\n", "[auth]\nrealm = \"a\\\"b\"\n", "x.toml:2: auth.realm", "quotes"),
        ("name = \"local\"", "name = \"optional\"", "", ""),
    ] {
        contradicts(old, new, place, part);
    }
}

#[test]
fn sources_of_keys_and_tokens_are_checked() {
    for (old, new, place, part) in [
        (
            "name = \"local\"",
            "name = \"local\"\njwks_url = \"http://idp.example/jwks\"",
            "x.toml:4: auth.provider[0].jwks_url",
            "write https",
        ),
        (
            "name = \"local\"",
            "name = \"local\"\ndiscovery = true",
            "x.toml:4: auth.provider[0].discovery",
            "needs issuer",
        ),
        (
            "name = \"local\"",
            "name = \"local\"\njwks = { timeout = \"2m\" }",
            "x.toml:4: auth.provider[0].jwks.timeout",
            "1s to 60s",
        ),
        (
            "[auth]\n",
            "[auth]\nextract.cookies = [\"a b\"]\n",
            "x.toml:2: auth.extract.cookies",
            "name of a cookie",
        ),
        (
            "[auth]\n",
            "[auth]\ncors.allowed_origins = [\"https://app.example/\"]\n",
            "x.toml:2: auth.cors.allowed_origins",
            "without a path",
        ),
        (
            "require = \"local\"",
            "require = \"local\"\nallow_query = true",
            "x.toml:10: auth.route[0].allow_query",
            "auth.extract.query",
        ),
    ] {
        contradicts(old, new, place, part);
    }
}

#[test]
fn so_many_key_sets_are_fetched_and_no_more() {
    let fetched = |number: usize, host: usize| {
        format!(
            "[[auth.provider]]\nname = \"p{number}\"\nissuer = \"https://{number}\"\njwks_url = \"https://h{host}/set\"\n"
        )
    };
    let rule = "[[auth.route]]\nprefix = \"/\"\nrequire = \"p0\"\n";
    let most = crate::config::FETCHED_SETS_MAX;
    let mut text: String = (0..most).map(|number| fetched(number, number)).collect();
    text += &fetched(most, 0);
    assert!(super::play(&format!("{text}{rule}"), &[], &[]).is_ok(), "two providers of one set");
    text += &fetched(most + 1, most);
    refused(&format!("{text}{rule}"), &[("x.toml:133: auth.provider[33]", "one more key set")]);
}

/// With this change the section is refused.
fn contradicts(old: &str, new: &str, place: &str, part: &str) {
    let text = RIGHT.replacen(old, new, 1);
    assert_ne!(text, RIGHT, "{old}");
    if place.is_empty() {
        assert!(super::play(&text, &[], &[]).is_err(), "{new}");
    } else {
        refused(&text, &[(place, part)]);
    }
}

#[test]
fn algorithms_and_keys_must_agree() {
    let text = RIGHT.replacen("name = \"local\"", "name = \"local\"\nalgorithms = [\"HS512\"]", 1);
    refused(
        &text,
        &[
            ("x.toml:4: auth.provider[0].algorithms: ", "no key is for HS512"),
            ("x.toml:6: auth.provider[0].key[0].alg: ", "not among the provider's algorithms"),
        ],
    );
}

#[test]
fn several_providers_are_told_apart_by_issuer() {
    let second = "[[auth.provider]]\nname = \"b\"\nissuer = \"b\"\njwks_file = \"b\"\n[[auth.route]]";
    let text = RIGHT.replacen("[[auth.route]]", second, 1);
    refused(&text, &[("x.toml:2: auth.provider[0].issuer: ", "tells their tokens apart")]);
}

#[test]
fn all_users_have_a_name_or_none_has() {
    let text = AUTH.replacen("remote_user = \"user_id\"\n", "", 1);
    refused(&text, &[("x.toml:18: auth.provider[0].remote_user: ", "another provider's users")]);
}

#[test]
fn a_section_without_rules_lets_nobody_guess() {
    refused("[auth]\n", &[("x.toml:1: auth.route: ", "there is no rule")]);
    good("[auth]\nenabled = false\n");
}

#[test]
fn secret_in_the_configuration_is_not_printed() {
    let text = RIGHT.replacen("secret_env = \"S\"", "secret = \"only for us\"", 1);
    let loaded = super::play(&text, &[], &[]).unwrap();
    let printed =
        format!("{:?} {}", loaded.config, crate::config::to_toml(&loaded, crate::config::ShowOrigin::No));
    assert!(printed.contains("(hidden)") && !printed.contains("only for us"), "{printed}");
}
