//! Asks a Django project what it writes to, in a process of its own: the app's code never runs in this one.

use super::account::Account;
use crate::config::{AppTarget, Config, Mount};
use crate::sys::{poll, privileges};
use serde::Deserialize;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a project has answered.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Answer {
    /// What it is, and the directory it is written to.
    #[serde(default)]
    pub(super) writes: Vec<(String, PathBuf)>,
    /// Why it could not answer.
    #[serde(default)]
    pub(super) error: Option<String>,
}

/// Asks the app of a mount, which has to be a Python one.
pub(super) fn ask(mount: &Mount, config: &Config, place: &Place<'_>) -> Answer {
    try_ask(mount, config, place)
        .unwrap_or_else(|error| Answer { writes: Vec::new(), error: Some(error.to_string()) })
}

/// Where and as whom the app is asked.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// Its interpreter.
    pub(super) python: &'a Path,
    /// Its working directory.
    pub(super) directory: &'a Path,
    /// Its user in the unit.
    pub(super) account: &'a Account,
}

fn try_ask(mount: &Mount, config: &Config, place: &Place<'_>) -> io::Result<Answer> {
    let AppTarget::Python(target) = &mount.target else { return Ok(Answer::default()) };
    let module = target.split(':').next().unwrap_or(target);
    let variables =
        mount.environment(place.directory).map_err(|error| io::Error::other(error.to_string()))?;
    let mut command = Command::new(place.python);
    command.args(["-c", QUESTION, module]).args(&config.python.path);
    command.envs(variables).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(place.directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let (Account::Named { user, .. }, 0) = (place.account, own_user()?) {
        // Root should not run what belongs to others; and what this user cannot read, the service could not either.
        let (uid, gid) = privileges::user_and_group(user)?;
        command.uid(uid).gid(gid);
    }
    let denied = |error: io::Error| {
        let user = match place.account {
            Account::Named { user, .. } => format!(" as {user}"),
            Account::Dynamic => String::new(),
        };
        io::Error::new(error.kind(), format!("{} cannot be run{user}: {error}", place.python.display()))
    };
    let mut child = command.spawn().map_err(denied)?;
    let answer = read_answer(&mut child);
    // It has answered, or will not any more.
    let _ = child.kill();
    child.wait()?;
    answer
}

fn read_answer(child: &mut Child) -> io::Result<Answer> {
    let Some(mut output) = child.stdout.take() else { return Ok(Answer::default()) };
    let (deadline, mut text) = (Instant::now() + PATIENCE, Vec::new());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::other(format!("no answer within {} s", PATIENCE.as_secs())));
        }
        if poll::wait_readable(&[output.as_fd()], Some(left))?.is_empty() {
            continue;
        }
        let mut buffer = [0; 4096];
        match output.read(&mut buffer)? {
            0 if text.is_empty() => return Err(io::Error::other("it ended without an answer")),
            0 => return serde_json::from_slice(&text).map_err(io::Error::other),
            length if text.len() + length <= LONGEST => text.extend(buffer.iter().take(length)),
            _ => return Err(io::Error::other("an answer without an end")),
        }
    }
}

fn own_user() -> io::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata("/proc/self")?.uid())
}

/// Imports the app's module, as a worker would, and looks at the settings that this has configured.
const QUESTION: &str = include_str!("question.py");

/// A project that imports a lot of machine learning needs several seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Far more than any list of directories.
const LONGEST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;
    use crate::config::{Sources, load};

    /// What a module of this text answers; `None` where there is no Python to run it.
    fn answer(text: &str) -> Option<Answer> {
        let python = ["/usr/bin/python3", "/usr/local/bin/python3"]
            .map(Path::new)
            .into_iter()
            .find(|path| path.exists());
        let Some(python) = python else {
            println!("skipped: no python3 on this machine");
            return None;
        };
        let name = format!("ferricorn-project-{}-{}", std::process::id(), text.len());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(directory.join("django")).unwrap();
        std::fs::write(directory.join("site_app.py"), text).unwrap();
        // As much of Django as is asked for.
        std::fs::write(directory.join("django/__init__.py"), "").unwrap();
        std::fs::write(directory.join("django/conf.py"), "class S:\n    configured = True\nsettings = S()\n")
            .unwrap();
        let flags = Flags { app: Some("site_app:app".into()), ..Flags::default() };
        let config = load(&Sources { flags, ..Sources::default() }).unwrap().config;
        let place = Place { python, directory: &directory, account: &Account::Dynamic };
        let answer = ask(&config.apps[0], &config, &place);
        std::fs::remove_dir_all(&directory).unwrap();
        Some(answer)
    }

    #[test]
    fn a_project_says_where_it_writes() {
        let text = "print('noise')\nfrom django.conf import settings as s\n\
            s.DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': '/srv/data/db.sqlite3'},\n\
            'memory': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'},\n\
            'server': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'site'}}\n\
            s.MEDIA_ROOT = 'media'\ns.STATIC_ROOT = '/srv/static'\n\
            s.LOGGING = {'handlers': {'file': {'filename': '/srv/log/site.log'}, 'stderr': {}}}\n";
        let Some(answer) = answer(text) else { return };
        assert_eq!(answer.error, None);
        let writes: Vec<_> =
            answer.writes.iter().map(|(what, path)| format!("{what} {}", path.display())).collect();
        assert_eq!(writes[0], "DATABASES['default'] /srv/data");
        assert!(writes[1].starts_with("MEDIA_ROOT /") && writes[1].ends_with("/media"), "{writes:?}");
        assert_eq!(writes[2..], ["LOGGING handler 'file' /srv/log"]);
    }

    #[test]
    fn what_is_not_django_or_broken_says_so() {
        let Some(plain) = answer("app = 1\n") else { return };
        assert_eq!(plain, Answer { writes: vec![], error: Some("it is no Django project".into()) });
        let broken = answer("raise ValueError('on purpose')\n").unwrap();
        assert_eq!(broken.error.as_deref(), Some("ValueError: on purpose"));
        let silent = answer("import os\nos._exit(0)\n").unwrap();
        assert_eq!(silent.error.as_deref(), Some("it ended without an answer"));
    }
}
