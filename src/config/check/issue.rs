//! What parses in `[auth.issue]`, `[auth.store]` and `[auth.users]` and still makes no sense.

use super::Findings;
use crate::config::{Auth, AuthProvider, Config, DatabaseUrl, KeyUse, UserKind, mount_prefix};
use std::time::Duration;

pub(super) fn contradictions(config: &Config, findings: &mut Findings<'_>) {
    let Some(auth) = config.auth.as_ref().filter(|auth| auth.issues()) else { return };
    if cfg!(not(feature = "issue")) {
        let message =
            "this program was built without the feature \"issue\"; build it with that feature, or set false";
        findings.add("auth.issue.enabled", message);
    }
    place(config, auth, findings);
    provider(auth, findings);
    lives(auth, findings);
    hashing(auth, findings);
    databases(auth, findings);
}

impl Auth {
    /// The provider whose tokens are issued; `None` when it is not clear which.
    pub fn issuing_provider(&self) -> Option<&AuthProvider> {
        match &self.issue.provider {
            Some(name) => self.providers.iter().find(|provider| provider.name == *name),
            None => {
                let mut signing = self.providers.iter().filter(|provider| signs(provider));
                signing.next().filter(|_| signing.next().is_none())
            }
        }
    }
}

fn signs(provider: &AuthProvider) -> bool {
    provider.keys.iter().any(|key| key.r#use == KeyUse::SignAndVerify)
}

fn place(config: &Config, auth: &Auth, findings: &mut Findings<'_>) {
    let prefix = match mount_prefix(&auth.issue.prefix) {
        Ok(prefix) if prefix == "/" => {
            return findings
                .add("auth.issue.prefix", "nothing of the site would be left; write \"/api/token/\"");
        }
        Ok(prefix) => prefix,
        Err(problem) => return findings.add("auth.issue.prefix", problem),
    };
    if prefix.contains('%') {
        findings.add("auth.issue.prefix", "write it decoded, without \"%\"");
    }
    // Its paths are answered here and need no token: an app among them would be reached by nobody.
    let is_within = |mount: &str, place: &str| {
        mount.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if let Some(number) = config.apps.iter().position(|app| is_within(&app.mount, &prefix)) {
        let message = format!("app[{number}] is mounted there too; give one of them another prefix");
        findings.add("auth.issue.prefix", message);
    }
}

fn provider(auth: &Auth, findings: &mut Findings<'_>) {
    let Some(provider) = auth.issuing_provider() else {
        let signing = auth.providers.iter().filter(|provider| signs(provider)).count();
        let message = match (&auth.issue.provider, signing) {
            (Some(name), _) => format!("there is no provider {name:?}"),
            (None, 0) => "no provider can sign; give one a key with use = \"sign+verify\"".into(),
            (None, _) => "several providers can sign; name one".into(),
        };
        return findings.add("auth.issue.provider", message);
    };
    if !signs(provider) {
        let message = format!("provider {:?} has no key with use = \"sign+verify\"", provider.name);
        findings.add("auth.issue.provider", message);
    }
    if auth.issue.access > provider.max_lifetime {
        findings
            .add("auth.issue.access", "longer than the provider's max_lifetime, so no token would be taken");
    }
    let own = [
        "token_type",
        "exp",
        "iat",
        "nbf",
        "jti",
        "sid",
        "iss",
        "aud",
        "cnf",
        provider.subject_claim.as_str(),
    ];
    for claim in auth.issue.extra_claims.keys().filter(|claim| own.contains(&claim.as_str())) {
        findings.add("auth.issue.extra_claims", format!("{claim} is a claim that the server itself sets"));
    }
    if matches!(auth.users.kind, UserKind::Own | UserKind::File) && !auth.issue.extra_claims.is_empty() {
        findings.add("auth.issue.extra_claims", "users of this kind have no such columns");
    }
}

fn lives(auth: &Auth, findings: &mut Findings<'_>) {
    let issue = &auth.issue;
    for (path, life) in [
        ("auth.issue.access", issue.access),
        ("auth.issue.refresh", issue.refresh),
        ("auth.issue.session_max", issue.session_max),
    ] {
        if !(Duration::from_secs(1)..=LONGEST).contains(&life) {
            findings.add(path, "expected a duration from 1s to 3650d");
        }
    }
    if issue.access > issue.refresh {
        findings
            .add("auth.issue.refresh", "shorter than auth.issue.access; a refresh token has to live longer");
    }
    let grace = auth.issuing_provider().map(|provider| auth.reuse_grace(provider));
    if issue.reuse_grace > LONGEST_GRACE {
        findings.add("auth.issue.reuse_grace", "more than 5m; a stolen token would be good for so long");
    } else if grace.is_some_and(|grace| grace > LONGEST_GRACE) {
        let message = "more than 5m with the provider's leeway, which is added where several machines share the store; \
                       a stolen token would be good for so long";
        findings.add("auth.issue.reuse_grace", message);
    }
    if !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&auth.store.stale_max) {
        findings.add("auth.store.stale_max", "expected a duration from 1s to 1d");
    }
}

fn hashing(auth: &Auth, findings: &mut Findings<'_>) {
    if !(1..=64).contains(&auth.issue.hash_threads) {
        findings.add("auth.issue.hash_threads", "expected a number from 1 to 64");
    }
    if !(1..=10_000).contains(&auth.issue.hash_queue) {
        findings.add("auth.issue.hash_queue", "expected a number from 1 to 10000");
    }
}

fn databases(auth: &Auth, findings: &mut Findings<'_>) {
    let needed = match &auth.store.url {
        Some(DatabaseUrl::Redis(_)) if cfg!(not(feature = "redis")) => Some("redis"),
        Some(DatabaseUrl::Postgres(_)) if cfg!(not(feature = "postgres")) => Some("postgres"),
        Some(DatabaseUrl::Sqlite(_) | DatabaseUrl::Redis(_) | DatabaseUrl::Postgres(_)) | None => None,
    };
    if let Some(feature) = needed {
        let message =
            format!("this program was built without the feature \"{feature}\"; build it with that feature");
        findings.add("auth.store.url", message);
    }
    users(auth, findings);
    names_of_columns(auth, findings);
}

fn users(auth: &Auth, findings: &mut Findings<'_>) {
    let users = &auth.users;
    match (users.kind, &users.url) {
        (UserKind::Django, None) => {
            findings.add(
                "auth.users.url",
                "missing; name the project's database: \"sqlite:////srv/app/db.sqlite3\"",
            );
        }
        (UserKind::Django, Some(DatabaseUrl::Redis(_))) => {
            findings.add("auth.users.url", "there are no tables in Redis; name the project's database");
        }
        (UserKind::Django, Some(DatabaseUrl::Postgres(_))) if cfg!(not(feature = "postgres")) => {
            let message =
                "this program was built without the feature \"postgres\"; build it with that feature";
            findings.add("auth.users.url", message);
        }
        (UserKind::File, Some(_)) => {
            findings.add("auth.users.url", "kind = \"file\" has its users in auth.users.file; remove this");
        }
        (UserKind::Own, Some(_)) => {
            findings.add(
                "auth.users.url",
                "kind = \"own\" has its table in auth.store.url; remove this, or set kind = \"django\"",
            );
        }
        (UserKind::Python, Some(_)) => {
            findings.add("auth.users.url", "kind = \"python\" asks the app, which has its own; remove this");
        }
        (UserKind::Python, None) if cfg!(not(feature = "python")) => {
            let message = "only the program of the Python package can ask an app; set kind = \"django\"";
            findings.add("auth.users.kind", message);
        }
        (UserKind::Django | UserKind::Own | UserKind::Python | UserKind::File, _) => {}
    }
    match (users.kind, &users.file) {
        (UserKind::File, None) => {
            findings.add("auth.users.file", "missing; name the file: \"/etc/site/users\"");
        }
        (UserKind::Django | UserKind::Own | UserKind::Python, Some(_)) => {
            findings.add("auth.users.file", "only kind = \"file\" has one; set that, or remove this");
        }
        (UserKind::File, Some(_)) | (UserKind::Django | UserKind::Own | UserKind::Python, None) => {}
    }
    if users.rehash && matches!(users.kind, UserKind::Python | UserKind::File) {
        let message = "only the tables of kind = \"own\" and kind = \"django\" can be written; remove this";
        findings.add("auth.users.rehash", message);
    }
}

fn names_of_columns(auth: &Auth, findings: &mut Findings<'_>) {
    let users = &auth.users;
    let columns = [
        ("auth.users.table", &users.table),
        ("auth.users.id_column", &users.id_column),
        ("auth.users.username_column", &users.username_column),
        ("auth.users.password_column", &users.password_column),
    ];
    if users.username_field.as_deref() == Some("password") {
        findings.add("auth.users.username_field", "requests have the password under that name");
    }
    let more = users.active_column.iter().map(|name| ("auth.users.active_column", name));
    let claims = auth.issue.extra_claims.values().map(|name| ("auth.issue.extra_claims", name));
    for (path, name) in columns.into_iter().chain(more).chain(claims) {
        // It becomes part of a query, quoted.
        let plain =
            |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$' || letter == '.';
        if name.is_empty() || !name.chars().all(plain) {
            findings.add(path, format!("{name:?} is no plain name of a table or column"));
        }
    }
}

const LONGEST_GRACE: Duration = Duration::from_secs(300);

const LONGEST: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
