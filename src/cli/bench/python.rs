//! The interpreter that hosts this program, and what a child of it knows about an app.

use serde::Deserialize;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What is known about a WSGI app, and what it can be compared with.
#[derive(Debug, Deserialize)]
pub(super) struct Facts {
    /// Version of Python.
    pub(super) python: String,
    /// The app, its callable spelt out.
    pub(super) app: String,
    /// How Django's server would serve this app; `None` where it would not.
    pub(super) django: Option<Django>,
    /// Gunicorn, where it is installed.
    pub(super) gunicorn: Option<Gunicorn>,
}

/// How Django's server would serve an app.
#[derive(Debug, Deserialize)]
pub(super) struct Django {
    /// Version of Django.
    pub(super) version: String,
    /// The settings module.
    pub(super) settings: String,
    /// The project's DEBUG.
    pub(super) debug: bool,
    /// What follows the interpreter and precedes `runserver`.
    pub(super) command: Vec<String>,
}

/// An installed Gunicorn.
#[derive(Debug, Deserialize)]
pub(super) struct Gunicorn {
    /// Its version.
    pub(super) version: String,
    /// Flags for a run beside others.
    pub(super) flags: Vec<String>,
}

impl Facts {
    /// Reads the line that holds [`FACTS`].
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let json = line.split_once(FACTS).map_or("", |(_, json)| json);
        serde_json::from_str(json).map_err(|error| format!("what Python says of the app: {error}"))
    }
}

/// Marks the line of facts among whatever an app prints while it is imported.
pub(super) const FACTS: &str = "ferricorn-bench-facts ";

/// The command that runs the Python half of this module.
pub(super) fn script(python: &OsStr, arguments: &[&str]) -> Vec<OsString> {
    let own = [python.to_owned(), "-c".into(), include_str!("python_side.py").into()];
    own.into_iter().chain(arguments.iter().map(OsString::from)).collect()
}

/// What runs this very program again.
pub(super) fn own_program() -> Result<Vec<OsString>, String> {
    if cfg!(feature = "python") {
        return Ok(vec![interpreter()?, "-m".into(), "ferricorn".into()]);
    }
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    Ok(vec![program.into()])
}

/// The interpreter that this process was started as, by a path that still leads through its virtual environment.
///
/// /proc/self/exe would not do: it has the symbolic links of virtual environments resolved.
pub(super) fn interpreter() -> Result<OsString, String> {
    let line = fs::read("/proc/self/cmdline").map_err(|error| format!("/proc/self/cmdline: {error}"))?;
    let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = PathBuf::from(OsString::from_vec(first.to_vec()));
    let found = if name.as_os_str().as_bytes().contains(&b'/') { Some(name) } else { on_path(&name) };
    let path = found.ok_or("the interpreter of this process is not on PATH")?;
    // Servers work in directories of their own.
    std::path::absolute(path).map(Into::into).map_err(|error| format!("the current directory: {error}"))
}

/// As execvp(3) looks for programs.
fn on_path(name: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let is_program = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(is_program)
}

/// PYTHONPATH with these directories first; `None` when there are none.
pub(super) fn search_path(directories: &[PathBuf]) -> Option<OsString> {
    if directories.is_empty() {
        return None;
    }
    let inherited = std::env::var_os("PYTHONPATH").unwrap_or_default();
    let inherited = std::env::split_paths(&inherited).filter(|directory| !directory.as_os_str().is_empty());
    std::env::join_paths(directories.iter().cloned().chain(inherited)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_found_behind_whatever_an_app_prints() {
        let line = r#"importing...ferricorn-bench-facts {"python": "3.11.7", "app": "m:app", "django": null,
            "gunicorn": {"version": "27.0.1", "flags": ["--no-control-socket"]}}"#;
        let facts = Facts::parse(line).unwrap();
        assert_eq!(
            (facts.app.as_str(), facts.python.as_str(), facts.django.is_none()),
            ("m:app", "3.11.7", true)
        );
        assert_eq!(facts.gunicorn.unwrap().flags, ["--no-control-socket"]);
        assert!(Facts::parse("Traceback").is_err());
    }

    #[test]
    fn programs_are_found_on_the_path() {
        let found = on_path(Path::new("sh")).unwrap();
        assert!(found.is_absolute() && found.ends_with("sh"), "{found:?}");
        assert_eq!(on_path(Path::new("no-such-program-anywhere")), None);
    }
}
