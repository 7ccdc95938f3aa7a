//! What `[[auth.provider]]` says of the keys that come as a set.

use super::Findings;
use crate::config::AuthProvider;
use std::net::IpAddr;
use std::time::Duration;

/// Whether keys come as a set, so that the configuration cannot know their algorithms.
pub(super) fn has_set(provider: &AuthProvider) -> bool {
    provider.jwks_file.is_some() || has_remote_set(provider)
}

fn has_remote_set(provider: &AuthProvider) -> bool {
    provider.jwks_url.is_some() || provider.discovery
}

/// Key sets that one configuration may have fetched: more than a site has identity providers.
pub const FETCHED_SETS_MAX: usize = 32;

/// Whether there are too many sets to be fetched. Providers of the same set and the same rules share it.
pub(super) fn number(providers: &[AuthProvider], findings: &mut Findings<'_>) {
    let mut sets = Vec::new();
    for (number, provider) in providers.iter().enumerate().filter(|(_, provider)| has_remote_set(provider)) {
        let set = (provider.jwks_url.as_ref().or(provider.issuer.as_ref()), &provider.jwks);
        if !sets.contains(&set) {
            sets.push(set);
        }
        if sets.len() > FETCHED_SETS_MAX {
            let message = format!(
                "one more key set to be fetched than the {FETCHED_SETS_MAX} that a server keeps; put keys that change rarely into \
                 jwks_file, or run several servers"
            );
            return findings.add(&format!("auth.provider[{number}]"), message);
        }
    }
}

/// Whether there are keys, and whether their source makes sense.
pub(super) fn sources(at: &str, provider: &AuthProvider, findings: &mut Findings<'_>) {
    let path = |key: &str| format!("{at}.{key}");
    if provider.keys.is_empty() && !has_set(provider) {
        findings.add(at, "no key; write [[auth.provider.key]], jwks_file, jwks_url or discovery = true");
    }
    if let Some(url) = &provider.jwks_url {
        if provider.discovery {
            findings.add(&path("jwks_url"), "discovery = true finds the set by itself; keep one of the two");
        }
        if let Some(problem) = url_problem(url) {
            findings.add(&path("jwks_url"), problem);
        }
    }
    if provider.discovery {
        match provider.issuer.as_deref() {
            None => findings
                .add(&path("discovery"), "it needs issuer, whose OpenID configuration names the key set"),
            Some(issuer) => {
                if let Some(problem) = url_problem(issuer) {
                    findings.add(&path("issuer"), problem);
                }
            }
        }
    }
    // Whoever can read a public set could sign with a secret (RFC 8725 2.1).
    if has_remote_set(provider)
        && let Some(alg) = provider.algorithms.iter().find(|alg| alg.starts_with("HS"))
        && !provider.keys.iter().any(|key| key.alg == *alg)
    {
        findings.add(
            &path("algorithms"),
            format!("{alg} needs a secret, which a fetched set cannot hold; remove it"),
        );
    }
    rules(&path, provider, findings);
}

fn rules(path: &dyn Fn(&str) -> String, provider: &AuthProvider, findings: &mut Findings<'_>) {
    let rules = &provider.jwks;
    let mut between = |key: &str, value: Duration, (least, most): (u64, u64), text: &str| {
        if !(Duration::from_secs(least)..=Duration::from_secs(most)).contains(&value) {
            findings.add(&path(key), format!("expected a duration from {text}"));
        }
    };
    between("jwks.refresh", rules.refresh, (1, 24 * 3600), "1s to 24h");
    between("jwks.min_refetch", rules.min_refetch, (1, 3600), "1s to 1h");
    between("jwks.timeout", rules.timeout, (1, 60), "1s to 60s");
    between("jwks.stale_if_error", rules.stale_if_error, (0, 30 * 24 * 3600), "0s to 30d");
    if !(1024..=256 << 10).contains(&rules.max_bytes) {
        findings.add(&path("jwks.max_bytes"), "expected a number from 1024 to 262144");
    }
    if !(1..=256).contains(&rules.max_keys) {
        findings.add(&path("jwks.max_keys"), "expected a number from 1 to 256");
    }
}

/// What is wrong with a URL from which keys are taken: whoever can answer in its place can forge tokens.
fn url_problem(url: &str) -> Option<String> {
    if url.len() > 2048 || url.bytes().any(|byte| !byte.is_ascii_graphic()) || url.contains(['#', '@']) {
        return Some("it must be a URL of visible ASCII, without user, password and fragment".into());
    }
    let Some(rest) = url.strip_prefix("http://") else {
        let host = url.strip_prefix("https://").map(host_of);
        let complaint = "write an absolute URL: \"https://idp.example/jwks.json\"";
        return host.is_none_or(str::is_empty).then(|| complaint.into());
    };
    let host = host_of(rest);
    let is_here = host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback());
    (!is_here).then(|| {
        "write https: keys that come by http could be anybody's (http is taken from this machine alone)"
            .into()
    })
}

fn host_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        Some(_) | None => authority,
    }
}
