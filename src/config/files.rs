//! What the configuration names in the file system, and the files of variables.

use super::errors::{ConfigErrors, Origin, Problem};
use super::load::{Loaded, base};
use super::{AppTarget, KeySource, LogTarget, Mount};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Looks at everything that must be there before a worker is started.
///
/// Lists of which something is already known to be wrong are not whole, and are left for the next look.
pub(super) fn problems(loaded: &Loaded, directory: &Path, known: &[Problem]) -> Vec<Problem> {
    let whole = |list: &str| !known.iter().any(|problem| problem.key.starts_with(list));
    let config = &loaded.config;
    let mut look = Look { loaded, base: base(config, directory), problems: Vec::new() };
    if let Some(chdir) = &config.server.chdir {
        look.directory("server.chdir", chdir);
    }
    for path in &config.python.path {
        look.directory("python.path", path);
    }
    look.parent("server.pid_file", config.server.pid_file.as_deref());
    for (key, target) in [("log.error", &config.log.error), ("log.access", &config.log.access)] {
        match target {
            LogTarget::File(path) => look.parent(key, Some(path)),
            LogTarget::Off | LogTarget::Stdout | LogTarget::Stderr => {}
        }
    }
    if whole("app") {
        look.apps();
    }
    if whole("auth") {
        look.keys();
    }
    look.problems
}

impl Mount {
    /// The variables of `env_file` as it is now, and over them those of `env`.
    ///
    /// `directory` is what a relative `env_file` is relative to.
    ///
    /// # Errors
    /// The file cannot be read, or has lines that are not of the form `NAME=value`.
    pub fn environment(&self, directory: &Path) -> Result<BTreeMap<String, String>, ConfigErrors> {
        let mut variables = BTreeMap::new();
        if let Some(path) = &self.env_file {
            let text = std::fs::read_to_string(directory.join(path)).map_err(|error| {
                let message = format!("{}: cannot be read: {error}", path.display());
                ConfigErrors::one(Problem::new(&Origin::Default, "env_file", message))
            })?;
            variables = variables_of(path, &text)?;
        }
        variables.extend(self.env.clone());
        Ok(variables)
    }
}

struct Look<'a> {
    loaded: &'a Loaded,
    base: &'a Path,
    problems: Vec<Problem>,
}

impl Look<'_> {
    fn apps(&mut self) {
        for (number, app) in self.loaded.config.apps.iter().enumerate() {
            if let AppTarget::Static(path) = &app.target {
                self.directory(&format!("app[{number}].static"), path);
            }
            for mut problem in
                app.environment(self.base).err().iter().flat_map(ConfigErrors::problems).cloned()
            {
                problem.key = format!("app[{number}].env_file");
                // The file's own problems have their lines in it.
                if problem.origin == Origin::Default {
                    problem.origin = self.loaded.origins.of(&problem.key).clone();
                }
                self.problems.push(problem);
            }
        }
    }

    fn keys(&mut self) {
        for (number, provider) in self.loaded.config.auth.iter().flat_map(|auth| &auth.providers).enumerate()
        {
            let at = format!("auth.provider[{number}]");
            self.readable(&format!("{at}.jwks_file"), provider.jwks_file.as_deref());
            for (number, key) in provider.keys.iter().enumerate() {
                self.key_source(&format!("{at}.key[{number}]"), &key.source);
            }
        }
    }

    fn directory(&mut self, key: &str, path: &Path) {
        match std::fs::metadata(self.base.join(path)) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => self.add(key, format!("{} is no directory; name one", path.display())),
            Err(error) => self.add(
                key,
                format!("the directory {} cannot be used: {error}; make it, or name another", path.display()),
            ),
        }
    }

    fn parent(&mut self, key: &str, path: Option<&Path>) {
        if let Some(parent) = path.and_then(Path::parent).filter(|parent| *parent != Path::new("")) {
            self.directory(key, parent);
        }
    }

    fn readable(&mut self, key: &str, path: Option<&Path>) {
        let Some(path) = path else { return };
        let file = File::open(self.base.join(path)).and_then(|file| file.metadata());
        match file {
            Ok(metadata) if metadata.is_dir() => {
                self.add(key, format!("{} is a directory; name a file in it", path.display()))
            }
            Ok(_) => {}
            Err(error) => self.add(key, format!("{} cannot be read: {error}", path.display())),
        }
    }

    fn key_source(&mut self, at: &str, source: &KeySource) {
        let (name, path): (&str, Option<&PathBuf>) = match source {
            KeySource::SecretFile(path) => ("secret_file", Some(path)),
            KeySource::SecretBase64File(path) => ("secret_base64_file", Some(path)),
            KeySource::PemFile(path) => ("pem_file", Some(path)),
            KeySource::JwkFile(path) => ("jwk_file", Some(path)),
            KeySource::Secret(_)
            | KeySource::SecretEnv(_)
            | KeySource::Pem(_)
            | KeySource::PemEnv(_)
            | KeySource::Jwk(_) => ("", None),
        };
        self.readable(&format!("{at}.{name}"), path.map(PathBuf::as_path));
    }

    fn add(&mut self, key: &str, message: String) {
        self.problems.push(Problem::new(self.loaded.origins.of(key), key, message));
    }
}

/// `NAME=value` lines: `#` begins a comment line, `export` may stand before, quotes around a value are removed.
///
/// Nothing is expanded: a file of secrets may hold any character.
fn variables_of(path: &Path, text: &str) -> Result<BTreeMap<String, String>, ConfigErrors> {
    let (mut variables, mut problems) = (BTreeMap::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        match line.split_once('=').map(|(name, value)| (name.trim_end(), unquoted(value.trim_start()))) {
            Some((name, value)) if is_name(name) && !value.contains('\0') => {
                variables.insert(name.to_owned(), value.to_owned());
            }
            _ => {
                let origin = Origin::File { path: path.into(), line: number + 1 };
                // The line is not shown: it may hold a secret.
                problems.push(Problem::new(&origin, "", "the line is not of the form NAME=value"));
            }
        }
    }
    ConfigErrors::check(problems)?;
    Ok(variables)
}

/// Any word: `a.b` is a name to the kernel and to container engines, if not to a shell.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace() || letter == '\0')
}

fn unquoted(value: &str) -> &str {
    let inside = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_they_stand() {
        let text =
            "# comment\n\nA=1\nexport B = two words \nC=\"quoted # $x\"\nD='it''s'\nE=\nF=\"\nG=a=b\r\n";
        let variables = variables_of(Path::new("x.env"), text).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "quoted # $x"),
            ("D", "it''s"),
            ("E", ""),
            ("F", "\""),
            ("G", "a=b"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables, BTreeMap::from(expected));
    }

    #[test]
    fn refused_lines_are_named_and_not_shown() {
        let errors = variables_of(Path::new("x.env"), "A=1\nsecret\n1 B=x\n=y\n").unwrap_err().to_string();
        assert_eq!(errors.lines().count(), 3, "{errors}");
        assert!(errors.starts_with("x.env:2: "), "{errors}");
        assert!(!errors.contains("secret"), "{errors}");
    }
}
