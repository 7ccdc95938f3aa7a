//! The apps of a configuration, made in this worker.

use super::BootFailure;
use crate::app::calls::CallQueue;
use crate::app::static_files::StaticFiles;
use crate::app::{App, Status, native};
use crate::config::{AppTarget, Config, Mount};
use crate::contract::exit::ExitReason;
use crate::router::Router;
use std::sync::Arc;

/// Loads every app.
pub(super) fn apps(
    config: &Config,
    workers: u16,
    calls: &Arc<CallQueue>,
    status: &Status,
) -> Result<Router, BootFailure> {
    let mut apps = Vec::with_capacity(config.apps.len());
    for mount in &config.apps {
        let app = match &mount.target {
            AppTarget::Native(name) => native(name, status).ok_or_else(|| {
                failed(format!("there is no native app {name:?}; there are hello, echo and status"))
            })?,
            AppTarget::Static(directory) => Arc::new(
                StaticFiles::new(directory, &mount.mount).map_err(|error| failed(error.to_string()))?,
            ),
            AppTarget::Python(target) => python(target, config, workers, calls)?,
        };
        apps.push((mount.mount.clone(), app));
    }
    Ok(Router::new(apps))
}

/// Whether any app blocks the thread that calls it.
pub(super) fn has_blocking_app(config: &Config) -> bool {
    config.apps.iter().any(|mount| matches!(mount.target, AppTarget::Python(_)))
}

/// The variables of an app: those of its file, then its own.
pub(super) fn environment(mount: &Mount) -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    if let Some(path) = &mount.env_file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read env_file {}: {error}", path.display()))?;
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(variable) =
                parse_env_line(line).map_err(|reason| format!("{}:{number}: {reason}", path.display()))?
            {
                variables.push(variable);
            }
        }
    }
    variables.extend(mount.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(variables)
}

/// `NAME=value`, with the whole value in single or double quotes or in none; "#" begins a comment line.
fn parse_env_line(line: &str) -> Result<Option<(String, String)>, &'static str> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, value) = line.split_once('=').ok_or("a line is NAME=value")?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '\0') {
        return Err("a name is one word");
    }
    let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    Ok(Some((name.to_owned(), quoted.unwrap_or(value).to_owned())))
}

fn failed(text: String) -> BootFailure {
    BootFailure { reason: ExitReason::AppLoadFailed, text }
}

#[cfg(feature = "python")]
fn python(
    target: &str,
    config: &Config,
    workers: u16,
    calls: &Arc<CallQueue>,
) -> Result<Arc<dyn App>, BootFailure> {
    let options =
        crate::app::python::Options { path: &config.python.path, threads: config.workers.threads, workers };
    let app = crate::app::python::load(target, &options, Arc::clone(calls)).map_err(failed)?;
    Ok(app)
}

#[cfg(not(feature = "python"))]
fn python(target: &str, _: &Config, _: u16, _: &Arc<CallQueue>) -> Result<Arc<dyn App>, BootFailure> {
    Err(failed(format!("{target} is a Python app, and this program has no Python: pip install ferricorn")))
}

#[cfg(test)]
mod tests {
    use super::parse_env_line;

    #[test]
    fn env_lines_are_read_as_shells_write_them() {
        let pair = |name: &str, value: &str| Ok(Some((name.to_owned(), value.to_owned())));
        assert_eq!(parse_env_line("A=b"), pair("A", "b"));
        assert_eq!(parse_env_line("export A = \"b c\" "), pair("A", "b c"));
        assert_eq!(parse_env_line("A='b=#c'"), pair("A", "b=#c"));
        assert_eq!(parse_env_line("A="), pair("A", ""));
        assert_eq!(parse_env_line("# A=b"), Ok(None));
        assert_eq!(parse_env_line(""), Ok(None));
        assert!(parse_env_line("A").is_err());
        assert!(parse_env_line("A B=c").is_err());
    }
}
