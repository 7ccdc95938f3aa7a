//! What is loaded: an app, served here, or a server that runs already.

use super::{Arguments, Failure, arguments};
use crate::config::{Loaded, Reloader};
use std::ffi::OsString;
use std::path::PathBuf;

/// What is loaded.
#[derive(Debug)]
pub(super) enum Subject {
    /// An app, served here.
    App(Box<AppToServe>),
    /// A server that runs already.
    Running {
        /// Where.
        server: Running,
        /// Path and query of its URL.
        path: Option<String>,
    },
}

/// An app, as this computer would serve it.
#[derive(Debug)]
pub(super) struct AppToServe {
    /// What the operator calls it: the target as given, or where it was found.
    pub(super) subject: String,
    /// Its configuration.
    pub(super) loaded: Loaded,
    /// The arguments with which `serve` finds the same configuration.
    pub(super) arguments: Vec<OsString>,
}

/// Where a server listens that runs already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Running {
    /// The authority of its URL.
    Tcp(String),
    /// The path of its socket.
    Unix(PathBuf),
}

impl Subject {
    /// Whether it takes an interpreter to serve it.
    pub(super) fn has_python_app(&self) -> bool {
        match self {
            Self::App(app) => app.loaded.config.has_python_app(),
            Self::Running { .. } => false,
        }
    }

    /// Path and query that it was named with.
    pub(super) fn path(&self) -> Option<&str> {
        match self {
            Self::App(_) => None,
            Self::Running { path, .. } => path.as_deref(),
        }
    }
}

/// What the command line names.
pub(super) fn subjects(arguments: &Arguments) -> Result<Vec<Subject>, Failure> {
    if arguments.targets.is_empty() {
        return Ok(vec![Subject::App(Box::new(app_to_serve(arguments, None)?))]);
    }
    let subject = |target: &String| {
        if let Some(path) = target.strip_prefix("unix:") {
            return unix(path).map_err(|text| Failure::usage(format!("{target}: {text}")));
        }
        match target.split_once("://") {
            Some(("http", rest)) => url(rest).map_err(|text| Failure::usage(format!("{target}: {text}"))),
            Some(_) => {
                Err(Failure::usage(format!("{target}: only http:// URLs and unix:PATH can be loaded")))
            }
            None => Ok(Subject::App(Box::new(app_to_serve(arguments, Some(target))?))),
        }
    };
    arguments.targets.iter().map(subject).collect()
}

fn unix(path: &str) -> Result<Subject, String> {
    if path.is_empty() {
        return Err("it is of the form unix:/path/of/the.sock; --path says what is asked for".into());
    }
    Ok(Subject::Running { server: Running::Unix(path.into()), path: None })
}

/// Takes what follows "http://" apart.
fn url(rest: &str) -> Result<Subject, String> {
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    // RFC 9110 4.2.4: names and passwords do not belong in URLs; they would end up in Host.
    if authority.is_empty() || authority.contains('@') {
        return Err("it is of the form http://HOST:PORT/PATH".into());
    }
    let path = Some(arguments::path(&path)?);
    Ok(Subject::Running { server: Running::Tcp(authority.to_owned()), path })
}

fn app_to_serve(arguments: &Arguments, target: Option<&str>) -> Result<AppToServe, Failure> {
    let loaded = loaded(arguments, target)?;
    let flags = arguments.flags(target);
    let named = [
        ("--config", flags.config.map(OsString::from)),
        ("--workers", flags.workers.map(OsString::from)),
        ("--threads", flags.threads.map(OsString::from)),
    ];
    let mut words: Vec<OsString> = target.iter().map(OsString::from).collect();
    for (flag, value) in named {
        words.extend(value.into_iter().flat_map(|value| [flag.into(), value]));
    }
    let subject = target.map_or_else(|| default_subject(&loaded), Into::into);
    Ok(AppToServe { subject, loaded, arguments: words })
}

fn default_subject(loaded: &Loaded) -> String {
    loaded.file.as_ref().map_or_else(|| "the demo app".into(), |file| file.display().to_string())
}

/// The configuration that `serve` would have.
///
/// # Errors
/// What is wrong with it.
pub(super) fn loaded(arguments: &Arguments, target: Option<&str>) -> Result<Loaded, Failure> {
    let mut reader = Reloader::new(arguments.flags(target))?;
    reader.load().map_err(|errors| Failure::usage(errors.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (rest, expected) in [
            ("127.0.0.1:8000", Some(("127.0.0.1:8000", "/"))),
            ("host/a?b=c", Some(("host", "/a?b=c"))),
            ("[::1]:80?x", Some(("[::1]:80", "/?x"))),
            ("host/a#b", Some(("host", "/a"))),
            ("", None),
            ("/path", None),
            ("user:password@host/", None),
            ("host/a b", None),
        ] {
            let found = url(rest).ok().map(|subject| match subject {
                Subject::Running { server, path } => (server, path),
                Subject::App(_) => unreachable!("a URL"),
            });
            let expected =
                expected.map(|(authority, path)| (Running::Tcp(authority.into()), Some(path.into())));
            assert_eq!(found, expected, "{rest}");
        }
    }
}
