//! `ferricorn check`: all errors at once, or one line that says what would be served. `serve --check-config` loads
//! the apps, too.

#[cfg(feature = "issue")]
use crate::auth::issue::preview;
use crate::config::{Auth, Config, Flags, Loaded};
use crate::middleware::bearer::Authenticator;
#[cfg(feature = "issue")]
use std::path::Path;
use std::process::ExitCode;

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// What is written.
    Configuration,
    /// Whether the apps load, too.
    Apps,
}

pub(super) fn run(flags: Flags, depth: Depth) -> ExitCode {
    let loaded = match super::load(flags) {
        Ok((loaded, _)) => loaded,
        Err(code) => return code,
    };
    // Key files are named relative to the directory that a worker works in.
    if let Err(problem) = super::enter(&loaded.config) {
        super::complain(&problem);
        return ExitCode::from(super::USAGE);
    }
    let problems = loaded.config.auth.as_ref().map(problems_of_tokens).unwrap_or_default();
    if !problems.is_empty() {
        super::complain(&problems.join("\n"));
        return ExitCode::from(super::USAGE);
    }
    // First: an app may fail for the same reason, and say less.
    for warning in loaded.config.auth.as_ref().map(warnings_of_tokens).unwrap_or_default() {
        super::complain(&format!("warning: {warning}"));
    }
    if depth == Depth::Apps
        && let Err(error) = crate::serve::try_apps(&loaded.config)
    {
        super::complain(&error.to_string());
        return ExitCode::from(error.exit_code());
    }
    super::print(&report(&loaded))
}

/// What is wrong with what the sections of tokens name.
fn problems_of_tokens(auth: &Auth) -> Vec<String> {
    let keys = key_problems(auth);
    #[cfg(feature = "issue")]
    let keys = [keys, preview::problems(auth, Path::new("."))].concat();
    keys
}

/// What they name and is not here.
#[cfg(feature = "issue")]
fn warnings_of_tokens(auth: &Auth) -> Vec<String> {
    preview::warnings(auth, Path::new("."))
}

#[cfg(not(feature = "issue"))]
fn warnings_of_tokens(_: &Auth) -> Vec<String> {
    Vec::new()
}

/// What is wrong with the keys themselves, which only their reader can tell.
fn key_problems(auth: &Auth) -> Vec<String> {
    if !auth.enabled {
        return Vec::new();
    }
    match Authenticator::new(auth) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

fn report(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let file = loaded.file.as_ref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    let addresses: Vec<String> = config.server.bind.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "configuration is valid: {file}, {} worker(s), {} app(s), {}\n",
        config.workers.count,
        config.apps.len(),
        addresses.join(", ")
    );
    text.push_str(&stripped(config));
    text
}

fn stripped(config: &Config) -> String {
    let Some(auth) = config.auth.as_ref().filter(|auth| auth.enabled) else { return String::new() };
    let field = |(name, claim): (&str, Option<&str>)| match claim {
        Some(claim) => format!("{name} (set from the claim {claim})"),
        None => name.to_owned(),
    };
    let fields: Vec<String> = auth.stripped_fields().into_iter().map(field).collect();
    let fields = if fields.is_empty() { "none".into() } else { fields.join(", ") };
    format!("request fields removed before an app sees them: {fields}\n")
}
