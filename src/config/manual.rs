//! `docs/settings.md`: every key, to be read.

use super::build::join;
use super::environment::{has_variable, variable};
use super::print::{blank_route, inline};
use super::schema::{
    APP_KEYS, AUTH_KEYS, Change, KEY_KEYS, Key, KeyDraft, MountDraft, PROVIDER_KEYS, ROOT_KEYS, ROUTE_KEYS,
    RULE_KEYS, RuleDraft, SECTIONS, about, blank_provider,
};
use super::{Auth, Config};

/// `docs/settings.md`: every key with its default, its meaning, its type and its environment variable.
pub fn manual() -> String {
    let mut text = String::from(HEAD);
    let defaults = Config::default();
    for (section, doc) in SECTIONS {
        text.push_str(&heading(&format!("[{section}]"), doc));
        for key in ROOT_KEYS.iter().filter(|key| key.path.split('.').next() == Some(section)) {
            let name = &key.path[section.len() + 1..];
            text.push_str(&entry(key, name, &defaults, Some(&variable(key.path))));
        }
    }
    text.push_str(&list("[[app]]", about::APP, APP_KEYS, &MountDraft::default()));
    text.push_str(&list("[[route]]", about::ROUTE, ROUTE_KEYS, &blank_route()));
    text.push_str(&heading("[auth]", about::AUTH));
    for key in AUTH_KEYS {
        // A table has no form that a variable could have.
        let named = has_variable(key.path).then(|| variable(&join("auth", key.path)));
        text.push_str(&entry(key, key.path, &Auth::default(), named.as_deref()));
    }
    text.push_str(&list("[[auth.provider]]", about::PROVIDER, PROVIDER_KEYS, &blank_provider()));
    text.push_str(&list("[[auth.provider.key]]", about::KEY, KEY_KEYS, &KeyDraft::default()));
    text.push_str(&list("[[auth.route]]", about::RULE, RULE_KEYS, &RuleDraft::default()));
    text
}

fn list<T>(header: &str, doc: &str, keys: &[Key<T>], blank: &T) -> String {
    keys.iter().fold(heading(header, doc), |text, key| text + &entry(key, key.path, blank, None))
}

fn heading(header: &str, doc: &str) -> String {
    format!("\n## `{header}`\n\n{}\n\n", plain(doc))
}

fn entry<T>(key: &Key<T>, name: &str, blank: &T, variable: Option<&str>) -> String {
    let mut notes = plain(&(key.takes)());
    if let Some(variable) = variable {
        notes.push_str(&format!(" · `{variable}`"));
    }
    if key.change == Change::Restart {
        notes.push_str(" · a change needs a restart");
    }
    format!("- **`{name} = {}`**  \n  {}  \n  *{notes}*\n", inline(&(key.show)(blank)), plain(key.doc))
}

/// Text that Markdown shows as it is (CommonMark 2.4, "Backslash escapes").
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars() {
        if matches!(letter, '*' | '_' | '<' | '>' | '[' | ']' | '`' | '\\') {
            plain.push('\\');
        }
        plain.push(letter);
    }
    plain
}

const HEAD: &str = "\
# Settings

Every key of `ferricorn.toml` with its default, its meaning, and its environment variable. Generated from the same schema as
[config/reference.toml](../config/reference.toml), which can be copied and edited; a test keeps both fresh.

A flag wins over the environment, that over the file, that over the default. The file is the one that `-c` or
`FERRICORN_CONFIG` names, else `ferricorn.toml` in the working directory. Unknown keys are errors. Durations are written
`\"500ms\"`, `\"30s\"`, `\"1m30s\"`, sizes `\"32 KiB\"`, `\"1 GiB\"`. An empty text turns off what can be turned off.

`ferricorn check` lists every error of a file; `ferricorn print-config --origin` shows what is in effect, and why.
";
