//! `[auth.issue]`, `[auth.store]`, `[auth.users]`: how they are read, and what is refused.

use super::{good, play};
use crate::config::{DatabaseUrl, Rate, Reuse, TrustProxy, UserKind};
use std::time::Duration;

/// Checks that the text is refused with one complaint about that key.
#[track_caller]
fn refused(text: &str, key: &str, part: &str) {
    let error = play(text, &[], &[]).expect_err("the file is wrong").to_string();
    let told = error.contains(&format!(": {key}: ")) && error.contains(part);
    assert!(told && error.lines().count() == 1, "expected {key} … {part}, got\n{error}");
}

/// The sections as they stand in the front of a Django project.
const ISSUE: &str = r#"
[auth]
[auth.issue]
enabled = true
prefix = "/api/token/"
provider = "local"
access = "5m"
refresh = "1d"
session_max = "30d"
reuse = "refuse"
extra_claims = { mail = "email" }
limit = { per_account = "5/1m", per_ip = "", trust_proxy = "server's own rule" }
[auth.users]
kind = "django"
url = "sqlite:////srv/app/db.sqlite3"
[auth.store]
url = "sqlite:////var/lib/ferricorn/auth.db"
[[auth.provider]]
name = "local"
[[auth.provider.key]]
alg = "HS256"
use = "sign+verify"
secret_env = "S"
[[auth.route]]
prefix = "/"
require = "local"
"#;

#[test]
fn the_sections_are_read() {
    let auth = good(ISSUE).auth.unwrap();
    assert!(auth.issues() && !auth.rotates());
    assert_eq!(auth.issuing_provider().unwrap().name, "local");
    assert_eq!((auth.issue.reuse, auth.issue.limit.per_ip), (Reuse::Refuse, None));
    let minute = Duration::from_secs(60);
    assert_eq!(auth.issue.limit.per_account, Some(Rate { count: 5, period: minute }));
    assert_eq!(auth.users.kind, UserKind::Django);
    assert_eq!(auth.store.url, Some(DatabaseUrl::Sqlite("/var/lib/ferricorn/auth.db".into())));
    assert_eq!(auth.issue_mounts(), ["/api/token/"]);
    assert_eq!(auth.rules().len(), 2);
    assert!(!auth.sets_cookies());
    let strict = good(&ISSUE.replace("[auth]\n", "[auth]\npreset = \"strict\"\n")).auth.unwrap();
    assert!(strict.rotates());
    let key = "alg = \"ES256\"\nuse = \"sign+verify\"\npem_file = \"x\"";
    let public = ISSUE.replace("alg = \"HS256\"\nuse = \"sign+verify\"\nsecret_env = \"S\"", key);
    let public = good(&public).auth.unwrap();
    assert_eq!(public.issue_mounts(), ["/api/token/", "/.well-known/jwks.json"]);
}

#[test]
fn all_sections_are_read_together() {
    let auth = good(include_str!("every_section.toml")).auth.unwrap();
    assert_eq!((auth.providers.len(), auth.routes.len()), (2, 5));
    assert!(auth.issues() && auth.issue.limit.trust_proxy == TrustProxy::ServersRule);
    assert_eq!(auth.users.url, Some(DatabaseUrl::Sqlite("/srv/app/db.sqlite3".into())));
}

#[test]
fn contradictions_are_refused() {
    for (old, new, key, part) in [
        ("use = \"sign+verify\"\n", "", "auth.issue.provider", "sign+verify"),
        ("provider = \"local\"", "provider = \"other\"", "auth.issue.provider", "no provider \"other\""),
        ("prefix = \"/api/token/\"", "prefix = \"/\"", "auth.issue.prefix", "/api/token/"),
        ("prefix = \"/api/token/\"", "prefix = \"api\"", "auth.issue.prefix", "slash"),
        (
            "name = \"local\"\n[[",
            "name = \"local\"\nmax_lifetime = \"1m\"\n[[",
            "auth.issue.access",
            "max_lifetime",
        ),
        ("access = \"5m\"", "access = \"2d\"", "auth.issue.refresh", "longer"),
        ("access = \"5m\"", "access = \"0s\"", "auth.issue.access", "1s"),
        ("session_max = \"30d\"", "reuse_grace = \"1h\"", "auth.issue.reuse_grace", "5m"),
        ("session_max = \"30d\"", "hash_threads = 0", "auth.issue.hash_threads", "from 1"),
        ("mail = \"email\"", "sid = \"email\"", "auth.issue.extra_claims", "server itself"),
        ("mail = \"email\"", "mail = \"e'mail\"", "auth.issue.extra_claims", "plain name"),
        ("kind = \"django\"\nurl", "kind = \"own\"\n#", "auth.issue.extra_claims", "of this kind"),
        ("[auth.users]", "[auth.users]\nfile = \"users\"", "auth.users.file", "only kind"),
        (
            "[auth.users]",
            "[auth.users]\nusername_field = \"password\"",
            "auth.users.username_field",
            "password",
        ),
        ("\"server's own rule\"", "\"always\"", "auth.issue.limit.trust_proxy", "server"),
        ("\"5/1m\"", "\"5\"", "auth.issue.limit.per_account", "5/1m"),
        ("\"refuse\"", "\"revoke\"", "auth.issue.reuse", "revoke_family"),
        ("url = \"sqlite:////srv/app/db.sqlite3\"\n", "", "auth.users.url", "missing"),
        ("sqlite:////var/lib/ferricorn/auth.db", "mysql://x", "auth.store.url", "no database"),
    ] {
        let text = ISSUE.replacen(old, new, 1);
        assert_ne!(text, ISSUE, "{old}");
        refused(&text, key, part);
    }
}

#[test]
fn other_machines_clocks_prolong_the_grace_within_its_bound() {
    let with = |store: &str, grace: &str, leeway: &str| {
        ISSUE
            .replacen("sqlite:////var/lib/ferricorn/auth.db", store, 1)
            .replacen("session_max = \"30d\"", &format!("reuse_grace = \"{grace}\""), 1)
            .replacen("name = \"local\"", &format!("name = \"local\"\nleeway = \"{leeway}\""), 1)
    };
    let file = "sqlite:////var/lib/ferricorn/auth.db";
    let check = |store: &str, more: u64| {
        for (grace, leeway, expected) in [("5s", "60s", 5 + more), ("0s", "60s", 0), ("5m", "0s", 300)] {
            let auth = good(&with(store, grace, leeway)).auth.unwrap();
            let prolonged = auth.reuse_grace(auth.issuing_provider().unwrap());
            assert_eq!(prolonged.as_secs(), expected, "{store} {grace} {leeway}");
        }
    };
    check(file, 0);
    good(&with(file, "5m", "1s"));
    let shared = [("redis://a", cfg!(feature = "redis")), ("postgres://a/b", cfg!(feature = "postgres"))];
    for (store, _) in shared.into_iter().filter(|(_, is_there)| *is_there) {
        check(store, 60);
        refused(&with(store, "5m", "1s"), "auth.issue.reuse_grace", "with the provider's leeway");
    }
}

#[test]
fn requests_call_the_name_as_the_field_and_else_as_the_column() {
    for (line, expected) in
        [("", "username"), ("username_column = \"e_mail\"", "e_mail"), ("username_field = \"mail\"", "mail")]
    {
        let text = ISSUE.replacen("[auth.users]", &format!("[auth.users]\n{line}"), 1);
        assert_eq!(good(&text).auth.unwrap().users.name_member(), expected, "{line}");
    }
}

#[test]
fn another_app_may_not_be_mounted_where_tokens_are_issued() {
    let app = |mount: &str| {
        format!("{ISSUE}[[app]]\nmount = \"{mount}\"\nhosts = [\"a.example\"]\ntarget = \"native:hello\"\n")
    };
    for mount in ["/api/token", "/api/token/", "/api/token/more"] {
        refused(&app(mount), "auth.issue.prefix", "app[0]");
    }
    assert!(good(&app("/api/tokens")).auth.unwrap().issues());
}
