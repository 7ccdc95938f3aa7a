//! The command line that the unit starts, from the one that printed it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The program as an absolute path, links kept: inside a virtual environment the link is what makes it that environment's.
pub(super) fn program(first: &OsString) -> io::Result<PathBuf> {
    let path = Path::new(first);
    if path.file_name().is_some_and(|name| name == "__main__.py") {
        // `python -m ferricorn`: the interpreter is the first word of the process's own command line.
        let words = std::fs::read("/proc/self/cmdline")?;
        let word = words.split(|byte| *byte == 0).next().unwrap_or_default();
        let python = located(Path::new(&*String::from_utf8_lossy(word)))?;
        return Ok(python.with_file_name("ferricorn"));
    }
    located(path)
}

/// `serve` with everything that this command line says about serving.
pub(super) fn serve(words: &[OsString], config: Option<&Path>) -> io::Result<Vec<String>> {
    let mut command = vec!["serve".to_owned()];
    let mut rest = words.iter().skip(2).map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = rest.next() {
        let own = OPTIONS.iter().find_map(|(option, takes)| Some((*takes, is_option(&word, option)?)));
        match own {
            // Its value is the next word.
            Some((Takes::Value, Spelling::Alone)) => drop(rest.next()),
            Some((Takes::Nothing | Takes::Value, _)) => {}
            None => command.push(word),
        }
    }
    if let Some(config) = config {
        command.extend(["--config".to_owned(), std::path::absolute(config)?.to_string_lossy().into_owned()]);
    }
    Ok(command)
}

/// An absolute path; a bare name is looked for where the shell did.
fn located(path: &Path) -> io::Result<PathBuf> {
    if path.components().count() > 1 {
        return std::path::absolute(path);
    }
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&directories).map(|directory| directory.join(path)).find(|file| file.is_file());
    found.map_or_else(std::env::current_exe, std::path::absolute)
}

/// How an option stands in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// `--name`, `-u`
    Alone,
    /// `--name=value`, `-uvalue`
    WithValue,
}

/// Whether an option has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
}

fn is_option(word: &str, option: &str) -> Option<Spelling> {
    let rest = word.strip_prefix(option)?;
    let is_short = !option.starts_with("--");
    match rest.as_bytes().first() {
        None => Some(Spelling::Alone),
        Some(b'=') => Some(Spelling::WithValue),
        Some(_) if is_short => Some(Spelling::WithValue),
        Some(_) => None,
    }
}

/// What is said by the unit itself, or, for the configuration file, added with its absolute path.
const OPTIONS: [(&str, Takes); 11] = [
    ("--name", Takes::Value),
    ("--socket", Takes::Nothing),
    ("--writable", Takes::Value),
    ("--dynamic-user", Takes::Nothing),
    ("--output", Takes::Value),
    ("--user", Takes::Value),
    ("-u", Takes::Value),
    ("--group", Takes::Value),
    ("-g", Takes::Value),
    ("--config", Takes::Value),
    ("-c", Takes::Value),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn served(line: &str, config: Option<&str>) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        serve(&words, config.map(Path::new)).unwrap().join(" ")
    }

    #[test]
    fn what_the_unit_says_itself_is_not_said_again() {
        for (line, config, expected) in [
            ("f systemd site.wsgi -w 4", None, "serve site.wsgi -w 4"),
            ("f systemd -c a.toml site.wsgi", Some("/srv/a.toml"), "serve site.wsgi --config /srv/a.toml"),
            ("f systemd --config=a.toml -b :80", Some("/srv/a.toml"), "serve -b :80 --config /srv/a.toml"),
            ("f systemd --socket --name web --writable=/x -u www-data -gwww m:app", None, "serve m:app"),
            ("f systemd --user=a --group b --dynamic-user --output /x", None, "serve"),
            (
                "f systemd --unix-mode 0660 --graceful-timeout 5",
                None,
                "serve --unix-mode 0660 --graceful-timeout 5",
            ),
        ] {
            assert_eq!(served(line, config), expected, "{line}");
        }
    }

    #[test]
    fn the_program_is_found_as_the_shell_found_it() {
        assert_eq!(
            program(&"/srv/.venv/bin/ferricorn".into()).unwrap(),
            Path::new("/srv/.venv/bin/ferricorn")
        );
        let here = std::env::current_dir().unwrap();
        assert_eq!(program(&".venv/bin/ferricorn".into()).unwrap(), here.join(".venv/bin/ferricorn"));
        assert!(program(&"sh".into()).unwrap().ends_with("bin/sh"));
    }
}
