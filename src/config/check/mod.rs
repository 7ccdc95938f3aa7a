//! What parses and still makes no sense. Pure: the file system is not looked at.

mod auth;
mod issue;
mod jwks;

pub use auth::LEEWAY_MAX;
pub use jwks::FETCHED_SETS_MAX;

use crate::config::build::Build;
use crate::config::errors::{Origins, Problem};
use crate::config::{
    Admin, BindAddress, ByteSize, Canary, Config, ForwardedField, HostPattern, Threads, Timeouts, is_token,
};

use std::net::IpAddr;
use std::time::Duration;

/// Finds contradictions in what has been read.
pub(super) fn contradictions(build: &mut Build) {
    let mut findings = Findings { origins: &build.origins, problems: Vec::new() };
    let config = &build.config;
    server(config, &mut findings);
    workers(config, &mut findings);
    limits(config, &mut findings);
    timeouts(&config.timeouts, &mut findings);
    admin(&config.admin, &mut findings);
    let whole = |list: &str| !build.problems.iter().any(|problem| problem.key.starts_with(list));
    // Of a list with a bad element, that element is missing and the others have moved.
    if whole("app") {
        apps(config, &mut findings);
    }
    for (number, route) in config.routes.iter().enumerate().filter(|_| whole("route")) {
        prefix_and_methods(&format!("route[{number}]"), (&route.prefix, &route.methods), &mut findings);
    }
    if cfg!(not(feature = "jwt")) && config.auth.is_some() {
        findings.add("auth", WITHOUT_JWT);
    }
    if let Some(auth) = config.auth.as_ref().filter(|_| whole("auth")) {
        auth::contradictions(auth, &mut findings);
        issue::contradictions(config, &mut findings);
    }
    build.problems.extend(findings.problems);
}

/// Ignoring the section would serve in the open what it protects.
const WITHOUT_JWT: &str = "this program was built without the feature \"jwt\", so it can check no token; \
                           build it with that feature, or remove the section";

/// What was found, each where its key was set.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    origins: &'a Origins,
    problems: Vec<Problem>,
}

impl Findings<'_> {
    pub(super) fn add(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(self.origins.of(path), path, message));
    }
}

fn server(config: &Config, findings: &mut Findings<'_>) {
    let server = &config.server;
    if server.bind.is_empty() {
        findings.add("server.bind", "no address; write at least one");
    }
    for (number, address) in server.bind.iter().enumerate() {
        let is_chosen_later = matches!(address, BindAddress::Tcp { port: 0, .. });
        if !is_chosen_later && server.bind[..number].contains(address) {
            findings.add("server.bind", format!("{address} stands there twice; remove one"));
        }
    }
    if server.open_files != 0 && server.open_files < OPEN_FILES_MIN {
        findings.add("server.open_files", format!("expected 0, or a number from {OPEN_FILES_MIN}"));
    }
    if server.oom_score_adj > 1000 {
        findings.add("server.oom_score_adj", "expected a number from 0 to 1000");
    }
    if !(1..=65_535).contains(&server.backlog) {
        findings.add("server.backlog", "expected a number from 1 to 65535");
    }
    for peer in &server.forwarded_allow_ips {
        if peer != "*" && !is_network(peer) {
            let message = format!("{peer:?} is no address, network such as \"10.0.0.0/8\", or \"*\"");
            findings.add("server.forwarded_allow_ips", message);
        }
    }
    let everyone = server.forwarded_allow_ips.iter().any(|peer| peer == "*");
    let alone = !everyone || server.forwarded_allow_ips.len() == 1;
    if !alone {
        findings.add("server.forwarded_allow_ips", "\"*\" stands beside addresses; keep one or the others");
    }
    let fields = &server.forwarded_fields;
    if fields.contains(&ForwardedField::Forwarded) && fields.len() > 1 {
        let message =
            "\"forwarded\" stands beside others; keep what your proxy sets: a client could write the other";
        findings.add("server.forwarded_fields", message);
    }
}

/// Fewer do not suffice for an app's own files, logs and sockets.
const OPEN_FILES_MIN: u64 = 64;

fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').unzip();
    let Ok(address) = address.unwrap_or(text).parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| {
        bits.bytes().all(|byte| byte.is_ascii_digit()) && bits.parse().is_ok_and(|bits: u8| bits <= most)
    })
}

fn workers(config: &Config, findings: &mut Findings<'_>) {
    let workers = &config.workers;
    if let Threads::Exactly(threads) = workers.threads
        && !(1..=1024).contains(&threads)
    {
        findings.add("workers.threads", "expected \"auto\" or a number from 1 to 1024");
    }
    if workers.check_command.first().is_some_and(String::is_empty) {
        findings.add("workers.check_command", "the first text is the program, and is empty");
    }
    if !workers.max_age_jitter.is_zero() && workers.max_age.is_zero() {
        let message = "has no effect while workers.max_age is 0s; set that too, or remove this";
        findings.add("workers.max_age_jitter", message);
    }
    if workers.quarantine == 1 {
        let message = "expected 0, or at least 2: what one crash looks like may be chance";
        findings.add("workers.quarantine", message);
    }
    if workers.canary.time > Canary::LONGEST {
        findings.add("workers.canary", "expected at most 1d: other reloads wait for it");
    }
    if workers.canary.requests == 0 {
        findings.add("workers.canary_requests", "expected at least 1");
    }
    if workers.max_requests_jitter > 0 && workers.max_requests == 0 {
        findings.add(
            "workers.max_requests_jitter",
            "has no effect while workers.max_requests is 0; set that too, or remove this",
        );
    }
}

fn limits(config: &Config, findings: &mut Findings<'_>) {
    let limits = &config.limits;
    let (smallest, largest) = (ByteSize(1 << 10), ByteSize(16 << 20));
    if limits.head < smallest || limits.head > largest {
        findings.add("limits.head", format!("{} is out of range: {smallest} to {largest}", limits.head));
    }
    if limits.target > limits.head || limits.target < ByteSize(256) {
        let message = format!("{} is out of range: 256 B to limits.head ({})", limits.target, limits.head);
        findings.add("limits.target", message);
    }
    if limits.fields == 0 {
        findings.add("limits.fields", "expected at least 1: every request has Host");
    }
    if limits.response_buffer < ByteSize(4 << 10) {
        findings.add("limits.response_buffer", "expected at least 4 KiB");
    }
    if config.websocket.max_message < ByteSize(1 << 10) {
        findings.add("websocket.max_message", "expected at least 1 KiB");
    }
    if config.websocket.queue == 0 {
        findings.add("websocket.queue", "expected at least 1");
    }
    if limits.connections == 0 {
        findings.add("limits.connections", "expected at least 1");
    }
}

fn timeouts(timeouts: &Timeouts, findings: &mut Findings<'_>) {
    for (path, duration) in [
        ("timeouts.head", timeouts.head),
        ("timeouts.body", timeouts.body),
        ("timeouts.write", timeouts.write),
        ("timeouts.boot", timeouts.boot),
        ("timeouts.check", timeouts.check),
        ("timeouts.reload", timeouts.reload),
    ] {
        if duration == Duration::ZERO {
            findings.add(path, "0s would end every request; this wait has no \"never\", name a long time");
        }
    }
}

fn admin(admin: &Admin, findings: &mut Findings<'_>) {
    if !matches!(admin.address, None | Some(BindAddress::Tcp { .. })) {
        findings.add("admin.address", "expected HOST:PORT");
    }
    for (key, path) in [("admin.live_path", &admin.live_path), ("admin.ready_path", &admin.ready_path)] {
        if path.as_ref().is_some_and(|path| !path.starts_with('/') || path.contains(['?', '#', '%'])) {
            findings.add(key, "expected a plain path that begins with a slash: \"/healthz\"");
        }
    }
}

fn apps(config: &Config, findings: &mut Findings<'_>) {
    for (number, app) in config.apps.iter().enumerate() {
        for (other_number, other) in config.apps[..number].iter().enumerate() {
            if other.mount != app.mount {
                continue;
            }
            let host = app.hosts.iter().find(|host| other.hosts.contains(host));
            let place = match host {
                Some(host) => format!("{:?} of {host}", app.mount),
                None if app.hosts.is_empty() && other.hosts.is_empty() => format!("{:?}", app.mount),
                None => continue,
            };
            let origin = findings.origins.of(&format!("app[{other_number}]"));
            let message =
                format!("another app ({origin}) is mounted at {place}; give each its own prefix or hosts");
            findings.add(&format!("app[{number}].mount"), message);
        }
        let repeated =
            |(at, host): (usize, &HostPattern)| app.hosts[..at].contains(host).then(|| host.clone());
        if let Some(host) = app.hosts.iter().enumerate().find_map(repeated) {
            findings.add(&format!("app[{number}].hosts"), format!("{host} stands there twice; remove one"));
        }
    }
}

/// A path prefix and the methods it holds for.
pub(super) fn prefix_and_methods(
    at: &str,
    (prefix, methods): (&str, &[String]),
    findings: &mut Findings<'_>,
) {
    if !prefix.starts_with('/') || prefix.contains(['?', '#']) {
        let message = format!("{prefix:?} is no path prefix; write one that begins with a slash: \"/api/\"");
        findings.add(&format!("{at}.prefix"), message);
    }
    for method in methods {
        // RFC 9110 9.1: methods are case-sensitive tokens; all registered ones are in capitals.
        if !is_token(method.as_bytes()) {
            findings.add(&format!("{at}.methods"), format!("{method:?} is no method"));
        } else if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
            let message = format!("methods are case-sensitive; write {:?}", method.to_ascii_uppercase());
            findings.add(&format!("{at}.methods"), message);
        }
    }
}
