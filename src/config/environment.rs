//! The environment variables that set configuration keys.

use super::build::Assignment;
use super::errors::{Origin, Problem};
use super::schema::{AUTH_KEYS, ROOT_KEYS};
use super::suggest::nearest;
use super::value::{Node, Value};
use std::collections::BTreeMap;

/// The variable that names the configuration file when no flag does.
pub(crate) const FILE_VARIABLE: &str = "FERRICORN_CONFIG";

/// The variable that sets the key at `path`.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "_"))
}

/// Whether a variable can set this key of `[auth]`: not those that are tables.
pub(super) fn has_variable(auth_path: &str) -> bool {
    !["forward.headers", "issue.extra_claims"].contains(&auth_path)
}

/// Every key that a variable can set.
pub(super) fn paths() -> impl Iterator<Item = String> {
    let auth = AUTH_KEYS.iter().filter(|key| has_variable(key.path));
    ROOT_KEYS.iter().map(|key| key.path.to_owned()).chain(auth.map(|key| format!("auth.{}", key.path)))
}

/// Gunicorn's own variables: they replace defaults, so the file wins over them.
pub(super) fn defaults(environment: &BTreeMap<String, String>) -> Vec<Assignment> {
    let mut assignments = Vec::new();
    for (name, path) in [
        ("PORT", "server.bind"),
        ("WEB_CONCURRENCY", "workers.count"),
        ("FORWARDED_ALLOW_IPS", "server.forwarded_allow_ips"),
    ] {
        match environment.get(name) {
            Some(value) if !value.is_empty() => {
                let value = if name == "PORT" { format!("0.0.0.0:{value}") } else { value.clone() };
                assignments.push(assignment(name, path, value));
            }
            _ => {}
        }
    }
    assignments
}

/// `FERRICORN_<SECTION>_<KEY>`
pub(super) fn assignments(
    environment: &BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> Vec<Assignment> {
    let known: BTreeMap<String, String> = paths().map(|path| (variable(&path), path)).collect();
    let mut assignments = Vec::new();
    for (name, value) in
        environment.range(PREFIX.to_owned()..).take_while(|(name, _)| name.starts_with(PREFIX))
    {
        if let Some(path) = known.get(name) {
            assignments.push(assignment(name, path, value.clone()));
        } else if is_meant_for_us(name) {
            let message = match nearest_variable(name, &known) {
                Some(variable) => format!("sets no key; did you mean {variable}?"),
                None => "sets no key; unset it, or see config/reference.toml for the names".to_owned(),
            };
            problems.push(Problem::new(&Origin::Environment(name.clone()), "", message));
        }
    }
    assignments
}

fn assignment(name: &str, path: &str, value: String) -> Assignment {
    let node = Node { value: Value::Loose(value), origin: Origin::Environment(name.into()) };
    Assignment { path: path.into(), node }
}

/// A variable that begins with a section is a misspelt key; others may belong to a container image.
///
/// Kubernetes sets `<SERVICE>_SERVICE_HOST`, `<SERVICE>_PORT` and `<SERVICE>_PORT_80_TCP` in every pod
/// (Kubernetes, "Accessing the Service"): a service called ferricorn-server must not stop a server.
fn is_meant_for_us(name: &str) -> bool {
    let rest = &name[PREFIX.len()..];
    let sections = ["SERVER_", "WORKERS_", "LIMITS_", "TIMEOUTS_", "LOG_", "PYTHON_", "AUTH_", "ADMIN_"];
    let kubernetes = rest.contains("_SERVICE_HOST")
        || rest.contains("_SERVICE_PORT")
        || rest.contains("_PORT_")
        || rest.ends_with("_PORT");
    !kubernetes && sections.iter().any(|section| rest.starts_with(section))
}

fn nearest_variable<'a>(name: &str, known: &'a BTreeMap<String, String>) -> Option<&'a str> {
    // `nearest` compares in lower case.
    let rest = name.to_ascii_lowercase();
    let lower: BTreeMap<String, &str> =
        known.keys().map(|name| (name.to_ascii_lowercase(), name.as_str())).collect();
    nearest(&rest, lower.keys().map(String::as_str)).and_then(|name| lower.get(name).copied())
}

const PREFIX: &str = "FERRICORN_";
