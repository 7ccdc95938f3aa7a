//! The keys of `[[app]]` and `[[route]]`.

use super::keys;
use crate::config::suggest::nearest;
use crate::config::{AppTarget, Coding, FileRules, HostPattern, Interface, Mount, RequestContent, Route};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// An `[[app]]` as it is written.
#[derive(Debug, Clone)]
pub(in crate::config) struct MountDraft {
    pub(in crate::config) hosts: Vec<HostPattern>,
    pub(in crate::config) mount: String,
    pub(in crate::config) target: Option<String>,
    pub(in crate::config) r#static: Option<PathBuf>,
    pub(in crate::config) env_file: Option<PathBuf>,
    pub(in crate::config) env: BTreeMap<String, String>,
    pub(in crate::config) files: FileRules,
    pub(in crate::config) interface: Interface,
    pub(in crate::config) request_content: RequestContent,
}

impl Default for MountDraft {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            mount: "/".into(),
            target: None,
            r#static: None,
            env_file: None,
            env: BTreeMap::new(),
            files: FileRules::default(),
            interface: Interface::default(),
            request_content: RequestContent::default(),
        }
    }
}

impl Default for FileRules {
    fn default() -> Self {
        Self {
            precompressed: vec![Coding::Brotli, Coding::Zstd, Coding::Gzip],
            index: None,
            listing: false,
            max_age: None,
            immutable: Vec::new(),
        }
    }
}

impl From<&Mount> for MountDraft {
    fn from(mount: &Mount) -> Self {
        let (target, directory) = match &mount.target {
            AppTarget::Native(name) => (Some(format!("native:{name}")), None),
            AppTarget::Python(target) => (Some(target.clone()), None),
            AppTarget::Static(directory) => (None, Some(directory.clone())),
        };
        Self {
            hosts: mount.hosts.clone(),
            mount: mount.mount.clone(),
            target,
            r#static: directory,
            env_file: mount.env_file.clone(),
            env: mount.env.clone(),
            files: mount.files.clone(),
            interface: mount.interface,
            request_content: mount.request_content,
        }
    }
}

impl MountDraft {
    /// The app, or the key that is wrong and why.
    pub(in crate::config) fn finish(self) -> Result<Mount, (&'static str, String)> {
        let mount = mount_prefix(&self.mount).map_err(|problem| ("mount", problem))?;
        if let (Some(_), None, Some(key)) = (&self.target, &self.r#static, changed_rule(&self.files)) {
            return Err((key, "is for an app with static = \"DIR\"; remove it here".into()));
        }
        if let Some(index) = self.files.index.as_deref().filter(|index| !is_segment(index)) {
            return Err(("index", format!("{index:?} is no name of a file; write \"index.html\"")));
        }
        let target = match (self.target, self.r#static) {
            (Some(target), None) => app_target(&target).map_err(|problem| ("target", problem))?,
            (None, Some(directory)) => AppTarget::Static(directory),
            (Some(_), Some(_)) => return Err(("static", "an app has target or static, not both".into())),
            (None, None) => {
                return Err((
                    "target",
                    "missing; write target = \"module:callable\" or static = \"DIR\"".into(),
                ));
            }
        };
        if let Some(name) = self.env.keys().find(|name| name.is_empty() || name.contains('=')) {
            return Err(("env", format!("{name:?} is no name of a variable")));
        }
        let is_python = matches!(target, AppTarget::Python(_));
        if self.request_content == RequestContent::Stream && (!is_python || self.interface == Interface::Wsgi)
        {
            return Err(("request_content", "\"stream\" is for ASGI apps; remove it here".into()));
        }
        let Self { hosts, env_file, env, files, interface, request_content, .. } = self;
        Ok(Mount { hosts, mount, target, env_file, env, files, interface, request_content })
    }
}

/// A key of the rules that says something else than the default.
fn changed_rule(files: &FileRules) -> Option<&'static str> {
    let default = FileRules::default();
    [
        ("precompressed", files.precompressed != default.precompressed),
        ("index", files.index != default.index),
        ("listing", files.listing != default.listing),
        ("max_age", files.max_age != default.max_age),
        ("immutable", files.immutable != default.immutable),
    ]
    .into_iter()
    .find_map(|(key, differs)| differs.then_some(key))
}

/// Whether a text names something in a directory, and not another directory.
fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.contains('/') && text != "." && text != ".."
}

keys! {
    /// `[[app]]`
    APP_KEYS: MountDraft;
    "mount".mount, Reload, "URL prefix the app answers, on path segment boundaries; the longest one wins.";
    "hosts".hosts, Reload,
        "Hosts the app is for: \"a.example\", or \"*.a.example\" for every host below it, without ports; empty = all. \
         An exact host wins over one with a star, that over none, and only then the longest mount.";
    "target".target, Reload,
        "What is mounted: \"module:callable\", \"module:factory()\" or a bare \"module\" (Python), \
         \"native:hello\", \"native:echo\", \"native:status\" (or these names alone).";
    "interface".interface, Reload,
        "What a Python app speaks: \"wsgi\", \"asgi\" (version 3 or 2), or auto: told by what it looks like.";
    "request_content".request_content, Reload,
        "When an ASGI app is entered for a request with content. complete: once all of it is there, however slow the client. \
         stream: at once; receive() gives the content while it arrives, and nothing more is read while 64 KiB wait for the app. \
         timeouts.body then limits each wait for the client while the app is in the request.";
    "static".r#static, Reload,
        "A directory of files to mount, instead of target. Symbolic links are followed as long as they stay in it.";
    "precompressed".files.precompressed, Reload,
        "Codings of which a finished file may lie beside a static file (x.css.br, x.css.zst, x.css.gz); of those that \
         the client likes equally the first. One older than the original is not used. Empty: none is looked for.";
    "index".files.index, Reload,
        "The file of a static directory that answers for the directory itself: \"index.html\". Empty: none.";
    "listing".files.listing, Reload,
        "Whether a static directory without an index is answered with a list of its files, except dot files.";
    "max_age".files.max_age, Reload,
        "How long clients may use a static file without asking again (Cache-Control). 0s: they always ask. Empty: not said.";
    "immutable".files.immutable, Reload,
        "Static files that never change under their names, so that clients may keep them for a year: \"assets/*\", \
         \"**.{hash}.js\". * stands for anything up to the next slash, ** for anything, {hash} for eight or more hexadecimal \
         digits, letters and numerals among them. What Django's staticfiles.json in the directory lists needs no pattern.";
    "env_file".env_file, Reload,
        "File of NAME=value lines given to the app's environment, read anew for each generation. Never printed.";
    "env".env, Reload, "Variables given to the app's environment; they win over env_file.";
}

keys! {
    /// `[[route]]`
    ROUTE_KEYS: Route;
    "prefix".prefix, Reload, "Path prefix, on path segment boundaries.";
    "methods".methods, Reload, "Methods it holds for; empty = all.";
    "body".body, Reload, "Replaces limits.body.";
    "timeout".timeout, Reload, "Replaces timeouts.request.";
    "queue".queue, Reload, "Replaces timeouts.queue.";
    "length_required".length_required, Reload,
        "Requests with content must say its length beforehand, else they are answered 411.";
}

/// The native apps there are.
pub(in crate::config) const NATIVE_APPS: [&str; 3] = ["hello", "echo", "status"];

/// What `[[app]] target` or a positional APP names.
pub(in crate::config) fn app_target(text: &str) -> Result<AppTarget, String> {
    if let Some(name) = text.strip_prefix("native:") {
        if NATIVE_APPS.contains(&name) {
            return Ok(AppTarget::Native(name.into()));
        }
        let advice = nearest(name, NATIVE_APPS.into_iter()).unwrap_or("hello");
        return Err(format!(
            "there is no native app {name:?}; there are {}; did you mean \"native:{advice}\"?",
            NATIVE_APPS.join(", ")
        ));
    }
    if NATIVE_APPS.contains(&text) {
        return Ok(AppTarget::Native(text.into()));
    }
    let (module, callable) = text.split_once(':').unwrap_or((text, "application"));
    // What a factory is called with is read where it is called.
    let callable =
        callable.strip_suffix(')').and_then(|call| call.split_once('(')).map_or(callable, |(name, _)| name);
    if module_name(module) && dotted_name(callable) {
        return Ok(AppTarget::Python(text.into()));
    }
    if module.ends_with(".py") || module.contains('/') {
        let path = module.trim_start_matches("./").trim_end_matches('/');
        let meant = path.strip_suffix(".py").unwrap_or(path).replace('/', ".");
        let meant = if module_name(&meant) { meant } else { "package.module".into() };
        let callable = text.split_once(':').map_or_else(String::new, |(_, callable)| format!(":{callable}"));
        return Err(format!("{text:?} is a file; name the module: \"{meant}{callable}\""));
    }
    Err(format!("{text:?} is no app; write \"module:callable\", \"module:factory()\" or \"native:hello\""))
}

/// As [`dotted_name`]; and a file may have a name that no `import` statement can write, and be imported all the same.
fn module_name(text: &str) -> bool {
    dotted_name(&text.replace('-', "_"))
}

/// Python identifiers (which may be of any script) joined by dots.
fn dotted_name(text: &str) -> bool {
    let letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    let identifier =
        |name: &str| name.chars().all(letter) && !name.starts_with(|first: char| first.is_numeric());
    text.split('.').all(|name| !name.is_empty() && identifier(name))
        // `wsgi.py` would be the module `py` in the package `wsgi`: hardly ever what was meant.
        && !text.ends_with(".py")
}

/// A mount prefix without its trailing slash: "/static/" and "/static" are the same place.
pub(crate) fn mount_prefix(text: &str) -> Result<String, String> {
    let trimmed = text.strip_suffix('/').unwrap_or(text);
    if !text.starts_with('/') {
        return Err(format!("{text:?} does not begin with a slash; write \"/{text}\""));
    }
    if trimmed.contains("//") || trimmed.ends_with('/') || text.contains(['?', '#']) {
        return Err(format!("{text:?} is no path prefix; write segments with single slashes: \"/files\""));
    }
    if trimmed.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(format!("{text:?} has a segment \".\" or \"..\", which no request has"));
    }
    Ok(if trimmed.is_empty() { "/".into() } else { trimmed.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart() {
        let python = |text: &str| Ok(AppTarget::Python(text.into()));
        let native = |text: &str| Ok(AppTarget::Native(text.into()));
        for (text, expected) in [
            ("mysite.wsgi:application", python("mysite.wsgi:application")),
            ("app:create()", python("app:create()")),
            ("app:factory.make()", python("app:factory.make()")),
            ("app:make('a:b', debug=True)", python("app:make('a:b', debug=True)")),
            ("mysite", python("mysite")),
            ("my-site.wsgi:app", python("my-site.wsgi:app")),
            ("native:echo", native("echo")),
            ("status", native("status")),
        ] {
            assert_eq!(app_target(text), expected, "{text}");
        }
        for text in [
            "",
            "native:helo",
            "a b",
            "app:",
            ":app",
            "wsgi.py",
            "./wsgi.py:app",
            "1a:app",
            "a..b",
            "a:b:c",
            "a:b(",
            "a:b)",
            "a:(b)",
        ] {
            assert!(app_target(text).is_err(), "{text}");
        }
        for (text, meant) in [
            ("mysite/wsgi.py", "\"mysite.wsgi\""),
            ("./wsgi.py:make()", "\"wsgi:make()\""),
            ("/srv/wsgi.py", "\"package.module\""),
        ] {
            assert!(app_target(text).unwrap_err().ends_with(meant), "{text}");
        }
        assert!(app_target("native:helo").unwrap_err().contains("did you mean \"native:hello\"?"));
    }

    #[test]
    fn mounts_are_kept_in_one_spelling() {
        for (text, expected) in [("/", "/"), ("/static/", "/static"), ("/a/b", "/a/b")] {
            assert_eq!(mount_prefix(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "static", "//", "/a//b", "/a?b", "/a/../b"] {
            assert!(mount_prefix(text).is_err(), "{text}");
        }
    }
}
