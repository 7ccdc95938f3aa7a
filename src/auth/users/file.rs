//! Users in a file of lines `NAME:HASH`, as `htpasswd -B` writes them.

use super::password::{HashProblem, PasswordHash};
use super::{Lookup, User};
use crate::auth::store::StoreError;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The users of a file, read anew when it has changed.
pub struct UserFile {
    path: PathBuf,
    /// As it was when it was read last; `None`: it was not there.
    seen: Option<Stamp>,
    /// Hashes of passwords by name.
    users: HashMap<String, String>,
}

/// What changes with a file: its modification time, its length, and the file that has the name.
type Stamp = (i64, i64, u64, u64);

impl UserFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`StoreError::Unusable`], naming the line that cannot be understood.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let seen = stamp(path);
        Ok(Self { path: path.to_owned(), seen, users: read(path)? })
    }

    /// The user, if it is there. Where the file has become unreadable, those that were in it last are.
    pub fn find(&mut self, lookup: &Lookup) -> Option<User> {
        let found = stamp(&self.path);
        if found != self.seen {
            self.seen = found;
            match read(&self.path) {
                Ok(users) => self.users = users,
                Err(error) => tracing::error!("{error}; the users are those that were read last"),
            }
        }
        // Tokens name them as they log in.
        let (Lookup::Name(name) | Lookup::Id(name)) = lookup;
        let password = self.users.get(name)?.clone();
        let active = PasswordHash::parse(&password).is_ok();
        Some(User { id: name.clone(), password, active, extra: Vec::new() })
    }

    /// A password as it is stored here, to see what one costs.
    pub fn sample(&self) -> Option<String> {
        self.users.values().find(|password| PasswordHash::parse(password).is_ok()).cloned()
    }
}

fn read(path: &Path) -> Result<HashMap<String, String>, StoreError> {
    let unusable = |problem: String| StoreError::Unusable(format!("{}: {problem}", path.display()));
    let unread = |error: &std::io::Error| unusable(format!("{error}; see auth.users.file"));
    if fs::metadata(path).map_err(|error| unread(&error))?.len() > LONGEST {
        return Err(unusable(format!("longer than {LONGEST} bytes; keep so many users in a table")));
    }
    let text = fs::read_to_string(path).map_err(|error| unread(&error))?;
    let mut users = HashMap::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim_end)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, password) =
            parse(line).map_err(|problem| unusable(format!("line {number}: {problem}")))?;
        if users.insert(name, password).is_some() {
            return Err(unusable(format!("line {number}: this name is there twice")));
        }
    }
    Ok(users)
}

/// A name and a hash as Django writes it.
fn parse(line: &str) -> Result<(String, String), String> {
    let (name, hash) = line.split_once(':').ok_or("expected NAME:HASH")?;
    if name.is_empty() {
        return Err("there is no name before the \":\"".into());
    }
    // Hashes that other programs write begin with the sign that separates their parts.
    let password = match hash.strip_prefix('$') {
        Some(rest) if rest.starts_with('2') => format!("bcrypt${hash}"),
        Some(rest) if rest.starts_with("argon2") => format!("argon2{hash}"),
        Some(_) | None => hash.into(),
    };
    match PasswordHash::parse(&password) {
        Ok(_) | Err(HashProblem::Unusable) => Ok((name.into(), password)),
        Err(problem) => Err(format!("user {name} could not log in: {problem}; write it by `htpasswd -B`")),
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().map(|file| (file.mtime(), file.mtime_nsec(), file.len(), file.ino()))
}

/// The users are not to be seen, not even their hashes.
impl std::fmt::Debug for UserFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A file of so many users is a table in the wrong place.
const LONGEST: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::users::password::HashMemory;

    /// As Apache's `htpasswd -nbB -C 4` writes it.
    const HASH: &str = "$2y$04$un3MJOqJKzTzbJFsuDSweOPWZAPi5CknNLE9Un2SgGdBCDOLAcKrm";

    #[test]
    fn users_of_a_file_are_those_that_are_in_it_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        fs::write(&path, format!("# who may come in\n\nann:{HASH}\nbob:!{HASH}\r\n")).unwrap();
        let mut file = UserFile::open(&path).unwrap();
        let ann = file.find(&Lookup::Name("ann".into())).unwrap();
        let hash = PasswordHash::parse(&ann.password).unwrap();
        assert!(ann.active && hash.verify("pässword 1".as_bytes(), &mut HashMemory::default()));
        assert!(!file.find(&Lookup::Id("bob".into())).unwrap().active);
        assert!(file.find(&Lookup::Name("carl".into())).is_none());
        assert!(file.sample().is_some_and(|sample| sample == ann.password));
        fs::write(&path, format!("carl:{HASH}\n")).unwrap();
        assert!(file.find(&Lookup::Name("ann".into())).is_none());
        assert!(file.find(&Lookup::Name("carl".into())).is_some());
        fs::write(&path, "carl\n").unwrap();
        assert!(file.find(&Lookup::Name("carl".into())).is_some(), "a broken file changes nothing");
    }

    #[test]
    fn a_line_that_nobody_can_log_in_by_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        for (text, told) in [
            ("ann\n".to_owned(), "line 1: expected NAME:HASH"),
            (format!(":{HASH}"), "line 1: there is no name"),
            (format!("ann:{HASH}\nann:{HASH}\n"), "line 2: this name is there twice"),
            ("#\nann:$apr1$x$y\n".to_owned(), "line 2: user ann could not log in"),
            ("ann:{SHA}x\n".to_owned(), "htpasswd -B"),
        ] {
            fs::write(&path, &text).unwrap();
            let problem = UserFile::open(&path).unwrap_err().to_string();
            assert!(problem.contains(told), "{text}: {problem}");
        }
        let missing = UserFile::open(&folder.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("auth.users.file"), "{missing}");
    }
}
