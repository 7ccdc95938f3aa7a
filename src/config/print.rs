//! Prints a configuration, and the reference of all keys.

use super::build::join;
use super::environment::{has_variable, variable};
use super::errors::Origin;
use super::load::Loaded;
use super::schema::{
    APP_KEYS, AUTH_KEYS, Change, KEY_KEYS, Key, KeyDraft, MountDraft, PROVIDER_KEYS, ROOT_KEYS, ROUTE_KEYS,
    RULE_KEYS, RuleDraft, SECTIONS, about, blank_provider,
};
use super::{Auth, Config, Route};
use toml::Value;

/// Whether each value is printed with its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShowOrigin {
    /// Values alone.
    No,
    /// Each value with where it was set.
    Yes,
}

/// The configuration as TOML, which reads as the same configuration.
///
/// Key material is named, never printed; the variables of `env_file` are not part of it.
pub fn to_toml(loaded: &Loaded, show: ShowOrigin) -> String {
    let mut text = String::new();
    for line in lines(&loaded.config) {
        match line {
            Line::Header(header, _) => {
                let gap = if text.is_empty() { "" } else { "\n" };
                text.push_str(&format!("{gap}{header}\n"));
            }
            Line::Key { name, path, value } => {
                let origin = match show {
                    ShowOrigin::No => String::new(),
                    ShowOrigin::Yes => format!("  # {}", one_line(loaded.origins.exact(&path))),
                };
                text.push_str(&format!("{name} = {}{origin}\n", inline(&value)));
            }
        }
    }
    text
}

/// The configuration as one JSON object: `config`, and with origins `origins`, by the path of each key.
pub fn to_json(loaded: &Loaded, show: ShowOrigin) -> String {
    let mut root = serde_json::Value::Object(serde_json::Map::new());
    let mut origins = serde_json::Map::new();
    for line in lines(&loaded.config) {
        match line {
            Line::Header(_, path) => insert(&mut root, &path, None),
            Line::Key { path, value, .. } => {
                origins.insert(path.clone(), loaded.origins.exact(&path).to_string().into());
                insert(&mut root, &path, Some(json(&value)));
            }
        }
    }
    let mut object = serde_json::Map::new();
    object.insert("config".into(), root);
    if show == ShowOrigin::Yes {
        object.insert("origins".into(), origins.into());
    }
    format!("{:#}\n", serde_json::Value::Object(object))
}

/// `config/reference.toml`: every key with its meaning, its type and its default.
pub fn reference() -> String {
    let mut text = String::from(REFERENCE_HEAD);
    let defaults = Config::default();
    for (section, doc) in SECTIONS {
        text.push_str(&format!("\n{}[{section}]\n", comment(doc)));
        let keys = ROOT_KEYS.iter().filter(|key| key.path.split('.').next() == Some(section));
        keys.for_each(|key| text.push_str(&entry(key, &defaults, Some(&variable(key.path)), key.path)));
    }
    let mut list = |header: &str, doc: &str, entries: Vec<String>| {
        text.push_str(&format!("\n{}# {header}\n", comment(doc)));
        entries.iter().for_each(|entry| text.push_str(entry));
    };
    list("[[app]]", about::APP, {
        APP_KEYS.iter().map(|key| entry(key, &MountDraft::default(), None, key.path)).collect()
    });
    list("[[route]]", about::ROUTE, {
        ROUTE_KEYS.iter().map(|key| entry(key, &blank_route(), None, key.path)).collect()
    });
    list("[auth]", about::AUTH, {
        let env = |key: &Key<Auth>| variable(&join("auth", key.path));
        let named = |key: &Key<Auth>| has_variable(key.path);
        let auth = Auth::default();
        AUTH_KEYS
            .iter()
            .map(|key| entry(key, &auth, named(key).then(|| env(key)).as_deref(), key.path))
            .collect()
    });
    list("[[auth.provider]]", about::PROVIDER, {
        PROVIDER_KEYS.iter().map(|key| entry(key, &blank_provider(), None, key.path)).collect()
    });
    list("[[auth.provider.key]]", about::KEY, {
        KEY_KEYS.iter().map(|key| entry(key, &KeyDraft::default(), None, key.path)).collect()
    });
    list("[[auth.route]]", about::RULE, {
        RULE_KEYS.iter().map(|key| entry(key, &RuleDraft::default(), None, key.path)).collect()
    });
    text
}

enum Line {
    /// As TOML has it, and its path.
    Header(String, String),
    Key {
        /// Below the header.
        name: String,
        path: String,
        value: Value,
    },
}

fn lines(config: &Config) -> Vec<Line> {
    let mut lines = Vec::new();
    for (section, _) in SECTIONS {
        lines.push(Line::Header(format!("[{section}]"), (*section).into()));
        for key in ROOT_KEYS.iter().filter(|key| key.path.split('.').next() == Some(section)) {
            let name = key.path[section.len() + 1..].to_owned();
            lines.push(Line::Key { name, path: key.path.into(), value: (key.show)(config) });
        }
    }
    if let Some(auth) = &config.auth {
        auth_lines(auth, &mut lines);
    }
    for (number, app) in config.apps.iter().enumerate() {
        let draft = MountDraft::from(app);
        item(("app", &format!("app[{number}]")), APP_KEYS, (&draft, &MountDraft::default()), &mut lines);
    }
    for (number, route) in config.routes.iter().enumerate() {
        item(("route", &format!("route[{number}]")), ROUTE_KEYS, (route, &blank_route()), &mut lines);
    }
    lines
}

fn auth_lines(auth: &Auth, lines: &mut Vec<Line>) {
    lines.push(Line::Header("[auth]".into(), "auth".into()));
    for key in AUTH_KEYS {
        let (name, path) = (key.path.to_owned(), join("auth", key.path));
        lines.push(Line::Key { name, path, value: (key.show)(auth) });
    }
    for (number, provider) in auth.providers.iter().enumerate() {
        let at = format!("auth.provider[{number}]");
        item(("auth.provider", &at), PROVIDER_KEYS, (provider, &blank_provider()), lines);
        for (number, key) in provider.keys.iter().enumerate() {
            let (at, draft) = (format!("{at}.key[{number}]"), KeyDraft::from(key));
            item(("auth.provider.key", &at), KEY_KEYS, (&draft, &KeyDraft::default()), lines);
        }
    }
    for (number, rule) in auth.routes.iter().enumerate() {
        let (at, draft) = (format!("auth.route[{number}]"), RuleDraft::from(rule));
        item(("auth.route", &at), RULE_KEYS, (&draft, &RuleDraft::default()), lines);
    }
}

/// One element of a list: its first key, and what differs from a blank one.
fn item<T>((header, at): (&str, &str), keys: &[Key<T>], (value, blank): (&T, &T), lines: &mut Vec<Line>) {
    lines.push(Line::Header(format!("[[{header}]]"), at.into()));
    for (number, key) in keys.iter().enumerate() {
        let shown = (key.show)(value);
        if number == 0 || shown != (key.show)(blank) {
            lines.push(Line::Key { name: key.path.into(), path: join(at, key.path), value: shown });
        }
    }
}

pub(super) fn blank_route() -> Route {
    Route {
        prefix: String::new(),
        methods: Vec::new(),
        body: None,
        timeout: None,
        queue: None,
        length_required: false,
    }
}

/// A value on one line; TOML's own printer breaks long texts.
pub(super) fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Table(table) if table.is_empty() => "{}".into(),
        Value::Table(table) => {
            let pair = |(name, value): (&String, &Value)| format!("{} = {}", quoted(name), inline(value));
            format!("{{ {} }}", table.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => value.to_string(),
    }
}

/// A basic string (TOML 1.0, "String"): control characters are escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\0'..='\u{1f}' | '\u{7f}' => quoted.push_str(&format!("\\u{:04X}", u32::from(letter))),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(value) => (*value).into(),
        Value::Datetime(time) => time.to_string().into(),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::Table(table) => table.iter().map(|(name, value)| (name.clone(), json(value))).collect(),
    }
}

/// Puts a value at a path such as `auth.provider[0].name`; `None` makes an empty section.
fn insert(root: &mut serde_json::Value, path: &str, value: Option<serde_json::Value>) {
    let mut place = root;
    for part in path.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let child = place.as_object_mut().map(|object| object.entry(name).or_insert(serde_json::Value::Null));
        let Some(child) = child else { return };
        place = match index {
            None => child,
            Some(index) => {
                if !child.is_array() {
                    *child = serde_json::Value::Array(Vec::new());
                }
                let Some(items) = child.as_array_mut() else { return };
                // Elements come in their order: at most one is new.
                if items.len() <= index {
                    items.push(serde_json::Value::Null);
                }
                let Some(item) = items.get_mut(index) else { return };
                item
            }
        };
        if place.is_null() {
            *place = serde_json::Value::Object(serde_json::Map::new());
        }
    }
    if let Some(value) = value {
        *place = value;
    }
}

fn one_line(origin: &Origin) -> String {
    origin.to_string().replace(|letter: char| letter.is_control(), "?")
}

fn entry<T>(key: &Key<T>, blank: &T, variable: Option<&str>, path: &str) -> String {
    let name = path.split_once('.').filter(|(section, _)| SECTIONS.iter().any(|(known, _)| known == section));
    let name = name.map_or(path, |(_, name)| name);
    let mut notes = (key.takes)();
    if let Some(variable) = variable {
        notes.push_str(&format!("; {variable}"));
    }
    if key.change == Change::Restart {
        notes.push_str("; a change needs a restart");
    }
    format!(
        "\n{}{}# {name} = {}\n",
        comment(key.doc),
        comment(&format!("({notes})")),
        inline(&(key.show)(blank))
    )
}

/// Comment lines of at most 110 columns.
fn comment(text: &str) -> String {
    let (mut comment, mut line) = (String::new(), String::from("##"));
    for word in text.split_whitespace() {
        if line.len() + word.len() >= 110 {
            comment.push_str(&line);
            comment.push('\n');
            line = "##".into();
        }
        line.push(' ');
        line.push_str(word);
    }
    comment + &line + "\n"
}

const REFERENCE_HEAD: &str = r#"## Every key of ferricorn.toml, with its meaning, its type, its environment variable and its default.
##
## Generated from the schema; a test keeps it fresh. Lines with a single number sign are keys with their defaults.
## Precedence: default < this file < environment < flag. Unknown keys are errors.
## Durations are written "500ms", "30s", "2m", "1h", "7d" or "1m30s"; sizes "512 B", "32 KiB", "1 MiB", "1 GiB".
## An empty text ("") turns off what can be turned off.
## FERRICORN_CONFIG names the file when no flag does. PORT, WEB_CONCURRENCY and FORWARDED_ALLOW_IPS replace
## defaults, as with Gunicorn: this file wins over them.
"#;
