//! Another program in the place of this one: execve(2).

use super::inherit::{self, AtExec};
use super::process::{self, Pid};
use nix::sys::signal::Signal;
use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A program as it was started: by words, of which the first names it.
#[derive(Debug, Clone)]
pub struct OwnProgram {
    words: Vec<OsString>,
    /// Where this very code was loaded from: the program, or the extension module.
    code: Option<(PathBuf, Stamp)>,
}

/// A program, what it is told, and what it is given.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its arguments, its own name first.
    pub words: &'a [OsString],
    /// Variables beside those of this process.
    pub variables: &'a [(&'a str, String)],
    /// Descriptors that it has under the same numbers. All others that are closed on exec it does not have.
    pub descriptors: &'a [BorrowedFd<'a>],
}

/// What tells a file from one that has come into its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl OwnProgram {
    /// How this process was started. To be called early: what is on disk now is taken for what runs.
    ///
    /// # Errors
    /// When /proc is not there.
    pub fn new() -> io::Result<Self> {
        // proc(5), cmdline: each word ends with a zero byte.
        let bytes = fs::read("/proc/self/cmdline")?;
        let mut words: Vec<_> =
            bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
        words.pop();
        let code = code_file().and_then(|path| {
            let stamp = Stamp::of(&fs::metadata(&path).ok()?);
            Some((path, stamp))
        });
        Ok(Self { words, code })
    }

    /// Its words, its own name first.
    pub fn words(&self) -> &[OsString] {
        &self.words
    }

    /// The file that the first word names now, as a shell in this directory would find it.
    ///
    /// Not /proc/self/exe: that is the file of old, whatever has come into its place.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, directory: &Path) -> io::Result<PathBuf> {
        let name = self.words.first().map(OsString::as_os_str).unwrap_or_default();
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{} is not there", name.display()));
        if name.as_encoded_bytes().contains(&b'/') {
            let path = directory.join(name);
            return if path.exists() { Ok(path) } else { Err(missing()) };
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|part| directory.join(part).join(name)).find(is_program);
        // Started under a name that is none: where its file was.
        found.or_else(executable).ok_or_else(missing)
    }

    /// Whether another file has come into the place of the one that this code was loaded from.
    pub fn has_changed(&self) -> bool {
        let Some((path, stamp)) = &self.code else { return false };
        fs::metadata(path).map(|metadata| Stamp::of(&metadata)).ok().as_ref() != Some(stamp)
    }
}

/// Puts a program in the place of this one; returns only when it cannot be done, with everything as before.
///
/// Unlike std's, it leaves the signal mask as it is: what is blocked stays blocked, and what is pending pending, until the new
/// program is ready for it (signal(7), execve(2)).
///
/// # Errors
/// As execve(2) has them.
pub fn exec(launch: &Launch<'_>) -> io::Result<Infallible> {
    let text = |bytes: Vec<u8>| CString::new(bytes).map_err(io::Error::from);
    let path = text(launch.path.as_os_str().as_encoded_bytes().to_vec())?;
    let words: Vec<CString> =
        launch.words.iter().map(|word| text(word.as_encoded_bytes().to_vec())).collect::<io::Result<_>>()?;
    let assignment = |name: &OsStr, value: &OsStr| {
        text([name.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat())
    };
    let is_kept = |name: &OsStr| launch.variables.iter().all(|(other, _)| OsStr::new(other) != name);
    let inherited = std::env::vars_os().filter(|(name, _)| is_kept(name));
    let inherited = inherited.map(|(name, value)| assignment(&name, &value));
    let own = launch.variables.iter().map(|(name, value)| assignment(OsStr::new(name), OsStr::new(value)));
    let environment: Vec<CString> = inherited.chain(own).collect::<io::Result<_>>()?;
    inherit::set(launch.descriptors, AtExec::Kept)?;
    let error = nix::unistd::execve(&path, &words, &environment);
    inherit::set(launch.descriptors, AtExec::Closed)?;
    error.map_err(io::Error::from)
}

/// Has this process, a forked child, end with its parent, and be the first of a process group of its own.
///
/// # Errors
/// None that setpgid(2) and prctl(2) can give here.
pub fn stand_apart(parent: Pid) -> io::Result<()> {
    nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0))?;
    // prctl(2), PR_SET_PDEATHSIG: kept across execve.
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    if Pid(nix::unistd::getppid().as_raw()) == parent {
        return Ok(());
    }
    // It has died just before: no signal will come.
    Err(io::Error::other("the parent has died"))
}

/// Takes a child that was forked by another child into the process group of this process.
///
/// # Errors
/// As setpgid(2) has them: when it is gone, or has become another program.
pub fn take_into_group(child: Pid) -> io::Result<()> {
    let group = nix::unistd::getpgrp();
    Ok(nix::unistd::setpgid(nix::unistd::Pid::from_raw(child.0), group)?)
}

fn is_program(path: &PathBuf) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The name that the running program had; another file may have it by now.
fn executable() -> Option<PathBuf> {
    let path = fs::read_link("/proc/self/exe").ok()?.into_os_string().into_vec();
    // proc(5): " (deleted)" follows the name of a file that is gone.
    let path = path.strip_suffix(b" (deleted)").unwrap_or(&path).to_vec();
    Some(PathBuf::from(OsString::from_vec(path))).filter(is_program)
}

/// The file that this very function was mapped from (proc(5), maps).
fn code_file() -> Option<PathBuf> {
    let address = code_file as fn() -> Option<PathBuf> as usize;
    let maps = fs::read(format!("/proc/{}/maps", process::own_pid())).ok()?;
    maps.split(|byte| *byte == b'\n').find_map(|line| mapped_file(line, address))
}

/// The file of a line `START-END ACCESS OFFSET DEVICE INODE   PATH`, if it covers the address.
fn mapped_file(line: &[u8], address: usize) -> Option<PathBuf> {
    let dash = line.iter().position(|byte| *byte == b'-')?;
    let space = line.iter().position(|byte| *byte == b' ')?;
    let number = |bytes: &[u8]| usize::from_str_radix(std::str::from_utf8(bytes).ok()?, 16).ok();
    let (start, end) = (number(line.get(..dash)?)?, number(line.get(dash + 1..space)?)?);
    let path = line.get(line.iter().position(|byte| *byte == b'/')?..)?;
    (start <= address && address < end).then(|| PathBuf::from(OsString::from_vec(path.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_found_and_has_not_changed() {
        let own = OwnProgram::new().unwrap();
        let here = std::env::current_exe().unwrap();
        assert_eq!(own.words().len(), std::env::args_os().len());
        assert_eq!(own.code.as_ref().unwrap().0, here);
        assert!(!own.has_changed());
        assert_eq!(own.find(Path::new("/")).unwrap().canonicalize().unwrap(), here.canonicalize().unwrap());
    }

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        let named = |word: &str| OwnProgram { words: vec![word.into()], code: None };
        assert!(named("sh").find(Path::new("/")).unwrap().ends_with("sh"));
        assert_eq!(named("./sh").find(Path::new("/bin")).unwrap(), Path::new("/bin/./sh"));
        let error = named("./ferricorn-no-such").find(Path::new("/bin")).unwrap_err().to_string();
        assert_eq!(error, "./ferricorn-no-such is not there");
        // A name that the starter has made up.
        let here = std::env::current_exe().unwrap();
        assert_eq!(named("ferricorn-no-such").find(Path::new("/")).unwrap(), here);
    }

    #[test]
    fn a_file_that_takes_the_place_of_the_code_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code");
        fs::write(&path, "one").unwrap();
        let stamp = Stamp::of(&fs::metadata(&path).unwrap());
        let own = OwnProgram { words: Vec::new(), code: Some((path.clone(), stamp)) };
        assert!(!own.has_changed());
        fs::write(folder.path().join("next"), "two").unwrap();
        fs::rename(folder.path().join("next"), &path).unwrap();
        assert!(own.has_changed());
        fs::remove_file(&path).unwrap();
        assert!(own.has_changed());
    }

    #[test]
    fn what_cannot_be_executed_leaves_all_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no program");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let words = ["x".into()];
        let launch = Launch { path: &path, words: &words, variables: &[("A", "B".into())], descriptors: &[] };
        // execve(2): ENOEXEC, for which a shell would run it as a script of its own.
        assert_eq!(exec(&launch).unwrap_err().raw_os_error(), Some(nix::libc::ENOEXEC));
    }

    #[test]
    fn lines_of_the_map_are_read() {
        let line = b"7f00-7fff r-xp 00001000 fd:01 42     /opt/a b/x.so";
        assert_eq!(mapped_file(line, 0x7f80), Some("/opt/a b/x.so".into()));
        assert_eq!(mapped_file(line, 0x8000), None);
        assert_eq!(mapped_file(b"7f00-7fff rw-p 00000000 00:00 0", 0x7f80), None);
    }
}
