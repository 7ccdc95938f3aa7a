//! From what was written to the configuration: fills the structs through the schema's tables.

use super::errors::{Origin, Origins, Problem};
use super::schema::{
    APP_KEYS, AUTH_KEYS, KEY_KEYS, Key, KeyDraft, MountDraft, PROVIDER_KEYS, ROOT_KEYS, ROUTE_KEYS,
    RULE_KEYS, RuleDraft, blank_provider,
};
use super::suggest;
use super::value::{Entry, Node, Value};
use super::{Auth, AuthProvider, Config, Mount, Route};

/// A configuration under construction: what is wrong is collected, not returned at once.
#[derive(Debug, Default)]
pub(super) struct Build {
    /// What stands where nothing is written.
    pub(super) base: Config,
    pub(super) config: Config,
    pub(super) origins: Origins,
    pub(super) problems: Vec<Problem>,
}

/// A value for one key, from the environment or a flag.
#[derive(Debug, Clone)]
pub(super) struct Assignment {
    pub(super) path: String,
    pub(super) node: Node,
}

impl Build {
    /// Takes what a file says.
    pub(super) fn file(&mut self, entries: &[Entry]) {
        let mut config = self.base.clone();
        self.fill(
            &mut config,
            ROOT_KEYS,
            Place { at: "", below: "", lists: &["app", "route", "auth"] },
            entries,
        );
        if let Some(node) = find(entries, "auth") {
            config.auth = self.auth(node);
        }
        if let Some(items) = self.list(entries, "", "app") {
            config.apps =
                items.iter().enumerate().filter_map(|(number, item)| self.app(number, item)).collect();
        }
        if let Some(items) = self.list(entries, "", "route") {
            config.routes =
                items.iter().enumerate().filter_map(|(number, item)| self.route(number, item)).collect();
        }
        self.config = config;
    }

    /// Sets one key over what stands.
    pub(super) fn assign(&mut self, assignment: &Assignment) {
        let Assignment { path, node } = assignment;
        let result = if let Some(key) = ROOT_KEYS.iter().find(|key| key.path == path) {
            (key.set)(&mut self.config, &node.value)
        } else if let Some(key) = path.strip_prefix("auth.").and_then(|path| find_key(AUTH_KEYS, path)) {
            match &mut self.config.auth {
                Some(auth) => (key.set)(auth, &node.value),
                None => Err("there is no [auth] section that this could change".into()),
            }
        } else {
            Err("there is no such key".into())
        };
        match result {
            Ok(()) => self.origins.set(path.as_str(), node.origin.clone()),
            Err(message) => self.problem(&node.origin, path, message),
        }
    }

    pub(super) fn problem(&mut self, origin: &Origin, path: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(origin, path, message));
    }

    fn auth(&mut self, node: &Node) -> Option<Auth> {
        let entries = self.table(node, "auth")?;
        self.origins.set("auth", node.origin.clone());
        let mut auth = Auth::default();
        let place = Place { at: "auth", below: "", lists: &["provider", "route"] };
        self.fill(&mut auth, AUTH_KEYS, place, entries);
        for (number, item) in self.list(entries, "auth", "provider").into_iter().flatten().enumerate() {
            auth.providers.extend(self.provider(number, item));
        }
        for (number, item) in self.list(entries, "auth", "route").into_iter().flatten().enumerate() {
            let at = format!("auth.route[{number}]");
            if let Some(draft) = self.item(RuleDraft::default(), RULE_KEYS, (&at, &[]), item) {
                auth.routes.extend(self.finished(draft.finish(), &at));
            }
        }
        Some(auth)
    }

    fn provider(&mut self, number: usize, item: &Node) -> Option<AuthProvider> {
        let at = format!("auth.provider[{number}]");
        let mut provider = self.item(blank_provider(), PROVIDER_KEYS, (&at, &["key"]), item)?;
        let entries = self.table(item, &at)?;
        for (number, item) in self.list(entries, &at, "key").into_iter().flatten().enumerate() {
            let at = format!("{at}.key[{number}]");
            if let Some(draft) = self.item(KeyDraft::default(), KEY_KEYS, (&at, &[]), item) {
                provider.keys.extend(self.finished(draft.finish(), &at));
            }
        }
        // RFC 7519 4.1.4 leaves exp optional; here a token always ends.
        if !provider.require.iter().any(|claim| claim == "exp") {
            provider.require.insert(0, "exp".into());
        }
        Some(provider)
    }

    fn app(&mut self, number: usize, item: &Node) -> Option<Mount> {
        let at = format!("app[{number}]");
        let draft = self.item(MountDraft::default(), APP_KEYS, (&at, &[]), item)?;
        self.finished(draft.finish(), &at)
    }

    fn route(&mut self, number: usize, item: &Node) -> Option<Route> {
        let at = format!("route[{number}]");
        let blank = Route {
            prefix: String::new(),
            methods: Vec::new(),
            body: None,
            timeout: None,
            queue: None,
            length_required: false,
        };
        let route = self.item(blank, ROUTE_KEYS, (&at, &[]), item)?;
        if route.prefix.is_empty() {
            self.problem(&item.origin, &at, "prefix is missing; write prefix = \"/\" for everything");
            return None;
        }
        Some(route)
    }

    /// Fills one element of a list; `None` when something in it was wrong, and has been said.
    fn item<T>(
        &mut self,
        mut blank: T,
        keys: &'static [Key<T>],
        (at, lists): (&str, &[&str]),
        node: &Node,
    ) -> Option<T> {
        let entries = self.table(node, at)?;
        self.origins.set(at, node.origin.clone());
        let before = self.problems.len();
        self.fill(&mut blank, keys, Place { at, below: "", lists }, entries);
        (self.problems.len() == before).then_some(blank)
    }

    fn finished<T>(&mut self, result: Result<T, (&'static str, String)>, at: &str) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err((key, message)) => {
                let path = join(at, key);
                let origin = self.origins.of(&path).clone();
                self.problem(&origin, &path, message);
                None
            }
        }
    }

    /// Sets the keys of one struct; `place.below` is where in the key paths the entries stand.
    fn fill<T>(&mut self, target: &mut T, keys: &'static [Key<T>], place: Place<'_>, entries: &[Entry]) {
        for Entry { name, node } in entries {
            let key_path = join(place.below, name);
            let path = join(place.at, &key_path);
            if let Some(key) = find_key(keys, &key_path) {
                match (key.set)(target, &node.value) {
                    Ok(()) => self.origins.set(path, node.origin.clone()),
                    Err(message) => self.problem(&node.origin, &path, message),
                }
            } else if place.below.is_empty() && place.lists.contains(&name.as_str()) {
                // Its caller reads it.
            } else if keys.iter().any(|key| inside(key.path, &key_path)) {
                self.section(target, keys, Place { below: &key_path, ..place }, node);
            } else {
                self.unknown(keys, &place, &path, node);
            }
        }
    }

    fn section<T>(&mut self, target: &mut T, keys: &'static [Key<T>], place: Place<'_>, node: &Node) {
        let path = join(place.at, place.below);
        let Value::Table(entries) = &node.value else {
            let message = match suggest::foreign(&path) {
                Some(advice) => format!("expected a section, found {}; {advice}", node.value),
                None => {
                    format!("expected a section, found {}; write [{path}] and its keys below", node.value)
                }
            };
            return self.problem(&node.origin, &path, message);
        };
        self.fill(target, keys, place, entries);
    }

    fn unknown<T>(&mut self, keys: &[Key<T>], place: &Place<'_>, path: &str, node: &Node) {
        let prefix = suggest::without_indices(place.at);
        let lists = place.lists.iter().map(|list| join(&prefix, list));
        let known: Vec<String> = keys.iter().map(|key| join(&prefix, key.path)).chain(lists).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        self.problem(&node.origin, path, suggest::unknown_key(path, &known));
    }

    fn table<'n>(&mut self, node: &'n Node, path: &str) -> Option<&'n [Entry]> {
        if let Value::Table(entries) = &node.value {
            return Some(entries);
        }
        self.problem(&node.origin, path, format!("expected a table, found {}", node.value));
        None
    }

    fn list<'n>(&mut self, entries: &'n [Entry], at: &str, name: &str) -> Option<&'n [Node]> {
        let node = find(entries, name)?;
        let path = join(at, name);
        if let Value::List(items) = &node.value {
            return Some(items);
        }
        let table = suggest::without_indices(&path);
        self.problem(
            &node.origin,
            &path,
            format!("expected a list, found {}; write [[{table}]]", node.value),
        );
        None
    }
}

/// Where entries stand.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    /// The path of the struct that is filled.
    at: &'a str,
    /// The path below it.
    below: &'a str,
    /// Entries that are no keys of the struct but lists read elsewhere.
    lists: &'a [&'a str],
}

fn find<'n>(entries: &'n [Entry], name: &str) -> Option<&'n Node> {
    entries.iter().find(|entry| entry.name == name).map(|entry| &entry.node)
}

fn find_key<T>(keys: &'static [Key<T>], path: &str) -> Option<&'static Key<T>> {
    keys.iter().find(|key| key.path == path)
}

fn inside(path: &str, section: &str) -> bool {
    path.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

/// Joins two parts of a path, either of which may be empty.
pub(super) fn join(parent: &str, name: &str) -> String {
    match (parent, name) {
        ("", path) | (path, "") => path.into(),
        (parent, name) => format!("{parent}.{name}"),
    }
}
