//! "Did you mean": misspelt keys, Gunicorn's names, and what this version does not have.

/// The word most like `text`, if any is like it.
pub(super) fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_ascii_lowercase().replace('-', "_");
    let score = |word: &'a str| (strsim::jaro_winkler(&text, word), word);
    words
        .map(score)
        .filter(|(score, _)| *score >= 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}

/// What to say of a key that the schema does not have; `known` are the paths beside which it could stand.
pub(super) fn unknown_key(path: &str, known: &[&str]) -> String {
    let schema_path = without_indices(path);
    if let Some(reason) = unsupported(&schema_path) {
        return reason;
    }
    let (parent, name) = schema_path.rsplit_once('.').unwrap_or(("", &schema_path));
    if let Some(advice) = foreign(name) {
        return format!("unknown key; {advice}");
    }
    let last = |path: &&str| path.rsplit('.').next() == Some(name);
    if let Some(same_name) = known.iter().find(|path| last(path)) {
        return format!("unknown key here; did you mean {same_name}?");
    }
    let siblings = known.iter().filter_map(|path| {
        let rest = if parent.is_empty() { path } else { path.strip_prefix(parent)?.strip_prefix('.')? };
        rest.split('.').next()
    });
    if let Some(sibling) = nearest(name, siblings) {
        return format!("unknown key; did you mean {sibling}?");
    }
    match nearest(&schema_path, known.iter().copied()) {
        Some(path) => format!("unknown key; did you mean {path}?"),
        None => "unknown key; config/reference.toml lists them all".into(),
    }
}

/// What to write instead of a name that another server uses.
pub(super) fn foreign(name: &str) -> Option<&'static str> {
    FOREIGN.iter().find(|(foreign, _)| *foreign == name).map(|(_, advice)| *advice)
}

/// `app[0].env` is `app.env` in the schema.
pub(super) fn without_indices(path: &str) -> String {
    let mut inside = false;
    let keep = |letter: &char| {
        match letter {
            '[' => inside = true,
            ']' => inside = false,
            _ => return !inside,
        }
        false
    };
    path.chars().filter(keep).collect()
}

fn unsupported(path: &str) -> Option<String> {
    let below = |key: &str| path == key || path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    let key = UNSUPPORTED.iter().find(|key| below(key))?;
    Some(format!("{key} is not supported in this version; remove it"))
}

/// Keys that the design has and this version has not.
const UNSUPPORTED: &[&str] = &["tls", "server.tls", "app.proxy", "route.concurrency"];

/// Names that other servers use, and what to write here.
const FOREIGN: &[(&str, &str)] = &[
    ("bind_address", "write server.bind"),
    ("listen", "write server.bind"),
    ("address", "write server.bind"),
    ("host", "write server.bind = [\"HOST:PORT\"]"),
    ("port", "write server.bind = [\"HOST:PORT\"]"),
    ("workers", "write workers.count"),
    ("processes", "write workers.count"),
    ("num_workers", "write workers.count"),
    ("timeout", "write timeouts.request"),
    ("graceful_timeout", "write timeouts.graceful"),
    ("keepalive", "write timeouts.keep_alive"),
    ("keep_alive_timeout", "write timeouts.keep_alive"),
    ("limit_request_line", "write limits.target"),
    ("limit_request_fields", "write limits.fields"),
    ("limit_request_field_size", "write limits.head"),
    ("client_max_body_size", "write limits.body"),
    ("worker_connections", "write limits.connections"),
    ("loglevel", "write log.level"),
    ("accesslog", "write log.access"),
    ("access_log", "write log.access"),
    ("access_log_format", "write log.access_format"),
    ("secure_scheme_headers", "write server.forwarded_fields"),
    ("errorlog", "write log.error"),
    ("error_log", "write log.error"),
    ("pidfile", "write server.pid_file"),
    ("pid", "write server.pid_file"),
    ("pythonpath", "write python.path"),
    ("wsgi_app", "write [[app]] with target = \"module:callable\""),
    ("raw_env", "write [[app]] with env = { NAME = \"value\" }"),
    ("worker_class", "leave it out: the kind of app decides"),
    ("preload_app", "write workers.preload"),
    ("reload", "leave it out: reloading on change is not supported in this version"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_answered_with_what_was_meant() {
        let known =
            ["server.bind", "server.backlog", "timeouts.keep_alive", "auth.provider", "auth.provider.leeway"];
        for (path, part) in [
            ("server.bnid", "did you mean bind?"),
            ("server.backlogs", "did you mean backlog?"),
            ("bind_address", "write server.bind"),
            ("graceful_timeout", "write timeouts.graceful"),
            ("backlog", "did you mean server.backlog?"),
            ("servr", "did you mean server?"),
            ("auth.provider[1].leway", "did you mean leeway?"),
            ("route[0].concurrency", "route.concurrency is not supported in this version"),
            ("zzz", "reference.toml"),
        ] {
            let message = unknown_key(path, &known);
            assert!(message.contains(part), "{path}: {message}");
        }
    }
}
