//! Users in a file of lines `NAME:HASH`, as `htpasswd -B` writes them.

use super::password::{HashProblem, PasswordHash};
use super::{Lookup, SAMPLES, User};
use crate::auth::store::StoreError;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The users of a file, read anew when it has changed.
pub struct UserFile {
    path: PathBuf,
    /// What was read last, if nothing can have been written since without a trace.
    seen: Option<Stamp>,
    /// Hashes of passwords by name.
    users: HashMap<String, String>,
    /// Why the file cannot be read now, as the log has it already.
    told: Option<String>,
}

/// What changes with a file: its modification time, its length, and the file that has the name.
type Stamp = (i64, i64, u64, u64);

impl UserFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`StoreError::Unusable`], naming the line that cannot be understood.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let unusable = |problem: String| StoreError::Unusable(told(path, &problem));
        let users = users_in(&read(path).map_err(unusable)?.text).map_err(unusable)?;
        // The first look reads it again: somebody may be writing it just now.
        Ok(Self { path: path.to_owned(), seen: None, users, told: None })
    }

    /// The user, if it is there. Where the file has become unreadable, those that were in it last are.
    pub fn find(&mut self, lookup: &Lookup) -> Option<User> {
        self.look(SystemTime::now());
        // Tokens name them as they log in.
        let (Lookup::Name(name) | Lookup::Id(name)) = lookup;
        let password = self.users.get(name)?.clone();
        let active = PasswordHash::parse(&password).is_ok();
        Some(User { id: name.clone(), password, active, extra: Vec::new() })
    }

    /// Passwords as they are stored here, to see what they cost: as many as of a table.
    pub fn samples(&self) -> Vec<String> {
        // In an order that is the same in all workers.
        let users: BTreeMap<_, _> = self.users.iter().collect();
        let last = users.len().saturating_sub(SAMPLES).max(SAMPLES);
        let some = users.values().take(SAMPLES).chain(users.values().skip(last));
        some.filter(|password| PasswordHash::parse(password).is_ok())
            .map(|password| (*password).clone())
            .collect()
    }

    /// Reads the file if it has changed. What fails now may succeed at the next look.
    fn look(&mut self, now: SystemTime) {
        if self.seen.is_some() && fs::metadata(&self.path).ok().as_ref().map(stamp) == self.seen {
            return;
        }
        let reading = match read(&self.path) {
            Ok(reading) => reading,
            Err(problem) => return self.tell(&problem),
        };
        match (users_in(&reading.text), reading.state(now)) {
            (Ok(users), State::Settled(stamp)) => {
                (self.users, self.seen, self.told) = (users, Some(stamp), None);
            }
            // Who is not in it may be in what is still to come: by a moment's lack of them their sessions would end.
            (Ok(users), State::Fresh) => self.users.extend(users),
            (Err(problem), State::Settled(stamp)) => {
                self.seen = Some(stamp);
                self.tell(&problem);
            }
            (Ok(_), State::Torn) | (Err(_), State::Fresh | State::Torn) => {}
        }
    }

    /// Once: it is tried again at each login.
    fn tell(&mut self, problem: &str) {
        let problem = told(&self.path, problem);
        if self.told.as_ref() != Some(&problem) {
            tracing::error!("{problem}; the users are those that were read last");
            self.told = Some(problem);
        }
    }
}

/// A file as it was read.
struct Reading {
    text: String,
    /// Of the file before and after it was read.
    stamps: [Stamp; 2],
    modified: io::Result<SystemTime>,
}

/// How much of what a file should hold it holds, as far as that can be seen.
enum State {
    /// It was written while it was read, or is half a line short.
    Torn,
    /// Somebody may still be writing it.
    Fresh,
    Settled(Stamp),
}

impl Reading {
    fn state(&self, now: SystemTime) -> State {
        let [before, after] = self.stamps;
        // One of the future is of another clock.
        let age = self.modified.as_ref().ok().and_then(|modified| now.duration_since(*modified).ok());
        match age {
            _ if before != after => State::Torn,
            Some(age) if age < SETTLED && !self.text.ends_with('\n') => State::Torn,
            Some(age) if age < SETTLED => State::Fresh,
            Some(_) | None => State::Settled(after),
        }
    }
}

fn read(path: &Path) -> Result<Reading, String> {
    let unread = |error: io::Error| format!("{error}; see auth.users.file");
    // To open a pipe would wait for its writer.
    if !fs::metadata(path).map_err(unread)?.is_file() {
        return Err("no regular file; see auth.users.file".into());
    }
    let file = File::open(path).map_err(unread)?;
    let before = file.metadata().map_err(unread)?;
    let mut text = String::new();
    (&file).take(LONGEST + 1).read_to_string(&mut text).map_err(unread)?;
    if text.len() as u64 > LONGEST {
        return Err(format!("longer than {LONGEST} bytes; keep so many users in a table"));
    }
    let after = file.metadata().map_err(unread)?;
    Ok(Reading { text, stamps: [stamp(&before), stamp(&after)], modified: after.modified() })
}

fn users_in(text: &str) -> Result<HashMap<String, String>, String> {
    let mut users = HashMap::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim_end)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, password) = parse(line).map_err(|problem| format!("line {number}: {problem}"))?;
        if users.insert(name, password).is_some() {
            return Err(format!("line {number}: this name is there twice"));
        }
    }
    Ok(users)
}

fn told(path: &Path, problem: &str) -> String {
    format!("{}: {problem}", path.display())
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

fn stamp(file: &Metadata) -> Stamp {
    (file.mtime(), file.mtime_nsec(), file.len(), file.ino())
}

/// The users are not to be seen, not even their hashes.
impl std::fmt::Debug for UserFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A file of so many users is a table in the wrong place.
const LONGEST: u64 = 4 << 20;

/// Who writes a file in place is done with it so soon.
const SETTLED: Duration = Duration::from_secs(1);

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
        assert_eq!(file.samples(), [ann.password.as_str()]);
        write_long_ago(&path, &format!("carl:{HASH}\n"));
        assert!(file.find(&Lookup::Name("ann".into())).is_none());
        assert!(file.find(&Lookup::Name("carl".into())).is_some());
        write_long_ago(&path, "carl\n");
        assert!(file.find(&Lookup::Name("carl".into())).is_some(), "a broken file changes nothing");
        fs::remove_file(&path).unwrap();
        assert!(file.find(&Lookup::Name("carl".into())).is_some(), "nor does one that is away");
        write_long_ago(&path, "");
        assert!(file.find(&Lookup::Name("carl".into())).is_none(), "one without users has none");
    }

    #[test]
    fn of_many_users_some_tell_what_passwords_cost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        for (count, expected) in [(0, 0), (1, 1), (SAMPLES + 1, SAMPLES + 1), (2 * SAMPLES + 1, 2 * SAMPLES)]
        {
            let users: String = (0..count).map(|number| format!("user{number}:{HASH}\n")).collect();
            fs::write(&path, users).unwrap();
            assert_eq!(UserFile::open(&path).unwrap().samples().len(), expected, "{count}");
        }
    }

    #[test]
    fn a_file_that_is_being_written_loses_no_users() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        write_long_ago(&path, &format!("ann:{HASH}\nbob:{HASH}\n"));
        let mut file = UserFile::open(&path).unwrap();
        let mut users = |text: &str, age: Duration| {
            write_long_ago(&path, text);
            file.look(LONG_AGO + age);
            let mut names: Vec<String> = file.users.keys().cloned().collect();
            names.sort();
            names.join(" ")
        };
        let soon = SETTLED / 2;
        assert_eq!(users("", soon), "ann bob");
        assert_eq!(users(&format!("carl:{HASH}\n"), soon), "ann bob carl");
        assert_eq!(users(&format!("carl:{HASH}\ndora:{HASH}"), soon), "ann bob carl", "half a line");
        assert_eq!(users("carl", soon), "ann bob carl");
        assert_eq!(users(&format!("carl:{HASH}"), SETTLED), "carl", "a last line may be without its end");
        assert_eq!(users("", SETTLED), "");
    }

    #[test]
    fn only_a_regular_file_of_bearable_length_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let problem = |path: &Path| UserFile::open(path).unwrap_err().to_string();
        assert!(problem(folder.path()).contains("no regular file; see auth.users.file"));
        assert!(problem(Path::new("/dev/zero")).contains("no regular file"));
        let path = folder.path().join("users");
        let long = usize::try_from(LONGEST).unwrap() + 1;
        fs::write(&path, "#".repeat(long)).unwrap();
        assert!(problem(&path).contains("longer than"));
    }

    const LONG_AGO: SystemTime = SystemTime::UNIX_EPOCH;

    fn write_long_ago(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        File::options().write(true).open(path).unwrap().set_modified(LONG_AGO).unwrap();
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
